"""Sharpness-aware minimisation: weights whose whole neighbourhood has a low loss."""

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from spooflab.adapters.algorithm import Engine
from spooflab.adapters.backbones import Backbone
from spooflab.adapters.batch import Batch
from spooflab.adapters.domain_terms import check_range
from spooflab.adapters.erm import ERM


class SAM(ERM):
    """The gradient of the cross-entropy at w + ρ g / ‖g‖, g the gradient at w (Foret et al. 2021, equation 2).

    Two passes over the step's micro-batches: the first finds g, the second the gradient that the optimiser takes from
    w. The norm is over all parameters, biases and norm layers included, as in the authors' code; g is that of the
    whole step, over all micro-batches and processes (the paper's accelerators each climb their own). A gradient that
    is zero or not finite is not climbed. Buffers (batch norm's statistics) keep what the first pass, at the model's
    own weights, made of them. Domains play no part. ρ = 0 is ERM at twice the price.

    Args:
        backbone: network from images to features.
        num_domains: unused; part of the contract.
        rho: ρ, radius of the neighbourhood. The paper tries 0.01–0.5 and recommends 0.05.
    """

    SEARCH: ClassVar[dict[str, tuple[float, float, str]]] = {"rho": (1e-2, 5e-1, "log")}

    def __init__(self, backbone: Backbone, *, num_domains: int = 1, rho: float = 0.05) -> None:
        super().__init__(backbone, num_domains=num_domains)
        check_range("sam", 0, rho=rho)
        self.rho = rho

    def step(self, batches: Sequence[Batch], engine: Engine) -> dict[str, Tensor]:
        """Make one optimiser step; return the `loss` at w, and `sharpness`: how much higher it is uphill."""
        loss = _backward(batches, engine)
        parameters = [p for p in self.parameters() if p.grad is not None]
        buffers = [(buffer, buffer.clone()) for buffer in self.buffers()]
        weights = [p.detach().clone() for p in parameters]
        climb(parameters, self.rho)
        self.zero_grad()
        uphill = _backward(batches, engine)
        with torch.no_grad():
            # Copied rather than subtracted: w comes back to the last bit, whatever happened uphill.
            for parameter, weight in zip(parameters, weights, strict=True):
                parameter.copy_(weight)
            for buffer, value in buffers:
                buffer.copy_(value)
        engine.optimise()
        return {"loss": loss, "sharpness": uphill - loss}


@torch.no_grad()
def climb(parameters: Sequence[torch.nn.Parameter], rho: float) -> None:
    """Add ρ g / ‖g‖ in place, ‖g‖ over all `parameters` at once; nothing where it is zero or not finite.

    A loss scale cancels out, so gradients of fp16 training serve as they are.
    """
    gradients = [p.grad for p in parameters if p.grad is not None]
    norm = torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(g) for g in gradients]))
    usable = torch.isfinite(norm) & (norm > 0)
    scale = torch.where(usable, rho / norm, torch.zeros_like(norm))
    for parameter, gradient in zip(parameters, gradients, strict=True):
        parameter.add_(torch.where(usable, gradient, torch.zeros_like(gradient)) * scale)


def _backward(batches: Sequence[Batch], engine: Engine) -> Tensor:
    """Add the gradients of the mean loss of `batches`; return that loss, detached."""
    total = torch.zeros(())
    for i, batch in enumerate(batches):
        loss = engine.losses(batch)["loss"] / len(batches)
        engine.backward(loss, last=i == len(batches) - 1)
        total = loss.detach() if i == 0 else total + loss.detach()
    return total
