"""A paper mask's shape: a sheet that bends about one axis only, wrapped before a head.

Paper does not stretch, so it is a generalised cylinder (do Carmo, Differential Geometry of Curves and Surfaces, 3-5: a
developable surface): straight along its ruling, and across it a plane curve that keeps lengths. Sheet coordinates are
millimetres, u to the right and v down as somebody who looks at the print sees it, origin between the printed eyes.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from spooflab.generators.faces.procedural.landmarks import attachments
from spooflab.generators.geometry.head_fit import HeadFit

_STEP_MM = 1.0
_MOST_RAD = 1.45
_NODE_MM = 5.0


@dataclass(frozen=True, eq=False)
class Wrap:
    """The cross-section of a wrapped sheet, tabulated by arc length, and its place on the head.

    Attributes:
        reach_mm: the table runs from -reach to +reach in steps of a millimetre.
        along, behind: (N,) where arc length lies: across the head, and back from the foremost ruling.
        angle: (N,) how far the sheet has turned there, radians, positive towards the back.
        ruling: (3, 3) columns: across, down the ruling, and out of the face, in the head frame.
        origin: (3,) head frame, of the sheet's origin.
    """

    reach_mm: int
    along: Tensor
    behind: Tensor
    angle: Tensor
    ruling: Tensor
    origin: Tensor

    def place(self, uv_mm: Tensor) -> tuple[Tensor, Tensor]:
        """Return points and outward normals (N, 3), head frame, of sheet points (N, 2)."""
        u, v = uv_mm.unbind(-1)
        along, behind, angle = (_at(table, u, self.reach_mm) for table in (self.along, self.behind, self.angle))
        local = torch.stack([along, v, -behind], -1)
        normal = torch.stack([angle.sin(), torch.zeros_like(u), angle.cos()], -1)
        return local @ self.ruling.T + self.origin, normal @ self.ruling.T


def wrap(
    fit: HeadFit, *, radius_mm: float, flat_mm: float, fold_deg: float, lean_deg: float, roll_deg: float,
    shift_mm: Tensor, stand_mm: float, reach_mm: int,
) -> Wrap:  # fmt: skip
    """Wrap a sheet before a head.

    Args:
        fit: the wearer's head.
        radius_mm: of the bent sides, 60-200.
        flat_mm: half width of the middle, which bends a quarter as much.
        fold_deg: angle by which each half falls back from a crease down the middle, 0 for none.
        lean_deg: tilt of the ruling: positive brings the chin forwards.
        roll_deg: turn in the face's plane.
        shift_mm: (2,) misplacement across and up.
        stand_mm: distance before the nose's tip.
        reach_mm: half width of the sheet.
    """
    s = torch.arange(-reach_mm, reach_mm + 1, dtype=torch.float32) * _STEP_MM
    far = (s.abs() - flat_mm).clamp(min=0)
    bent = torch.minimum(s.abs(), torch.tensor(flat_mm)) * (0.25 / radius_mm) + far / radius_mm
    fold = math.radians(fold_deg) * torch.tanh(s.abs() / 1.5)
    angle = s.sign() * (bent + fold).clamp(max=_MOST_RAD)
    middle = len(s) // 2
    along = _integral(angle.cos(), middle)
    behind = _integral(angle.sin(), middle)
    a, b = math.radians(lean_deg), math.radians(roll_deg)
    lean = torch.tensor([[1, 0, 0], [0, math.cos(a), math.sin(a)], [0, -math.sin(a), math.cos(a)]])
    roll = torch.tensor([[math.cos(b), math.sin(b), 0], [-math.sin(b), math.cos(b), 0], [0, 0, 1.0]])
    axes = torch.diag(torch.tensor([1.0, -1.0, 1.0]))
    ruling = lean @ roll @ axes
    tip = fit.local[nose_tip()]
    down = float(tip[1]) - float(shift_mm[1])
    ahead = float(tip[2]) + stand_mm - math.tan(a) * -down
    origin = torch.stack(
        [fit.eyes[:, 0].mean() + shift_mm[0], fit.eyes[:, 1].mean() + shift_mm[1], torch.tensor(ahead)]
    )
    return Wrap(reach_mm, along, behind, angle, ruling, origin)


def nose_tip() -> int:
    """Return the fine vertex nearest to the tip of the nose."""
    fixed, _ = attachments()
    return int(fixed.corners[1 + 10 + 3, 0])


def chin() -> int:
    """Return the fine vertex nearest to the chin's landmark."""
    fixed, _ = attachments()
    return int(fixed.corners[0, 0])


def sheet_mesh(low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
    """Return nodes (N, 2) on a rectangle of the sheet, mm, and triangles (T, 3) that face the viewer."""
    columns = max(2, int(float(high[0] - low[0]) / _NODE_MM) + 1)
    rows = max(2, int(float(high[1] - low[1]) / (2 * _NODE_MM)) + 1)
    u = torch.linspace(float(low[0]), float(high[0]), columns)
    v = torch.linspace(float(low[1]), float(high[1]), rows)
    nodes = torch.stack(torch.meshgrid(u, v, indexing="xy"), -1).reshape(-1, 2)
    first = (torch.arange(rows - 1)[:, None] * columns + torch.arange(columns - 1)).reshape(-1)
    below, right = first + columns, first + 1
    corner = below + 1
    # Counter-clockwise where y runs up: v runs down.
    triangles = torch.cat([torch.stack([first, below, right], 1), torch.stack([right, below, corner], 1)])
    return nodes, triangles


def _integral(values: Tensor, middle: int) -> Tensor:
    """Return the running integral (trapezoidal rule) that vanishes in the middle."""
    steps = torch.cat([torch.zeros(1), (values[1:] + values[:-1]) / 2]).double().cumsum(0) * _STEP_MM
    return (steps - steps[middle]).float()


def _at(table: Tensor, u: Tensor, reach_mm: int) -> Tensor:
    position = (u / _STEP_MM + reach_mm).clamp(0, len(table) - 1.001)
    low = position.long()
    return torch.lerp(table[low], table[low + 1], position - low)
