"""How a picture moves when the head in it takes another expression and pose: a field of displacements.

On the head the field comes from the fitted mesh, moved and seen through a z-buffer; outside, the picture is stretched
like rubber from the old outline to the new one and rests further away, as warping animators do (Averbuch-Elor et al.
2017, "Bringing portraits to life").
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional as F

from spooflab.generators.attacks.digital.poisson import fill
from spooflab.generators.enlarge import enlarge
from spooflab.generators.faces.procedural import eyes
from spooflab.generators.faces.procedural.landmarks import landmark_points
from spooflab.generators.faces.procedural.mesh import vertex_normals
from spooflab.generators.faces.procedural.model import EYE_POINTS, head_model
from spooflab.generators.faces.procedural.shape import PIVOT_MM, neck_share, rotation
from spooflab.generators.geometry.head_basis import head_basis
from spooflab.generators.geometry.head_fit import HeadFit
from spooflab.generators.geometry.mesh_maps import mesh_maps

_FLIP = torch.diag(torch.tensor([1.0, -1.0, -1.0]))
_LOWEST_MM, _BACK_MM = -165.0, -125.0
_BINS = 96
_SEEN = (0.05, 0.4)
"""Cosines towards the camera: what lay flatter was hidden, and is bridged by stretching what lies beside it."""
_RIM = (0.78, 0.95)
"""Radii of the old outline between which the surface gives way to that bridge: fitted outlines are a little off."""
_REST = 1.8
"""Where the picture rests, in radii of the outline."""
_CELL, _COARSE = 4, 64


@dataclass(frozen=True, eq=False)
class Motion:
    """A head before and after, in camera axes.

    Attributes:
        fit: the head as it was.
        points: (V, 3) the fine mesh as it is now.
        balls: (2, N, 3) eyeballs as they are now.
        expression_mm: largest way that the expression alone moves a point of the face.
    """

    fit: HeadFit
    points: Tensor
    balls: Tensor
    expression_mm: float

    @property
    def landmarks_px(self) -> Tensor:
        """(68, 2) how far each landmark moves."""
        return landmark_points(self.fit.project(self.points)) - landmark_points(self.fit.project(self.fit.points))


@dataclass(frozen=True, eq=False)
class Field:
    """What a motion does to the picture.

    Attributes:
        shift: (2, H, W) pixels: the picture now shows at p what it showed at p + shift.
        nearer_mm: (H, W) change of the distance of what is seen there; 0 off the head.
        turn: (3, H, W) change of its normal; 0 off the head.
    """

    shift: Tensor
    nearer_mm: Tensor
    turn: Tensor


def moved(fit: HeadFit, expression: Tensor, angles_deg: tuple[float, float, float]) -> Motion:
    """Return the head with (E,) weights added to its expression, turned by yaw, pitch and roll about the neck."""
    model, basis = head_model(), head_basis()
    change = model.fine((basis.modes[basis.shapes :].T @ expression).reshape(-1, 3)) @ fit.rotation.T
    old = fit.angles_deg
    before, after = (rotation(*angles) for angles in (old, [a + b for a, b in zip(old, angles_deg, strict=True)]))
    turn = _FLIP @ after @ before.T @ _FLIP
    pivot = fit.to_camera(torch.tensor(PIVOT_MM))
    posed = fit.points + change
    around = posed - pivot
    points = posed + _share() * (around @ turn.T - around)
    sphere = eyes.ball()[0]
    balls = torch.stack([fit.to_camera(sphere * ball[3] + ball[:3]) for ball in fit.eyes])
    face = model.rest[:, 2] > 0
    widest = float(change[face].norm(dim=1).amax())
    return Motion(fit, points, (balls - pivot) @ turn.T + pivot, widest)


def field(motion: Motion) -> Field:
    """Return what the motion does to the picture to which the head was fitted."""
    fit, fixed = motion.fit, _fixtures()
    height, width = fit.size
    sphere = eyes.ball()[0]
    count = len(fixed.share) - 2 * len(sphere)
    old = torch.cat([fit.points[:count], *(fit.to_camera(sphere * ball[3] + ball[:3]) for ball in fit.eyes)])
    new = torch.cat([motion.points[:count], *motion.balls])
    quads = head_model().topo.quads
    before, after = vertex_normals(old[:count], quads), vertex_normals(new[:count], quads)
    old_px, new_px = fit.project(old), fit.project(new)
    outline = _Outlines.of(old_px, new_px, fixed.share[:, 0] > 0.9)
    sight = -(before * old[:count]).sum(1) / old[:count].norm(dim=1)
    trust = _rise(sight, *_SEEN) * (1 - _rise(outline.depth(old_px[:count]), *_RIM) * fixed.share[:count, 0])
    turn = torch.cat([after - before, trust[:, None]], 1)
    turn = torch.cat([turn, torch.tensor([0.0, 0.0, 0.0, 1.0]).expand(len(new) - count, -1)])
    values = torch.cat([old_px - new_px, new[:, 2:] - old[:, 2:], turn], 1)
    seen = mesh_maps(new, fixed.triangles, values, fit.focal_px, fit.centre_px, fit.size, supersample=1, step=2)
    on = seen.cover > 0
    stretch, radius = outline.stretch(height, width)
    shift = torch.where(on, seen.attributes[:2], stretch)
    known = torch.where(on, seen.attributes[6], (radius >= 1).float())
    return Field(torch.lerp(_bridged(shift, known), shift, known), seen.attributes[2], seen.attributes[3:6])


def _bridged(shift: Tensor, sight: Tensor) -> Tensor:
    """Return the field (2, H, W) where it is trusted, and bridges from there across what was not seen before."""
    height, width = sight.shape
    pad = (0, -width % _COARSE, 0, -height % _COARSE)
    trust = F.pad((sight > 0.5).float()[None], pad, mode="replicate")
    cells = F.avg_pool2d(F.pad(shift, pad, mode="replicate") * trust, _CELL)
    weight = F.avg_pool2d(trust, _CELL)[0]
    known = (weight > 0).float()
    return enlarge(fill(cells / weight.clamp(min=1e-6) * known, known), _CELL)[..., :height, :width]


@dataclass(frozen=True, eq=False)
class _Outlines:
    """A head's outline before and after: a radius for each of `_BINS` directions about `centre` (2,)."""

    centre: Tensor
    old: Tensor
    new: Tensor

    @classmethod
    def of(cls, old_px: Tensor, new_px: Tensor, head: Tensor) -> "_Outlines":
        """Return the outlines of those points (N, 2) that are `head` (N,)."""
        old, new = old_px[head], new_px[head]
        centre = (old.amin(0) + old.amax(0)) / 2
        return cls(centre, _radii(old - centre), _radii(new - centre))

    def depth(self, points: Tensor) -> Tensor:
        """Return (N,) how far out points (N, 2) lie: 1 on the old outline."""
        offset = points - self.centre
        far: Tensor = offset.norm(dim=1) / self.old[_bins(offset)]
        return far

    def stretch(self, height: int, width: int) -> tuple[Tensor, Tensor]:
        """Return where to look from each pixel (2, height, width) so that the old outline comes to lie on the new one.

        All is still from `_REST` new radii on. The other map (height, width) is each pixel's radius, 1 on the new one.
        """
        y, x = torch.arange(1, height + 1, 2) - self.centre[1], torch.arange(1, width + 1, 2) - self.centre[0]
        dy, dx = torch.meshgrid(y, x, indexing="ij")
        place = torch.atan2(dy, dx) * (_BINS / (2 * math.pi)) + _BINS
        low = place.floor()
        after, index = place - low, low.long() % _BINS
        both = torch.stack([self.old / self.new - 1, 1 / self.new])
        both = torch.lerp(both[:, index], both[:, (index + 1) % _BINS], after)
        radius = torch.hypot(dx, dy) * both[1]
        amount = both[0] * _rise(radius, _REST, 1.0)
        full = enlarge(torch.stack([dx * amount, dy * amount, radius]), 2)[..., :height, :width]
        return full[:2], full[2]


