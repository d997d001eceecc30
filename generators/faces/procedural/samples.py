"""Where the visible surface is shaded."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import embedding_bag

from spooflab.generators.faces.procedural import raster
from spooflab.generators.faces.procedural.scene import SKIN, Scene
from spooflab.generators.faces.procedural.shape import Camera
from spooflab.generators.faces.procedural.vectors import unit

_PER_SAMPLE = ("pixel", "weight", "world", "normal", "rest", "extra", "part")


@dataclass(frozen=True)
class Samples:
    """Where the surface is shaded: one point per inner pixel, four at edges.

    Attributes:
        pixel: (N,) pixel each belongs to.
        weight: (N,) its share of that pixel.
        world, normal, rest: interpolated.
        extra: (N, 14) fields of the rest position: see `_extra`.
        part: (N,) which object.
        whole: the first so many samples stand alone in their pixel.
    """

    pixel: Tensor
    weight: Tensor
    world: Tensor
    normal: Tensor
    rest: Tensor
    extra: Tensor
    part: Tensor
    whole: int = 0

    def where(self, index: Tensor) -> "Samples":
        """Return some of the samples; `whole` no longer says anything about them."""
        return Samples(*(getattr(self, name).index_select(0, index) for name in _PER_SAMPLE))


def sample(scene: Scene, setup: raster.Setup, keys: Tensor, view: Camera) -> tuple[Samples, Tensor]:
    """Choose shading points: pixel centres inside objects, all four quarter points where something changes.

    Returns also the (size², ) depth of the nearest surface.
    """
    size = view.size
    quad = keys.reshape(size, 2, size, 2).permute(1, 3, 0, 2).reshape(4, -1)
    lowest = torch.minimum(torch.minimum(quad[0], quad[1]), torch.minimum(quad[2], quad[3]))
    used = (lowest != raster.EMPTY).nonzero()[:, 0]
    planes = [corner.index_select(0, used) for corner in quad]
    low = lowest.index_select(0, used) >> raster.ID_BITS
    high = torch.maximum(torch.maximum(planes[0], planes[1]), torch.maximum(planes[2], planes[3])) >> raster.ID_BITS
    far = torch.full((size * size,), 1e5).index_copy_(0, used, low.to(torch.float32) / 1000)
    body = scene.part == SKIN
    # Flat and of one object: a spread below 3 mm also rules out that a corner is empty.
    inner = high - low < 3000
    at = inner.nonzero()[:, 0]
    mask = (1 << raster.ID_BITS) - 1
    owners = [plane.index_select(0, at) & mask for plane in planes]
    same = [body.index_select(0, owner) for owner in owners]
    inner.index_copy_(0, at, same[0] & same[1] & same[2] & same[3])
    at, rest = inner.nonzero()[:, 0], (~inner).nonzero()[:, 0]
    whole = used.index_select(0, at)
    edge = torch.stack([plane.index_select(0, rest) for plane in planes], 1)
    split, corner = (edge != raster.EMPTY).nonzero(as_tuple=True)
    index = torch.cat([whole, used.index_select(0, rest.index_select(0, split))])
    which = torch.cat([planes[0].index_select(0, at), edge[split, corner]]) & mask
    row = torch.div(index, size, rounding_mode="floor")
    column = index - row * size
    dx = torch.cat([torch.ones(len(whole)), 0.5 + (corner & 1).float()])
    dy = torch.cat([torch.ones(len(whole)), 0.5 + (corner >> 1).float()])
    x, y = column * 2 + dx, row * 2 + dy
    lookup = torch.empty(len(scene.triangles), dtype=torch.int64)
    lookup[setup.source] = torch.arange(len(setup.source))
    plane = setup.plane[:6].index_select(1, lookup.index_select(0, which))
    w1 = torch.addcmul(torch.addcmul(plane[2], plane[0], x), plane[1], y)
    w2 = torch.addcmul(torch.addcmul(plane[5], plane[3], x), plane[4], y)
    # A pixel's centre may lie outside the triangle of its corner: stay on it, for slivers extrapolate without bound.
    weights = torch.stack([1 - w1 - w2, w1, w2]).clamp_(0, 1)
    weights = (weights / weights.sum(0)).T.contiguous()
    table = torch.cat([scene.points, scene.normals, scene.rest, scene.extra], 1)
    corners = scene.triangles.index_select(0, which)
    mixed = embedding_bag(corners, table, per_sample_weights=weights, mode="sum")
    weight = torch.cat([torch.ones(len(whole)), torch.full((len(split),), 0.25)])
    samples = Samples(
        index,
        weight,
        mixed[:, :3],
        unit(mixed[:, 3:6]),
        mixed[:, 6:9],
        mixed[:, 9:],
        scene.part.index_select(0, which),
        len(whole),
    )
    return samples, far
