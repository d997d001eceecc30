"""Quad meshes: one step of Catmull–Clark subdivision and vertex normals, as gathers on a fixed topology."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from spooflab.generators.faces.procedural.vectors import unit


@dataclass(frozen=True)
class Topology:
    """Precomputed indices that subdivide a quad mesh of V vertices, E edges and F faces to V + E + F vertices.

    Attributes:
        quads: (F, 4) coarse faces.
        edges: (E, 2) end points of each edge.
        edge_faces: (E, 2) the two faces of an edge; a boundary edge names its one face twice.
        edge_open: (E, 1) 1 where the edge is a boundary.
        valence: (V, 1) number of edges at a vertex, at least 1.
        open_vertex: (V, 1) 1 where the vertex lies on a boundary or belongs to no face: it stays where it is.
        fine_quads: (4F, 4) faces after the step; face i has the children 4i … 4i+3.
        triangles: (8F, 3) the fine quads cut in two.
    """

    quads: Tensor
    edges: Tensor
    edge_faces: Tensor
    edge_open: Tensor
    valence: Tensor
    open_vertex: Tensor
    fine_quads: Tensor
    triangles: Tensor


def topology(quads: Tensor, vertex_count: int) -> Topology:
    """Build the indices once for a mesh; `quads` is (F, 4) int64."""
    faces = quads.numpy()
    count = len(faces)
    sides = np.stack([faces, np.roll(faces, -1, axis=1)], -1).reshape(-1, 2)
    owner = np.repeat(np.arange(count), 4)
    edges, which = np.unique(np.sort(sides, 1), axis=0, return_inverse=True)
    which = which.reshape(-1)
    first = np.full(len(edges), count)
    last = np.full(len(edges), -1)
    np.minimum.at(first, which, owner)
    np.maximum.at(last, which, owner)
    is_open = first == last
    valence = np.bincount(edges.reshape(-1), minlength=vertex_count)
    held = valence == 0
    held[np.unique(edges[is_open])] = True
    edge_of_side = which.reshape(count, 4) + vertex_count
    centre = np.arange(count) + vertex_count + len(edges)
    children = np.stack(
        [np.stack([faces[:, k], edge_of_side[:, k], centre, edge_of_side[:, k - 1]], -1) for k in range(4)], 1
    ).reshape(-1, 4)
    triangles = np.concatenate([children[:, [0, 1, 2]], children[:, [0, 2, 3]]], 1).reshape(-1, 3)
    as_tensor = torch.from_numpy
    return Topology(
        quads,
        as_tensor(edges),
        as_tensor(np.stack([first, last], 1)),
        as_tensor(is_open.astype(np.float32))[:, None],
        as_tensor(np.maximum(valence, 1).astype(np.float32))[:, None],
        as_tensor(held.astype(np.float32))[:, None],
        as_tensor(children),
        as_tensor(triangles),
    )


def subdivide(points: Tensor, topo: Topology) -> Tensor:
    """Return the (V + E + F, C) fine points of (V, C) coarse ones.

    Source: Catmull & Clark 1978, "Recursively generated B-spline surfaces on arbitrary topological meshes"; boundary
    vertices stay in place instead of following the boundary curve.
    """
    a, b, c, d = (points.index_select(0, topo.quads[:, k]) for k in range(4))
    face = (a + b + c + d) / 4
    middle = (points.index_select(0, topo.edges[:, 0]) + points.index_select(0, topo.edges[:, 1])) / 2
    both = (face.index_select(0, topo.edge_faces[:, 0]) + face.index_select(0, topo.edge_faces[:, 1])) / 2
    edge = torch.lerp((middle + both) / 2, middle, topo.edge_open)
    around = torch.zeros_like(points)
    around.index_add_(0, topo.edges[:, 0], both + 2 * middle)
    around.index_add_(0, topo.edges[:, 1], both + 2 * middle)
    around = around / topo.valence
    inner = (around + (topo.valence - 3) * points) / topo.valence
    return torch.cat([torch.lerp(inner, points, topo.open_vertex), edge, face])


def vertex_normals(points: Tensor, quads: Tensor) -> Tensor:
    """Return (V, 3) unit normals, area-weighted over the quads around each vertex (counter-clockwise is outside)."""
    a, b, c, d = (points.index_select(0, quads[:, k]) for k in range(4))
    area = torch.linalg.cross(c - a, d - b)
    total = torch.zeros_like(points)
    for k in range(4):
        total.index_add_(0, quads[:, k], area)
    return unit(total)