def _bins(offset: Tensor) -> Tensor:
    """Return the bin of (N, 2) offsets; bin k lies at 2 pi k / bins."""
    return torch.round(torch.atan2(offset[:, 1], offset[:, 0]) * (_BINS / (2 * math.pi))).long() % _BINS


def _radii(offset: Tensor) -> Tensor:
    """Return (bins,) the largest length of (N, 2) offsets in each direction, smoothed."""
    radius = torch.zeros(_BINS).scatter_reduce(0, _bins(offset), offset.norm(dim=1), "amax")
    for _ in range(4):
        radius = (radius.roll(1) + radius.roll(-1) + 2 * radius) / 4
    return radius.clamp(min=1.0)


def _rise(value: Tensor, low: float, high: float) -> Tensor:
    """Return the smoothstep from 0 at `low` to 1 at `high`, in either order."""
    t = ((value - low) / (high - low)).clamp(0, 1)
    return t * t * (3 - 2 * t)


@lru_cache(maxsize=1)
def _share() -> Tensor:
    """Return (V, 1): how far a vertex of the fine mesh turns with the head."""
    return neck_share(head_model().rest)


@dataclass(frozen=True, eq=False)
class _Fixtures:
    triangles: Tensor
    share: Tensor


@lru_cache(maxsize=1)
def _fixtures() -> _Fixtures:
    """Return the triangles of head and eyeballs, and how far their vertices turn with the head."""
    model = head_model()
    count = len(model.base) - EYE_POINTS
    rest = model.rest[:count]
    shown = (rest[:, 1] > _LOWEST_MM) & (rest[:, 2] > _BACK_MM)
    triangles = head_basis().coarse_triangles
    keep = shown[triangles].all(1) & ~model.teeth.repeat_interleave(2)
    sphere, faces = eyes.ball()
    share = torch.cat([_share()[:count], torch.ones(2 * len(sphere), 1)])
    return _Fixtures(torch.cat([triangles[keep], faces + count, faces + count + len(sphere)]), share)
