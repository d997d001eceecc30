"""Thin-plate spline between two faces' landmarks: for every pixel of one, where to look in the other."""

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from spooflab.generators.enlarge import enlarge

_PER_STEP = 18.0
_MAX_STEP = 3
_STIFFNESS = 1e-5
_OUTER = 60
_UPPER, _LOWER = [61, 62, 63], [67, 66, 65]
_GAP = 0.03
"""Least distance between the inner lips, in nose lengths: in a closed mouth they coincide, which no map can undo."""


@dataclass(frozen=True)
class ThinPlate:
    """The smooth map that takes given points to others with the least bending (Bookstein 1989).

    Attributes:
        at: (B, N, 2) control points, in units of `scale`.
        weights: (B, N, 2) of the radial terms r² log r.
        affine: (B, 3, 2) of 1, x, y.
        scale: (B, 1, 1) length that coordinates are divided by, so that the system is well conditioned.
    """

    at: Tensor
    weights: Tensor
    affine: Tensor
    scale: Tensor

    @classmethod
    def fit(cls, at: Tensor, to: Tensor) -> Self:
        """Return the map with at → to, both (B, N, 2) pixels."""
        at, to = at.double(), to.double()
        scale = at.std(dim=(1, 2))[:, None, None]
        unit = at / scale
        count = at.shape[1]
        kernel = _radial(torch.cdist(unit, unit)) + _STIFFNESS * torch.eye(count, dtype=torch.float64)
        basis = torch.cat([torch.ones_like(unit[..., :1]), unit], -1)
        system = torch.zeros(len(at), count + 3, count + 3, dtype=torch.float64)
        system[:, :count, :count] = kernel
        system[:, :count, count:] = basis
        system[:, count:, :count] = basis.transpose(1, 2)
        right = torch.cat([to, to.new_zeros(len(at), 3, 2)], 1)
        solved = torch.linalg.solve(system, right)
        return cls(unit, solved[:, :count], solved[:, count:], scale)

    def __call__(self, points: Tensor) -> Tensor:
        """Map (B, M, 2) pixels to (B, M, 2) float32 pixels."""
        unit = points.double() / self.scale
        bent = _radial(torch.cdist(unit, self.at)) @ self.weights
        return (self.affine[:, :1] + unit @ self.affine[:, 1:] + bent).float()

    def on_grid(self, x: Tensor, y: Tensor) -> Tensor:
        """Map the points of a grid with columns at x (W,) and rows at y (H,) pixels to (B, H, W, 2) float32 pixels.

        As `__call__`, with the bending in single precision: within 1e-2 px.
        """
        ux, uy = x.double()[None, :, None] / self.scale, y.double()[None, :, None] / self.scale
        dx, dy = ux - self.at[:, None, :, 0], uy - self.at[:, None, :, 1]
        square = dx.square().float()[:, None] + dy.square().float()[:, :, None]
        bent = square.mul_(torch.log(square.clamp(min=1e-18))) @ (self.weights / 2).float()[:, None]
        plane = self.affine[:, None, None, 0] + ux[:, None] * self.affine[:, None, None, 1]
        return (plane + uy[:, :, None] * self.affine[:, None, None, 2]).float() + bent


def face_spline(target: Tensor, donor: Tensor) -> ThinPlate:
    """Return the map from target to donor pixels for landmarks (B, 68, 2); a row over the forehead steadies it."""
    return ThinPlate.fit(_controls(target), _controls(donor))


def forehead(landmarks: Tensor, rise: Tensor | float) -> Tensor:
    """Return (B, 10, 2): the brows (17-26) raised by `rise` times the nose's length along the nose."""
    up = landmarks[:, 27] - landmarks[:, 33]
    lift = torch.as_tensor(rise, dtype=landmarks.dtype).reshape(-1, 1, 1) * up[:, None]
    arch = 1 - 0.35 * torch.linspace(-1, 1, 10) ** 2
    return landmarks[:, 17:27] + lift * arch[:, None]


def dense_map(spline: ThinPlate, top: int, left: int, height: int, width: int) -> Tensor:
    """Return the map at every pixel of a window, (B, height, width, 2).

    The spline is evaluated at every third pixel of a large face, closer on a small one; it bends over longer
    distances than that.
    """
    step = min(_MAX_STEP, max(1, int(float(spline.scale.min()) / _PER_STEP)))
    y = top - step / 2 + step * torch.arange(-(-height // step) + 2)
    x = left - step / 2 + step * torch.arange(-(-width // step) + 2)
    fine = enlarge(spline.on_grid(x, y).permute(0, 3, 1, 2).contiguous(), step)
    return fine[..., step : step + height, step : step + width].permute(0, 2, 3, 1)


def folded_share(at: Tensor, weight: Tensor) -> Tensor:
    """Return (B,): the weighted share of a map (B, H, W, 2) that is turned inside out; `weight` is (B, 1, H, W)."""
    small, share = at[:, ::_MAX_STEP, ::_MAX_STEP], weight[:, 0, ::_MAX_STEP, ::_MAX_STEP][:, 1:, 1:]
    ddx, ddy = small[:, 1:, 1:] - small[:, 1:, :-1], small[:, 1:, 1:] - small[:, :-1, 1:]
    turned = ddx[..., 0] * ddy[..., 1] - ddx[..., 1] * ddy[..., 0] <= 0
    return (turned * share).sum((1, 2)) / share.sum((1, 2)).clamp(min=1e-6)


def parted_lips(landmarks: Tensor) -> Tensor:
    """Return landmarks (B, 68, 2) whose inner lips are at least a little open, so that a map can tell them apart."""
    inner = _inner_lips(landmarks)
    parted = landmarks.clone()
    parted[:, _UPPER], parted[:, _LOWER] = inner[:, :3], inner[:, 3:]
    return parted


def _controls(landmarks: Tensor) -> Tensor:
    return torch.cat([landmarks[:, :_OUTER], _inner_lips(landmarks), forehead(landmarks, 0.8)[:, ::3]], 1)


def _inner_lips(landmarks: Tensor) -> Tensor:
    """Return (B, 6, 2): the inner lips without their corners, at least a little open."""
    down = landmarks[:, 33] - landmarks[:, 27]
    length = down.norm(dim=-1, keepdim=True)
    axis = (down / length)[:, None]
    upper, lower = landmarks[:, _UPPER], landmarks[:, _LOWER]
    middle = (upper + lower) / 2
    gap = ((lower - upper) * axis).sum(-1, keepdim=True)
    more = (_GAP * length[:, None] - gap).clamp(min=0) / 2
    return torch.cat([middle + (upper - middle) - more * axis, middle + (lower - middle) + more * axis], 1)


def _radial(distance: Tensor) -> Tensor:
    return distance * distance * torch.log(distance.clamp(min=1e-9))
