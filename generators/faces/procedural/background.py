"""What is behind the person: procedural places, out of focus."""

import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import interpolate

from spooflab.generators.faces.procedural.noise import blurred, patterns

_SMALL = 80
_DRAWS = 512
"""How many numbers are drawn at once."""

_Array = NDArray[np.floating[Any]]


def background(kind: int, seed: int, level: float, sky: Tensor, size: int) -> Tensor:
    """Return (3, size, size) radiance of a place of `BACKGROUNDS[kind]`, drawn from `seed`.

    `sky` is the (3,) ambient light that tints it, and `level` its brightness relative to the subject's light.
    """
    generator = torch.Generator().manual_seed(seed)
    paint = _Canvas(generator)
    (_wall, _room, _window, _office, _foliage, _street)[kind](paint)
    blur = 1.0 + 2.1 * paint.draw(0, 1)
    image = _blurred(torch.from_numpy(paint.image), blur if kind else blur * 0.6)
    image = interpolate(image[None], size=(size, size), mode="bilinear", align_corners=False)[0].clamp_(min=0)
    if kind == 0:
        image = image * (1 + 0.018 * _texture(size, paint))
    tint = sky / sky.mean()
    mean = image.mean()
    return image.mul_((0.34 * level / mean.clamp(min=0.05) * tint.clamp(0.5, 1.6))[:, None, None])


class _Canvas:
    """A small picture to paint soft rectangles and discs on; x and y in [0, 1]."""

    # In NumPy: on arrays as small as these a call costs more than its work, and NumPy's calls cost least.

    def __init__(self, generator: torch.Generator) -> None:
        self.generator = generator
        self.drawn: list[float] = []
        self.image: _Array = np.zeros((3, _SMALL, _SMALL), np.float32)
        self.axis: _Array = (np.arange(_SMALL, dtype=np.float32) + 0.5) / _SMALL

    def draw(self, low: float, high: float) -> float:
        """Draw a number."""
        if not self.drawn:
            self.drawn = torch.rand(_DRAWS, generator=self.generator).tolist()[::-1]
        return low + (high - low) * self.drawn.pop()

    def colour(self, level: float, saturation: float) -> _Array:
        """Draw a colour of about that luminance."""
        hue = [self.draw(0, 1) for _ in range(3)]
        mean = sum(hue) / 3
        return _rgb(*(max(1 + saturation * (value / mean - 1), 0.02) * level for value in hue))

    def fill(self, top: _Array, bottom: _Array, tilt: float = 0.0) -> None:
        """Paint a gradient over everything."""
        t = np.clip(self.axis[:, None] + tilt * (self.axis - 0.5), 0, 1)
        self.image = top[:, None, None] + (bottom - top)[:, None, None] * t

    def box(self, x0: float, y0: float, x1: float, y1: float, colour: _Array, edge: float = 0.012) -> None:
        """Paint a soft rectangle."""
        middle_x, half_x, middle_y, half_y = (x0 + x1) / 2, (x1 - x0) / 2, (y0 + y1) / 2, (y1 - y0) / 2
        rows, columns = self._span(middle_y, half_y + edge), self._span(middle_x, half_x + edge)
        across = _limited((np.abs(self.axis[columns] - middle_x) - half_x) * (-1 / edge) + 0.5)
        down = _limited((np.abs(self.axis[rows] - middle_y) - half_y) * (-1 / edge) + 0.5)
        self._mix(down[:, None] * across, colour, rows, columns)

    def disc(self, x: float, y: float, radius: float, colour: _Array, alpha: float = 1.0, edge: float = 0.015) -> None:
        """Paint a soft disc."""
        rows, columns = self._span(y, radius + edge), self._span(x, radius + edge)
        across, down = self.axis[columns] - x, self.axis[rows] - y
        away = np.sqrt((down * down)[:, None] + across * across) - radius
        self._mix(_limited(0.5 - away / edge) * alpha, colour, rows, columns)

    def glow(self, x: float, y: float, radius: float, colour: _Array) -> None:
        """Add a halo of light."""
        across, down = np.exp(-(((self.axis - x) / radius) ** 2)), np.exp(-(((self.axis - y) / radius) ** 2))
        self.image = self.image + (down[:, None] * across) * colour[:, None, None]

    def _span(self, middle: float, half: float) -> slice:
        """Return the rows or columns that anything within `half` of `middle` can touch."""
        low, high = (min(max(math.floor(v * _SMALL), 0), _SMALL) for v in (middle - half, middle + half + 1 / _SMALL))
        return slice(low, high)

    def _mix(self, alpha: _Array, colour: _Array, rows: slice, columns: slice) -> None:
        part = self.image[:, rows, columns]
        part += (colour[:, None, None] - part) * alpha


