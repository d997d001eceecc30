"""A compact statistical head: mean, main ways people differ, units of expression, and how landmarks ride on them.

Coefficients of shape are in standard deviations of the people that the procedural sampler draws (Blanz & Vetter 1999's
prior), followed by `ASYMMETRY` smooth differences between left and right. Coefficients of expression are the weights of
`modes.EXPRESSIONS`, 0 neutral and about 1 full.
"""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from spooflab.generators.faces.procedural.landmarks import attachments
from spooflab.generators.faces.procedural.model import head_model
from spooflab.generators.faces.procedural.modes import EXPRESSIONS, RACES

ASYMMETRY = 4
_ASYMMETRY_MM = 0.7
"""Standard deviation of each asymmetry: real faces differ by one or two millimetres between the sides."""
_NEAR_MM, _FAR_MM = 11.0, 38.0
_JAW_TRUST = 1.2


@dataclass(frozen=True, eq=False)
class HeadBasis:
    """Linear head in millimetres, head frame (x to the subject's left, y up, z forwards, origin between the eyes).

    Attributes:
        mean: (3N,) coarse points of the mean neutral head, eye points last.
        modes: (S + E, 3N) displacement of each coefficient at 1; shape first, then expression.
        shapes: S, number of shape coefficients.
        marks: (196, 3, 1 + S + E) float64: the 52 fixed landmarks and the 144 candidates of the jaw's bands, as a
            constant and one direction for each coefficient.
        settle: (68, N) share of each landmark's residual that a coarse point follows.
        coarse_triangles: (2F, 3) the coarse quads cut in two; they index the fine mesh's first vertices.
    """

    mean: Tensor
    modes: Tensor
    shapes: int
    marks: Tensor
    settle: Tensor
    coarse_triangles: Tensor

    @property
    def expressions(self) -> int:
        """E, number of expression coefficients."""
        return len(self.modes) - self.shapes

    def coarse(self, shape: Tensor, expression: Tensor) -> Tensor:
        """Return the (N, 3) coarse points of (S,) and (E,) coefficients."""
        return torch.addmv(self.mean, self.modes.T, torch.cat([shape, expression])).reshape(-1, 3)


@lru_cache(maxsize=1)
def head_basis() -> HeadBasis:
    """Build the basis from the stored components; the same object is returned each time and must not be changed."""
    model = head_model()
    stored = load_file(Path(__file__).with_name("head_basis.safetensors"))
    mean = model.base.flatten() + stored["mean"] @ model.modes
    units = torch.zeros(len(EXPRESSIONS), len(model.names))
    for row, name in enumerate(EXPRESSIONS):
        parts = [f"{name}/{race}" for race in RACES] if name.startswith("eye-") else [name]
        units[row, [model.names[part] for part in parts]] = 1 / len(parts)
    linear = torch.cat([stored["shape"], units]) @ model.modes
    count = len(stored["shape"])
    modes = torch.cat([linear[:count], _asymmetry(mean.reshape(-1, 3)).flatten(1), linear[count:]])
    columns = torch.cat([mean[None], modes]).reshape(len(modes) + 1, -1, 3)
    fine = model.fine(columns.permute(1, 2, 0).flatten(1)).reshape(len(model.rest), -1)
    fixed, jaw = attachments()
    marks = torch.cat([fixed.carry(fine), jaw.carry(fine)]).reshape(-1, 3, len(modes) + 1).double()
    quads = model.topo.quads
    triangles = torch.stack([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]], 1).reshape(-1, 3)
    return HeadBasis(mean, modes, count + ASYMMETRY, marks, _settling(mean.reshape(-1, 3)), triangles)


def _asymmetry(points: Tensor) -> Tensor:
    """Return (4, N, 3) smooth displacements of coarse points that differ between left and right, one deviation each."""
    x, y = points[:, 0] / 60, points[:, 1] / 60
    inside = torch.exp(-((points[:, 1] + 30) / 110).square()) * _ASYMMETRY_MM
    side, zero = torch.tanh(x) * inside, torch.zeros_like(x)
    lift = [side, side * torch.sin(2 * y)]
    shift = [torch.sin(1.7 * y) * inside, 0.7 * y * inside]
    rows = [torch.stack([zero, v, zero], 1) for v in lift] + [torch.stack([v, zero, zero], 1) for v in shift]
    return torch.stack(rows)


def _settling(mean: Tensor) -> Tensor:
    """Return (68, N): Gaussian radial basis functions, near and far, that spread landmark residuals over the mesh.

    Smoothed (not exact) interpolation: the jaw's points, which annotators place loosely, are trusted least.
    """
    fixed, jaw = attachments()
    bands = jaw.rest.reshape(2, 8, 9, 3)[:, :, 4]
    anchors = torch.cat([bands[0], fixed.rest[:1], bands[1].flip(0), fixed.rest[1:]]).double()
    slack = torch.full((68,), 0.03, dtype=torch.float64)
    slack[:17] = _JAW_TRUST
    slack[17:27] = 0.15

    def kernel(points: Tensor) -> Tensor:
        square = torch.cdist(points, anchors).square()
        return 0.6 * torch.exp(-square / (2 * _NEAR_MM**2)) + 0.4 * torch.exp(-square / (2 * _FAR_MM**2))

    share: Tensor = kernel(mean.double()) @ torch.linalg.inv(kernel(anchors) + torch.diag(slack))
    return share.T.float().contiguous()


def neutral_expression() -> Tensor:
    """Return (E,) zeros."""
    return torch.zeros(len(EXPRESSIONS))
