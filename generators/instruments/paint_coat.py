"""Coats of face paint: what is laid where on the chart, and the pen that draws it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from spooflab.generators.instruments.skin_chart import Array, ChartPicture, Pen, smooth_line

ACCENT = -1
_SHEET = (-108.0, 108.0, -118.0, 72.0)


@dataclass(frozen=True)
class Coat:
    """One coat of one paint.

    Attributes:
        paint: position among the chosen paints, or `ACCENT`.
        at: returns (h, w) amounts in 0-1 for (2, h, w) chart positions.
        fine: whether its edges need the picture's full resolution.
        amount: factor of the scheme's applications.
    """

    paint: int
    at: Callable[[Tensor], Tensor]
    fine: bool = False
    amount: float = 1.0


def pen_for_face(*, fine: bool = False) -> Pen:
    """Return a pen whose sheet holds the whole face."""
    return Pen(*_SHEET, px_per_mm=3.0 if fine else 2.0)


def coat_of(pen: Pen, paint: int, soft_mm: float, *, fine: bool = False, amount: float = 1.0) -> Coat:
    """Return what a pen drew as a coat, its edges `soft_mm` wide."""
    return Coat(paint, _plane(pen.picture().soften(soft_mm)), fine, amount)


def _plane(picture: ChartPicture) -> Callable[[Tensor], Tensor]:
    return lambda uv: picture.at(uv)[0]


def mirrored(points: Array, side: int) -> Array:
    """Return points on the subject's left (1) or right (-1)."""
    return np.asarray(points * np.array([float(side), 1.0]))


def closed_shape(points: Sequence[tuple[float, float]], side: int = 1) -> Array:
    """Return a smooth closed outline on one side."""
    return mirrored(smooth_line(points, 6, closed=True), side)
