"""What of the wearer lies over a mask that covers the head: hair that serves as its wig, and the collar."""

import torch
from torch import Tensor

from spooflab.generators.attacks.masks.cover import jaw_line
from spooflab.generators.attacks.masks.filter import box
from spooflab.generators.attacks.masks.surface import Surface, head_cover
from spooflab.generators.face import PARSING, Face
from spooflab.generators.geometry.head_fit import HeadFit
from spooflab.generators.geometry.light import Light, shading

_HAIR, _CLOTHES = PARSING.index("hair"), PARSING.index("clothes")
_SPREAD = 0.10
_DARKER, _DARKER_BELOW = 0.9, 1.5
_LIGHTER = 1.2
_MOST_BESIDE = 0.025
_COARSE = 4


def hair_and_collar(face: Face, light: Light, surface: Surface) -> Tensor:
    """Return (h, w) in [0, 1]: where the wearer's hair or clothes lie over a mask of the whole head.

    With a parsing, its hair and clothes. A photograph without one tells by colour, and only where hair and collars can
    be: above the forehead's middle, beside the eyes and below the jaw; there, what is not skin is taken for them.
    """
    window = surface.window
    if face.parsing is not None:
        label = face.parsing[0, 0][window]
        over = ((label == _HAIR) | (label == _CLOTHES)).float()
        return box(over, 1)
    colour = face.radiance[0][(slice(None), *window)]
    expected = light.skin_albedo[:, None, None] * shading(light, surface.normal)
    ratio = (colour.clamp(min=1e-3) / expected.clamp(min=1e-3)).log()
    level = ratio.mean(0)
    chroma = (ratio - level).square().sum(0)
    x, y, _ = surface.rest
    neck = y < jaw_line(surface.rest)  # in the chin's shadow
    dark = torch.where(neck, level / _DARKER_BELOW, level / _DARKER)
    off = torch.where(level > 0, level / _LIGHTER, dark).square() + chroma / _SPREAD
    unlike = (off - 0.75).clamp(0, 1)
    above = ((y - 36) / 10).clamp(0, 1)
    beside = ((x.abs() - 56) / 8).clamp(0, 1) * ((y + 15) / 10).clamp(0, 1)
    below = ((jaw_line(surface.rest) - y + 2) / 8).clamp(0, 1)
    may = torch.maximum(beside, below)
    found = (2.2 * box(unlike, 2) - 0.5).clamp(0, 1) * (surface.cover > 0)
    # Above the first hair over the forehead there is more of it, whatever its colour.
    wide = (2.5 * box(unlike, 5) - 0.9).clamp(0, 1) * (surface.cover > 0)
    top = (wide * above).flip(0).cummax(0).values.flip(0) * (y > 30)
    # Nobody knows where the hairline runs: a mask without a parsing ends where most do.
    top = torch.maximum(top, ((y - 64) / 4).clamp(0, 1))
    return torch.maximum(found * may, box(top, 1))


def hair_beside(face: Face, fit: HeadFit) -> bool:
    """Return whether so much hair stands out beside the head that no bald mask could hide it.

    Without a parsing nobody knows, and the answer is yes.
    """
    if face.parsing is None:
        return True
    hair = (face.parsing[0, 0, ::_COARSE, ::_COARSE] == _HAIR).float()
    head = head_cover(fit, slice(0, face.size[0]), slice(0, face.size[1]), shrink=_COARSE)
    # A mask is a few millimetres larger than the head.
    covered = box(head, 1) > 0.1
    rows, columns = min(hair.shape[0], head.shape[0]), min(hair.shape[1], head.shape[1])
    beside = hair[:rows, :columns] * ~covered[:rows, :columns]
    return float(beside.sum()) > _MOST_BESIDE * float(head.sum())


def hair_colour(face: Face, light: Light, surface: Surface) -> Tensor:
    """Return (3,) the albedo of the wearer's hair: what the picture shows above the forehead over the light there."""
    hidden = hair_and_collar(face, light, surface) * (surface.rest[1] > 20)
    weight = float(hidden.sum())
    lit = shading(light, surface.normal)
    albedo = face.radiance[0][(slice(None), *surface.window)] / lit.clamp(min=0.02)
    mean = (albedo * hidden).sum((1, 2)) / max(weight, 1e-3)
    return torch.where(torch.tensor(weight > 20.0), mean, torch.tensor([0.06, 0.045, 0.035])).clamp(0.01, 0.7)
