"""What of the wearer lies over a mask: hair combed over its edge or worn on it as a wig, and the collar."""

import torch
from torch import Tensor
from torch.nn import functional as F

from spooflab.generators.attacks.masks.cover import jaw_line, soft_least
from spooflab.generators.attacks.masks.filter import box, shifted
from spooflab.generators.attacks.masks.params import MaskParams
from spooflab.generators.attacks.masks.sitting import Sitting
from spooflab.generators.attacks.masks.surface import Surface, head_cover
from spooflab.generators.face import PARSING, Face
from spooflab.generators.face_net.flood import flood
from spooflab.generators.faces.procedural.hair import scalp_depth
from spooflab.generators.geometry.head_fit import HeadFit
from spooflab.generators.geometry.light import Light, shading

_HAIR, _CLOTHES = PARSING.index("hair"), PARSING.index("clothes")
_SPREAD = 0.10
_DARKER, _DARKER_BELOW = 0.9, 1.5
_LIGHTER = 1.2
_MOST_BESIDE = 0.025
_COARSE = 4
_LINE, _BESIDE_MM, _TURN_MM = 0.2, 56.0, 26.0
"""The usual hairline of `scalp_depth`; |x| of the rest head from which hair hangs beside the face; radius between."""
_LOCK_MM, _HOLE_MM, _STANDS_MM = 1.4, 5.0, 5.0
"""Unevenness of a wig's front edge, holes that locks close, and how far they stand off what is below."""


def over_face_mask(face: Face, surface: Surface, params: MaskParams) -> Tensor | None:
    """Return (h, w) in [0, 1]: the wearer's hair in front of a mask of the face alone; None where it lies below.

    Whether fringe and side locks are combed over the mask's edge is one decision of the draw. Without a parsing nobody
    knows what is hair, and the mask lies before everything.
    """
    if not bool(params.hair_over) or face.parsing is None:
        return None
    hair = face.parsing[0, 0][surface.window] == _HAIR
    if not bool((hair & (surface.cover > 0)).any()):
        return None
    depth = _depth_in_hairline(surface, hair)
    return box(_locks(hair, (surface.cover == 0) | (depth > 0), surface.mm_per_px), 1)


def over_head_mask(face: Face, light: Light, surface: Surface, seed: int) -> Tensor:
    """Return (h, w) in [0, 1]: hair and collar in front of a head that is not the wearer's own, mask or dummy.

    Such a head is pulled over the fringe or has none: what hair is seen is worn on it as a wig, begins at a wig's
    front edge and leaves the forehead bare. Locks that hang from there beside the face stay.
    """
    if face.parsing is None:
        return _by_colour(face, light, surface)
    label = face.parsing[0, 0][surface.window]
    collar = box((label == _CLOTHES).float(), 1)
    hair = label == _HAIR
    if not bool((hair & (surface.cover > 0)).any()):
        return collar
    depth = _depth_in_hairline(surface, hair)
    wig = (surface.cover == 0) | (depth > 0)
    # Rounded where the front edge turns down before the ears.
    bare = soft_least(-depth, _BESIDE_MM - surface.rest[0].abs(), _TURN_MM) - _uneven(surface, seed)
    kept = _locks(hair & ((surface.cover == 0) | (bare < 0)), wig, surface.mm_per_px)
    return torch.maximum(box(kept, 1), collar)


def _depth_in_hairline(surface: Surface, hair: Tensor) -> Tensor:
    """Return (h, w) millimetres inside the usual hairline where there is `hair` on the head, far outside elsewhere."""
    index = (hair & (surface.cover > 0) & (surface.rest[1] > 0)).reshape(-1).nonzero()[:, 0]
    rest = surface.rest.reshape(3, -1).index_select(1, index).T
    out = torch.full((hair.numel(),), -99.0).index_copy_(0, index, scalp_depth(rest, _LINE))
    return out.reshape(hair.shape)


def _uneven(surface: Surface, seed: int) -> Tensor:
    """Return (h, w) millimetres by which a wig's front edge wanders, lock by lock."""
    phase = (seed % 997) / 997 * 6.28
    x, y, _ = surface.rest
    wide = torch.sin(x * (6.28 / 23) + phase) + 0.7 * torch.sin(x * (6.28 / 8.3) + 2 * phase + 0.05 * y)
    return _LOCK_MM * (wide + 0.5 * torch.sin(x * (6.28 / 3.7) + 3 * phase + 0.2 * y))


def _locks(hair: Tensor, root: Tensor, mm_per_px: float) -> Tensor:
    """Return hair (h, w) that hangs together with what is rooted, without small holes: no island floats on a mask.

    At half the resolution, so that strands one pixel wide hang together.
    """
    height, width = hair.shape
    joined = flood(_halved(hair & root), _halved(hair)).float()
    # What many locks surround is hair as well.
    dense = box(joined, max(1, round(_HOLE_MM / (4 * mm_per_px)))) > 0.72
    kept = joined.repeat_interleave(2, 0).repeat_interleave(2, 1)[:height, :width] * hair
    filled = dense.repeat_interleave(2, 0).repeat_interleave(2, 1)[:height, :width]
    return torch.maximum(kept, (filled & (kept == 0)).float() * (box(kept, 2) > 0.3))


def _halved(mask: Tensor) -> Tensor:
    """Return (⌈h/2⌉, ⌈w/2⌉) bool: blocks of four pixels of which one is in the mask."""
    height, width = mask.shape
    even = F.pad(mask, (0, width % 2, 0, height % 2))
    rows = even[::2] | even[1::2]
    return rows[:, ::2] | rows[:, 1::2]


def under_hair(sitting: Sitting, hidden: Tensor) -> Tensor:
    """Return (h, w): share of the light on a mask that hair in front of it takes beside its locks."""
    mm, toward = sitting.surface.mm_per_px, sitting.sources[0].direction
    slope = (toward[:2] / -toward[2]).clamp(-1.5, 1.5)
    near = box(hidden, max(1, round(_STANDS_MM / mm)))
    cast = shifted(near, round(_STANDS_MM * float(slope[0]) / mm), round(_STANDS_MM * float(slope[1]) / mm))
    share = min(sitting.light.key_share, 0.7)
    lost: Tensor = (0.6 * share * cast + 0.5 * (1 - share) * near) * (1 - hidden)
    return lost


def _by_colour(face: Face, light: Light, surface: Surface) -> Tensor:
    """Return (h, w) in [0, 1]: where hair or clothes lie in a photograph without a parsing.

    Colour tells, and only where hair and collars can be: above the forehead's middle, beside the eyes and below the
    jaw; there, what is not skin is taken for them.
    """
    colour = face.radiance[0][(slice(None), *surface.window)]
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
    if face.parsing is None:
        found = _by_colour(face, light, surface)
    else:
        found = (face.parsing[0, 0][surface.window] == _HAIR).float()
    hidden = found * (surface.rest[1] > 20) * (surface.cover > 0)
    weight = float(hidden.sum())
    lit = shading(light, surface.normal)
    albedo = face.radiance[0][(slice(None), *surface.window)] / lit.clamp(min=0.02)
    mean = (albedo * hidden).sum((1, 2)) / max(weight, 1e-3)
    return torch.where(torch.tensor(weight > 20.0), mean, torch.tensor([0.06, 0.045, 0.035])).clamp(0.01, 0.7)
