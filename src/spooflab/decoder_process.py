"""The process that decodes what strangers made: bounded in memory, time and reach, and told nothing but open files.

It imports no torch and starts in the time that NumPy and Pillow take. `python -m spooflab.decoder_process` decodes
pictures; a package that decodes more gives its own jobs to `serve` in a module of its own.
"""

import os
import resource
import signal
import socket
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from spooflab.decoder_wire import (
    ARRAY,
    END,
    ERROR,
    READY,
    REFUSED,
    ROWS,
    WireClosed,
    raw,
    receive_request,
    send,
    send_json,
)
from spooflab.errors import SkipSample, SpooflabError
from spooflab.images import open_picture, without_objects

WORKING_BYTES = 230 << 20
"""Memory that jobs may take beyond what the process holds at its start, about 30 MiB (60 with PyAV and h5py)."""
PICTURE_BYTES = WORKING_BYTES - (24 << 20)
"""Of that for one picture, by its header's measures: the rest is for a strip of it, and for the file's metadata."""
_MOST_FILES = 32
_ADDRESSES = 1 << 30
_GRACE_S = 10.0
"""Beyond a request's time. The parent ends a hung decoder; one whose parent is gone or stopped ends by itself."""


class Answer:
    """Where a job puts the arrays that it answers with, strip by strip: none is held whole here.

    Args:
        link: to the parent.
    """

    def __init__(self, link: socket.socket) -> None:
        self._link = link

    def begin(self, *shape: int) -> None:
        """Begin a uint8 array of that shape; its rows must follow in order."""
        send_json(self._link, ARRAY, list(shape))

    def rows(self, rows: npt.NDArray[np.uint8]) -> None:
        """Give the next rows of the array that was begun last."""
        send(self._link, ROWS, raw(rows))

    def array(self, pixels: npt.NDArray[np.uint8]) -> None:
        """Give an array that is there as a whole."""
        self.begin(*pixels.shape)
        self.rows(pixels)


Job = Callable[[BinaryIO, Mapping[str, Any], Answer], Mapping[str, Any]]
"""Takes a file and arguments, gives arrays, and returns what else is to be told, as JSON."""


def picture(file: BinaryIO, arguments: Mapping[str, Any], answer: Answer) -> Mapping[str, Any]:
    """Decode one picture as `spooflab.images.decode_image` does; it is not yet turned upright.

    Args:
        file: the picture.
        arguments: `max_pixels` and `min_side`.
        answer: takes the pixels.

    Returns:
        `orientation`, for `spooflab.images.upright`.
    """
    opened = open_picture(
        file, max_pixels=arguments["max_pixels"], min_side=arguments["min_side"], max_bytes=PICTURE_BYTES
    )
    answer.begin(opened.height, opened.width, 3)
    for strip in opened.strips():
        answer.rows(strip)
    return {"orientation": opened.orientation}


def serve(jobs: Mapping[str, Job]) -> None:
    """Answer requests until the parent closes the socket, whose descriptor is the first word of the command line.

    Args:
        jobs: what can be asked for, by name.
    """
    with socket.socket(fileno=int(sys.argv[1])) as link:
        _bound()
        send(link, READY)
        # A parent that is gone asks for nothing more.
        with suppress(WireClosed, BrokenPipeError, ConnectionResetError):
            while (asked := receive_request(link)) is not None:
                request, descriptor = asked
                # The signal ends this process even within a library that never returns to Python.
                signal.setitimer(signal.ITIMER_REAL, request["seconds"] + _GRACE_S)
                with os.fdopen(descriptor, "rb") as file:
                    _answer(link, jobs[request["job"]], file, request["arguments"])
                signal.setitimer(signal.ITIMER_REAL, 0)


def _answer(link: socket.socket, job: Job, file: BinaryIO, arguments: Mapping[str, Any]) -> None:
    try:
        file.seek(0)
        told = job(file, arguments, Answer(link))
    except SkipSample as skip:
        send_json(link, REFUSED, [skip.reason, skip.detail])
    except SpooflabError as error:
        send_json(link, ERROR, [type(error).__name__, error.seen, error.wanted, error.next_step])
    except MemoryError:
        send_json(link, REFUSED, ["out_of_memory", f"it takes more than the decoder's {WORKING_BYTES >> 20} MiB"])
    except (BrokenPipeError, ConnectionResetError):
        raise
    except Exception as error:  # of any library, at what a stranger made: it is that file's, and told of it
        send_json(link, REFUSED, ["undecodable", f"{type(error).__name__}: {without_objects(str(error))}"[:500]])
    else:
        send_json(link, END, told)


def _bound() -> None:
    """Give up what decoding does not need. Linux holds to all of these; other systems to some."""
    bounds = {
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_FSIZE: 0,
        resource.RLIMIT_NOFILE: _MOST_FILES,
    }
    with suppress(FileNotFoundError):  # only Linux tells, and only there the limit counts what is mapped
        pages = Path("/proc/self/statm").read_text(encoding="ascii").split()
        page = resource.getpagesize()
        bounds[resource.RLIMIT_DATA] = int(pages[5]) * page + WORKING_BYTES
        bounds[resource.RLIMIT_AS] = int(pages[0]) * page + _ADDRESSES
    for bound, most in bounds.items():
        hard = resource.getrlimit(bound)[1]
        if hard != resource.RLIM_INFINITY:
            most = min(most, hard)
        resource.setrlimit(bound, (most, most))


if __name__ == "__main__":
    serve({"picture": picture})
