"""What was worked out of the faces met last: a face that meets several attacks is read once."""

import os
import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Generic, TypeVar

import torch

from spooflab.generators.face import Face

T = TypeVar("T")
_alive: "weakref.WeakSet[FaceMemory[Any]]" = weakref.WeakSet()


class FaceMemory(Generic[T]):
    """Values that are pure functions of a face, kept by the identity of the `Face` for as long as it lives.

    A `Face` is immutable, and so must the values be: whoever gets one shares it with all later callers. Nothing is kept
    outside of `torch.inference_mode`, where a caller may want gradients through the value, or write into the face.

    Args:
        most: values kept; the one used longest ago is dropped first.
    """

    def __init__(self, most: int) -> None:
        if most < 1:
            raise ValueError(f"FaceMemory: most is {most}, wanted at least 1")
        self._most = most
        self._kept: OrderedDict[int, tuple[weakref.ref[Face], T]] = OrderedDict()
        self._lock = threading.RLock()  # a face may die, and be forgotten, while this thread holds it
        _alive.add(self)

    def __len__(self) -> int:
        return len(self._kept)

    def of(self, face: Face, compute: Callable[[Face], T]) -> T:
        """Return `compute(face)`, or what it returned for this very object before; what it raises is not kept."""
        if not torch.is_inference_mode_enabled():
            return compute(face)
        key = id(face)
        with self._lock:
            entry = self._kept.get(key)
            if entry is not None and entry[0]() is face:
                self._kept.move_to_end(key)
                return entry[1]
        value = compute(face)
        with self._lock:
            self._kept[key] = (weakref.ref(face, lambda _: self._forget(key)), value)
            while len(self._kept) > self._most:
                self._kept.popitem(last=False)
        return value

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._kept.clear()

    def forget_after_fork(self) -> None:
        """Start empty in a forked child: the lock may be held, and the rest half changed, by a thread it lacks."""
        self._kept, self._lock = OrderedDict(), threading.RLock()

    def _forget(self, key: int) -> None:
        with self._lock:
            self._kept.pop(key, None)


def _after_fork() -> None:
    for memory in _alive:
        memory.forget_after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
