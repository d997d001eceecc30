"""The procedural head fitted to 68 landmarks: pose, identity and expression of any face picture."""

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Self

import torch
from torch import Tensor

from spooflab.errors import SkipSample
from spooflab.generators.faces.procedural.attach import Attachment
from spooflab.generators.faces.procedural.mesh import vertex_normals
from spooflab.generators.faces.procedural.model import EYE_POINTS, head_model
from spooflab.generators.geometry.head_basis import head_basis
from spooflab.generators.geometry.head_solver import HeadProblem, HeadState, residuals, solve_head

MAX_ERROR = 0.16
"""Largest `HeadFit.error` that is still a face."""
_MIN_EYES_PX = 6.0


@dataclass(frozen=True, eq=False)
class HeadFit:
    """One face's head in three dimensions. Everything float32 unless said otherwise.

    Head frame: x to the subject's left, y up, z forwards (out of the face), origin between the eyes, millimetres.
    Camera axes: x right, y down, z away from the camera, origin in the camera's pinhole, millimetres.

    Attributes:
        points: (V, 3) fine mesh in camera axes; V and the triangles are those of `head_model()`
            (`head_model().topo.triangles`, `.topo.fine_quads`).
        local: (V, 3) the same mesh in the head frame, settled on the picture's landmarks.
        rotation: (3, 3) and
        translation_mm: (3,) take the head frame to camera axes: `local @ rotation.T + translation_mm` is `points`.
        focal_px: focal length in pixels of the picture; with the distance it is known only up to the prior.
        centre_px: principal point (x, y).
        size: height and width of the picture in pixels.
        shape: (S,) identity in standard deviations, the last four being left–right asymmetry.
        expression: (E,) weights of `modes.EXPRESSIONS`.
        eyes: (2, 4) eyeballs in the head frame, subject's left one first: centre and radius.
        error: root mean square distance between the landmarks and the statistical head's before it is settled on them,
            relative to the distance between the eyes' centres. 0.01–0.03 for renders, up to about 0.08 for photographs.
    """

    points: Tensor
    local: Tensor
    rotation: Tensor
    translation_mm: Tensor
    focal_px: float
    centre_px: tuple[float, float]
    size: tuple[int, int]
    shape: Tensor
    expression: Tensor
    eyes: Tensor
    error: float

    def project(self, points_camera: Tensor) -> Tensor:
        """Return (…, 2) pixels of (…, 3) points in camera axes that lie before the camera."""
        scaled = points_camera[..., :2] * (self.focal_px / points_camera[..., 2:])
        return scaled + scaled.new_tensor(self.centre_px)

    def to_camera(self, points_head: Tensor) -> Tensor:
        """Return (…, 3) points of the head frame in camera axes."""
        return points_head @ self.rotation.T + self.translation_mm

    def to_head(self, points_camera: Tensor) -> Tensor:
        """Return (…, 3) points in camera axes in the head frame."""
        return (points_camera - self.translation_mm) @ self.rotation

    def carry(self, attachment: Attachment) -> Tensor:
        """Return (N, 3) in camera axes: points that ride on the mesh (`procedural.attach`)."""
        return attachment.carry(self.points)

    def with_shape(self, shape: Tensor, expression: Tensor) -> Self:
        """Return another head in this one's place: same pose and camera, coefficients (S,) and (E,) as given.

        Example: the donor's neutral head on the wearer is `wearer.with_shape(donor.shape, neutral_expression())`. The
        other head is the statistical one; what settled this head on its own landmarks does not go over to it.
        """
        coarse = head_basis().coarse(shape, expression)
        local = head_model().fine(coarse)
        points = self.to_camera(local)
        eyes = _eyeballs(coarse)
        return replace(self, points=points, local=local, shape=shape, expression=expression, eyes=eyes)

    @cached_property
    def normals(self) -> Tensor:
        """(V, 3) unit normals in camera axes, out of the head (towards −z where it faces the camera)."""
        return vertex_normals(self.points, head_model().topo.fine_quads)

    @property
    def angles_deg(self) -> tuple[float, float, float]:
        """Yaw (positive: to the image's right), pitch (positive: up) and roll, as `procedural.shape.rotation`'s."""
        return _angles(self.rotation)

    @property
    def mm_per_px(self) -> float:
        """Millimetres that a pixel spans at the head's origin."""
        return float(self.translation_mm[2]) / self.focal_px


