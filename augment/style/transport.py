"""Optimal transport of colours in closed form: the linear map between two Gaussians."""

import torch
from torch import Tensor, nn

from spooflab.augment.style.statistics import StyleStatistics

_SMALLEST = 1e-8
"""Variance, in code values squared, below which a direction of colour is empty."""


def linear_transport(x: Tensor, mean: Tensor, covariance: Tensor) -> Tensor:
    """Return `x` moved by the Monge-Kantorovich linear map (Pitie and Kokaram 2007).

    Of all linear maps that give the colours the wanted mean and covariance, the one that moves them least.

    Args:
        x: (B, 3, H, W).
        mean: (B, 3) wanted.
        covariance: (B, 3, 3) wanted.

    Returns:
        As `x`; values may leave its range.
    """
    own_mean, own = colour_moments(x)
    matrix = transport_matrix(own, covariance).to(x.dtype)
    centred = x - own_mean.to(x.dtype)[:, :, None, None]
    return torch.einsum("bij,bjhw->bihw", matrix, centred) + mean.to(x.dtype)[:, :, None, None]


def transport_matrix(own: Tensor, wanted: Tensor) -> Tensor:
    """Return T (B, 3, 3) float64, symmetric, with T own T = wanted: own^-1/2 (own^1/2 wanted own^1/2)^1/2 own^-1/2."""
    root, inverse = _roots(own.double())
    middle, _ = _roots(root @ wanted.double() @ root)
    return inverse @ middle @ inverse


def colour_moments(x: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean (B, 3) and covariance (B, 3, 3) of the colours of (B, 3, H, W), float64."""
    flat = x.flatten(2).double()
    mean = flat.mean(-1)
    centred = flat - mean[..., None]
    return mean, centred @ centred.transpose(1, 2) / flat.shape[-1]


def _roots(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """Return the square root of symmetric (B, 3, 3) and its inverse; empty directions have none and stay empty."""
    values, vectors = torch.linalg.eigh(matrix)
    root = values.clamp(min=0).sqrt()
    inverse = torch.where(values > _SMALLEST, 1 / root.clamp(min=_SMALLEST), 0.0)
    return _diagonal(vectors, root), _diagonal(vectors, inverse)


def _diagonal(vectors: Tensor, values: Tensor) -> Tensor:
    return (vectors * values[:, None, :]) @ vectors.transpose(1, 2)


class LinearTransport(nn.Module):
    """`linear_transport` to the colours of a style bank."""

    def forward(self, x: Tensor, style: StyleStatistics, weight: Tensor, seed: Tensor) -> Tensor:
        """Return (B, 3, H, W) moved by the share `weight` towards the bank's B rows; `seed` is not used."""
        return torch.lerp(x, linear_transport(x, style.mean, style.covariance), weight[:, None, None, None])
