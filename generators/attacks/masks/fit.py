"""A mask on a head: whose shape it has, how thick it is, and how it sits."""

import math
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from spooflab.generators.faces.procedural.mesh import vertex_normals
from spooflab.generators.faces.procedural.model import head_model
from spooflab.generators.geometry.head_basis import head_basis
from spooflab.generators.geometry.head_fit import HeadFit

_TOUCH = 0.15
"""Share of the face that lies closer to the mask than its air gap says: a rigid mask rests on a few points."""
_CONTACT_MM = 0.5


@dataclass(frozen=True, eq=False)
class Worn:
    """A mask's outer surface before the camera.

    Attributes:
        points: (V, 3) the head model's fine mesh in camera axes.
        normals: (V, 3) unit normals in camera axes, outwards.
        eyes: (2, 4) eyeballs (centre and radius) in camera axes that go with it.
        turn: (3, 3) rotation of the head frame into camera axes.
        height_mm: mean distance between the wearer's skin and the outer surface, over the face.
    """

    points: Tensor
    normals: Tensor
    eyes: Tensor
    turn: Tensor
    height_mm: float


@lru_cache(maxsize=1)
def face_vertices() -> Tensor:
    """Return the fine vertices of the face: from brow to chin, cheek to cheek, without the mouth's inside."""
    rest = head_model().rest
    x, y, z = rest.unbind(1)
    inside = (y > -95) & (y < 50) & (x.abs() < 55) & (z > -10)
    mouth = (x.abs() < 24) & (y < -56) & (y > -80) & (z < 14)
    socket = ((x.abs() - 29) / 16).square() + ((y + 1) / 9).square() < 1
    return (inside & ~mouth & ~socket).nonzero()[:, 0]


@lru_cache(maxsize=1)
def mirror_vertices() -> Tensor:
    """Return (V,) the fine vertex that lies where each one's mirror image does."""
    rest = head_model().rest
    flipped = rest * torch.tensor([-1.0, 1.0, 1.0])
    return torch.cat([torch.cdist(part, rest).argmin(1) for part in torch.tensor_split(flipped, 20)])


def without_expression(fit: HeadFit, share: float) -> Tensor:
    """Return the settled mesh (V, 3), head frame, with `share` of its expression taken away."""
    if share == 0:
        return fit.local
    basis = head_basis()
    change = basis.modes[basis.shapes :].T @ (-share * fit.expression)
    return fit.local + head_model().fine(change.reshape(-1, 3))


def symmetric(local: Tensor) -> Tensor:
    """Return the mean of a mesh (V, 3) and its mirror image."""
    flipped = local.index_select(0, mirror_vertices()) * torch.tensor([-1.0, 1.0, 1.0])
    return (local + flipped) / 2


def put_on(
    wearer: HeadFit,
    local: Tensor,
    eyes: Tensor,
    *,
    follows: float,
    thickness_mm: float,
    gap_mm: float,
    grow: float,
    shift_mm: Tensor,
    tilt_deg: Tensor,
) -> Worn:
    """Place a mask of the shape `local` on the wearer.

    The mask is scaled to the wearer's width, its eyes are brought before the wearer's, and it is moved forwards until
    it rests on the face: all but a few points of the face are `gap_mm` or more behind it. What is soft follows the
    wearer's surface by the share `follows`.

    Args:
        wearer: who wears it.
        local: (V, 3) inner surface in the mask's head frame, millimetres.
        eyes: (2, 4) eyeballs of that head: its openings are worn before the wearer's.
        follows: 0 rigid … 1 skin-tight.
        thickness_mm: of the wall.
        gap_mm: air between the face and the inner surface.
        grow: size relative to the wearer's width.
        shift_mm: (2,) misplacement along the head's x and y.
        tilt_deg: (3,) misplacement about the head's x, y and z.
    """
    model, on = head_model(), face_vertices()
    face, mine = wearer.local.index_select(0, on), local.index_select(0, on)
    size = grow * float((_width(face) / _width(mine)).clamp(0.85, 1.2))
    turned = (local * size) @ _turn(tilt_deg).T
    aside = (wearer.eyes[:, :2] - size * eyes[:, :2]).mean(0) + shift_mm
    turned = turned + torch.cat([aside, torch.zeros(1)])
    ahead = turned.index_select(0, on)[:, 2] - face[:, 2]
    near = float(ahead.kthvalue(max(1, round(_TOUCH * len(on)))).values)
    turned = turned + torch.tensor([0.0, 0.0, gap_mm - near])
    soft = torch.lerp(turned, wearer.local, follows)
    normals = vertex_normals(soft, model.topo.fine_quads)
    lift = thickness_mm + follows * gap_mm
    outer = soft + normals * lift
    # Nothing passes through anything: where the wearer's face would stand out, the mask is pressed over it.
    outward = ((outer - wearer.local) * normals).sum(1)
    least = thickness_mm + _CONTACT_MM
    pressed = normals * (least - outward).clamp(min=0, max=12)[:, None] * follows
    outer = outer + pressed
    height = float(((outer - wearer.local) * normals).sum(1).index_select(0, on).mean())
    balls = eyes * size
    balls[:, :2] += aside
    balls[:, 2] += gap_mm - near + lift
    return place(wearer, outer, normals, balls, max(height, thickness_mm))


def place(wearer: HeadFit, local: Tensor, normals: Tensor, eyes: Tensor, height_mm: float) -> Worn:
    """Return a surface given in the wearer's head frame in camera axes."""
    balls = torch.cat([wearer.to_camera(eyes[:, :3]), eyes[:, 3:]], 1)
    return Worn(wearer.to_camera(local), normals @ wearer.rotation.T, balls, wearer.rotation, height_mm)


def _width(face: Tensor) -> Tensor:
    """Return a robust breadth of face points (N, 3)."""
    return face[:, 0].abs().mean()


def _turn(tilt_deg: Tensor) -> Tensor:
    a, b, c = (math.radians(v) for v in tilt_deg.tolist())
    about_x = torch.tensor([[1, 0, 0], [0, math.cos(a), -math.sin(a)], [0, math.sin(a), math.cos(a)]])
    about_y = torch.tensor([[math.cos(b), 0, math.sin(b)], [0, 1, 0], [-math.sin(b), 0, math.cos(b)]])
    about_z = torch.tensor([[math.cos(c), -math.sin(c), 0], [math.sin(c), math.cos(c), 0], [0, 0, 1]])
    return about_y @ about_x @ about_z