def fit_head(
    landmarks: Tensor,
    size: tuple[int, int],
    *,
    centre_px: tuple[float, float] | None = None,
    distance_mm: float = 480.0,
    distance_spread: float = 0.25,
    landmark_noise: float = 0.02,
    max_yaw_deg: float = 55.0,
) -> HeadFit:
    """Fit the head by maximum a posteriori: Gauss–Newton on pose, distance, scale, shape and expression together.

    Landmarks of the jaw are points of the visible contour: each step chooses them anew from bands of candidates.
    Residuals count by Huber's function. After the fit the mesh is settled on the landmarks: what they lie off is spread
    smoothly over the surface, parallel to the picture, so that lips and lids of a photograph meet its own.

    Args:
        landmarks: (68, 2) pixels in iBUG order.
        size: height and width of the picture.
        centre_px: principal point. A crop does not tell where the lens's axis met the picture: by default it is taken
            to point at where the eyes would be if the head were not turned on its neck.
        distance_mm: median of the log-normal prior of the distance between camera and eyes.
        distance_spread: its standard deviation in logarithms.
        landmark_noise: standard deviation of inner landmarks in distances between the eyes; brows and jaw have more.
        max_yaw_deg: heads turned further are refused.

    Raises:
        SkipSample: `head_fit_failed` (points not finite, collapsed, flipped or not of a face), `profile_face`.

    The posterior is after Blanz & Vetter 1999; contour points after Zhu et al. 2015's landmark marching.
    """
    seen = landmarks.detach().double()
    if seen.shape != (68, 2) or not bool(seen.isfinite().all()):
        raise SkipSample("head_fit_failed", f"landmarks of shape {tuple(seen.shape)}, wanted 68 finite points")
    pair = torch.stack([seen[36:42].mean(0), seen[42:48].mean(0)])
    eyes = float((pair[1] - pair[0]).norm())
    if eyes < _MIN_EYES_PX:
        raise SkipSample("head_fit_failed", f"{eyes:.1f} px between the eyes, wanted {_MIN_EYES_PX}")
    centre = pair.mean(0) if centre_px is None else torch.tensor(centre_px, dtype=torch.float64)
    problem = HeadProblem(seen, centre, eyes * landmark_noise, distance_mm, distance_spread)
    problem, state = solve_head(problem, aim=centre_px is None)
    off = residuals(problem, state)
    error = float(off.square().sum(1).mean().sqrt()) / eyes
    if not error <= MAX_ERROR:  # also where it is not a number
        raise SkipSample("head_fit_failed", f"landmarks lie {error:.2f} eye distances off a head, at most {MAX_ERROR}")
    yaw = _angles(state.turn)[0]
    if abs(yaw) > max_yaw_deg:
        raise SkipSample("profile_face", f"head turned by {yaw:.0f}°, at most {max_yaw_deg:.0f}°")
    return _settled(problem, state, off.float(), size, error)


def _angles(rotation: Tensor) -> tuple[float, float, float]:
    """Return yaw, pitch and roll in degrees of a rotation from the head frame to camera axes."""
    (_, _, right), (up_x, up_y, up), (_, _, back) = rotation.tolist()
    yaw, pitch = math.atan2(right, -back), math.asin(min(max(-up, -1.0), 1.0))
    return math.degrees(yaw), math.degrees(pitch), math.degrees(math.atan2(up_x, -up_y))


def _eyeballs(coarse: Tensor) -> Tensor:
    """Return (2, 4) centres and radii from the coarse points' last four."""
    pair = coarse[-EYE_POINTS:].reshape(2, 2, 3)
    radius = (pair[:, 1] - pair[:, 0]).norm(dim=-1, keepdim=True)
    return torch.cat([pair[:, 0], radius], 1)


def _settled(problem: HeadProblem, state: HeadState, off: Tensor, size: tuple[int, int], error: float) -> HeadFit:
    """Return the fit with its mesh moved, parallel to the picture, towards the landmarks that it misses by `off`."""
    basis = head_basis()
    scale, distance = math.exp(state.log_scale), math.exp(state.log_distance)
    lateral = (state.origin - problem.centre) / scale
    translation = torch.tensor([*lateral.tolist(), distance])
    rotation, coefficients = state.turn.float(), state.coefficients.float()
    shape, expression = coefficients[: basis.shapes], coefficients[basis.shapes :]
    coarse = basis.coarse(shape, expression)
    posed = coarse @ rotation.T + translation
    posed[:, :2] += (off.T @ basis.settle).T * (posed[:, 2:] / (scale * distance))
    local = (posed - translation) @ rotation
    points = head_model().fine(posed)
    return HeadFit(
        points=points,
        local=(points - translation) @ rotation,
        rotation=rotation,
        translation_mm=translation,
        focal_px=scale * distance,
        centre_px=(float(problem.centre[0]), float(problem.centre[1])),
        size=size,
        shape=shape,
        expression=expression,
        eyes=_eyeballs(local),
        error=error,
    )
