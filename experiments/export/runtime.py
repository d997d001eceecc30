"""One way to ask any of the three kinds of model for scores: PyTorch, ONNX in onnxruntime, and TorchScript."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from spooflab.errors import ConfigError
from spooflab.experiments.export.detector import INPUT, OUTPUTS
from spooflab.generators.onnx_model import open_session

Pictures = npt.NDArray[np.uint8]
BATCH = 32


class Scores(NamedTuple):
    """What a detector says of N pictures, each (N,) float64."""

    log_odds: npt.NDArray[np.float64]
    likelihood: npt.NDArray[np.float64]


Runtime = Callable[[Pictures], Scores]
"""Scores one batch of pictures (B, S, S, 3)."""


def pytorch_runtime(detector: nn.Module) -> Runtime:
    """Run a module that takes and gives what `Detector` does, such as one loaded from TorchScript."""

    @torch.inference_mode()
    def run(pictures: Pictures) -> Scores:
        odds, likelihood = detector(torch.from_numpy(pictures))
        return Scores(odds.double().numpy(), likelihood.double().numpy())

    return run


def onnx_runtime(model: bytes, *, name: str, threads: int = 1) -> Runtime:
    """Run an ONNX detector on the CPU.

    Args:
        model: the file's content.
        name: of the file, for messages.
        threads: one gives the same sums in the same order everywhere.

    Raises:
        ConfigError: onnxruntime is missing or refuses the model, or the model is no detector of ours.
    """
    session = open_session(
        model,
        name=name,
        missing=f"{name} is an ONNX model, and onnxruntime is not installed",
        wanted="a model of spooflab export",
        threads=threads,
    )
    inputs, outputs = session.get_inputs(), tuple(port.name for port in session.get_outputs())
    told = [f"{port.name}: {port.type} {port.shape}" for port in inputs]
    if [port.name for port in inputs] != [INPUT] or inputs[0].type != "tensor(uint8)" or outputs != OUTPUTS:
        raise ConfigError(
            f"{name}: takes {'; '.join(told)}, gives {', '.join(outputs)}",
            wanted=f"a model of spooflab export: {INPUT} as uint8 (B, S, S, 3), giving {' and '.join(OUTPUTS)}",
        )

    def run(pictures: Pictures) -> Scores:
        odds, likelihood = session.run(list(OUTPUTS), {INPUT: np.ascontiguousarray(pictures)})
        return Scores(np.asarray(odds, dtype=np.float64), np.asarray(likelihood, dtype=np.float64))

    return run


def in_batches(runtime: Runtime, pictures: Pictures, batch: int = BATCH) -> Scores:
    """Score any number of pictures (N, S, S, 3) in order."""
    parts = [runtime(pictures[start : start + batch]) for start in range(0, len(pictures), batch)]
    empty = np.empty(0)
    odds, likelihood = zip(*parts, strict=True) if parts else ((empty,), (empty,))
    return Scores(np.concatenate(odds), np.concatenate(likelihood))


def as_pictures(images: Tensor) -> Pictures:
    """Return an image set's (N, 3, S, S) uint8 as a detector takes them."""
    return np.ascontiguousarray(images.permute(0, 2, 3, 1).numpy())
