"""What a painter copies from another face: its albedo and its forms, carried over in canonical coordinates."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from spooflab.generators.instruments.makeup_regions import LIP_CORNER, EyeFrame, Lips
from spooflab.generators.instruments.skin_canvas import SkinCanvas
from spooflab.generators.instruments.skin_chart import Array, ChartPicture
from spooflab.generators.instruments.skin_colour import smooth
from spooflab.generators.masked import places

_LEFT, _TOP, _CELL_MM = -112.0, 78.0, 1.3
_WIDE, _HIGH = 172, 154
_LAMP = (0.0, 0.62, 0.78)
"""The light that painters assume, head frame: from above the beholder."""


@dataclass(frozen=True)
class Likeness:
    """A face as a painter sees it.

    Attributes:
        skin: 5 planes on the chart: log albedo against the mean (3), log of fine relief, log of the forms' shading.
        mean: (3,) skin albedo.
        brow: (3,) albedo of the brows, lips: (3,) of the lips.
        eyes: frames of the eyes at the image's left and right.
        brow_thick: height of the brows' hair in eye widths.
        mouth: outlines.
        eye_gap: distance between the middles of the eyes in pixels.
    """

    skin: ChartPicture
    mean: Tensor
    brow: Tensor
    lips: Tensor
    eyes: tuple[EyeFrame, EyeFrame]
    brow_thick: float
    mouth: Lips
    eye_gap: float


def likeness(canvas: SkinCanvas) -> Likeness:
    """Read what can be copied from an unpainted canvas."""
    colour = canvas.colour
    log = (colour.albedo / colour.mean[:, None, None]).log()
    planes = torch.cat([log, colour.relief[None], forms(canvas)[None]])
    skin = to_chart(planes, canvas.uv, canvas.skin)
    frames = (canvas.eyes[0].frame, canvas.eyes[1].frame)
    gap = float(np.hypot(*(_middle(frames[1]) - _middle(frames[0]))))
    dark = (0.85 - colour.albedo.mean(0) / colour.mean.mean()).clamp(min=0) * canvas.brows
    strong = dark > 0.4 * dark.amax().clamp(min=0.05)
    area = float((strong * canvas.brows).sum()) * 4
    length = sum(frame.width_px * float(frame.tail[0]) for frame in frames)
    thick = area / max(length, 1.0) / max(frames[0].width_px, 1.0)
    return Likeness(
        skin,
        colour.mean,
        _mean(colour.albedo, dark.square() + 1e-6 * canvas.brows) * 0.8,
        _mean(colour.albedo, canvas.mouth),
        frames,
        min(max(thick, 0.05), 0.24),
        canvas.lips,
        gap,
    )


def forms(canvas: SkinCanvas) -> Tensor:
    """Return (h, w) log of the shading that the head's forms would have in the painters' light."""
    lamp = canvas.geometry.fit.rotation @ torch.tensor(_LAMP)
    cosine = (lamp[:, None, None] * canvas.normals).sum(0)
    return (0.35 + 0.65 * cosine.clamp(min=0)).log()


def to_chart(planes: Tensor, uv: Tensor, weight: Tensor) -> ChartPicture:
    """Return (C, h, w) planes averaged over the chart's cells; cells without any take their neighbours' mean."""
    x = (uv[0] - _LEFT) * (1 / _CELL_MM) - 0.5
    y = (_TOP - uv[1]) * (1 / _CELL_MM) - 0.5
    keep = places((weight > 0.2) & (x > 0) & (y > 0) & (x < _WIDE - 1.001) & (y < _HIGH - 1.001))
    x, y = x.reshape(-1).index_select(0, keep), y.reshape(-1).index_select(0, keep)
    rows = torch.cat([planes.flatten(1), torch.ones(1, planes[0].numel())]).index_select(1, keep)
    rows = rows * weight.reshape(-1).index_select(0, keep)
    x0, y0 = x.floor(), y.floor()
    fx, fy = x - x0, y - y0
    cell = (y0 * _WIDE + x0).long()
    total = torch.zeros(len(rows), _HIGH * _WIDE)
    for dx, dy, part in ((0, 0, (1 - fx) * (1 - fy)), (1, 0, fx * (1 - fy)), (0, 1, (1 - fx) * fy), (1, 1, fx * fy)):
        total.index_add_(1, cell + dy * _WIDE + dx, rows * part)
    total = total.reshape(-1, _HIGH, _WIDE)
    known = total[-1].clamp(max=1)
    mean = total[:-1] / total[-1].clamp(min=1e-4)
    near = smooth(mean, known, 3)
    return ChartPicture(torch.lerp(near, mean, (known * 2).clamp(max=1)), _LEFT, _TOP, 1 / _CELL_MM)


def drawn_lips(own: Lips, other: Likeness, scale: float, most_px: float) -> Array:
    """Return (N, 2) the other's outline on one's own mouth: as far over or under one's own border as paint can go.

    Args:
        own: the wearer's lips.
        other: whose outline is wanted.
        scale: wearer's pixels per the other's.
        most_px: largest shift of the border.
    """
    theirs = _own_axes(other.mouth) * scale
    mine = _own_axes(own)
    shift = theirs - mine
    size = np.hypot(*shift.T)
    shift = shift * np.minimum(1, most_px / np.maximum(size, 1e-6))[:, None]
    origin, right, down = _axes(own)
    moved = mine + shift
    return np.asarray(origin + moved[:, :1] * right + moved[:, 1:] * down)


def _own_axes(mouth: Lips) -> Array:
    origin, right, down = _axes(mouth)
    away = mouth.outer - origin
    return np.stack([away @ right, away @ down], 1)


def _axes(mouth: Lips) -> tuple[Array, Array, Array]:
    left, corner = mouth.outer[0], mouth.outer[LIP_CORNER]
    right = (corner - left) / max(float(np.hypot(*(corner - left))), 1e-9)
    return (left + corner) / 2, right, np.array([-right[1], right[0]])


def _middle(frame: EyeFrame) -> Array:
    return np.asarray(frame.inner + 0.5 * frame.along)


def _mean(values: Tensor, weight: Tensor) -> Tensor:
    return (values * weight).sum((1, 2)) / weight.sum().clamp(min=1e-6)
