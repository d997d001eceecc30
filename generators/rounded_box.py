"""Rectangles with rounded corners: how much of each pixel they cover."""

from dataclasses import dataclass

import torch
from torch import Tensor

from spooflab.generators.some import some


def signed_distance(u: Tensor, v: Tensor, half: Tensor, radius: Tensor) -> Tensor:
    """Return (B, ...) distance to the outline, negative inside; beyond a sharp corner, the larger of the two axes'.

    Args:
        u: (B, ...) position from the box's centre.
        v: (B, ...) the other coordinate.
        half: (B, 2) half width and half height.
        radius: (B,) of the corners, at most the smaller half.
    """
    like = (-1, *([1] * (u.ndim - 1)))
    r = radius.reshape(like)
    qu = u.abs().sub_(half[:, 0].reshape(like) - r)
    qv = v.abs().sub_(half[:, 1].reshape(like) - r)
    inside = torch.maximum(qu, qv)
    if not some(radius > 0):
        return inside
    rounded = torch.hypot(qu.clamp_(min=0), qv.clamp_(min=0)).add_(inside.clamp(max=0)).sub_(r)
    return rounded if radius.is_cpu and bool(radius.all()) else torch.where(r > 0, rounded, inside)


def coverage(distance_px: Tensor | None, blur_px: Tensor) -> Tensor:
    """Return (B, 1, H, W) the share of a blurred pixel inside an edge: a ramp with the variance of pixel and blur.

    Args:
        distance_px: (B, H, W) signed distance in pixels, negative inside; None for all inside, which gives ones that
            broadcast, (B, 1, 1, 1).
        blur_px: (B,) standard deviation of the blur.
    """
    if distance_px is None:
        return torch.ones(len(blur_px), 1, 1, 1, device=blur_px.device)
    width = torch.sqrt(1 + 12 * blur_px**2)[:, None, None]
    return (distance_px * (-1 / width)).add_(0.5).clamp_(0, 1)[:, None]


@dataclass(frozen=True)
class Box:
    """A rectangle with rounded corners on the instrument's plane; every field is batched.

    Attributes:
        centre: (B, 2) millimetres.
        half: (B, 2) half width and half height, millimetres.
        radius: (B,) of the corners, millimetres.
    """

    centre: Tensor
    half: Tensor
    radius: Tensor

    def shrunk(self, by: Tensor) -> "Box":
        """Return the box inset by `by` (B,) millimetres on every side."""
        return Box(self.centre, self.half - by[:, None], (self.radius - by).clamp(min=0))

    def distance_px(self, at: Tensor, around: Tensor, mm_per_px: Tensor, blur_px: Tensor) -> Tensor | None:
        """Return (B, H, W) signed distance to the outline in pixels; None where the box holds the whole frame.

        Args:
            at: (B, 2, H, W) millimetres.
            around: (B, 2, n, n) millimetres at the nodes, from which a box that holds the whole frame is told.
            mm_per_px: (B,) size of a pixel.
            blur_px: (B,) standard deviation of the blur that the outline will have.
        """
        # The outermost nodes lie within 1.5 pixels of the frame's edge.
        reach = mm_per_px * (3 + 2 * blur_px)
        if not some(self._distance(around).flatten(1).amax(1) >= -reach):
            return None
        return self._distance(at).div_(mm_per_px[:, None, None])

    def missed(self, around: Tensor, mm_per_px: Tensor, blur_px: Tensor) -> bool:
        """Return whether no row's frame sees any of the box; see `distance_px` for the arguments."""
        reach = (mm_per_px * (3 + 2 * blur_px))[:, None]
        offset = (around - self.centre[..., None, None].to(around.dtype)).flatten(2)
        apart = torch.maximum(offset.amin(2), -offset.amax(2)) - self.half  # of the frame's extent along u and v
        return not some((apart <= reach).all(1))

    def _distance(self, at: Tensor) -> Tensor:
        u, v = (at - self.centre[..., None, None].to(at.dtype)).unbind(1)
        return signed_distance(u, v, self.half, self.radius)
