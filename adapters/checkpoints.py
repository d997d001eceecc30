"""Checkpoints as safetensors + JSON: written aside and renamed, verified by digest, the previous one kept."""

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import safetensors.torch
from safetensors import SafetensorError
from torch import Tensor

from spooflab.atomic import fsync_folder, replace, write_aside
from spooflab.json_text import parse_json

TENSORS, STATE = "state.safetensors", "state.json"
DIGEST = "state_sha256"
"""Key of the state's own digest in `state.json`; `sha256` there is that of the tensors."""


class Checkpoint(NamedTuple):
    """A verified checkpoint: flat tensors and plain JSON state."""

    tensors: dict[str, Tensor]
    state: dict[str, Any]


def save_checkpoint(
    folder: Path, step: int, tensors: dict[str, Tensor], state: dict[str, Any], *, keep: int = 2
) -> None:
    """Write `folder/step-…` completely, rename it into place, then delete all but the newest `keep`."""
    folder.mkdir(parents=True, exist_ok=True)
    final = folder / f"step-{step:08d}"
    partial = folder / f".{final.name}.partial"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    data = tensor_bytes(tensors)
    write_aside(partial / TENSORS, data)
    record = {**state, "step": step, "sha256": hashlib.sha256(data).hexdigest()}
    write_aside(partial / STATE, json.dumps({**record, DIGEST: _digest(record)}, indent=1).encode())
    if final.exists():
        shutil.rmtree(final)
    fsync_folder(partial)
    replace(partial, final)
    for old in _steps(folder)[:-keep]:
        shutil.rmtree(old)


def load_checkpoint(folder: Path) -> tuple[Checkpoint | None, list[str]]:
    """Return the newest checkpoint whose digests are right (or None), and the names of newer ones that are torn."""
    torn: list[str] = []
    for candidate in reversed(_steps(folder)):
        try:
            state = parse_json((candidate / STATE).read_text(encoding="utf-8"))
            data = (candidate / TENSORS).read_bytes()
            whole = _digest(state) == state.pop(DIGEST)
            if whole and hashlib.sha256(data).hexdigest() == state["sha256"]:
                return Checkpoint(safetensors.torch.load(data), state), torn
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, SafetensorError):
            pass
        torn.append(candidate.name)
    return None, torn


def tensor_bytes(tensors: dict[str, Tensor], notes: dict[str, str] | None = None) -> bytes:
    """Serialise tensors, and notes in the header, as safetensors; views and shared memory become copies."""
    return safetensors.torch.save({name: t.detach().cpu().contiguous().clone() for name, t in tensors.items()}, notes)


def _digest(state: dict[str, Any]) -> str:
    """Hash a state as JSON gives it back, without what was said of it."""
    plain = json.loads(json.dumps({key: value for key, value in state.items() if key != DIGEST}))
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()


def _steps(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("step-*") if path.is_dir())
