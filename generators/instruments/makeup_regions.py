"""Where cosmetics go on a picture: outlines of lips, lids and brows from the 68 landmarks, in pixels."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from spooflab.generators.enlarge import enlarge
from spooflab.generators.instruments.skin_chart import Array, smooth_line

_LIP_STEPS = 2
LIP_CORNER = 6 * _LIP_STEPS
"""Position of the corner at the image's right in `Lips.outer`; the other is the first point."""
_LID_SPAN = 0.75
"""How far beyond the corners of the eye its curves are continued, in eye widths."""


@dataclass(frozen=True)
class Window:
    """A rectangle of whole pixels of a picture; may be empty."""

    top: int
    left: int
    bottom: int
    right: int

    @classmethod
    def around(cls, points: Array, margin_px: float, size: tuple[int, int]) -> "Window":
        """Return the pixels within `margin_px` of the bounding box of (N, 2) points, cut to the picture (h, w)."""
        low, high = points.min(0) - margin_px, points.max(0) + margin_px
        top, left = (min(max(int(low[k]), 0), size[1 - k]) for k in (1, 0))
        bottom, right = (min(max(int(high[k]) + 1, 0), size[1 - k]) for k in (1, 0))
        return cls(top, left, max(bottom, top), max(right, left))

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width."""
        return self.bottom - self.top, self.right - self.left

    @property
    def empty(self) -> bool:
        """Whether it holds less than two rows or columns."""
        return min(self.shape) < 2

    def of(self, planes: Tensor) -> Tensor:
        """Return the (..., h, w) part of (..., H, W) planes, as a view."""
        return planes[..., self.top : self.bottom, self.left : self.right]

    def grid(self, step: int = 1) -> tuple[Tensor, Tensor]:
        """Return x (1, w) and y (h, 1) of the pixels' centres, or of blocks of step x step pixels."""
        height, width = (-(-side // step) for side in self.shape)
        x = self.left + (torch.arange(width) + 0.5) * step
        y = self.top + (torch.arange(height) + 0.5) * step
        return x[None], y[:, None]

    def enlarge(self, plane: Tensor, step: int) -> Tensor:
        """Return (..., h, w) from planes at blocks of step x step pixels."""
        if step == 1:
            return plane
        height, width = self.shape
        return enlarge(plane, step)[..., :height, :width]


def signed_distance(outline: Array, window: Window, step: int = 2) -> Tensor:
    """Return (h, w) pixels to a closed outline (N, 2), positive inside, at the middles of blocks of step x step."""
    points = torch.from_numpy(np.ascontiguousarray(outline)).to(torch.float32)
    start, along = points, points.roll(-1, 0) - points
    x, y = window.grid(step)
    away_x = x[None] - start[:, 0, None, None]
    away_y = y[None] - start[:, 1, None, None]
    dx, dy = along[:, 0, None, None], along[:, 1, None, None]
    share = ((away_x * dx + away_y * dy) / (dx * dx + dy * dy).clamp(min=1e-9)).clamp_(0, 1)
    square = (away_x - share * dx).square_().add_((away_y - share * dy).square_()).amin(0)
    # Even-odd rule: an edge counts where a ray to the right crosses it.
    crossing = ((away_y >= 0) != (away_y >= dy)) & ((away_x * dy < away_y * dx) == (dy > 0))
    odd = (crossing.sum(0) & 1).float()
    return square.sqrt_().mul_(odd.mul_(2).sub_(1))


def soft_step(distance: Tensor, softness_px: float) -> Tensor:
    """Return a smooth step from 0 to 1 as the distance rises from -softness to +softness."""
    t = (distance * (0.5 / max(softness_px, 0.25)) + 0.5).clamp_(0, 1)
    return t * t * (t * -2.0 + 3.0)


@dataclass(frozen=True)
class Lips:
    """Outlines of the mouth in pixels.

    Attributes:
        outer: (N, 2) vermilion border, closed, corners kept sharp.
        inner: (M, 2) the opening; almost nothing where the mouth is shut.
        width_px: between the corners.
        open_px: height of the opening.
    """

    outer: Array
    inner: Array
    width_px: float
    open_px: float

    @classmethod
    def of(cls, landmarks: Array) -> "Lips":
        """Read the lips from (68, 2) landmarks."""
        top, low = landmarks[48:55], landmarks[[54, 55, 56, 57, 58, 59, 48]]
        seam_top, seam_low = landmarks[60:65], landmarks[[64, 65, 66, 67, 60]]
        outer = np.concatenate([smooth_line(top, _LIP_STEPS)[:-1], smooth_line(low, _LIP_STEPS)[:-1]])
        inner = np.concatenate([smooth_line(seam_top, _LIP_STEPS)[:-1], smooth_line(seam_low, _LIP_STEPS)[:-1]])
        gap = float(np.abs(landmarks[66] - landmarks[62]).sum())
        return cls(outer, inner, float(np.hypot(*(landmarks[54] - landmarks[48]))), gap)

    def outlined(self, up_px: float, down_px: float, aside_px: float) -> Array:
        """Return the outer outline drawn wider (or narrower) than the lips: up, down and at the corners."""
        centre = self.outer.mean(0)
        across = self.outer[LIP_CORNER] - self.outer[0]
        right = across / max(float(np.hypot(*across)), 1e-9)
        down = np.array([-right[1], right[0]])
        s = (self.outer - centre) @ right / max(self.width_px / 2, 1e-9)
        middle = np.clip(1 - s**2, 0, 1) ** 0.7
        lower = np.arange(len(self.outer)) > LIP_CORNER
        shift = np.where(lower, down_px, -up_px) * middle
        shifted: Array = self.outer + shift[:, None] * down + (aside_px * s)[:, None] * right
        return shifted

    def cover(self, outline: Array, window: Window, softness_px: float) -> Tensor:
        """Return (h, w) how far pixels lie within `outline` and outside of the opening."""
        inside = soft_step(window.enlarge(signed_distance(outline, window, 2), 2), softness_px)
        if self.open_px > 1.5:
            inside = inside * (1 - soft_step(window.enlarge(signed_distance(self.inner, window, 2), 2), 0.8))
        return inside


@dataclass(frozen=True)
class EyeFrame:
    """One eye's own axes: s runs from the inner (0) to the outer corner (1), h upwards in eye widths.

    Attributes:
        inner: (2,) inner corner in pixels.
        along: (2,) pixels of one unit of s.
        up: (2,) pixels of one unit of h.
        table: (4, N) over N positions: s, height of the upper lid, of the lower lid, of the brow.
        opening: height of the lids' opening in eye widths.
        lids: (K, 2) outline of the opening in pixels.
        tail: (2,) the brow's outer end in (s, h).
    """

    inner: Array
    along: Array
    up: Array
    table: Array
    opening: float
    lids: Array
    tail: Array

    @classmethod
    def of(cls, landmarks: Array, image_left: bool) -> "EyeFrame":
        """Read one eye and its brow from (68, 2) landmarks."""
        ids = (39, 38, 37, 36, 41, 40) if image_left else (42, 43, 44, 45, 46, 47)
        brow_ids = (21, 20, 19, 18, 17) if image_left else (22, 23, 24, 25, 26)
        corners = landmarks[[ids[0], ids[3]]]
        along = corners[1] - corners[0]
        up = np.array([along[1], -along[0]]) * (-1.0 if image_left else 1.0)
        axes = np.stack([along, up]) / max(float(along @ along), 1e-9)

        def local(points: Array) -> Array:
            return np.asarray((points - corners[0]) @ axes.T)

        top = _ordered(smooth_line(local(landmarks[list(ids[:4])]), 10))
        low = _ordered(smooth_line(local(landmarks[[ids[0], ids[5], ids[4], ids[3]]]), 10))
        brow = _ordered(smooth_line(local(landmarks[list(brow_ids)]), 10))
        s = np.linspace(-_LID_SPAN, 1 + _LID_SPAN, 160)
        # Beyond the corners the lid's line goes on flat within and rises slightly without.
        rise = 0.25 * np.clip(s - 1, 0, None)
        rows = [s, np.interp(s, *top.T) + rise, np.interp(s, *low.T) + rise, np.interp(s, *brow.T)]
        opening = float(np.max(rows[1] - rows[2]))
        ring = np.concatenate([top[::3], low[::-3]])
        lids = corners[0] + ring[:, :1] * along + ring[:, 1:] * up
        return cls(corners[0], along, up, np.stack(rows), opening, lids, local(landmarks[list(brow_ids[-1:])])[0])

    @property
    def width_px(self) -> float:
        """Distance between the corners."""
        return float(np.hypot(*self.along))

    def pixels(self, s: Array, h: Array) -> Array:
        """Return (..., 2) pixels of positions."""
        return np.asarray(self.inner + np.asarray(s)[..., None] * self.along + np.asarray(h)[..., None] * self.up)

    def upper(self, s: Array) -> Array:
        """Return the height of the upper lash line at `s`."""
        return np.asarray(np.interp(s, self.table[0], self.table[1]))

    def lower(self, s: Array) -> Array:
        """Return the height of the lower lash line at `s`."""
        return np.asarray(np.interp(s, self.table[0], self.table[2]))

    def brow(self, s: Array) -> Array:
        """Return the height of the brow's landmarks at `s`."""
        return np.asarray(np.interp(s, self.table[0], self.table[3]))

    def window(self, size: tuple[int, int], *, below: float = 0.35, above: float = 0.25, beyond: float = 0.6) -> Window:
        """Return the pixels from below the eye to above its brow; lengths in eye widths."""
        high = float(self.table[3].max()) + above
        corners_s = np.array([-0.35, 1 + beyond, -0.35, 1 + beyond])
        corners_h = np.array([-below, -below, high, high])
        return Window.around(self.pixels(corners_s, corners_h), 1, size)

    def fields(self, window: Window, step: int = 2) -> "EyeFields":
        """Return where blocks of step x step pixels of a window lie in the frame."""
        x, y = window.grid(step)
        scale = 1 / max(float(self.along @ self.along), 1e-9)
        away_x, away_y = x - float(self.inner[0]), y - float(self.inner[1])
        s = (away_x * float(self.along[0]) + away_y * float(self.along[1])) * scale
        h = (away_x * float(self.up[0]) + away_y * float(self.up[1])) * scale
        at = s.numpy()
        tops, lows, brows = (
            torch.from_numpy(np.interp(at, self.table[0], row)).to(torch.float32) for row in self.table[1:]
        )
        above = h - tops
        return EyeFields(s, h, above, h - lows, above / (brows - tops).clamp_(min=0.1))


@dataclass(frozen=True)
class EyeFields:
    """Positions in an eye's frame, each (h, w).

    Attributes:
        s: along the eye, 0 at the inner corner, 1 at the outer.
        h: up, in eye widths.
        above: height over the upper lash line, in eye widths.
        below: height over the lower lash line.
        lid: 0 at the upper lash line, 1 at the brow's landmarks.
    """

    s: Tensor
    h: Tensor
    above: Tensor
    below: Tensor
    lid: Tensor


def _ordered(curve: Array) -> Array:
    """Return the curve's points by rising s, as `numpy.interp` wants them."""
    return np.asarray(curve[np.argsort(curve[:, 0], kind="stable")])
