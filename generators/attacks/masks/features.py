"""Painted features of faces that are nobody's: brows, eyes, lashes, lips and blush in the rest head's coordinates."""

from dataclasses import dataclass

import torch
from torch import Tensor

from spooflab.generators.faces.procedural.hair import interpolate
from spooflab.generators.faces.procedural.model import head_model
from spooflab.generators.faces.procedural.skin import bump, lips_mask

_BROW_AT, _BROW_Y = (8.0, 20.0, 30.0, 40.0, 52.0), (13.6, 17.4, 20.2, 20.8, 15.5)
_BROW_THICK = (2.6, 3.4, 3.2, 2.4, 0.9)
_IRIS_MM, _PUPIL_MM = 5.9, 2.3


@dataclass(frozen=True, eq=False)
class Colours:
    """Linear albedos (3,) of painted features and how strongly they are laid on, 0-1."""

    brow: Tensor
    lip: Tensor
    iris: Tensor
    blush: Tensor
    strength: float


def paint_features(base: Tensor, rest: Tensor, ball: Tensor, colours: Colours) -> Tensor:
    """Return the albedo (3, h, w) with features painted on.

    Args:
        base: (3, h, w) albedo of the skin paint.
        rest: (3, h, w) place on the rest head.
        ball: (h, w) 1 on the eyeballs, whose paint is opaque at any strength but 0.
        colours: of the features.
    """
    shape, how = rest.shape[1:], colours.strength
    if how <= 0:
        return base
    flat, paint, eyeball = rest.reshape(3, -1), base.reshape(3, -1).clone(), ball.reshape(-1)
    ax, y, z = flat[0].abs(), flat[1], flat[2]

    def part(inside: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        index = inside.nonzero()[:, 0]
        return index, flat.index_select(1, index), paint.index_select(1, index)

    index, spot, some = part((z > -20) & (ax < 64) & (y < -12) & (y > -60))
    rosy = (0.35 * how) * bump(spot[0].abs(), spot[1], 42, -36, 15, 13)
    paint.index_copy_(1, index, torch.lerp(some, some * colours.blush[:, None], rosy))
    index, spot, some = part((z > 0) & (ax < 25) & (y < -56) & (y > -80))
    red = colours.lip[:, None].expand_as(some)
    paint.index_copy_(1, index, torch.lerp(some, red, lips_mask(spot.T) * min(1.0, 1.1 * how)))
    index, spot, some = part((z > -25) & (ax > 7) & (ax < 54) & (y > -9) & (y < 26))
    dark = colours.brow[:, None].expand_as(some)
    paint.index_copy_(1, index, torch.lerp(some, dark, how * _brow_and_lash(spot[0].abs(), spot[1])))
    index, spot, some = part(eyeball > 0)
    paint.index_copy_(1, index, torch.lerp(some, _eyes(spot, colours), eyeball.index_select(0, index)))
    return paint.reshape(3, *shape)


def _brow_and_lash(ax: Tensor, y: Tensor) -> Tensor:
    """Return (N,) how dark brows and the upper lid's line are painted at |x| and y."""
    off = (y - interpolate(ax, _BROW_AT, _BROW_Y)).abs()
    brow = (1.15 - off / interpolate(ax, _BROW_AT, _BROW_THICK)).mul(2.2).clamp(0, 1) * (ax > 7.5) * (ax < 53)
    t = (ax - 29.5) / 13.5
    lash = torch.exp(-((y - 3.5 + 5.2 * t.square() - 1.2 * t) / 1.0).square()) * (ax > 15) * (ax < 46)
    return torch.maximum(0.85 * brow, 0.8 * lash)


def _eyes(spot: Tensor, colours: Colours) -> Tensor:
    """Return the paint (3, N) of flat painted eyes."""
    centre = head_model().base[-4]
    x, y, _ = spot
    # Gaze straight ahead: the pupil's middle on the head's axis.
    rho = torch.sqrt((x.abs() - centre[0].abs()).square() + (y - centre[1] - 0.3).square())
    iris = ((_IRIS_MM - rho) / 0.7 + 0.5).clamp(0, 1)
    pupil = ((_PUPIL_MM - rho) / 0.6 + 0.5).clamp(0, 1)
    limbus = torch.exp(-((rho - _IRIS_MM) / 0.8).square())
    white = torch.tensor([0.70, 0.68, 0.64])[:, None].expand(3, len(x))
    paint = torch.lerp(white, colours.iris[:, None].expand_as(white), iris)
    paint = paint * (1 - 0.75 * limbus) * (1 - 0.95 * pupil)
    # Painters add the glint: it sits on the same side of both eyes, whatever the light.
    off = x.abs() - centre[0].abs()
    glint = torch.exp(-((off * x.sign() - 1.6) / 0.9).square() - ((y - centre[1] - 2.0) / 0.9).square())
    return torch.lerp(paint, torch.full_like(paint, 0.8), 0.8 * glint * iris)
