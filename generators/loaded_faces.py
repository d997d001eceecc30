"""Faces that were loaded last: rendering or reading one takes longer than most attacks on it."""

import os
import threading
import weakref
from collections import OrderedDict

from torch import Tensor

from spooflab.generators.face import Face, FaceRef, FaceSource

MOST_BYTES = 72 << 20
"""Sixteen faces of 384 px with depth, normals and parsing."""


_alive: "weakref.WeakSet[LoadedFaces]" = weakref.WeakSet()


class LoadedFaces:
    """Loads faces and keeps those that were asked for last; loading is a pure function of source and reference.

    Threads may share it.

    Args:
        most_bytes: of the tensors kept; the face used longest ago goes first. 0 keeps none.
    """

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._most_bytes = most_bytes
        self._kept: OrderedDict[tuple[str, str], Face] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()
        _alive.add(self)

    @property
    def bytes_kept(self) -> int:
        """Size of all tensors kept."""
        return self._bytes

    def load(self, source: FaceSource, ref: FaceRef) -> Face:
        """Return the face, the same object as before where it is still kept.

        Args:
            source: names of sources are unique in a lab.
            ref: of this source; `source_id` is unique within it.

        Raises:
            SkipSample: the face cannot be had.
        """
        key = (source.name, ref.source_id)
        with self._lock:
            if (kept := self._kept.get(key)) is not None:
                self._kept.move_to_end(key)
                return kept
        face = source.load(ref)  # without the lock: threads load different faces at the same time
        with self._lock:
            if (kept := self._kept.get(key)) is not None:
                return kept  # another thread was faster
            self._kept[key] = face
            self._bytes += size_bytes(face)
            while self._bytes > self._most_bytes:
                self._bytes -= size_bytes(self._kept.popitem(last=False)[1])
        return face

    def forget_after_fork(self) -> None:
        """Start empty in a forked child: the lock may be held, and the rest half changed, by a thread it lacks."""
        self._kept, self._bytes, self._lock = OrderedDict(), 0, threading.Lock()


def size_bytes(face: Face) -> int:
    """Return the size of a face's tensors."""
    return sum(value.nbytes for value in vars(face).values() if isinstance(value, Tensor))


def _after_fork() -> None:
    for faces in _alive:
        faces.forget_after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
