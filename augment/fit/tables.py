"""What a JPEG file says of its coder: libjpeg's quality from the quantisation tables, and the chroma format."""

import io
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from PIL import Image, JpegImagePlugin

_FORMATS = {0: "4:4:4", 1: "4:2:2", 2: "4:2:0"}


@dataclass(frozen=True)
class Tables:
    """One file's coding.

    Attributes:
        quality: libjpeg quality whose luma and chroma tables come nearest.
        subsampling: `4:4:4`, `4:2:2` or `4:2:0`; None for a rarer format.
        mismatch: mean relative difference from libjpeg's tables; 0 means that they are those.
    """

    quality: int
    subsampling: str | None
    mismatch: float


def read_tables(data: bytes) -> Tables | None:
    """Return the coding of a JPEG file, None for any other format. Reads the header alone; never EXIF."""
    if not data.startswith(b"\xff\xd8\xff"):
        return None
    with Image.open(io.BytesIO(data), formats=("JPEG", "MPO")) as image:
        tables: dict[int, list[int]] = image.quantization  # type: ignore[attr-defined]  # JPEG images have it
        sampling = JpegImagePlugin.get_sampling(image) if image.mode in ("RGB", "YCbCr") else -1
    quality, mismatch = nearest_quality([np.asarray(tables[key]) for key in sorted(tables)][:2])
    return Tables(quality, _FORMATS.get(sampling), mismatch)


def nearest_quality(tables: list[np.ndarray]) -> tuple[int, float]:
    """Return the quality whose tables differ least from `tables` (luma, then chroma if any), and by how much.

    Difference: mean over the 64 entries of |log ratio|, so that coarse and fine tables count alike.
    """
    seen = np.log(np.stack(tables).clip(1))
    distance = np.abs(_references()[:, : len(tables)] - seen).mean((1, 2))
    best = int(distance.argmin())
    return best + 1, float(distance[best])


@lru_cache(maxsize=1)
def _references() -> np.ndarray:
    """Log tables (100, 2, 64) of qualities 1 to 100, in the order in which Pillow reports them."""
    grey = Image.new("RGB", (8, 8))
    rows = []
    for quality in range(1, 101):
        buffer = io.BytesIO()
        grey.save(buffer, "JPEG", quality=quality)
        with Image.open(buffer) as image:
            tables: dict[int, list[int]] = image.quantization  # type: ignore[attr-defined]  # JPEG images have it
        rows.append([tables[0], tables[1]])
    return np.log(np.asarray(rows, dtype=np.float64))
