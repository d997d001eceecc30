"""The head's stored geometry: base mesh, directions of change and subdivision, loaded once per process."""

import json
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor

from spooflab.generators.faces.procedural.mesh import Topology, subdivide, topology
from spooflab.generators.faces.procedural.modes import RACES

EYE_POINTS = 4
"""Extra points after the mesh's own: centre and surface point of the left eye, then of the right one."""


@dataclass(frozen=True, eq=False)
class HeadModel:
    """A linear model of the head in millimetres: x to the subject's left, y up, z forwards, origin between the eyes.

    Attributes:
        base: (N, 3) base points; the last `EYE_POINTS` are not mesh vertices.
        modes: (M, N·3) displacement of each direction at weight 1.
        names: position of each direction in `modes`.
        topo: subdivision of the mesh.
        rest: (V, 3) fine mesh of the average adult: the coordinates in which skin, hair and clothes are described.
        teeth: (F,) whether a coarse face belongs to the teeth.
        open_sky: (V,) share of ambient light that reaches a vertex of the rest mesh.
    """

    base: Tensor
    modes: Tensor
    names: dict[str, int]
    topo: Topology
    rest: Tensor
    teeth: Tensor
    open_sky: Tensor

    def blend(self, weights: dict[str, float]) -> Tensor:
        """Return (N, 3) coarse points for weights by direction name."""
        row = torch.zeros(len(self.names))
        for name, weight in weights.items():
            row[self.names[name]] = weight
        return self.base + (row @ self.modes).reshape(-1, 3)

    def fine(self, coarse: Tensor) -> Tensor:
        """Return (V, 3) subdivided points of (N, 3) coarse ones."""
        return subdivide(coarse[:-EYE_POINTS], self.topo)


@lru_cache(maxsize=1)
def head_model() -> HeadModel:
    """Load the model; the same object is returned each time and must not be changed."""
    path = Path(__file__).with_name("head.safetensors")
    with safe_open(path, framework="pt") as file:
        meta = file.metadata()
        base, quads = file.get_tensor("base_mm"), file.get_tensor("quads").to(torch.int64)
        start, vertex = file.get_tensor("mode_start").tolist(), file.get_tensor("mode_vertex").to(torch.int64)
        delta = file.get_tensor("mode_delta").to(torch.float32) * (float(meta["unit_um"]) / 1000)
        teeth = file.get_tensor("teeth").to(torch.bool)
        sky = file.get_tensor("open_sky").to(torch.float32) / 255
    names = {name: i for i, name in enumerate(json.loads(meta["modes"]))}
    modes = torch.zeros(len(names), *base.shape)
    for i in range(len(names)):
        part = slice(start[i], start[i + 1])
        modes[i, vertex[part]] = delta[part]
    topo = topology(quads, len(base) - EYE_POINTS)
    model = HeadModel(base, modes.flatten(1), names, topo, torch.empty(0), teeth, sky)
    mean: dict[str, float] = {}
    for sex in ("female", "male"):
        mean[f"universal-{sex}-young-averagemuscle-averageweight"] = 1 / 2
        for race in RACES:
            mean[f"{race}-{sex}-young"] = 1 / 6
    rest = model.fine(model.blend(mean))
    return replace(model, rest=rest)
