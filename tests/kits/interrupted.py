"""Small trainings, and what it takes to stop them half-way and to compare what they leave."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from spooflab.adapters import TrainConfig
from spooflab.adapters.run_log import WALL_CLOCK


def small(**changes: object) -> TrainConfig:
    """A training of 16 steps, with `changes`."""
    fields: dict[str, object] = {
        "backbone": {"options": {"embedding_size": 8, "hidden_sizes": [8, 8, 12, 16]}},
        "device": "cpu",
        "size": 32,
        "steps": 16,
        "batch_size": 8,
        "eval_every": 4,
        "eval_batch_size": 16,
        "checkpoint_every": 5,
        "log_every": 2,
        "warmup_steps": 3,
    }
    return TrainConfig.model_validate(fields | changes)


def weights(folder: Path) -> bytes:
    return (folder / "model.safetensors").read_bytes()


def final_state(folder: Path) -> tuple[str, str]:
    """Name and digest of the newest checkpoint: the last weights, moments and averages, not just the best weights."""
    newest = max((folder / "checkpoints").glob("step-*"))
    return newest.name, json.loads((newest / "state.json").read_text())["sha256"]


def log_rows(folder: Path) -> list[dict[str, Any]]:
    """Rows of the log without what measures time."""
    rows = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [{k: v for k, v in row.items() if k not in WALL_CLOCK} for row in rows]


class StopHere(Exception):
    pass


def stop_at(step: int) -> Callable[[int, int, dict[str, float]], None]:
    def tell(done: int, total: int, figures: dict[str, float]) -> None:
        if done >= step:
            raise StopHere

    return tell
