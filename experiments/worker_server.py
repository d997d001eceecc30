"""The process that workers are forked from: it loads torch once and computes nothing."""

import multiprocessing
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

PRELOAD = "spooflab.experiments.executors.preload"


def start_early() -> None:
    """Begin to load what worker processes need, while this process goes on; does nothing where workers are spawned."""
    if start_method() == "forkserver":
        from multiprocessing import forkserver

        with one_thread_each():
            multiprocessing.set_forkserver_preload([PRELOAD])
            forkserver.ensure_running()


def start_method() -> Literal["forkserver", "spawn"]:
    """Return how workers start: forked from a server that never computed, where the system's libraries bear that."""
    return "forkserver" if sys.platform == "linux" else "spawn"


@contextmanager
def one_thread_each() -> Iterator[None]:
    """Have processes that are started meanwhile compute on one thread each."""
    # Children read these when they import numpy and torch, before any of our code runs in them.
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(dict.fromkeys(names, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
