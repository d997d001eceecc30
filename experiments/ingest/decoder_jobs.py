"""The process that decodes an ingest's pictures, videos and HDF5 clips: `spooflab.decoder_process` says its bounds."""

from collections.abc import Iterable, Mapping
from typing import Any, BinaryIO

from spooflab.decoder_process import Answer, Job, picture, serve
from spooflab.errors import SkipSample
from spooflab.experiments.ingest.container import picture_facts, video_facts
from spooflab.experiments.ingest.frame import Pixels
from spooflab.experiments.ingest.hdf5 import hdf5_frames
from spooflab.experiments.ingest.video import count_frames, video_frames


def still(file: BinaryIO, arguments: Mapping[str, Any], answer: Answer) -> Mapping[str, Any]:
    """Decode a picture, as `spooflab.decoder_process.picture`, and tell its `facts` besides."""
    facts = picture_facts(file)
    file.seek(0)
    return {**picture(file, arguments, answer), "facts": facts}


def video(file: BinaryIO, arguments: Mapping[str, Any], answer: Answer) -> Mapping[str, Any]:
    """Decode frames of a video.

    Args:
        file: the video.
        arguments: `demuxer`, `frames` (how many), `max_pixels`, `turned`.
        answer: takes the frames.

    Returns:
        `frames` of the clip, its `facts`, and `shots`: for each frame its number, and None or reason and detail.
    """
    demuxer, max_pixels = arguments["demuxer"], arguments["max_pixels"]
    facts = video_facts(file, demuxer)
    file.seek(0)
    count = count_frames(file, demuxer, max_pixels)
    file.seek(0)
    frames = video_frames(file, demuxer, count, arguments["frames"], max_pixels, turned=arguments["turned"])
    return {"frames": count, "facts": facts, "shots": _given(frames, answer)}


def hdf5(file: BinaryIO, arguments: Mapping[str, Any], answer: Answer) -> Mapping[str, Any]:
    """Read frames of an HDF5 clip; arguments and answer as `video`, without a demuxer and facts."""
    count, shots = 0, []
    for number_of_all, number, pixels in hdf5_frames(file, arguments["frames"], arguments["max_pixels"]):
        count = number_of_all
        shots += _given([(number, pixels)], answer)
    return {"frames": count, "facts": {}, "shots": shots}


def _given(frames: Iterable[tuple[int, Pixels | SkipSample]], answer: Answer) -> list[list[Any]]:
    shots: list[list[Any]] = []
    for number, pixels in frames:
        if isinstance(pixels, SkipSample):
            shots.append([number, [pixels.reason, pixels.detail]])
        else:
            answer.array(pixels)
            shots.append([number, None])
    return shots


JOBS: Mapping[str, Job] = {"still": still, "video": video, "hdf5": hdf5}

if __name__ == "__main__":
    serve(JOBS)
