"""Tensors kept in a folder that processes share, each under a digest of what it is of: made once, read by all.

    FOLDER/<digest of the names>.safetensors

A file holds the tensors of some things, stacked, with their names. Files appear whole; one that is not what it was
written as is removed and made anew.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from spooflab.adapters.checkpoints import tensor_bytes
from spooflab.atomic import write_over
from spooflab.folder_lock import alone_in

FILE_BYTES = 256 << 20
"""Of tensors in one file, about."""

Place = tuple[Tensor, int]
"""A file's stacked tensors, mapped into memory, and the row in question."""


def kept_tensors(
    folder: Path, names: Sequence[bytes], make: Callable[[list[int]], Iterator[tuple[list[int], Tensor]]]
) -> list[Place]:
    """Return where each named tensor lies; what is missing is made, by one process while others wait.

    Args:
        folder: of tensors of one shape and type.
        names: 16 bytes each, a digest of all that decides the tensor.
        make: given the positions in `names` that are missing, yields a file's worth at a time: positions, and their
            tensors stacked in that order.
    """
    held = _held(folder)
    if any(name not in held for name in names):
        with alone_in(folder):
            held = _held(folder)
            missing = [row for row, name in enumerate(names) if name not in held]
            for rows, tensors in make(missing):
                _write(folder, [names[row] for row in rows], tensors)
        held = _held(folder)
    return [held[name] for name in names]


def _write(folder: Path, names: list[bytes], maps: Tensor) -> None:
    ids = torch.from_numpy(np.frombuffer(b"".join(names), dtype=np.uint8).reshape(-1, 16).copy())
    tensors = {"ids": ids, "maps": maps}
    final = folder / f"{hashlib.sha256(b''.join(names)).hexdigest()[:32]}.safetensors"
    write_over(final, tensor_bytes(tensors, {"sha256": _content(ids, maps)}))


def _held(folder: Path) -> dict[bytes, tuple[Tensor, int]]:
    """Return where each tensor lies, by its name; damaged files are removed."""
    held: dict[bytes, tuple[Tensor, int]] = {}
    for path in sorted(folder.glob("*.safetensors")):
        try:
            status = path.stat()
            names, maps = _read(path, status.st_mtime_ns, status.st_ino)
        except FileNotFoundError:  # another process found it damaged
            continue
        except (OSError, ValueError, KeyError, SafetensorError):
            with suppress(FileNotFoundError):
                path.unlink()
            continue
        held |= {name: (maps, row) for row, name in enumerate(names)}
    return held


@lru_cache(maxsize=256)
def _read(path: Path, _modified_ns: int, _inode: int) -> tuple[list[bytes], Tensor]:
    """Map a file into memory and verify it, once in a process."""
    with safe_open(path, framework="pt") as file:
        ids, maps = file.get_tensor("ids"), file.get_tensor("maps")
        if (file.metadata() or {}).get("sha256") != _content(ids, maps) or len(ids) != len(maps):
            raise ValueError(f"{path}: not the maps that were written")
    return [row.tobytes() for row in ids.numpy()], maps


def _content(ids: Tensor, maps: Tensor) -> str:
    digest = hashlib.sha256(f"{maps.dtype}{tuple(maps.shape)}".encode())
    digest.update(ids.numpy().data)
    digest.update(maps.numpy().data)
    return digest.hexdigest()
