"""What a thin thing close to a surface takes of its light, in closed form for a straight edge.

The lamp is a disc: the part of it that an edge hides is a circle's segment. The surroundings are a uniform half space:
a half plane at height g whose edge lies x aside hides (1 − x/√(x² + g²))/2 of the irradiance (the form factor between
a small surface and a parallel half plane, as in Howell's catalogue, configuration B-3 for an infinite strip).
"""

import math

import torch
from torch import Tensor


def hidden_lamp(offset: Tensor, radius: Tensor) -> Tensor:
    """Return the share of a uniform disc that a straight edge hides.

    Args:
        offset: distance of the disc's middle from the edge, negative where it is behind the thing.
        radius: of the disc, same unit, > 0.
    """
    t = (offset / radius).clamp(-1, 1)
    share: Tensor = (torch.acos(t) - t * torch.sqrt((1 - t * t).clamp(min=0))) / math.pi
    return share


def hidden_sky(offset: Tensor, height: Tensor) -> Tensor:
    """Return the share of a uniform sky's irradiance that a parallel half plane hides.

    Args:
        offset: lateral distance from the foot of the edge, negative underneath.
        height: distance of the half plane, > 0.
    """
    share: Tensor = 0.5 - 0.5 * offset * torch.rsqrt(offset.square() + height.square() + 1e-12)
    return share
