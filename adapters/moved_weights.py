"""An algorithm's class scores at weights other than its own, differentiable by both."""

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.func import functional_call

from spooflab.adapters.algorithm import Algorithm


def trainable(model: Algorithm) -> dict[str, Tensor]:
    """Return the parameters of backbone and head that are trained, by the names that `logits_at` takes."""
    return {
        name: parameter
        for name, parameter in model.named_parameters()
        if parameter.requires_grad and name.split(".", 1)[0] in ("backbone", "head")
    }


def logits_at(model: Algorithm, weights: Mapping[str, Tensor], images: Tensor, *, keep_buffers: bool = False) -> Tensor:
    """Return the class scores (B, 2) that backbone and head give with some of their weights replaced.

    Args:
        model: whose backbone and head are used.
        weights: replacements by name, as `trainable` names them.
        images: (B, 3, H, W) in [0, 1].
        keep_buffers: leave the running statistics of batch norms as they are.
    """
    replaced = dict(weights)
    if keep_buffers:
        replaced |= {f"backbone.{name}": b.clone() for name, b in model.backbone.named_buffers()}
    parts = {
        part: {name.removeprefix(f"{part}."): t for name, t in replaced.items() if name.startswith(f"{part}.")}
        for part in ("backbone", "head")
    }
    features = functional_call(model.backbone, parts["backbone"], (images,))
    logits: Tensor = functional_call(model.head, parts["head"], (features,))
    return logits


def slopes_of(loss: Tensor, weights: Mapping[str, Tensor], *, differentiable: bool = False) -> dict[str, Tensor]:
    """Return the gradient of `loss` by each of `weights` (0 where it is not used), and keep the graph of `loss`."""
    slopes = torch.autograd.grad(
        loss,
        list(weights.values()),
        create_graph=differentiable,
        retain_graph=True,
        allow_unused=True,
        materialize_grads=True,
    )
    return dict(zip(weights, slopes, strict=True))


def mean_domain_loss(losses: Tensor, domain: Tensor) -> Tensor:
    """Return the mean over the domains present of each one's mean of `losses` (B,)."""
    return torch.stack([losses[domain == d].mean() for d in torch.unique(domain)]).mean()
