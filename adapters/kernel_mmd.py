"""Squared maximum mean discrepancy of two samples under sums and products of Gaussian kernels."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

Estimate = Literal["quadratic", "linear"]
"""`quadratic` takes all pairs (U-statistic), `linear` pairs neighbours only and has a much larger variance."""


def squared_distances(points: Tensor) -> Tensor:
    """(N, N) squared Euclidean distances of (N, D) points, computed from differences: no cancellation near 0."""
    distances: Tensor = torch.cdist(points, points, compute_mode="donot_use_mm_for_euclid_dist")
    return distances.square()


def median_bandwidth(squared: Tensor) -> Tensor:
    """Return the median of the squared distances of different points, and at least the smallest normal number.

    The median heuristic of Gretton et al. 2012, over both samples; no gradient flows through it.
    """
    apart = ~torch.eye(len(squared), dtype=torch.bool, device=squared.device)
    return squared.detach()[apart].median().clamp_min(torch.finfo(squared.dtype).tiny)


def gaussian_kernel(squared: Tensor, bandwidths: Tensor) -> Tensor:
    """Return the mean over `bandwidths` γ (K,) of exp(−‖x − y‖² / γ), (N, N)."""
    return torch.stack([torch.exp(-squared / gamma) for gamma in bandwidths]).mean(0)


def mmd(kernel: Tensor, first: int, estimate: Estimate = "quadratic") -> Tensor:
    """Return the unbiased estimate of MMD² from a kernel matrix; it may be negative.

    Args:
        kernel: (M + N, M + N), the first sample's points before the second's.
        first: M ≥ 2; N ≥ 2 as well.
        estimate: `quadratic`: mean of k over different points of the first sample, plus that of the second, minus
            twice the mean across (Gretton et al. 2012, equation 3). `linear`: mean over i of
            k(x₂ᵢ, x₂ᵢ₊₁) + k(y₂ᵢ, y₂ᵢ₊₁) − k(x₂ᵢ, y₂ᵢ₊₁) − k(x₂ᵢ₊₁, y₂ᵢ) (their section 6), over as many
            pairs as the shorter sample has.
    """
    second = len(kernel) - first
    xx, yy, xy = kernel[:first, :first], kernel[first:, first:], kernel[:first, first:]
    if estimate == "quadratic":
        within = [(k.sum() - k.diagonal().sum()) / (len(k) * (len(k) - 1)) for k in (xx, yy)]
        return within[0] + within[1] - 2 * xy.mean()
    even = 2 * torch.arange(min(first, second) // 2, device=kernel.device)
    odd = even + 1
    return (xx[even, odd] + yy[even, odd] - xy[even, odd] - xy[odd, even]).mean()


def joint_kernel(layers: Sequence[Tensor], scales: Sequence[Tensor]) -> Tensor:
    """Return the product over layers (N, D_l) of Gaussian kernels with bandwidths median · `scales` (K_l,)."""
    product: Tensor | None = None
    for points, scale in zip(layers, scales, strict=True):
        squared = squared_distances(points)
        kernel = gaussian_kernel(squared, median_bandwidth(squared) * scale.to(squared))
        product = kernel if product is None else product * kernel
    if product is None:
        raise ValueError("no layer, wanted at least one")
    return product
