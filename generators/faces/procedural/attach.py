"""Points that ride on the mesh: picked once on the rest mesh, then carried by every person's shape."""

from dataclasses import dataclass

import torch
from torch import Tensor

from spooflab.generators.faces.procedural import raster
from spooflab.generators.faces.procedural.mesh import vertex_normals
from spooflab.generators.faces.procedural.model import HeadModel


@dataclass(frozen=True)
class Attachment:
    """Surface points.

    Attributes:
        corners: (N, 3) vertex indices.
        weights: (N, 3) barycentric weights.
        rest: (N, 3) positions on the rest mesh.
    """

    corners: Tensor
    weights: Tensor
    rest: Tensor

    def carry(self, values: Tensor) -> Tensor:
        """Return (N, C) values interpolated from (V, C) vertex values."""
        w = self.weights
        return (
            w[:, :1] * values.index_select(0, self.corners[:, 0])
            + w[:, 1:2] * values.index_select(0, self.corners[:, 1])
            + w[:, 2:] * values.index_select(0, self.corners[:, 2])
        )

    def take(self, index: Tensor) -> "Attachment":
        """Return some of the points."""
        return Attachment(self.corners[index], self.weights[index], self.rest[index])


def attach(model: HeadModel, corners: Tensor, weights: Tensor) -> Attachment:
    """Return the attachment with its rest positions filled in."""
    bare = Attachment(corners, weights, torch.empty(0))
    return Attachment(corners, weights, bare.carry(model.rest))


def from_front(model: HeadModel, xy_mm: Tensor) -> Attachment:
    """Attach (N, 2) points of the rest mesh's orthographic front view to the surface seen there."""
    scale, low, high = 8.0, xy_mm.amin(0) - 2, xy_mm.amax(0) + 2
    size = (int((high[1] - low[1]) * scale), int((high[0] - low[0]) * scale))
    flat = torch.stack([model.rest[:, 0] - low[0], high[1] - model.rest[:, 1]], -1) * scale
    setup = raster.prepare(flat, 1 / (500 - model.rest[:, 2]), model.topo.triangles, size)
    keys = raster.fill(setup, size)
    cell = ((high[1] - xy_mm[:, 1]) * scale).long() * size[1] + ((xy_mm[:, 0] - low[0]) * scale).long()
    seen = keys[cell]
    if bool((seen == raster.EMPTY).any()):
        missed = xy_mm[seen == raster.EMPTY].tolist()
        raise ValueError(f"no surface in the rest mesh's front view at {missed}")
    corners = model.topo.triangles[raster.unpack(seen)[1]]
    return attach(model, corners, _flat_weights(model.rest[:, :2][corners], xy_mm))


def scatter(model: HeadModel, inside: Tensor, count: int, seed: int) -> Attachment:
    """Attach `count` points spread evenly over the triangles whose (V,) vertices are all `inside`."""
    triangles = model.topo.triangles
    triangles = triangles[inside[triangles].all(1)]
    a, b, c = (model.rest[triangles[:, k]] for k in range(3))
    area = torch.linalg.cross(b - a, c - a).norm(dim=-1)
    generator = torch.Generator().manual_seed(seed)
    # Strata along the cumulated area: more even than independent draws.
    mark = (torch.arange(count) + torch.rand(count, generator=generator)) / count * area.sum()
    owner = torch.searchsorted(area.cumsum(0), mark).clamp(max=len(area) - 1)
    u, v = torch.rand(2, count, generator=generator)
    flip = u + v > 1
    u, v = torch.where(flip, 1 - u, u), torch.where(flip, 1 - v, v)
    order = torch.randperm(count, generator=generator)
    return attach(model, triangles[owner][order], torch.stack([1 - u - v, u, v], -1)[order])


def rest_normals(model: HeadModel) -> Tensor:
    """Return the (V, 3) normals of the rest mesh."""
    return vertex_normals(model.rest, model.topo.fine_quads)


def _flat_weights(corners: Tensor, xy: Tensor) -> Tensor:
    a, b, c = corners.unbind(1)
    e1, e2, d = b - a, c - a, xy - a
    area = e1[:, 0] * e2[:, 1] - e1[:, 1] * e2[:, 0]
    u = (d[:, 0] * e2[:, 1] - d[:, 1] * e2[:, 0]) / area
    v = (e1[:, 0] * d[:, 1] - e1[:, 1] * d[:, 0]) / area
    weights = torch.stack([1 - u - v, u, v], -1).clamp(0, 1)
    return weights / weights.sum(1, keepdim=True)
