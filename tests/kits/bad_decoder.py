"""A decoder whose jobs do what a broken or hostile library might: run as a program, in place of the sound one."""

import os
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from spooflab.decoder_process import Answer, serve

COMMAND = (sys.executable, "-P", str(Path(__file__)))
Told = Mapping[str, Any]


def well(file: BinaryIO, arguments: Told, answer: Answer) -> Told:
    answer.array(np.full((2, 3, 3), len(file.read()), np.uint8))
    return {"pid": os.getpid(), **arguments}


def segfault(file: BinaryIO, arguments: Told, answer: Answer) -> Told:
    answer.begin(4, 4, 3)
    os.kill(os.getpid(), signal.SIGSEGV)
    return {}


def segfault_once(file: BinaryIO, arguments: Told, answer: Answer) -> Told:
    """Die unless the mark is there; a decoder may write no file, so it moves one."""
    mark = Path(arguments["mark"])
    if mark.exists():
        mark.rename(mark.with_suffix(".seen"))
        os.kill(os.getpid(), signal.SIGSEGV)
    return {}


def loop(file: BinaryIO, arguments: Told, answer: Answer) -> Told:
    while True:
        time.sleep(0.01)


def endless(file: BinaryIO, arguments: Told, answer: Answer) -> Told:
    """Never done, though it always says something."""
    while True:
        answer.array(np.zeros((8, 8, 3), np.uint8))
        time.sleep(0.001)


def dripping(file: BinaryIO, arguments: Told, answer: Answer) -> Told:
    """One message that never ends, byte by byte."""
    answer.begin(10, 10, 3)
    answer._link.sendall(b"P\0\0\1\x2c")
    while True:
        answer._link.sendall(b"x")
        time.sleep(0.05)


def eat(file: BinaryIO, arguments: Told, answer: Answer) -> Told:
    held = []
    while True:
        held.append(np.ones(1 << 20, np.uint8))


def exhaust(file: BinaryIO, arguments: Told, answer: Answer) -> Told:
    """Try what a decoder may not: to write, and to hold many files; tell what was refused."""
    refused = []
    try:
        Path(arguments["path"]).write_bytes(b"x" * 10)
    except OSError:
        refused.append("write")
    held = []
    try:
        held = [os.dup(file.fileno()) for _ in range(1000)]
    except OSError:
        refused.append("files")
    for number in held:
        os.close(number)
    return {"refused": refused, "environment": sorted(os.environ)}


def raising(file: BinaryIO, arguments: Told, answer: Answer) -> Told:
    raise KeyError(f"{object()!r} of a library")


def huge(file: BinaryIO, arguments: Told, answer: Answer) -> Told:
    answer.begin(1 << 20, 1 << 20, 3)
    return {}


def too_many_rows(file: BinaryIO, arguments: Told, answer: Answer) -> Told:
    answer.begin(1, 1, 3)
    answer.rows(np.zeros((2, 1, 3), np.uint8))
    return {}


def too_few_rows(file: BinaryIO, arguments: Told, answer: Answer) -> Told:
    answer.begin(2, 1, 3)
    return {}


def rows_of_nothing(file: BinaryIO, arguments: Told, answer: Answer) -> Told:
    answer.rows(np.zeros((2, 1, 3), np.uint8))
    return {}


def nonsense(file: BinaryIO, arguments: Told, answer: Answer) -> Told:
    answer._link.sendall(b"Z\xff\xff\xff\xff" + bytes(100))
    return {}


JOBS = {
    job.__name__: job
    for job in (
        well, segfault, segfault_once, loop, endless, dripping, eat, exhaust, raising, huge, too_many_rows,
        too_few_rows, rows_of_nothing, nonsense,
    )
}  # fmt: skip

if __name__ == "__main__":
    serve(JOBS)
