"""A thin sheet worn before the face: a generalised cylinder in the head's frame.

Paper bends about one direction at a time and does not stretch, so a worn sheet is developable: straight along its
rulings, and along the bend a curve that is given by its curvature over its own length. (u, v) are millimetres on the
sheet: u to the image's right of an upright face, v down.
"""

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

NODES = 33
"""Points along the bend at which a sheet's curve is given."""


@dataclass(frozen=True, eq=False)
class Sheet:
    """A bent sheet.

    Attributes:
        origin_mm: (3,) head-frame place of (u, v) = (0, 0) before bending.
        axes: (3, 3) rows: u, v and outward normal there, head frame.
        turn_rad: angle from u (towards v) of the direction along which it bends.
        along_mm: (N,) places along the bend, ascending.
        angle_rad: (N,) slope of the curve there, 0 at 0; positive falls away from the viewer for positive places.
        x_mm: (N,) the curve: along the bend's direction,
        z_mm: (N,) and outwards.
        reach_mm: (2,) half extent along the bend and along the rulings.
    """

    origin_mm: Tensor
    axes: Tensor
    turn_rad: float
    along_mm: Tensor
    angle_rad: Tensor
    x_mm: Tensor
    z_mm: Tensor
    reach_mm: tuple[float, float]

    def frame(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return the head-frame unit vectors along the bend, along the rulings, and outwards."""
        c, s = math.cos(self.turn_rad), math.sin(self.turn_rad)
        across, down, out = self.axes
        return c * across + s * down, c * down - s * across, out

    def point(self, uv: Tensor) -> Tensor:
        """Return (..., 3) head-frame places of sheet points (..., 2)."""
        along, ruling, out = self.frame()
        c, s = math.cos(self.turn_rad), math.sin(self.turn_rad)
        place, t = c * uv[..., 0] + s * uv[..., 1], c * uv[..., 1] - s * uv[..., 0]
        x, z = self._at(self.x_mm, place), self._at(self.z_mm, place)
        return self.origin_mm + x[..., None] * along + t[..., None] * ruling + z[..., None] * out

    def _at(self, values: Tensor, place: Tensor) -> Tensor:
        """Interpolate values of the nodes, which are equally spaced; straight on beyond the ends."""
        step = (self.along_mm[-1] - self.along_mm[0]) / (NODES - 1)
        position = (place - self.along_mm[0]) / step
        low = position.floor().clamp(0, NODES - 2)
        index = low.long()
        return torch.lerp(values[index], values[index + 1], position - low)


def bent_sheet(
    origin_mm: Tensor,
    axes: Tensor,
    reach_mm: tuple[float, float],
    *,
    curvature_per_mm: float,
    turn_rad: float = 0.0,
    curl_per_mm: tuple[float, float] = (0.0, 0.0),
    flat_mm: float = math.inf,
) -> Sheet:
    """Return a sheet of constant curvature whose ends may curl outwards.

    Args:
        origin_mm: (3,) see `Sheet`.
        axes: (3, 3) see `Sheet`.
        reach_mm: half extent along the bend and along the rulings.
        curvature_per_mm: of the middle; positive wraps round the head.
        turn_rad: direction of the bend.
        curl_per_mm: curvature that is taken off beyond `flat_mm`, at the low and the high end.
        flat_mm: distance from the middle at which curling begins.
    """
    along = torch.linspace(-reach_mm[0], reach_mm[0], NODES)
    step = 2 * reach_mm[0] / (NODES - 1)
    curl = torch.where(along < 0, curl_per_mm[0], curl_per_mm[1])
    curvature = curvature_per_mm - curl * (along.abs() > flat_mm)
    angle = torch.cumsum(curvature, 0) * step
    flat = Sheet(origin_mm, axes, turn_rad, along, angle, along, torch.zeros(NODES), reach_mm)
    return curved(flat, angle - angle[NODES // 2])


def facing_axes(yaw_deg: float, pitch_deg: float, roll_deg: float) -> Tensor:
    """Return the rows u, v, outwards of a sheet that faces forwards in the head's frame, then rolls, pitches and yaws.

    Positive yaw turns it to the subject's left (the image's right), positive pitch up, positive roll clockwise in the
    image.
    """
    yaw, pitch, roll = (math.radians(a) for a in (yaw_deg, pitch_deg, roll_deg))
    out = torch.tensor([math.sin(yaw) * math.cos(pitch), math.sin(pitch), math.cos(yaw) * math.cos(pitch)])
    right = torch.tensor([math.cos(yaw), 0.0, -math.sin(yaw)])
    down = torch.linalg.cross(right, out)  # v, right-handed: u × out
    c, s = math.cos(roll), math.sin(roll)
    return torch.stack([c * right + s * down, c * down - s * right, out])


def curved(sheet: Sheet, angle: Tensor) -> Sheet:
    """Return the sheet with other slopes at its nodes."""
    step = float(sheet.along_mm[1] - sheet.along_mm[0])
    angle = angle.clamp(-1.5, 1.5)
    between = (angle[1:] + angle[:-1]) / 2
    start, middle = torch.zeros(1), len(angle) // 2
    x = torch.cat([start, torch.cumsum(between.cos() * step, 0)])
    z = torch.cat([start, torch.cumsum(-between.sin() * step, 0)])
    return replace(sheet, angle_rad=angle, x_mm=x - x[middle], z_mm=z - z[middle])


def height_of(sheet: Sheet, x_mm: Tensor) -> Tensor:
    """Return how far the curve stands out at distances along the straight direction."""
    index = torch.searchsorted(sheet.x_mm, x_mm.contiguous()).clamp(1, NODES - 1)
    x0, x1 = sheet.x_mm[index - 1], sheet.x_mm[index]
    share = ((x_mm - x0) / (x1 - x0).clamp(min=1e-6)).clamp(0, 1)
    return torch.lerp(sheet.z_mm[index - 1], sheet.z_mm[index], share)