def _limited(values: _Array) -> _Array:
    """Return values clamped to [0, 1]."""
    return np.minimum(np.maximum(values, np.float32(0)), np.float32(1))


def _rgb(red: float, green: float, blue: float) -> _Array:
    return np.array([red, green, blue], np.float32)


def _grey(level: float) -> _Array:
    return _rgb(level, level, level)


def _wall(c: _Canvas) -> None:
    tone = c.colour(c.draw(0.15, 0.6), 0.18)
    c.fill(tone * 1.12, tone * 0.8, c.draw(-0.5, 0.5))
    c.glow(c.draw(-0.1, 1.1), c.draw(-0.2, 0.4), c.draw(0.4, 0.9), tone * c.draw(0.2, 0.7))
    if c.draw(0, 1) < 0.4:
        x = c.draw(-0.1, 0.75)
        c.box(x, -0.1, x + c.draw(0.2, 0.35), c.draw(0.25, 0.5), tone * c.draw(0.4, 0.75))


def _room(c: _Canvas) -> None:
    wall = c.colour(c.draw(0.2, 0.5), 0.2)
    c.fill(wall * 1.1, wall * 0.75, c.draw(-0.4, 0.4))
    floor = c.draw(0.72, 0.9)
    c.box(-1, floor, 2, 2, c.colour(0.18, 0.5))
    for _ in range(4):
        x, w = c.draw(-0.1, 0.95), c.draw(0.08, 0.3)
        top = c.draw(0.25, 0.7)
        c.box(x, top, x + w, c.draw(0.8, 1.1), c.colour(c.draw(0.04, 0.3), 0.5))
        for shelf in range(2):
            y = top + 0.03 + 0.09 * shelf
            for k in range(3):
                u = x + w * (k + 0.1) / 3
                c.box(u, y, u + w / 6, y + 0.06, c.colour(c.draw(0.05, 0.4), 0.8))
    for _ in range(3):
        x, y, w = c.draw(0, 0.9), c.draw(0.05, 0.35), c.draw(0.08, 0.2)
        c.box(x, y, x + w, y + w * 1.2, c.colour(0.06, 0.2))
        c.box(x + 0.015, y + 0.015, x + w - 0.015, y + w * 1.2 - 0.015, c.colour(c.draw(0.2, 0.6), 0.5))
    c.glow(c.draw(0, 1), c.draw(0, 0.5), 0.14, _rgb(1.6, 1.2, 0.7) * c.draw(0.3, 1.0))


def _window(c: _Canvas) -> None:
    wall = c.colour(c.draw(0.12, 0.3), 0.2)
    c.fill(wall, wall * 0.7, c.draw(-0.6, 0.6))
    x, w = c.draw(-0.2, 0.65), c.draw(0.3, 0.6)
    c.box(x - 0.02, -0.1, x + w + 0.02, 0.78, wall * 1.6)
    c.box(x, -0.1, x + w, 0.75, _rgb(1.0, 1.08, 1.2) * c.draw(0.9, 1.7))
    for _ in range(10):
        leaf = c.colour(0.35, 0.3) * _rgb(0.7, 1.1, 0.6)
        c.disc(c.draw(x, x + w), c.draw(0.35, 0.7), c.draw(0.03, 0.1), leaf, 0.5)
    c.box(x - 0.3, 0.78, x, 2, wall * 0.8)
    for k in (1, 2):
        u = x + w * k / 3
        c.box(u - 0.008, -0.1, u + 0.008, 0.76, wall * 1.2)
    for side in (x - 0.16, x + w):
        c.box(side, -0.1, side + 0.16, 1.1, c.colour(c.draw(0.2, 0.5), 0.3))


