"""Maps of the fitted head over the picture: where it is, how far, how it faces, and which place of a face it is."""

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from spooflab.generators.enlarge import enlarge
from spooflab.generators.faces.procedural import eyes, raster
from spooflab.generators.faces.procedural.mesh import vertex_normals
from spooflab.generators.faces.procedural.model import EYE_POINTS, head_model
from spooflab.generators.geometry.head_basis import head_basis
from spooflab.generators.geometry.head_fit import HeadFit
from spooflab.generators.geometry.mesh_maps import Raster
from spooflab.generators.masked import either

_LOWEST_MM, _BACK_MM, _SHOULDER_MM = -150.0, -125.0, 62.0


@dataclass(frozen=True, eq=False)
class HeadMaps:
    """The head without hair, glasses or clothes, down to the neck.

    Attributes:
        cover: (H, W) share of the pixel that the head covers; the outline rises over two pixels about its
            place, and it fades out down the neck, from about y = −122 to −146 of the rest head.
        depth_mm: (H, W) distance from the camera plane, `inf` where `cover` is 0.
        normals: (3, H, W) unit vectors in camera axes (x right, y down, z away), 0 outside.
        rest_mm: (3, H, W) place on the average rest head: x to the subject's left, y up, z forwards; the eyes lie at
            y ≈ −1, |x| ≈ 30, the nose's tip at (0, −33), the mouth at y ≈ −68, the chin at y ≈ −104, the hairline at
            about y = 60. Smooth over the face and 0 outside, so layers are defined once in these coordinates.
        normals_half, rest_half: (3, ⌈H/2⌉, ⌈W/2⌉) the same at the middles of blocks of 2 × 2 pixels and one block past
            the outline: for what is smooth and may be computed at half the resolution, then enlarged.
    """

    cover: Tensor
    depth_mm: Tensor
    normals: Tensor
    rest_mm: Tensor
    normals_half: Tensor
    rest_half: Tensor

    @property
    def on_half(self) -> Tensor:
        """(⌈H/2⌉, ⌈W/2⌉) 1 where `normals_half` and `rest_half` are known."""
        return (self.normals_half[2] != 0).float()


def head_maps(fit: HeadFit) -> HeadMaps:
    """Rasterise the fitted head with its eyeballs at the size of the picture it was fitted to."""
    fixed = _fixtures()
    model, sphere = head_model(), fixed.sphere
    count = len(model.base) - EYE_POINTS
    # The fine mesh begins with the coarse one's vertices: a quarter of the triangles, a twentieth of a millimetre off.
    points = fit.points[:count]
    balls = [fit.to_camera(sphere * ball[3] + ball[:3]) for ball in fit.eyes]
    facing = sphere @ fit.rotation.T
    facing_all = torch.cat([vertex_normals(points, model.topo.quads), facing, facing])
    places = torch.cat([points, *balls])
    values = torch.cat([facing_all, fixed.rest, places[:, 2:], fixed.fade], 1)
    seen = Raster.of(
        places,
        fixed.triangles,
        fit.focal_px,
        fit.centre_px,
        fit.size,
        supersample=1,
        align=2,
        two_sided=False,
    )
    height, width = fit.size
    half = torch.zeros(6, -(-height // 2), -(-width // 2))
    out = torch.zeros(6, height, width)
    cover, depth = torch.zeros(height, width), torch.full((height, width), torch.inf)
    if seen is None:
        return HeadMaps(cover, depth, out[:3], out[3:], half[:3], half[3:])
    coarse = seen.interpolate(values, 2)
    _normalise(coarse[:3])
    inner = tuple(slice(v.start // 2, v.start // 2 + n) for v, n in zip(seen.window, coarse.shape[1:], strict=True))
    half[(slice(None), *inner)] = coarse[:6]
    full = enlarge(coarse, 2)
    _normalise(full[:3])
    hit = seen.nearest != raster.EMPTY
    soft = _softened(hit.float()).mul_(full[7])
    on = soft > 0
    full[:6] *= on
    # What lies nowhere is infinitely far: positive over 0.
    near = either(hit, raster.unpack(seen.nearest)[0], full[6]).clamp_(min=1e-3).div_(on)
    cut = tuple(slice(0, v.stop - v.start) for v in seen.window)
    out[(slice(None), *seen.window)] = full[(slice(0, 6), *cut)]
    cover[seen.window], depth[seen.window] = soft[cut], near[cut]
    return HeadMaps(cover, depth, out[:3], out[3:], half[:3], half[3:])


def _normalise(vectors: Tensor) -> None:
    """Bring (3, …) vectors to length 1 in place."""
    square = vectors[0] * vectors[0] + vectors[1] * vectors[1] + vectors[2] * vectors[2]
    vectors *= torch.rsqrt(square.clamp_(min=1e-12))


def _softened(hit: Tensor) -> Tensor:
    """Return (h, w) hits spread by a binomial filter of 3 × 3; the window's edge repeats itself."""
    for axis in (0, 1):
        count = hit.shape[axis]
        ends = [hit.narrow(axis, 0, 1), hit, hit.narrow(axis, count - 1, 1)]
        wider = torch.cat(ends, axis)
        hit = (wider.narrow(axis, 0, count) + wider.narrow(axis, 2, count)) * 0.25 + hit * 0.5
    return hit


@dataclass(frozen=True, eq=False)
class _Fixtures:
    triangles: Tensor
    rest: Tensor
    fade: Tensor
    sphere: Tensor


@lru_cache(maxsize=1)
def _fixtures() -> _Fixtures:
    """Return the triangles of head and eyeballs, their vertices' rest place and share of cover, and a unit eyeball."""
    model, basis = head_model(), head_basis()
    count = len(model.base) - EYE_POINTS
    rest = model.rest[:count]
    shown = (rest[:, 1] > _LOWEST_MM) & (rest[:, 2] > _BACK_MM)
    shown &= (rest[:, 1] > -112) | (rest[:, 0].abs() < _SHOULDER_MM)
    keep = shown[basis.coarse_triangles].all(1) & ~model.teeth.repeat_interleave(2)
    sphere, faces = eyes.ball()
    # The eyeballs of the rest head: where the lids' opening has its middle.
    pair = model.base[-EYE_POINTS:].reshape(2, 2, 3)
    radius = (pair[:, 1] - pair[:, 0]).norm(dim=-1)
    balls = [sphere * radius[k] + pair[k, 0] for k in range(2)]
    triangles = [basis.coarse_triangles[keep], faces + count, faces + count + len(sphere)]
    # The neck fades out before the cut; so do the shoulders beside it.
    low = ((rest[:, 1] + 146) / 24).clamp(0, 1)
    aside = ((rest[:, 0].abs() - 46) / 12).clamp(0, 1) * ((-102 - rest[:, 1]) / 8).clamp(0, 1)
    fade = torch.cat([low * (1 - aside), torch.ones(2 * len(sphere))])[:, None]
    return _Fixtures(torch.cat(triangles), torch.cat([rest, *balls]), fade, sphere)
