"""H.264 and H.265 streams by x264 and x265 (through PyAV), set so that the same frames give the same bytes.

One thread, a fixed preset, and the coding of a camera's live stream: no look-ahead and no frames that refer to later
ones; a key frame every `gop` frames and none because of a cut; constant rate factor. Bytes may change with the
encoder's version.
"""

from fractions import Fraction
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from spooflab.augment.video_colour import from_yuv420, to_yuv420
from spooflab.errors import ConfigError, DataError

MAX_CRF = 51
MIN_SIDE = 16
_ENCODERS = {"h264": ("libx264", "veryfast"), "h265": ("libx265", "superfast")}
_DECODERS = {"h264": "h264", "h265": "hevc"}


def encode_frames(frames: Tensor, *, kind: str, crf: int, gop: int, fps: float) -> list[bytes]:
    """Return one packet per frame of uint8 (T, 3, H, W); the first, and every `gop`-th after it, is a key frame.

    Args:
        frames: T at least 1, sides even and at least 16.
        kind: `h264` or `h265`.
        crf: constant rate factor, 0-51; six more halve the bit rate, roughly.
        gop: frames from one key frame to the next, >= 1.
        fps: frames per second.

    Raises:
        ConfigError: PyAV, or its encoder, is missing.
        DataError: frames that cannot be coded.
    """
    _check_frames(frames)
    encoder = _open(_ENCODERS[kind][0], "w")
    encoder.height, encoder.width = frames.shape[-2:]
    rate = Fraction(fps).limit_denominator(1001)
    encoder.pix_fmt, encoder.framerate, encoder.time_base = "yuv420p", rate, 1 / rate
    encoder.options = _options(kind, crf, gop)
    luma, chroma = to_yuv420(frames.cpu())
    planes = torch.cat([luma.flatten(1), chroma.flatten(1)], 1).reshape(len(frames), -1, frames.shape[-1]).numpy()
    packets = []
    for index, plane in enumerate(planes):
        frame = pyav().VideoFrame.from_ndarray(plane, format="yuv420p")
        frame.pts = index
        packets += encoder.encode(frame)
    return [bytes(packet) for packet in packets + encoder.encode(None)]


def decode_frames(packets: list[bytes], *, kind: str) -> Tensor:
    """Return uint8 (T, 3, H, W) from the packets of `encode_frames`."""
    decoder = _open(_DECODERS[kind], "r")
    decoded = [frame for data in packets for frame in decoder.decode(pyav().Packet(data))] + decoder.decode(None)
    planes = torch.stack([torch.from_numpy(frame.to_ndarray(format="yuv420p")) for frame in decoded])
    height, width = decoded[0].height, decoded[0].width
    luma, chroma = torch.split(planes.flatten(1), [height * width, height * width // 2], 1)
    return from_yuv420(luma.reshape(-1, height, width), chroma.reshape(len(decoded), 2, height // 2, width // 2))


def pyav() -> ModuleType:
    """Return the `av` package.

    Raises:
        ConfigError: it is not installed.
    """
    try:
        import av
    except ImportError as error:
        raise ConfigError(
            "H.264 and H.265 need PyAV, which is not installed",
            wanted="the extra `video`",
            next_step="pip install 'spooflab[video]', or take a profile whose codec is jpeg or mjpeg",
        ) from error
    return av


def _open(name: str, mode: str) -> Any:
    """Return a single-threaded codec context."""
    av = pyav()
    try:
        context = av.CodecContext.create(name, mode)
    except ValueError as error:  # PyAV's UnknownCodecError is one
        raise ConfigError(
            f"this build of PyAV has no {name}", wanted="a build with x264 and x265", next_step="pip install av"
        ) from error
    context.thread_count = 1
    return context


def _options(kind: str, crf: int, gop: int) -> dict[str, str]:
    common = {"preset": _ENCODERS[kind][1], "tune": "zerolatency", "crf": str(crf)}
    if kind == "h264":
        return {**common, "g": str(gop), "bf": "0", "x264-params": "threads=1:scenecut=0:open-gop=0"}
    pinned = f"pools=none:frame-threads=1:keyint={gop}:min-keyint={gop}:scenecut=0:bframes=0:open-gop=0:log-level=none"
    return {**common, "x265-params": pinned}


def _check_frames(frames: Tensor) -> None:
    height, width = frames.shape[-2:]
    if frames.ndim != 4 or frames.shape[1] != 3 or len(frames) < 1 or frames.dtype != torch.uint8:
        raise DataError(f"frames {tuple(frames.shape)} {frames.dtype}", wanted="(T, 3, H, W) torch.uint8, T >= 1")
    if min(height, width) < MIN_SIDE or height % 2 or width % 2:
        raise DataError(f"frames of {height} x {width}", wanted=f"even sides of at least {MIN_SIDE}")
