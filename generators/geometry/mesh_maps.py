"""Any posed mesh as maps over the picture: antialiased cover, depth and interpolated attributes."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import embedding_bag

from spooflab.generators.enlarge import enlarge
from spooflab.generators.faces.procedural import raster
from spooflab.generators.masked import places

_NEAR_MM, _BEYOND = 1.0, 0.35
_IDENTITY = (1 << raster.ID_BITS) - 1


@dataclass(frozen=True, eq=False)
class MeshMaps:
    """What of a mesh each pixel sees.

    Attributes:
        cover: (H, W) share of the pixel that the mesh covers, in steps of 1 / supersample².
        depth_mm: (H, W) distance from the camera plane of what is seen; `inf` where `cover` is 0.
        attributes: (C, H, W) interpolated with perspective wherever `cover` > 0; 0 elsewhere. Not renormalised: a
            blend of unit normals is a little shorter than 1.
        triangle: (H, W) int64 index into the caller's triangles of the surface nearest to the camera in the pixel;
            −1 where `cover` is 0.
    """

    cover: Tensor
    depth_mm: Tensor
    attributes: Tensor
    triangle: Tensor


def mesh_maps(
    points_camera: Tensor,
    triangles: Tensor,
    attributes: Tensor,
    focal_px: float,
    centre_px: tuple[float, float],
    size: tuple[int, int],
    *,
    supersample: int = 2,
    step: int = 1,
    two_sided: bool = False,
) -> MeshMaps:
    """Rasterise a mesh with a z-buffer.

    Args:
        points_camera: (V, 3) millimetres, x right, y down, z away from the camera. Triangles that reach nearer than
            1 mm are left out.
        triangles: (T, 3) int64, counter-clockwise seen from their front; back faces are not seen.
        attributes: (V, C) float32 values to interpolate (normals, rest coordinates, texture coordinates …).
        focal_px, centre_px: pinhole camera in pixels of the picture.
        size: height and width.
        supersample: samples of cover along each side of a pixel, at least 1; 4 for what is seen close, 1 where an edge
            of whole pixels does.
        step: 1 evaluates the attributes at every pixel; 2 at the middles of blocks of 2 × 2 and enlarges them
            linearly, several times faster, for attributes that are smooth.
        two_sided: whether back faces are seen too (paper, thin shells); attributes are not flipped.
    """
    depth, owner = torch.full(size, torch.inf), torch.full(size, -1, dtype=torch.int64)
    cover, values = torch.zeros(size), torch.zeros(attributes.shape[1], *size)
    seen = Raster.of(
        points_camera,
        triangles,
        focal_px,
        centre_px,
        size,
        supersample=supersample,
        align=step,
        two_sided=two_sided,
    )
    if seen is None:
        return MeshMaps(cover, depth, values, owner)
    hit = seen.nearest != raster.EMPTY
    near, which = raster.unpack(seen.nearest)
    inside = enlarge(seen.interpolate(attributes, step), step)
    where = seen.window
    cut = (slice(0, where[0].stop - where[0].start), slice(0, where[1].stop - where[1].start))
    cover[where] = seen.cover()[cut]
    depth[where] = torch.where(hit, near, torch.inf)[cut]
    owner[where] = torch.where(hit, seen.origin[which.clamp(max=len(seen.origin) - 1)], -1)[cut]
    torch.mul(inside[(slice(None), *cut)], hit[cut], out=values[(slice(None), *where)])
    return MeshMaps(cover, depth, values, owner)


@dataclass(frozen=True, eq=False)
class Raster:
    """A mesh's z-buffer over the window of the picture that it may touch.

    Attributes:
        keys: (h · s, w · s) as `procedural.raster.fill` makes them, s samples along each side of a pixel.
        nearest: (h, w) the least key of each pixel.
        window: rows and columns of the picture that it lies on; h and w may reach past the picture's edge to be whole
            multiples of `align`.
        setup: the projected triangles.
        triangles: (T', 3) that were drawn.
        origin: (T',) their place among the caller's.
        inverse: (V,) 1 / z.
        samples: s.
    """

    keys: Tensor
    nearest: Tensor
    window: tuple[slice, slice]
    setup: raster.Setup
    triangles: Tensor
    origin: Tensor
    inverse: Tensor
    samples: int

    @classmethod
    def of(
        cls,
        points: Tensor,
        triangles: Tensor,
        focal_px: float,
        centre_px: tuple[float, float],
        size: tuple[int, int],
        *,
        supersample: int,
        align: int,
        two_sided: bool,
    ) -> "Raster | None":
        """Rasterise, see `mesh_maps`; None where nothing lies before the camera and in the picture."""
        z = points[:, 2]
        origin = torch.arange(len(triangles))
        if len(points) and float(z.amin()) < _NEAR_MM:
            origin = places((z.index_select(0, triangles.reshape(-1)).reshape(-1, 3) >= _NEAR_MM).all(1))
            triangles = triangles.index_select(0, origin)
        if len(triangles) == 0:
            return None
        inverse = z.clamp(min=_NEAR_MM).reciprocal()
        x = points[:, 0] * inverse * focal_px + centre_px[0]
        y = points[:, 1] * inverse * focal_px + centre_px[1]
        rows, columns = (_span(v, triangles, n) for v, n in ((y, size[0]), (x, size[1])))
        if rows.stop <= rows.start or columns.stop <= columns.start:
            return None
        rows, columns = (slice(v.start // align * align, v.stop) for v in (rows, columns))
        high, wide = (-(-(v.stop - v.start) // align) * align for v in (rows, columns))
        if two_sided:
            triangles, origin = torch.cat([triangles, triangles.flip(1)]), torch.cat([origin, origin])
        pixel = torch.stack([(x - columns.start) * supersample, (y - rows.start) * supersample], 1)
        fine = (high * supersample, wide * supersample)
        setup = raster.prepare(pixel, inverse, triangles, fine)
        keys = raster.fill(setup, fine).reshape(fine)
        nearest = _least(keys, supersample)
        return cls(keys, nearest, (rows, columns), setup, triangles, origin, inverse, supersample)

    def cover(self) -> Tensor:
        """Return (h, w) the share of each pixel's samples that meet the mesh."""
        hit = (self.keys != raster.EMPTY).float()
        side = self.samples
        if side == 1:
            return hit
        total = sum((hit[i::side, j::side] for i in range(side) for j in range(side)), torch.zeros(()))
        return total / side**2

    def interpolate(self, values: Tensor, step: int) -> Tensor:
        """Return (C, h / step, w / step) of (V, C) values at the middles of blocks; empty blocks next to others are
        filled with their neighbours' mean, so that enlarging meets no hole.
        """
        keys = _least(self.nearest, step)
        high, wide = keys.shape
        flat = keys.reshape(-1)
        cell = places(flat != raster.EMPTY)
        which = flat.index_select(0, cell) & _IDENTITY
        row = torch.div(cell, wide, rounding_mode="floor")
        scale = float(self.samples * step)
        px, py = (cell - row * wide + 0.5) * scale, (row + 0.5) * scale
        lookup = torch.zeros(len(self.triangles), dtype=torch.int64)
        lookup[self.setup.source] = torch.arange(len(self.setup.source))
        plane = self.setup.plane[:6].index_select(1, lookup.index_select(0, which))
        w1 = torch.addcmul(torch.addcmul(plane[2], plane[0], px), plane[1], py)
        w2 = torch.addcmul(torch.addcmul(plane[5], plane[3], px), plane[4], py)
        corners = self.triangles.index_select(0, which)
        # The middle may lie outside the triangle of one of its samples. A little beyond its edge the plane still holds,
        # but slivers would go astray; raising negative weights keeps the sum at 1 or above.
        weights = torch.stack([1 - w1 - w2, w1, w2], 1).clamp_(min=-_BEYOND)
        weights *= self.inverse.index_select(0, corners.reshape(-1)).reshape(-1, 3)
        weights /= weights.sum(1, keepdim=True)
        mixed = embedding_bag(corners, values, per_sample_weights=weights, mode="sum").T.contiguous()
        out = torch.zeros(values.shape[1], high * wide)
        out.index_copy_(1, cell, mixed)
        if step > 1:
            known = torch.zeros(high * wide).index_fill_(0, cell, 1.0)
            _fill_rim(out, known, high, wide)
        return out.reshape(-1, high, wide)


def _span(values: Tensor, triangles: Tensor, limit: int) -> slice:
    """Return the cells of 0 … limit between the least and the largest value that the triangles use."""
    used = values.index_select(0, triangles.reshape(-1))
    low, high = float(used.amin()), float(used.amax())
    return slice(int(min(max(low, 0), limit)), int(min(max(high + 1, 0), limit)))


def _least(keys: Tensor, side: int) -> Tensor:
    """Return the least key of each block of `side` × `side`."""
    out = keys[::side, ::side]
    for i in range(side):
        for j in range(side):
            if i or j:
                out = torch.minimum(out, keys[i::side, j::side])
    return out


def _fill_rim(values: Tensor, known: Tensor, high: int, wide: int) -> None:
    """Give unknown cells beside known ones their mean, in place; `values` is (C, high · wide)."""
    grid = known.reshape(high, wide)
    wider = torch.zeros(high + 2, wide + 2)
    wider[1:-1, 1:-1] = grid
    rows = wider[:-2] + wider[1:-1] + wider[2:]
    count = (rows[:, :-2] + rows[:, 1:-1] + rows[:, 2:]).reshape(-1)
    cell = places((known == 0) & (count > 0))
    y = torch.div(cell, wide, rounding_mode="floor")
    step = torch.tensor([-1, 0, 1])
    rows, columns = y[:, None] + step, (cell - y * wide)[:, None] + step
    inside = ((rows >= 0) & (rows < high))[:, :, None] & ((columns >= 0) & (columns < wide))[:, None]
    # An unknown cell holds 0, as the cell itself does: it stands in for those past the edge.
    beside = torch.where(inside, rows[:, :, None] * wide + columns[:, None], cell[:, None, None])
    total = values.index_select(1, beside.reshape(-1)).reshape(len(values), -1, 9).sum(2)
    values.index_copy_(1, cell, total / count.index_select(0, cell))
