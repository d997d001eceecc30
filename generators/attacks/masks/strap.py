"""The elastic band that holds a mask."""

import torch
from torch import Tensor

from spooflab.generators.attacks.masks.filter import in_pixels
from spooflab.generators.attacks.masks.params import MaskParams
from spooflab.generators.attacks.masks.sitting import Sitting

_STRAP_MM = 3.2


def strap(sitting: Sitting, inside: Tensor, params: MaskParams) -> Tensor:
    """Return (h, w): cover of an elastic band that runs from the mask's sides around the head."""
    surface = sitting.surface
    if not bool(params.strap):
        return torch.zeros_like(surface.cover)
    _, y, z = surface.rest
    # It passes over the ears.
    band = _STRAP_MM - (y - 13 + 0.55 * (z + 38).clamp(max=0)).abs()
    behind = ((-inside) / 1.5).clamp(0, 1) * (z < float(params.side_mm) + 6)
    seen: Tensor = (in_pixels(band) + 0.5).clamp(0, 1) * behind * surface.cover
    return seen


def strap_albedo(params: MaskParams) -> float:
    """Return the albedo of the band: white or black elastic."""
    return 0.55 if int(params.seed) % 3 == 0 else 0.03
