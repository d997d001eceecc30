"""Detectors that a person brings: an ONNX file, or a folder that `spooflab train` wrote."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from spooflab.adapters.image_set import to_training_size
from spooflab.errors import ConfigError
from spooflab.experiments.realism.sides import Pixels
from spooflab.experiments.scores import FloatArray
from spooflab.generators.onnx_model import open_session
from spooflab.json_text import parse_json

Scorer = Callable[[Sequence[Pixels]], FloatArray]
_BATCH = 32


def open_detector(path: Path, size: int = 0) -> Scorer:
    """Return a function from pictures (H, W, 3) to bona fide scores, higher for bona fide.

    An ONNX model takes one float tensor (B, 3, S, S), sRGB codes in [0, 1], and gives (B,) or (B, 1).

    Args:
        path: `.onnx` file, or a training's folder.
        size: S, where the model leaves it open and no `.json` of its name beside it tells `size`.

    Raises:
        ConfigError: no such file, another input or output, or an unknown size.
        DataError: a training's folder that cannot be used.
    """
    if path.is_dir():
        return _trained(path)
    if path.suffix != ".onnx" or not path.is_file():
        raise ConfigError(f"--detector {path}", wanted="an .onnx file, or a folder that `spooflab train` wrote")
    return _onnx(path, size)


def _trained(folder: Path) -> Scorer:
    from spooflab.adapters.at_rest import at_rest
    from spooflab.adapters.model_files import load_model, read_model_files
    from spooflab.adapters.scoring import as_input

    side = int(read_model_files(folder)[0]["config"]["size"])
    model = load_model(folder)

    @torch.inference_mode()
    def score(pictures: Sequence[Pixels]) -> FloatArray:
        with at_rest(model):
            parts = [
                model.log_odds(as_input(chunk, torch.device("cpu"))).double().numpy()
                for chunk in _chunks(pictures, side)
            ]
        return np.concatenate(parts)

    return score


def _onnx(path: Path, size: int) -> Scorer:
    session = open_session(
        str(path), name=str(path), missing="an ONNX detector needs onnxruntime", wanted="a detector in ONNX"
    )
    inputs, outputs = session.get_inputs(), session.get_outputs()
    shape = list(inputs[0].shape)
    if len(inputs) != 1 or len(shape) != 4 or shape[1] != 3 or inputs[0].type != "tensor(float)":
        raise ConfigError(
            f"detector {path}: inputs {[(i.name, list(i.shape), i.type) for i in inputs]}",
            wanted="one float tensor (B, 3, S, S)",
        )
    side = shape[2] if isinstance(shape[2], int) else size or _told_size(path)
    if not side:
        raise ConfigError(f"detector {path}: input {shape} leaves the size open", next_step="name it by --size")
    if isinstance(shape[2], int) and size not in (0, shape[2]):
        raise ConfigError(f"detector {path}: input {shape}", wanted=f"--size {size}, as was asked, or no --size")

    def score(pictures: Sequence[Pixels]) -> FloatArray:
        step = shape[0] if isinstance(shape[0], int) else _BATCH
        parts = [
            _run(session, inputs[0].name, outputs[0].name, chunk, step, path) for chunk in _chunks(pictures, side, step)
        ]
        return np.concatenate(parts)

    return score


def _run(session: Any, name: str, output: str, chunk: torch.Tensor, step: int, path: Path) -> FloatArray:
    count = len(chunk)
    padded = torch.cat([chunk, chunk[-1:].expand(step - count, -1, -1, -1)]) if count < step else chunk
    said = np.asarray(session.run([output], {name: padded.float().div(255).numpy()})[0], dtype=np.float64)
    if said.shape not in ((step,), (step, 1)) or not np.isfinite(said).all():
        raise ConfigError(
            f"detector {path}: output {output} of shape {said.shape}"
            + ("" if np.isfinite(said).all() else ", not finite"),
            wanted="finite scores (B,) or (B, 1), higher for bona fide",
        )
    return said.reshape(-1)[:count]


def _told_size(path: Path) -> int:
    """The `size` that a JSON card of the model's name tells, 0 if there is none."""
    card = path.with_suffix(".json")
    try:
        told = parse_json(card.read_text(encoding="utf-8")) if card.is_file() else {}
        size = told.get("size", 0) if isinstance(told, dict) else 0
        if type(size) is not int or size < 0:
            raise ValueError(f"size {size!r:.40}")
    except ValueError as error:
        raise ConfigError(f"{card}: {error}", wanted="the card that lies beside the model") from error
    return size


def _chunks(pictures: Sequence[Pixels], side: int, step: int = _BATCH) -> list[torch.Tensor]:
    return [
        torch.stack([to_training_size(p, side) for p in pictures[start : start + step]])
        for start in range(0, len(pictures), step)
    ]


def as_odds(scores: FloatArray) -> FloatArray:
    """Return log odds of scores that all lie in [0, 1], kept off the ends; others as they are."""
    if scores.min() < 0 or scores.max() > 1:
        return scores
    inner = np.clip(scores, 1e-6, 1 - 1e-6)
    odds: FloatArray = np.log(inner / (1 - inner))
    return odds
