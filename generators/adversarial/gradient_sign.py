"""Norm-bounded perturbations of images by a model's gradient: FGSM, PGD and MI-FGSM.

Sources: Goodfellow et al. 2015, "Explaining and harnessing adversarial examples" (FGSM); Madry et al. 2018, "Towards
deep learning models resistant to adversarial attacks" (PGD); Dong et al. 2018, "Boosting adversarial attacks with
momentum" (MI-FGSM, equations 6 and 7; 9 for the L2 norm).

`score` is any callable from images to (B,), usually `Detector.score`. Rows never meet in a formula; whether a row's
bits also do not depend on the rest of the batch is up to the model's own arithmetic, so callers that promise it pass
one row at a time. Call under `attackable` where the score is a module's.
"""

from typing import Literal

import torch
from torch import Tensor

from spooflab.generators.adversarial.attackable import Score, input_gradient
from spooflab.seeds import generator as seeded

Norm = Literal["linf", "l2"]


def fgsm(score: Score, images: Tensor, *, eps: Tensor | float, raise_score: bool = True) -> Tensor:
    """Return images + eps·sign(gradient), cut to [0, 1]: the fast gradient sign method.

    Args:
        score: maps (B, 3, H, W) to (B,).
        images: (B, 3, H, W) in [0, 1].
        eps: largest change of a value, scalar or (B,).
        raise_score: raise the score; lower it where False.
    """
    return pgd(score, images, eps=eps, step=eps, iters=1, raise_score=raise_score)


def pgd(
    score: Score,
    images: Tensor,
    *,
    eps: Tensor | float,
    step: Tensor | float,
    iters: int,
    norm: Norm = "linf",
    momentum: float = 0.0,
    seeds: Tensor | None = None,
    raise_score: bool = True,
    region: Tensor | None = None,
) -> Tensor:
    """Return images whose score projected gradient ascent has raised, within [0, 1] and `eps` of the given ones.

    Args:
        score: maps (B, 3, H, W) to (B,).
        images: (B, 3, H, W) in [0, 1].
        eps: radius of the norm ball, scalar or (B,): largest change of a value, or Euclidean length over a whole image.
        step: length of a step in the same norm, scalar or (B,).
        iters: number of steps, at least 1.
        norm: `linf` or `l2`.
        momentum: decay μ of the accumulated gradient; 0 for PGD, 1 in Dong et al.
        seeds: (B,) int64 each row's own seed of a random start within the ball; None starts at the image.
        raise_score: raise the score; lower it where False.
        region: (B or 1, 1, H, W) 1 where pixels may change, else 0; None for everywhere.

    Raises:
        ValueError: no step, an unknown norm, a negative radius.
    """
    if iters < 1 or norm not in ("linf", "l2") or bool((torch.as_tensor(eps) < 0).any()):
        raise ValueError(f"pgd: iters {iters}, norm {norm!r}, eps {eps}; wanted >= 1, linf or l2, >= 0")
    with torch.inference_mode(False), torch.enable_grad():
        clean = images.detach().clone()  # a tensor made under inference_mode knows no gradient
        where = torch.ones_like(clean[:1, :1]) if region is None else region.detach().clone().to(clean)
        radius, length = _column(eps, clean), _column(step, clean)
        way = 1.0 if raise_score else -1.0
        moved = clean if seeds is None else _project(clean, _start(clean, radius, norm, seeds) * where, radius, norm)
        memory = torch.zeros_like(clean)
        for _ in range(iters):
            gradient = input_gradient(score, moved)[1] * (way * where)
            if momentum:
                gradient = memory = momentum * memory + gradient / _size(gradient, 1)
            move = gradient.sign() if norm == "linf" else gradient / _size(gradient, 2)
            moved = _project(clean, moved + length * move - clean, radius, norm)
        return moved.detach()


def random_sign(images: Tensor, *, eps: Tensor | float, seeds: Tensor, norm: Norm = "linf") -> Tensor:
    """Return images changed by random signs of the same norm as an attack's: the control without a gradient.

    Args:
        images: (B, 3, H, W) in [0, 1].
        eps: radius, as in `pgd`.
        seeds: (B,) int64 each row's own seed.
        norm: as in `pgd`.
    """
    signs = torch.stack([torch.randn(images.shape[1:], generator=seeded(int(s), "sign")) for s in seeds]).to(images)
    move = signs.sign() if norm == "linf" else signs.sign() / images[0].numel() ** 0.5
    return (images + _column(eps, images) * move).clamp(0, 1)


def _project(clean: Tensor, change: Tensor, radius: Tensor, norm: Norm) -> Tensor:
    """Return clean + change, the change cut to the ball and the sum to [0, 1]; the cut moves values towards clean."""
    if norm == "linf":
        change = torch.maximum(torch.minimum(change, radius), -radius)
    else:
        change = change * (radius / _size(change, 2)).clamp(max=1.0)
    return (clean + change).clamp(0, 1)


def _start(clean: Tensor, radius: Tensor, norm: Norm, seeds: Tensor) -> Tensor:
    """Return a random change: uniform in the cube, or a uniform direction with a uniform length in the ball."""
    rows = []
    for value in seeds.tolist():
        gen = seeded(int(value), "start")
        if norm == "linf":
            rows.append(2 * torch.rand(clean.shape[1:], generator=gen) - 1)
        else:
            way = torch.randn(clean.shape[1:], generator=gen)
            rows.append(way / way.norm() * torch.rand((), generator=gen))
    return torch.stack(rows).to(clean) * radius


def _size(values: Tensor, order: int) -> Tensor:
    """Return each row's L1 or L2 norm, (B, 1, 1, 1), never 0."""
    flat = values.flatten(1)
    size = flat.abs().sum(1) if order == 1 else flat.square().sum(1).sqrt()
    return size.clamp(min=1e-12)[:, None, None, None]


def _column(value: Tensor | float, like: Tensor) -> Tensor:
    return torch.as_tensor(value, dtype=like.dtype, device=like.device).detach().clone().reshape(-1, 1, 1, 1)
