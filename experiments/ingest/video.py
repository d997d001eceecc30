"""Frames of a video by PyAV: counted first, then decoded in order up to the last that is wanted."""

from collections import deque
from collections.abc import Iterator
from typing import Any, BinaryIO

import numpy as np

from spooflab.errors import ConfigError, SkipSample
from spooflab.experiments.ingest.frame import Pixels, size_refusal
from spooflab.experiments.ingest.spans import evenly

DEMUXERS = {".avi": "avi", ".mov": "mov", ".mp4": "mov", ".m4v": "mov", ".mkv": "matroska", ".webm": "matroska"}
"""The one container that a file of each suffix may be. Text formats that name further files (HLS, concat) are none."""


def count_frames(file: BinaryIO, demuxer: str, max_pixels: int) -> int:
    """Return how many frames a video has, without decoding one.

    Args:
        file: the video, at its start.
        demuxer: of `DEMUXERS`.
        max_pixels: most pixels of a frame.

    Raises:
        SkipSample: `bad_video`, `too_many_pixels`, `too_small`, `no_frames` or `out_of_memory`.
        ConfigError: PyAV is not installed, or too old to tell the display matrix.
    """
    av = _pyav()
    try:
        with av.open(file, format=demuxer) as container:
            if not container.streams.video:
                raise SkipSample("bad_video", "no video stream")
            stream = container.streams.video[0]
            refusal = size_refusal(stream.codec_context.width, stream.codec_context.height, max_pixels)
            if refusal is not None:
                raise refusal
            count = sum(1 for packet in container.demux(stream) if packet.size)
    except (SkipSample, MemoryError):
        raise
    except Exception as error:  # FFmpeg's errors, and Python's at values that no sound container holds
        raise SkipSample("bad_video", _told(error)) from error
    if not count:
        raise SkipSample("no_frames", "the video stream is empty")
    return count


def video_frames(
    file: BinaryIO, demuxer: str, count: int, wanted: int, max_pixels: int, *, turned: bool
) -> Iterator[tuple[int, Pixels | SkipSample]]:
    """Yield the frames at the middles of `wanted` equal spans, in order, each with its number.

    A frame that cannot be decoded is a `SkipSample` (`frame_missing`, `frame_corrupt`, or for its size) in its place.

    Args:
        file: the video, at its start.
        demuxer, max_pixels: as for `count_frames`.
        count: what that returned.
        wanted: how many frames.
        turned: apply the file's display matrix.

    Raises:
        SkipSample: `bad_video` or `out_of_memory`.
    """
    av = _pyav()
    left, problem = deque(evenly(count, wanted)), "the stream ends before"
    try:
        with av.open(file, format=demuxer) as container:
            stream = container.streams.video[0]
            stream.codec_context.thread_count = 1
            for at, frame in enumerate(container.decode(stream)):
                if not left:
                    return
                if at == left[0]:
                    pixels = _pixels(frame, turned, max_pixels)
                    yield left.popleft(), pixels
    except MemoryError:
        raise
    except Exception as error:
        problem = f"decoding stopped: {type(error).__name__}"
    for number in left:
        yield number, SkipSample("frame_missing", problem)


def _pixels(frame: Any, turned: bool, max_pixels: int) -> Pixels | SkipSample:
    if frame.is_corrupt:
        return SkipSample("frame_corrupt", "the decoder marks it as damaged")
    refusal = size_refusal(frame.width, frame.height, max_pixels)  # a stream may change its size on the way
    if refusal is not None:
        return refusal
    pixels: Pixels = _in_rgb(frame).to_ndarray()
    quarters = round(frame.rotation / 90) if turned else 0  # degrees anticlockwise
    return np.ascontiguousarray(np.rot90(pixels, quarters))


def _in_rgb(frame: Any) -> Any:
    try:
        # By itself swscale starts a thread for each core, whose stacks would take the decoder's memory.
        return frame.reformat(format="rgb24", threads=1)
    except TypeError:  # a PyAV that cannot be told, and starts none
        return frame.reformat(format="rgb24")


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {getattr(error, 'strerror', None) or error}"


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
