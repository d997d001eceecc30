"""Tools of procedural drawing: a stream of draws, and places on the chart in which motifs have their own units."""

import math
from dataclasses import dataclass

import numpy as np
import torch

from spooflab.generators.instruments.skin_chart import Array
from spooflab.seeds import generator

_BLOCK = 512


class Draws:
    """An endless stream of uniform draws that a seed fixes.

    Args:
        root: seed.
        names: what the stream is for.
    """

    def __init__(self, root: int, *names: str | int) -> None:
        self._generator = generator(root, *names)
        self._left: list[float] = []

    def between(self, low: float, high: float) -> float:
        """Return a draw from U[low, high)."""
        if not self._left:
            self._left = torch.rand(_BLOCK, generator=self._generator).tolist()
        return low + (high - low) * self._left.pop()

    def below(self, count: int) -> int:
        """Return an integer 0 … count - 1."""
        return min(int(self.between(0, count)), count - 1)

    def often(self, share: float) -> bool:
        """Return True for a share of the draws."""
        return self.between(0, 1) < share


@dataclass(frozen=True)
class Place:
    """Where a motif lies on the chart: it is drawn in units of `size_mm` around its own origin.

    Attributes:
        u, v: the origin, chart millimetres.
        size_mm: length of one unit.
        angle: turn in radians, anticlockwise.
        mirrored: whether x is flipped before turning.
    """

    u: float
    v: float
    size_mm: float
    angle: float = 0.0
    mirrored: bool = False

    def __call__(self, points: Array) -> Array:
        """Return chart millimetres of (N, 2) motif points."""
        p = np.asarray(points, dtype=np.float64) * self.size_mm
        if self.mirrored:
            p = p * np.array([-1.0, 1.0])
        c, s = math.cos(self.angle), math.sin(self.angle)
        return np.stack([self.u + c * p[:, 0] - s * p[:, 1], self.v + s * p[:, 0] + c * p[:, 1]], 1)


def circle(x: float, y: float, radius: float, steps: int = 28) -> Array:
    """Return (steps, 2) points on a circle."""
    t = np.arange(steps) / steps * 2 * math.pi
    return np.stack([x + radius * np.cos(t), y + radius * np.sin(t)], 1)


def spiral(x: float, y: float, radius: float, turns: float, start: float, steps: int = 60) -> Array:
    """Return (steps, 2) points of a spiral that winds outwards."""
    t = np.linspace(0.04, 1, steps)
    angle = start + t * turns * 2 * math.pi
    return np.stack([x + radius * t * np.cos(angle), y + radius * t * np.sin(angle)], 1)


def arc(p: tuple[float, float], q: tuple[float, float], bulge: float, steps: int = 18) -> Array:
    """Return (steps, 2) points of a parabola from p to q that bulges to the left by `bulge` of its length."""
    a, b = np.array(p), np.array(q)
    t = np.linspace(0, 1, steps)[:, None]
    along = b - a
    left = np.array([-along[1], along[0]])
    return np.asarray(a + along * t + left * (4 * bulge * t * (1 - t)))
