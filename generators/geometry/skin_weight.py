"""Where a picture shows bare skin of the face."""

import torch
from torch import Tensor

from spooflab.generators.box_mean import halved
from spooflab.generators.enlarge import enlarge
from spooflab.generators.face import PARSING
from spooflab.generators.geometry.head_maps import HeadMaps
from spooflab.generators.geometry.polygon import polygon_cover
from spooflab.generators.geometry.regions import rest_region
from spooflab.generators.masked import places

_SKIN = (PARSING.index("skin"), PARSING.index("nose"))


def skin_weight(radiance: Tensor, landmarks: Tensor, maps: HeadMaps, parsing: Tensor | None) -> Tensor:
    """Return (H, W) in [0, 1].

    With a parsing: its skin and nose, softened by a pixel. Without: the fitted head's face, less the landmarks' eyes,
    brows and lips, where colour and texture agree with those of cheeks, nose and chin:
    glasses, a fringe or a hand drop out.

    Args:
        radiance: (3, H, W).
        landmarks: (68, 2).
        maps: of the fitted head.
        parsing: (H, W) classes, or None.
    """
    if parsing is not None:
        mask = ((parsing == _SKIN[0]) | (parsing == _SKIN[1])).float()
        return _shrunk(mask)
    height, width = radiance.shape[1:]
    size = (-(-height // 2), -(-width // 2))
    area = rest_region(maps.rest_half, "face") * maps.on_half
    for outline, grow in ((landmarks[36:42], 0.16), (landmarks[42:48], 0.16), (landmarks[48:60], 0.05)):
        area = area * (1 - polygon_cover(_grown(outline, grow * _eyes_px(landmarks)) / 2, size, feather_px=2.0))
    for brow in (landmarks[17:22], landmarks[22:27]):
        thick = 0.13 * _eyes_px(landmarks)
        low = brow + torch.tensor([0.0, thick])
        high = brow - torch.tensor([0.0, thick])
        area = area * (1 - polygon_cover(torch.cat([high, low.flip(0)]) / 2, size, feather_px=2.0))
    core = (
        torch.stack([rest_region(maps.rest_half, name) for name in ("left_cheek", "right_cheek", "nose", "chin")]).amax(
            0
        )
        * area
    )
    alike = _alike(halved(radiance), area, core)
    return enlarge(alike[None], 2)[0, :height, :width] * maps.cover


def _eyes_px(landmarks: Tensor) -> float:
    """Return the distance between the eyes' middles of (68, 2) landmarks."""
    return float((landmarks[42:48].mean(0) - landmarks[36:42].mean(0)).norm())


def _grown(outline: Tensor, by_px: float) -> Tensor:
    """Return an outline whose points lie `by_px` further from its middle."""
    away = outline - outline.mean(0)
    grown: Tensor = outline + away * (by_px / away.norm(dim=1, keepdim=True).clamp(min=1e-3))
    return grown


def _shrunk(mask: Tensor) -> Tensor:
    """Return the mask less half of its rim: a pixel beside another class holds some of it."""
    out = mask.clone()
    out[1:] *= 0.5 + 0.5 * mask[:-1]
    out[:-1] *= 0.5 + 0.5 * mask[1:]
    out[:, 1:] *= 0.5 + 0.5 * mask[:, :-1]
    out[:, :-1] *= 0.5 + 0.5 * mask[:, 1:]
    return out


def _alike(radiance: Tensor, area: Tensor, core: Tensor) -> Tensor:
    """Return (H/2, W/2): 1 where colour and texture are as most of the core's, falling to 0.

    Args:
        radiance: (3, H/2, W/2).
        area: where to look at all.
        core: cheeks, nose and chin, which hair, glasses and hands hide least; the reference is their robust mean.
    """
    log = radiance.clamp(min=1e-3).log()
    grey = log.mean(0)
    chroma = log[:2] - log[1:]
    index = places(core > 0.5)
    if len(index) < 20:
        return torch.zeros_like(area)
    part = torch.cat([chroma, grey[None]]).reshape(3, -1).index_select(1, index)
    middle = part.median(1, keepdim=True).values
    spread = (part - middle).abs().median(1, keepdim=True).values * 1.48
    gap = (chroma - middle[:2, :, None]) / (spread[:2, :, None].clamp(min=0.04) * 3.0)
    # Shadows go two stops down, highlights one up; these are paler than the skin around them.
    rise = grey - middle[2]
    gap *= 1 - 0.6 * (rise * 4).clamp(0, 1)
    rise = torch.maximum(rise, rise / 1.4)
    # Hair is as coloured as skin may be, but never as smooth.
    mean = _box(grey)
    rough = (_box(grey * grey) - mean * mean).clamp_(min=0).sqrt_()
    usual = float(rough.reshape(-1).index_select(0, index).median())
    grain = (rough / max(3.5 * usual, 0.10)).square()
    far = gap.square().sum(0) + rise.square() + grain
    like = (1.7 - far).clamp_(0, 1) * area
    # Among strands of hair some cells pass: they fall with their neighbours. Moles and highlights are filled by theirs.
    dense = _box(_box(like)) / _box(_box(area)).clamp(min=0.02)
    return torch.maximum(like * _rise(dense, 0.5, 0.7), area * _rise(dense, 0.8, 0.92))


def _rise(value: Tensor, low: float, high: float) -> Tensor:
    """Return 0 up to `low`, 1 from `high` on, a line between them."""
    return ((value - low) * (1 / (high - low))).clamp_(0, 1)


def _box(plane: Tensor) -> Tensor:
    """Return the mean over 5 × 5 cells, the edge repeating itself."""
    for axis in (0, 1):
        count = plane.shape[axis]
        first, last = plane.narrow(axis, 0, 1), plane.narrow(axis, count - 1, 1)
        wider = torch.cat([first, first, plane, last, last], axis)
        plane = sum((wider.narrow(axis, k, count) for k in range(1, 5)), wider.narrow(axis, 0, count)) / 5
    return plane
