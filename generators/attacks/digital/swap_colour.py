"""Colour of the donor's skin moved to the target's: mean and spread in CIE L*a*b*."""

import torch
from torch import Tensor

_WHITE = (0.95047, 1.0, 1.08883)
_TO_XYZ = ((0.4124564, 0.3575761, 0.1804375), (0.2126729, 0.7151522, 0.0721750), (0.0193339, 0.1191920, 0.9503041))
_OPPONENT = ((0.0, 116.0, 0.0), (500.0, -500.0, 0.0), (0.0, 200.0, -200.0))
_KNEE = 6 / 29


def to_lab(linear: Tensor) -> Tensor:
    """Return L*, a*, b* (B, 3, H, W), white D65, of linear sRGB; radiance above 1 gives L* above 100."""
    xyz = _mix(linear, torch.tensor(_TO_XYZ) / torch.tensor(_WHITE)[:, None]).clamp_(min=0)
    curved = torch.exp2(torch.log2(xyz.clamp(min=1e-8)) / 3)
    straight = xyz / (3 * _KNEE**2) + 4 / 29
    lab = _mix(torch.where(xyz > _KNEE**3, curved, straight), torch.tensor(_OPPONENT))
    lab[:, 0] -= 16
    return lab


def from_lab(lab: Tensor) -> Tensor:
    """Return linear sRGB of `to_lab`'s L*, a*, b*; colours out of gamut are cut at 0."""
    fy = (lab[:, 0] + 16) / 116
    f = torch.stack([fy + lab[:, 1] / 500, fy, fy - lab[:, 2] / 200], 1)
    xyz = torch.where(f > _KNEE, f * f * f, 3 * _KNEE**2 * (f - 4 / 29))
    inverse = torch.linalg.inv(torch.tensor(_TO_XYZ, dtype=torch.float64) / torch.tensor(_WHITE)[:, None]).float()
    return _mix(xyz, inverse).clamp_(min=0)


def transfer(source: Tensor, target: Tensor, weight: Tensor, strength: Tensor) -> Tensor:
    """Give `source` the mean and standard deviation of `target` (Reinhard et al. 2001, here in L*a*b*).

    Args:
        source, target: (B, 3, H, W).
        weight: (B, 1, H, W), where the moments are taken.
        strength: (B,) 0 leaves the source, 1 meets both moments exactly.
    """
    (mean_s, std_s), (mean_t, std_t) = moments(source, weight), moments(target, weight)
    ratio = (std_t / std_s.clamp(min=1e-3)).clamp(0.4, 2.5)
    amount = strength[:, None, None, None]
    gain = 1 + amount * (ratio - 1)
    return source * gain + (mean_s + amount * (mean_t - mean_s) - mean_s * gain)


def moments(image: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Return the weighted mean and standard deviation, each (B, C, 1, 1)."""
    total = weight.sum((-2, -1), keepdim=True).clamp(min=1e-6)
    mean = (image * weight).sum((-2, -1), keepdim=True) / total
    spread = ((image - mean).square() * weight).sum((-2, -1), keepdim=True) / total
    return mean, spread.sqrt()


def _mix(image: Tensor, matrix: Tensor) -> Tensor:
    return torch.einsum("ij,bjhw->bihw", matrix, image)