def _office(c: _Canvas) -> None:
    wall = c.colour(c.draw(0.3, 0.5), 0.08)
    c.fill(wall * 1.2, wall * 0.6)
    for k in range(4):
        lamp = _grey(c.draw(0.9, 1.6))
        c.box(c.draw(0, 0.8), 0.03 + 0.07 * k, c.draw(0.3, 1.2), 0.05 + 0.07 * k, lamp, 0.02)
    for _ in range(9):
        x, y = c.draw(-0.1, 1), c.draw(0.45, 0.85)
        c.box(x, y, x + c.draw(0.06, 0.2), y + c.draw(0.05, 0.3), c.colour(c.draw(0.03, 0.5), 0.35))
    for _ in range(3):
        x = c.draw(0, 1)
        c.box(x, 0.2, x + 0.015, 1.1, wall * c.draw(0.3, 0.7))


def _foliage(c: _Canvas) -> None:
    c.fill(_rgb(0.75, 0.95, 1.25) * c.draw(0.5, 1.1), _rgb(0.16, 0.26, 0.08))
    horizon = c.draw(0.0, 0.45)
    for _ in range(46):
        y = horizon + (1 - horizon) * c.draw(0, 1) ** 0.8
        green = _rgb(c.draw(0.25, 0.75), 1.0, c.draw(0.1, 0.4)) * math.exp(c.draw(-3.4, -0.9))
        c.disc(c.draw(-0.05, 1.05), y, c.draw(0.03, 0.14), green, c.draw(0.35, 0.9), 0.04)
    for _ in range(16):
        light = _rgb(1.1, 1.15, 0.75) * c.draw(0.3, 1.3)
        c.disc(c.draw(0, 1), horizon + c.draw(-0.1, 0.5), c.draw(0.012, 0.04), light, c.draw(0.15, 0.6))


def _street(c: _Canvas) -> None:
    c.fill(_rgb(0.8, 0.95, 1.2) * c.draw(0.6, 1.2), _grey(0.28))
    x = -0.1
    while x < 1.1:
        w, top = c.draw(0.12, 0.3), c.draw(-0.1, 0.4)
        tone = c.colour(c.draw(0.1, 0.4), 0.25)
        c.box(x, top, x + w, 0.95, tone)
        for row in range(4):
            for column in range(2):
                u, v = x + w * (column + 0.25) / 2, top + 0.05 + 0.12 * row
                c.box(u, v, u + w / 6, v + 0.06, tone * c.draw(0.3, 1.8))
        x += w + c.draw(-0.01, 0.05)
    for _ in range(8):
        c.disc(c.draw(0, 1), c.draw(0.55, 0.9), c.draw(0.01, 0.04), c.colour(c.draw(0.3, 1.2), 0.9), 0.7)
    c.box(-1, 0.9, 2, 2, _grey(0.2))


def _blurred(image: Tensor, sigma: float) -> Tensor:
    radius = math.ceil(2.5 * sigma)
    return blurred(torch.nn.functional.pad(image, (radius,) * 4, mode="replicate"), sigma, radius)


def _texture(size: int, paint: _Canvas) -> Tensor:
    # The low bits of two draws.
    shift = [int(paint.draw(0, 1 << 24)) % 256 for _ in range(2)]
    tile = patterns()[0, 2].roll(shift, (0, 1))
    return interpolate(tile[None, None], size=(size, size), mode="bilinear", align_corners=False)[0, 0]
