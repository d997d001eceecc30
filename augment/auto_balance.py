"""Auto-white-balance: the light's colour as the camera reads it from the frame, and how far it takes it away."""

import torch
from torch import Tensor

from spooflab.augment.exposure import cell_means

_NEUTRAL_EV = 0.4
"""Distance from grey, in stops of red and blue over green, beyond which a surface hardly counts: skin, leaves, sky."""
_CLIPPED = 0.98
WARM_EV = (-0.7, 1.6)
"""Stops of red over blue, halved, that a camera believes of a light: from deep shade to a dim lamp."""
_BLACK_BODY = -0.28
"""Stops towards green per stop of warmth along the line of black bodies, by Planck's law at 611, 549 and 465 nm."""
TINT_EV = 0.25
"""Stops off that line, towards magenta or green, that a camera believes at most."""


def adapt(planes: Tensor, balance: Tensor, strength: Tensor) -> Tensor:
    """Return (B, 3) factors on the white-balance gains for the raw colours (B, 3, H, W) of a frame; green is 1.

    The light is the mean log chroma of at most 32 x 32 cell means of the balanced colours, weighted by their brightness
    and by how near to grey they are: a grey world (Buchsbaum 1980) that leans on bright neutral surfaces, as the
    white-patch methods do (survey: Gijsenij et al. 2011). It is taken apart along the line of black bodies and across,
    and cut to what lamps and skies do. A camera takes the share `strength` (B,) in [0, 1] of it away; 0 gives 1.
    """
    return adapt_cells(cell_means(planes.clamp(0, 1)), balance, strength)


def adapt_cells(cells: Tensor, balance: Tensor, strength: Tensor) -> Tensor:
    """Return `adapt` for raw cell means (B, 3, h, w) in [0, 1]."""
    seen = (cells.flatten(2) * balance[:, :, None]).clamp(min=1e-4)
    stops = seen.log2()
    red, blue = stops[:, 0] - stops[:, 1], stops[:, 2] - stops[:, 1]
    near = torch.exp(-0.5 * (red * red + blue * blue) / _NEUTRAL_EV**2) + 1e-4
    weight = seen.mean(1) * near * (cells.flatten(2).amax(1) < _CLIPPED) + 1e-9
    weight = weight / weight.sum(1, keepdim=True)
    red, blue = (red * weight).sum(1), (blue * weight).sum(1)
    warm = ((red - blue) / 2).clamp(*WARM_EV)
    line = _BLACK_BODY * warm
    tint = line + ((red + blue) / 2 - line).clamp(-TINT_EV, TINT_EV)
    cast = torch.stack([tint + warm, torch.zeros_like(warm), tint - warm], 1)
    return torch.exp2(-strength[:, None] * cast)
