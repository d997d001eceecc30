"""The shape of a held sheet: flat, bent in or out, a lifted corner, a cylinder, curled ends; nothing stretches.

The sheet is a general cylinder. Across its ruling (the coordinate s) it is flat up to a start on either side, then
bends at constant curvature up to a largest angle, then goes on straight; along the ruling (t) it is straight. Its arc
length s and t are the sheet's own millimetres, turned by the ruling's angle. Positive curvature bends away from the
camera.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from spooflab.augment.view import View
from spooflab.generators.pose import Pose
from spooflab.params import Params, choice, uniform

SHAPES = ("flat", "bent_in", "bent_out", "corner", "cylinder", "curl")
"""After CelebA-Spoof (Zhang et al. 2020): flat, bent in, bent out, corner; `cylinder` is bent out strongly, `curl` has
rolled ends, as paper that came off a roll."""
MAX_ANGLE = 0.85
"""Radians by which a bend turns the sheet at most."""
_LONGEST_CURL_MM = 110.0
_NEWTON_STEPS = 12
_CLOSE_MM = 1e-4


@dataclass(frozen=True)
class Bend(Params):
    """The shape of one sheet; every field is batched.

    Attributes:
        shape: (B,) int64 index into `SHAPES`.
        axis_deg: (B,) direction in which the sheet bends (s), from the sheet's u axis; the ruling is normal to it.
        start_mm: (B, 2) distance from the centre at which the bend begins, towards +s and towards -s.
        curvature_per_mm: (B, 2) curvature there, positive away from the camera.
    """

    shape: Tensor
    axis_deg: Tensor
    start_mm: Tensor
    curvature_per_mm: Tensor


@dataclass(frozen=True)
class SheetHit:
    """Where rays meet the sheet, at the points asked for.

    Attributes:
        uv_mm: (B, ..., 2) position on the (unrolled, unbounded) sheet.
        depth_mm: (B, ...) z of the meeting point in camera axes.
        normal: (B, ..., 3) unit normal towards the camera's side, camera axes.
        ray: (B, ..., 3) unit vector along the ray, away from the camera.
    """

    uv_mm: Tensor
    depth_mm: Tensor
    normal: Tensor
    ray: Tensor


def sample_bend(size_mm: Tensor, generator: torch.Generator) -> Bend:
    """Draw shapes for sheets of the given sizes (B, 2): a third flat, the rest shared by the other five."""
    n = size_mm.shape[0]
    shape = torch.where(torch.rand(n, generator=generator) < 0.34, 0, 1 + choice(n, len(SHAPES) - 1, generator))
    reach = size_mm[:, 0] / 2
    upright = torch.rand(n, generator=generator) < 0.75  # most hands bend a sheet about its upright
    tilt = uniform(n, -14, 14, generator) + torch.where(upright, 0.0, 90.0)
    diagonal = torch.rad2deg(torch.atan2(size_mm[:, 1], size_mm[:, 0]))
    quadrant = choice(n, 4, generator)
    to_corner = torch.where(quadrant % 2 == 0, diagonal, 180 - diagonal) * torch.where(quadrant < 2, 1.0, -1.0)
    to_corner = to_corner + uniform(n, -18, 18, generator)
    gentle = uniform(n, 0.12, 0.42, generator) / reach
    strong = uniform(n, 0.45, 0.8, generator) / reach
    skew = uniform(n, 0.7, 1.3, generator)
    corner = shape == SHAPES.index("corner")
    sign = torch.where(shape == SHAPES.index("bent_in"), -1.0, 1.0)
    curl = uniform(n, 0.006, 0.02, generator) * torch.where(torch.rand(n, generator=generator) < 0.6, -1.0, 1.0)
    size = torch.where(shape == SHAPES.index("cylinder"), strong, gentle) * sign * (shape != 0)
    half_diagonal = size_mm.norm(dim=-1) / 2
    rolled = shape == SHAPES.index("curl")
    half_height = size_mm[:, 1] / 2
    free = half_height * uniform(n, 0.45, 0.85, generator)  # what lies flat, from the middle
    free = torch.maximum(free, half_height - _LONGEST_CURL_MM)
    roll = uniform(n, 0.3, 0.8, generator) / (half_height - free) * torch.where(curl < 0, -1.0, 1.0)
    uneven = torch.stack([roll * uniform(n, 0.5, 1.0, generator), roll], -1)
    start = torch.stack(
        [torch.where(corner, half_diagonal * uniform(n, 0.35, 0.75, generator), 0.0), torch.zeros(n)], -1
    )
    curvature = torch.where(
        corner[:, None],
        torch.stack([curl, torch.zeros(n)], -1),
        torch.stack([size * skew, size * (2 - skew)], -1),
    )
    axis = torch.where(corner, to_corner, torch.where(rolled, 90.0 + 0.2 * tilt.clamp(max=14), tilt))
    return Bend(
        shape=shape,
        axis_deg=axis,
        start_mm=torch.where(rolled[:, None], free[:, None].expand(n, 2), start),
        curvature_per_mm=torch.where(rolled[:, None], uneven, curvature),
    )


def profile(bend: Bend, s: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return where arc length s (B, ...) lies: place along the flat tangent, depth behind it, slope angle."""
    far = (s >= 0).to(s.dtype)
    start = _side(bend.start_mm, far, s)
    curvature = _side(bend.curvature_per_mm, far, s)
    length = s.abs()
    into = (length - start).clamp(min=0)
    curved = torch.minimum(into, MAX_ANGLE / curvature.abs().clamp(min=1e-9))
    angle = curvature * curved
    straight = into - curved
    # sin(a)/k and (1 - cos a)/k without dividing by a vanishing curvature
    along = curved * torch.sinc(angle / torch.pi) + straight * angle.cos()
    behind = curved * torch.sinc(angle / (2 * torch.pi)) * torch.sin(angle / 2) + straight * angle.sin()
    sign = 2 * far - 1
    return sign * (torch.minimum(length, start) + along), behind, sign * angle


