"""A flat instrument held before the camera: where each sensor pixel's ray meets it, and back.

The instrument's own coordinates are millimetres on its face, u right and v down, origin at its centre, as seen by
somebody who looks at it upright. Camera axes: x right, y down, z away from the camera, origin at the pinhole.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from spooflab.augment.view import View
from spooflab.params import Params


@dataclass(frozen=True)
class Pose(Params):
    """Rigid placement of a plane.

    Attributes:
        centre_mm: (B, 3) the instrument's origin in camera axes; z is its distance.
        yaw_deg: (B,) turn about the vertical axis, positive moves the right edge away.
        pitch_deg: (B,) tilt about the horizontal axis, positive moves the lower edge away.
        roll_deg: (B,) turn in the plane, clockwise in the image.
    """

    centre_mm: Tensor
    yaw_deg: Tensor
    pitch_deg: Tensor
    roll_deg: Tensor

    def axes(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return the unit vectors (B, 3) of u, v and of the normal that points away from the camera."""
        yaw, pitch, roll = (torch.deg2rad(a) for a in (self.yaw_deg, self.pitch_deg, self.roll_deg))
        cy, sy, cp, sp, cr, sr = yaw.cos(), yaw.sin(), pitch.cos(), pitch.sin(), roll.cos(), roll.sin()
        zero = torch.zeros_like(yaw)
        turn_y = torch.stack([cy, zero, -sy, zero, zero + 1, zero, sy, zero, cy], -1).reshape(-1, 3, 3)
        turn_x = torch.stack([zero + 1, zero, zero, zero, cp, -sp, zero, sp, cp], -1).reshape(-1, 3, 3)
        turn_z = torch.stack([cr, -sr, zero, sr, cr, zero, zero, zero, zero + 1], -1).reshape(-1, 3, 3)
        rotation = turn_y @ turn_x @ turn_z
        return rotation[:, :, 0], rotation[:, :, 1], rotation[:, :, 2]


@dataclass(frozen=True)
class Hit:
    """Where rays meet the instrument's plane.

    Attributes:
        uv_mm: (B, H, W, 2) position on the instrument's (unbounded) plane.
        depth_mm: (B, 1, H, W) z of the meeting point.
        cosine: (B, 1, H, W) cosine between the ray and the plane's normal, in (0, 1].
    """

    uv_mm: Tensor
    depth_mm: Tensor
    cosine: Tensor


def cast(view: View, pose: Pose) -> Hit:
    """Intersect every pixel's ray with the plane of `pose`."""
    return cast_points(view, pose, view.ideal_grid())


def cast_points(view: View, pose: Pose, ideal: Tensor) -> Hit:
    """Intersect the rays through pinhole image points (B, H, W, 2) with the plane of `pose`."""
    per_px = (view.pixel_um / 1000 / view.focal_mm)[:, None, None]
    dx = (ideal[..., 0] - view.width / 2) * per_px
    dy = (ideal[..., 1] - view.height / 2) * per_px
    u_axis, v_axis, normal = pose.axes()
    centre = pose.centre_mm

    def dot_ray(axis: Tensor) -> Tensor:
        a = axis[:, :, None, None]
        return a[:, 0] * dx + a[:, 1] * dy + a[:, 2]

    along = (centre * normal).sum(-1)[:, None, None] / dot_ray(normal)
    u = along * dot_ray(u_axis) - (centre * u_axis).sum(-1)[:, None, None]
    v = along * dot_ray(v_axis) - (centre * v_axis).sum(-1)[:, None, None]
    length = torch.sqrt(1 + dx * dx + dy * dy)
    return Hit(torch.stack([u, v], -1), along[:, None], (dot_ray(normal) / length)[:, None])


def project(view: View, pose: Pose, uv_mm: Tensor) -> Tensor:
    """Return where the camera sees instrument points (B, N, 2), in sensor pixels (B, N, 2), lens included."""
    u_axis, v_axis, _ = pose.axes()
    points = pose.centre_mm[:, None] + uv_mm[..., :1] * u_axis[:, None] + uv_mm[..., 1:] * v_axis[:, None]
    per_px = (view.focal_mm * 1000 / view.pixel_um)[:, None]
    x = points[..., 0] / points[..., 2] * per_px + view.width / 2
    y = points[..., 1] / points[..., 2] * per_px + view.height / 2
    return view.distort(torch.stack([x, y], -1))


def sent(view: View, device: torch.device) -> View:
    """Return the view on `device` but for the window's size, which code branches on: that stays with the host."""
    return replace(view.to(device), size_px=view.size_px.to("cpu"))


def framing(view: View, width_mm: Tensor, share: Tensor, max_distance_mm: Tensor) -> tuple[Tensor, Tensor]:
    """Return the distance (mm) and binning at which `width_mm` fills `share` of the window's width.

    The smallest binning that keeps the distance within `max_distance_mm` is taken: that is what a phone does when it
    streams or crops from a sensor with more pixels than the frame needs. All arguments and results are (B,).
    """
    native = view.focal_mm * width_mm / (share * view.width * view.pitch_um / 1000)
    binning = torch.ceil(native / max_distance_mm).clamp(min=1)
    return native / binning, binning.to(torch.int64)
