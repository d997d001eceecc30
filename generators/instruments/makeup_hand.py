"""The hand that applies cosmetics, and the shapes that it makes."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from spooflab.generators.enlarge import enlarge
from spooflab.generators.instruments.makeup_regions import Window
from spooflab.generators.instruments.skin_canvas import SkinCanvas
from spooflab.generators.instruments.skin_chart import Array, Pen
from spooflab.generators.instruments.skin_texture import BLOTCHES, GRAIN, texture


@dataclass
class Hand:
    """How the products are applied: a steady hand and brush, or not.

    Attributes:
        seed: of everything uneven.
        strokes: relative unevenness, 0 for none.
        planes: blotches and grain on the canvas, once they are needed.
    """

    seed: int
    strokes: float
    planes: tuple[Tensor, Tensor] | None = None

    def uneven(self, canvas: SkinCanvas, salt: int, depth: float) -> Tensor:
        """Return (h, w) factors about 1 at half resolution; each `salt` mixes the same two textures differently."""
        if self.strokes == 0:
            return torch.ones(())
        if self.planes is None:
            wide, fine = texture(canvas.uv, 64.0, self.seed, BLOTCHES), texture(canvas.uv, 47.0, self.seed + 1, GRAIN)
            self.planes = wide, fine
        angle, scale = 2.4 * salt, depth * self.strokes
        wide, fine = self.planes
        mixed = wide * (scale * math.cos(angle)) + fine * (scale * math.sin(angle))
        return mixed.add_(1).clamp_(0.1, 2)


def coarse(canvas: SkinCanvas) -> Tensor:
    """Return (3, h / 2, w / 2) canonical |x|, y, z: enough for what is smooth over several millimetres."""
    x, y, z = canvas.rest[:, ::2, ::2]
    return torch.stack([x.abs(), y, z])


def spread(canvas: SkinCanvas, plane: Tensor) -> Tensor:
    """Return (h, w) from a plane on the coarse grid."""
    return enlarge(plane, 2)[: canvas.skin.shape[0], : canvas.skin.shape[1]]


def trimmed(thickness: Tensor) -> Tensor:
    """Return thickness without the far tails of its bell curves."""
    return (thickness - 0.02).clamp_(min=0)


def ridge(x: Tensor, y: Tensor, start: tuple[float, float], end: tuple[float, float], width: float) -> Tensor:
    """Return a Gaussian band along a segment of the plane."""
    ex, ey = end[0] - start[0], end[1] - start[1]
    share = (((x - start[0]) * ex + (y - start[1]) * ey) * (1 / max(ex * ex + ey * ey, 1e-9))).clamp_(0, 1)
    square = (x - start[0] - share * ex).square_().add_((y - start[1] - share * ey).square_())
    return torch.exp(square.mul_(-1 / (width * width)))


def rise(x: Tensor, low: float, high: float) -> Tensor:
    """Return a smooth step from 0 at `low` to 1 at `high`."""
    t = ((x - low) * (1 / (high - low))).clamp_(0, 1)
    return t * t * (t * -2.0 + 3.0)


def flakes_of(hand: Hand, pearl: float) -> Tensor | None:
    """Return (2, h, w) slopes of a surface of flakes; the hand has been used before."""
    if pearl == 0 or hand.strokes == 0 or hand.planes is None:
        return None
    return torch.stack([hand.planes[1], hand.planes[1].roll(7, 0)]).mul_(0.10 + 0.25 * pearl)


def masked(canvas: SkinCanvas, window: Window, plane: Tensor) -> Tensor:
    """Return a plane of a window without what lies before the face."""
    return plane * canvas.full(canvas.clear, window)


def pen_for(window: Window, oversample: int) -> Pen:
    """Return a pen for a window of the picture: its unit is the pixel, and its v axis points up."""
    return Pen(window.left, window.right, -window.bottom, -window.top, px_per_mm=1.0, oversample=oversample)


def flipped(pixels: Array) -> Array:
    """Return pixels for such a pen."""
    return np.asarray(pixels * np.array([1.0, -1.0]))


def picture_size(canvas: SkinCanvas) -> tuple[int, int]:
    """Return height and width of the picture."""
    return int(canvas.radiance.shape[1]), int(canvas.radiance.shape[2])
