"""Reinhard colour transfer: mean and spread of each axis of a decorrelated colour space."""

import torch
from torch import Tensor, nn

from spooflab.augment.style.lalphabeta import from_lalphabeta, to_lalphabeta
from spooflab.augment.style.statistics import StyleStatistics

_FLAT = 1e-4
"""A spread below this is rounding, not contrast; it is not stretched."""


def reinhard_transfer(x: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """Return sRGB pictures whose l-alpha-beta axes have the given means and spreads (Reinhard et al. 2001).

    Args:
        x: (B, 3, H, W) sRGB in [0, 1].
        mean, std: (B, 3) of the target in l-alpha-beta, as `moments` gives them.

    Returns:
        As `x`; values may leave [0, 1].
    """
    lab = to_lalphabeta(x.contiguous())  # vectorised powers round by the place in memory
    own_mean, own_std = moments(lab)
    gain = torch.where(own_std > _FLAT, std / own_std.clamp(min=_FLAT), 1.0)
    return from_lalphabeta((lab - own_mean[:, :, None, None]) * gain[:, :, None, None] + mean[:, :, None, None])


def moments(lab: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and standard deviation (B, 3) over the pixels of (B, 3, H, W)."""
    flat = lab.flatten(2)
    return flat.mean(-1), flat.std(-1, correction=0)


class ReinhardTransfer(nn.Module):
    """`reinhard_transfer` to the colours of a style bank."""

    def forward(self, x: Tensor, style: StyleStatistics, weight: Tensor, seed: Tensor) -> Tensor:
        """Return (B, 3, H, W) moved by the share `weight` towards the bank's B rows; `seed` is not used."""
        moved = reinhard_transfer(x, style.lab_mean, style.lab_std)
        return torch.lerp(x, moved, weight[:, None, None, None])
