"""A short name for all that is in a sample, so that two can be compared across processes."""

import dataclasses
import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor

from spooflab.errors import DataError


def digest(value: Any) -> str:
    """Return a digest of numbers, strings, arrays, tensors and pictures, in any nest of containers and plain objects.

    Raises:
        DataError: something that cannot be compared by value.
    """
    state = hashlib.blake2b(digest_size=16)
    _feed(state, value)
    return state.hexdigest()


def _feed(state: Any, value: Any) -> None:
    if isinstance(value, Tensor):
        value = value.detach().cpu()
        value = value.float().numpy() if str(value.dtype) == "torch.bfloat16" else value.numpy()
    if isinstance(value, np.ndarray | np.generic) and value.dtype != object:
        array = np.ascontiguousarray(value)
        state.update(f"array{array.dtype}{array.shape}".encode() + array.tobytes())
    elif isinstance(value, Image.Image):
        state.update(f"picture{value.mode}{value.size}".encode() + value.tobytes())
    elif value is None or isinstance(value, bool | int | float | complex | str | bytes):
        state.update(f"{type(value).__name__}{value!r};".encode())
    elif isinstance(value, Mapping):
        _feed_parts(state, "map", [part for name in value for part in (name, value[name])])
    elif isinstance(value, list | tuple | np.ndarray):
        _feed_parts(state, "list", list(value))
    elif isinstance(value, set | frozenset):
        _feed_parts(state, "set", sorted(digest(part) for part in value))
    elif dataclasses.is_dataclass(value) or hasattr(value, "__dict__"):
        _feed_parts(
            state, type(value).__name__, [part for name in sorted(vars(value)) for part in (name, vars(value)[name])]
        )
    else:
        raise DataError(
            f"a sample holds a {type(value).__module__}.{type(value).__qualname__}",
            wanted="tensors, arrays, pictures, numbers, strings, and containers of them: others cannot be compared",
        )


def _feed_parts(state: Any, kind: str, parts: list[Any]) -> None:
    state.update(f"{kind}{len(parts)}[".encode())
    for part in parts:
        _feed(state, part)
    state.update(b"]")
