"""Frames of a video by PyAV: counted first, then decoded in order up to the last that is wanted."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spooflab.errors import ConfigError, SkipSample

Pixels = NDArray[np.uint8]
DEMUXERS = {".avi": "avi", ".mov": "mov", ".mp4": "mov", ".m4v": "mov", ".mkv": "matroska", ".webm": "matroska"}
"""The one container that a file of each suffix may be. Text formats that name further files (HLS, concat) are none."""


def video_frames(
    path: Path, choose: Callable[[int], Sequence[int]], max_pixels: int, *, turned: bool
) -> tuple[int, list[tuple[int, Pixels | SkipSample]]]:
    """Return how many frames a video has, and those that `choose` names of so many.

    A frame that cannot be decoded is a `SkipSample` (`frame_missing`, `frame_corrupt`) in its place.

    Args:
        path: the file.
        choose: takes the number of frames, gives the wanted ones in rising order.
        max_pixels: most pixels of a frame, checked before one is decoded.
        turned: apply the file's display matrix.

    Raises:
        SkipSample: `unsupported_format`, `bad_video`, `too_many_pixels` or `no_frames`.
        ConfigError: PyAV is not installed, or too old to tell the display matrix.
    """
    demuxer = DEMUXERS.get(path.suffix.lower())
    if demuxer is None:
        raise SkipSample("unsupported_format", f"{path.suffix!r}, wanted {', '.join(DEMUXERS)}")
    av = _pyav()
    try:
        with path.open("rb") as file, av.open(file, format=demuxer) as container:
            count = _count(container, max_pixels)
        with path.open("rb") as file, av.open(file, format=demuxer) as container:
            return count, _decoded(container, list(choose(count)), turned, av.FFmpegError)
    except av.FFmpegError as error:
        raise SkipSample("bad_video", f"{type(error).__name__}: {error.strerror}") from error


def _count(container: Any, max_pixels: int) -> int:
    if not container.streams.video:
        raise SkipSample("bad_video", "no video stream")
    stream = container.streams.video[0]
    width, height = stream.codec_context.width, stream.codec_context.height
    if width * height > max_pixels:
        raise SkipSample("too_many_pixels", f"{width} x {height} pixels, at most {max_pixels} are decoded")
    count = sum(1 for packet in container.demux(stream) if packet.size)
    if not count:
        raise SkipSample("no_frames", "the video stream is empty")
    return count


def _decoded(
    container: Any, wanted: list[int], turned: bool, failure: type[Exception]
) -> list[tuple[int, Pixels | SkipSample]]:
    stream = container.streams.video[0]
    stream.codec_context.thread_count = 1
    found: dict[int, Pixels | SkipSample] = {}
    problem = "the stream ends before"
    try:
        for number, frame in enumerate(container.decode(stream)):
            if number in wanted:
                found[number] = _pixels(frame, turned)
            if number >= wanted[-1]:
                break
    except failure as error:
        problem = f"decoding stopped: {type(error).__name__}"
    return [(n, found.get(n) if n in found else SkipSample("frame_missing", problem)) for n in wanted]  # type: ignore[misc]


def _pixels(frame: Any, turned: bool) -> Pixels | SkipSample:
    if frame.is_corrupt:
        return SkipSample("frame_corrupt", "the decoder marks it as damaged")
    pixels: Pixels = frame.to_ndarray(format="rgb24")
    quarters = round(frame.rotation / 90) if turned else 0  # degrees anticlockwise
    return np.ascontiguousarray(np.rot90(pixels, quarters))


def _pyav() -> Any:
    try:
        import av
    except ImportError as error:
        raise ConfigError(
            "videos need PyAV, which is not installed",
            wanted="the extra `video`",
            next_step="pip install 'spooflab[video]'",
        ) from error
    if not hasattr(av.VideoFrame, "rotation"):
        raise ConfigError(f"PyAV {av.__version__} does not tell how frames are turned", wanted="PyAV 14 or later")
    return av
