"""Small trees in the layouts of real data sets, with pictures and videos of a few pixels."""

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from spooflab.experiments.readers.item import Broken, RealItem


def picture(seed: int, side: int = 32) -> np.ndarray:
    """Return a smooth (side, side, 3) picture that no other seed gives."""
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 256, (4, 4, 3), dtype=np.uint8)
    return np.array(Image.fromarray(small).resize((side, side), Image.Resampling.BICUBIC))


def png(seed: int, side: int = 32) -> bytes:
    """Return `picture` as PNG bytes."""
    out = BytesIO()
    Image.fromarray(picture(seed, side)).save(out, "PNG")
    return out.getvalue()


def write(root: Path, path: str, data: bytes | str = b"") -> Path:
    """Write a file below `root`, with its folders."""
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(data.encode() if isinstance(data, str) else data)
    return file


def video(path: Path, frames: Sequence[np.ndarray]) -> Path:
    """Write a video of motion JPEG; the container follows from the name."""
    import av

    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w", format={".avi": "avi", ".mov": "mov", ".mp4": "mov"}[path.suffix]) as container:
        stream = container.add_stream("mjpeg", rate=25)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "yuvj444p"
        for pixels in frames:
            for packet in stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")):
                container.mux(packet)
        for packet in stream.encode(None):
            container.mux(packet)
    return path


def told(entries: Sequence[RealItem | Broken]) -> tuple[dict[str, RealItem], list[tuple[str, str]]]:
    """Return items by path, and (path, reason) of what is broken."""
    items = {entry.name: entry for entry in entries if isinstance(entry, RealItem)}
    return items, [(entry.path, entry.reason) for entry in entries if isinstance(entry, Broken)]