def surface(bend: Bend, uv_mm: Tensor) -> Tensor:
    """Return the place (B, ..., 3) of sheet points (B, ..., 2) in the flat sheet's frame: u, v, away from camera."""
    cos, sin = _turn(bend, uv_mm[..., 0])
    s = uv_mm[..., 0] * cos + uv_mm[..., 1] * sin
    t = uv_mm[..., 1] * cos - uv_mm[..., 0] * sin
    along, behind, _ = profile(bend, s)
    return torch.stack([along * cos - t * sin, along * sin + t * cos, behind], -1)


def cast_sheet(view: View, pose: Pose, bend: Bend, sensor: Tensor) -> SheetHit:
    """Intersect the rays of sensor points (B, h, w, 2) with the bent sheet: Newton's method on the arc length."""
    ideal = view.undistort(sensor)
    per_px = (view.pixel_um / 1000 / view.focal_mm)[:, None, None]
    ray = torch.stack(
        [
            (ideal[..., 0] - view.width / 2) * per_px,
            (ideal[..., 1] - view.height / 2) * per_px,
            torch.ones_like(ideal[..., 0]),
        ],
        -1,
    )
    axes = torch.stack(pose.axes(), -1)  # (B, 3, 3), columns u, v, n
    cos, sin = (value[..., None] for value in _turn(bend, ray[..., 0]))
    local = ray @ axes[:, None]
    eye = -(pose.centre_mm[:, None] @ axes)[:, None]  # (B, 1, 1, 3)
    d_s, d_t, d_n = _rotate(local, cos, sin)
    e_s, e_t, e_n = _rotate(eye.expand_as(local), cos, sin)
    s = e_s - e_n * d_s / d_n
    for _ in range(_NEWTON_STEPS):
        along, behind, angle = profile(bend, s)
        miss = (along - e_s) * d_n - (behind - e_n) * d_s
        step = miss / (angle.cos() * d_n - angle.sin() * d_s).clamp(min=0.05)
        s = s - step
        if float(step.abs().amax()) < _CLOSE_MM:
            break
    along, behind, angle = profile(bend, s)
    reach = ((along - e_s) * d_s + (behind - e_n) * d_n) / (d_s * d_s + d_n * d_n)
    t = e_t + reach * d_t
    c, i = cos[..., 0], sin[..., 0]
    uv = torch.stack([s * c - t * i, s * i + t * c], -1)
    tilt = angle.sin()
    facing = torch.stack([tilt * c, tilt * i, -angle.cos()], -1) @ axes[:, None].transpose(-1, -2)
    return SheetHit(uv, reach * ray[..., 2], facing, ray / ray.norm(dim=-1, keepdim=True))


def project_sheet(view: View, pose: Pose, bend: Bend, uv_mm: Tensor) -> tuple[Tensor, Tensor]:
    """Return the sensor points (B, N, 2), lens included, and the depth (B, N) of sheet points (B, N, 2)."""
    place = surface(bend, uv_mm) @ torch.stack(pose.axes(), -2) + pose.centre_mm[:, None]
    per_px = (view.focal_mm * 1000 / view.pixel_um)[:, None, None]
    centre = torch.tensor([view.width / 2, view.height / 2])
    return view.distort(place[..., :2] / place[..., 2:] * per_px + centre), place[..., 2]


def _side(pair: Tensor, far: Tensor, like: Tensor) -> Tensor:
    shape = (-1, *([1] * (like.ndim - 1)))
    return pair[:, 0].reshape(shape) * far + pair[:, 1].reshape(shape) * (1 - far)


def _turn(bend: Bend, like: Tensor) -> tuple[Tensor, Tensor]:
    angle = torch.deg2rad(bend.axis_deg).reshape(-1, *([1] * (like.ndim - 1)))
    return angle.cos(), angle.sin()


def _rotate(vectors: Tensor, cos: Tensor, sin: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    x, y = vectors[..., :1], vectors[..., 1:2]
    return (x * cos + y * sin)[..., 0], (y * cos - x * sin)[..., 0], vectors[..., 2]
