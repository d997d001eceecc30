"""A model as an attack needs it: still, differentiable by its input, and afterwards as it was."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from spooflab.errors import ConfigError

Score = Callable[[Tensor], Tensor]
"""Maps images (B, 3, H, W) to what the attack raises, (B,)."""


@contextmanager
def attackable(model: nn.Module) -> Iterator[None]:
    """Hold `model` in evaluation mode with autograd on, also inside a caller's `inference_mode`.

    Running averages stay, no parameter collects a gradient (`torch.autograd.grad` asks for the input's alone), and each
    module's training flag is restored.

    Raises:
        ConfigError: parameters were made under `torch.inference_mode`, so nothing can be differentiated.
    """
    if any(p.is_inference() for p in (*model.parameters(), *model.buffers())):
        raise ConfigError(
            "the detector's parameters were made under torch.inference_mode",
            wanted="parameters that autograd can use",
            next_step="build or load the model outside inference_mode",
        )
    flags = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        with torch.inference_mode(False), torch.enable_grad():
            yield
    finally:
        for module, training in flags:
            module.training = training


def input_gradient(score: Score, images: Tensor) -> tuple[Tensor, Tensor]:
    """Return the scores (B,) and their gradient (B, 3, H, W), each row's by its own image."""
    leaf = images.detach().requires_grad_()
    value = score(leaf)
    (gradient,) = torch.autograd.grad(value.sum(), leaf)
    return value.detach(), gradient
