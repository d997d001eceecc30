"""Pictures drawn on the face's own map: pens that work in millimetres of a chart that unrolls the head.

The chart's u is arc length around a vertical axis inside the head (to the subject's left), its v is height above the
eyes; both are millimetres on the average adult, so that a drawing lies at the same anatomical place on everybody.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from torch import Tensor
from torch.nn import functional as F

from spooflab.generators.faces.procedural.noise import blurred

_AXIS_MM, _RADIUS_MM = 95.0, 100.0
Array = NDArray[np.float64]


def chart(rest_mm: Tensor) -> Tensor:
    """Return (2, ...) chart millimetres (u, v) of (3, ...) canonical rest coordinates."""
    return torch.stack([torch.atan2(rest_mm[0], rest_mm[2] + _AXIS_MM) * _RADIUS_MM, rest_mm[1]])


@dataclass(frozen=True)
class ChartPicture:
    """Planes over a rectangle of the chart.

    Attributes:
        planes: (C, H, W) row 0 at the top (largest v).
        left_mm: u of the left edge.
        top_mm: v of the upper edge.
        px_per_mm: resolution.
    """

    planes: Tensor
    left_mm: float
    top_mm: float
    px_per_mm: float

    def at(self, uv: Tensor) -> Tensor:
        """Return (C, h, w) bilinear samples at (2, h, w) chart positions, 0 outside the rectangle."""
        height, width = self.planes.shape[-2:]
        x = (uv[0] - self.left_mm) * (2 * self.px_per_mm / width) - 1
        y = (self.top_mm - uv[1]) * (2 * self.px_per_mm / height) - 1
        grid = torch.stack([x, y], -1)[None]
        return F.grid_sample(self.planes[None], grid, mode="bilinear", padding_mode="zeros", align_corners=False)[0]

    def soften(self, sigma_mm: float) -> "ChartPicture":
        """Return the picture under a Gaussian; the rectangle stays."""
        sigma = sigma_mm * self.px_per_mm
        if sigma < 0.3:
            return self
        reach = max(1, int(2.6 * sigma + 0.5))
        padded = F.pad(self.planes[None], (reach,) * 4)[0]
        return ChartPicture(blurred(padded, sigma, reach), self.left_mm, self.top_mm, self.px_per_mm)


class Pen:
    """Draws anti-aliased shapes in millimetres into one plane.

    Args:
        left_mm, right_mm: u range of the sheet.
        low_mm, top_mm: v range of the sheet.
        px_per_mm: resolution of the finished plane.
        oversample: drawing happens at so many times that.
    """

    def __init__(
        self,
        left_mm: float,
        right_mm: float,
        low_mm: float,
        top_mm: float,
        *,
        px_per_mm: float = 3.0,
        oversample: int = 2,
    ) -> None:
        self.left_mm, self.top_mm, self.px_per_mm = left_mm, top_mm, px_per_mm
        self._oversample, self._scale = oversample, px_per_mm * oversample
        size = [max(1, round(span * px_per_mm)) * oversample for span in (right_mm - left_mm, top_mm - low_mm)]
        self._image = Image.new("L", (size[0], size[1]))
        self._draw = ImageDraw.Draw(self._image)

    def polygon(self, points: Array, ink: float = 1.0) -> None:
        """Fill an outline (N, 2); `ink` in 0-1 replaces what lies below."""
        self._draw.polygon(self._pixels(points), fill=round(255 * ink))

    def stroke(self, points: Array, widths_mm: Array | float, ink: float = 1.0) -> None:
        """Draw a line through (N, 2) points whose width may change from point to point, with round ends."""
        widths = np.broadcast_to(np.asarray(widths_mm, dtype=np.float64), (len(points),))
        self.strokes(np.asarray(points, dtype=np.float64)[None], widths[None], np.array([ink]))
        for end in (0, -1):
            self.dot(points[end], float(widths[end]) / 2, ink)

    def strokes(self, lines: Array, widths_mm: Array, inks: Array) -> None:
        """Draw N lines (N, K, 2) of changing width (N, K) with blunt ends and ink (N,): faster than one by one."""
        along = np.empty_like(lines)
        along[:, 1:-1] = lines[:, 2:] - lines[:, :-2]
        along[:, 0], along[:, -1] = lines[:, 1] - lines[:, 0], lines[:, -1] - lines[:, -2]
        scale = 0.5 * widths_mm / np.maximum(np.hypot(along[..., 0], along[..., 1]), 1e-9)
        side = np.stack([-along[..., 1], along[..., 0]], -1) * scale[..., None]
        outline = np.concatenate([lines + side, (lines - side)[:, ::-1]], 1)
        outline[..., 0] = (outline[..., 0] - self.left_mm) * self._scale
        outline[..., 1] = (self.top_mm - outline[..., 1]) * self._scale
        for points, ink in zip(outline.reshape(len(lines), -1).tolist(), (255 * inks).round().tolist(), strict=True):
            self._draw.polygon(points, fill=int(ink))

    def dot(self, centre: Array, radius_mm: float, ink: float = 1.0) -> None:
        """Fill a disc."""
        if radius_mm * self._scale < 0.35:
            return
        x, y = (float(centre[0]) - self.left_mm) * self._scale, (self.top_mm - float(centre[1])) * self._scale
        r = radius_mm * self._scale
        self._draw.ellipse((x - r, y - r, x + r, y + r), fill=round(255 * ink))

    def area_mm2(self) -> float:
        """Return the inked area so far, within a few per cent."""
        coarse = np.asarray(self._image.reduce(8), dtype=np.float64)
        return float(coarse.mean() / 255 * self._image.width * self._image.height / self._scale**2)

    def plane(self) -> Tensor:
        """Return (H, W) ink in 0-1."""
        small = self._image.reduce(self._oversample)
        return torch.from_numpy(np.array(small)).to(torch.float32).div_(255)

    def picture(self) -> ChartPicture:
        """Return the plane with its place."""
        return picture_of((self,))

    def _pixels(self, points: Array) -> list[tuple[float, float]]:
        x = (points[:, 0] - self.left_mm) * self._scale
        y = (self.top_mm - points[:, 1]) * self._scale
        return list(zip(x.tolist(), y.tolist(), strict=True))


def picture_of(pens: Sequence[Pen]) -> ChartPicture:
    """Return the planes of pens that share one rectangle."""
    first = pens[0]
    return ChartPicture(torch.stack([pen.plane() for pen in pens]), first.left_mm, first.top_mm, first.px_per_mm)


def smooth_line(points: Sequence[tuple[float, float]] | Array, steps: int = 8, *, closed: bool = False) -> Array:
    """Return the Catmull-Rom curve through points, `steps` samples a span (Catmull & Rom 1974)."""
    p = np.asarray(points, dtype=np.float64)
    before, after = (p[-1:], p[:2]) if closed else (2 * p[:1] - p[1:2], 2 * p[-1:] - p[-2:-1])
    p = np.concatenate([before, p, after])
    t = (np.arange(steps) / steps)[None, :, None]
    a, b, c, d = (p[k : len(p) - 3 + k, None] for k in range(4))
    curve = 0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * (b - c) + d - a) * t**3)
    out = curve.reshape(-1, 2)
    return out if closed else np.concatenate([out, p[-2:-1]])
