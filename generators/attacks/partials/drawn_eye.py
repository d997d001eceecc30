"""Eyes that are drawn, moulded or loose: what novelty lenses, eyeballs and lid stickers show."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from spooflab.generators.attacks.partials.outline import Outline
from spooflab.seeds import generator

_IRIS = ((0.02, 0.09, 0.28), (0.12, 0.06, 0.02), (0.04, 0.17, 0.06), (0.25, 0.27, 0.27), (0.45, 0.02, 0.02),
         (0.5, 0.32, 0.02))  # fmt: skip
_WHITES = ((0.82, 0.81, 0.77), (0.75, 0.7, 0.6), (0.8, 0.78, 0.3), (0.62, 0.78, 0.6))
_BLACK = 0.012


@dataclass(frozen=True)
class DrawnEye:
    """One drawn eye, in millimetres on its surface.

    Attributes:
        gaze_mm: (u, v) of the iris' middle.
        iris_mm: radius of the iris.
        pupil: radius of the pupil over the iris'.
        iris: index into the iris colours.
        white: index into the colours of the eye's white.
        veins: 0 none to 1 bloodshot.
        lid: share of the eye that the upper lid covers, 0 for none.
        cartoon: flat colours with a black outline instead of a shaded iris.
        seed: names fibres and veins.
    """

    gaze_mm: tuple[float, float]
    iris_mm: float
    pupil: float
    iris: int
    white: int
    veins: float
    lid: float
    cartoon: bool
    seed: int


def eye_reflectance(eye: DrawnEye, u: Tensor, v: Tensor, radius_mm: float, mm_per_px: float) -> Tensor:
    """Return (3, ...) reflectance at places of the eye's surface.

    Args:
        eye: what is drawn.
        u: (...) places from the eye's middle, mm.
        v: (...).
        radius_mm: of the whole eye.
        mm_per_px: over which outlines are softened.
    """
    gen = generator(eye.seed, "partial", "drawn eye")
    x, y = u - eye.gaze_mm[0], v - eye.gaze_mm[1]
    far, angle = torch.hypot(x, y), torch.atan2(y, x)
    white = torch.tensor(_WHITES[eye.white % len(_WHITES)]).reshape(3, *[1] * u.ndim)
    out = white.expand(3, *u.shape)
    if eye.veins > 0:
        out = _lerp(out, (0.5, 0.03, 0.03), eye.veins * _veins(gen, u, v, radius_mm, mm_per_px))
    colour = torch.tensor(_IRIS[eye.iris % len(_IRIS)]).reshape(3, *[1] * u.ndim)
    share = far / eye.iris_mm
    tone = torch.ones_like(far)
    if not eye.cartoon:
        phase = 6.2832 * torch.rand(4, generator=gen)
        count = (17, 29, 41, 61)
        fibres = sum(
            torch.sin(angle * n + p + 2.5 * share * k) for k, (n, p) in enumerate(zip(count, phase, strict=True))
        )
        tone = (1 + 0.16 * fibres) * (1.25 - 0.55 * share.clamp(0, 1))
        tone = tone * (1 - 0.75 * _soft(eye.iris_mm * 0.88 - far, 0.9))  # the dark ring at the limbus
    out = torch.lerp(out, colour * tone.clamp(0.1, 2.2), _soft(far - eye.iris_mm, mm_per_px))
    if eye.cartoon:
        out = _lerp(out, (_BLACK,) * 3, _soft((far - eye.iris_mm).abs() - 0.55, mm_per_px))
    out = _lerp(out, (_BLACK,) * 3, _soft(far - eye.pupil * eye.iris_mm, mm_per_px))
    glint = torch.hypot(x + 0.32 * eye.iris_mm, y + 0.36 * eye.iris_mm)
    out = _lerp(out, (0.85,) * 3, _soft(glint - 0.16 * eye.iris_mm, mm_per_px))
    if eye.lid > 0:
        edge = -radius_mm + 2 * radius_mm * eye.lid + 0.012 * u.square()
        skin = (0.42, 0.26, 0.19) if not eye.cartoon else (0.6, 0.35, 0.28)
        out = _lerp(out, skin, _soft(v - edge, mm_per_px))
        out = _lerp(out, (0.02, 0.015, 0.012), _soft((v - edge).abs() - 0.7, mm_per_px))
    return out.clamp(0.004, 0.95)


def lash_line(outline: Outline, u: Tensor, v: Tensor, mm_per_px: float) -> Tensor:
    """Return (...) share of dark line along an outline's upper side, heavier than below."""
    near = outline(u, v)
    wide = torch.where(v < 0, 1.5, 0.5)
    return _soft(near.abs() - wide, mm_per_px)


def _veins(gen: torch.Generator, u: Tensor, v: Tensor, radius_mm: float, mm_per_px: float) -> Tensor:
    """Return (...) wavering lines from the rim inwards."""
    angle, far = torch.atan2(v, u), torch.hypot(u, v)
    out = torch.zeros_like(u)
    for start, wiggle, phase in torch.rand(11, 3, generator=gen).tolist():
        bend = 0.16 * torch.sin(far * (0.35 + 0.5 * wiggle) + 6.28 * phase)
        turn = torch.remainder(angle - 6.2832 * start + bend + math.pi, 2 * math.pi) - math.pi
        aside = turn.abs() * far
        reach = _soft(0.55 * radius_mm + 0.2 * wiggle * radius_mm - far, 2.5)
        out = torch.maximum(out, _soft(aside - 0.28, max(mm_per_px, 0.5)) * reach)
    return out


def _soft(distance: Tensor, width: float) -> Tensor:
    """Return 1 inside (negative), 0 outside, over `width`."""
    return (0.5 - distance / width).clamp(0, 1)


def _lerp(under: Tensor, colour: tuple[float, ...], share: Tensor) -> Tensor:
    over = torch.tensor(colour).reshape(3, *[1] * share.ndim)
    return torch.lerp(under, over.expand_as(under), share)
