"""The bones of a hand that holds an instrument's edge, in millimetres in the instrument's plane."""

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from spooflab.generators.constant import constant

Value = Any
"""A number of one sample, or a tensor (B,) of a batch's; typed loosely, since arithmetic on either is the same."""


@dataclass(frozen=True)
class _Bone:
    """A tapered rod in the instrument's plane, mm: its ends, their radii and what it is.

    `kind` is 0 for a part on the instrument's face, 1 for one behind it, 2 for a sleeve behind it; `nail` marks a
    fingertip whose nail faces the camera.
    """

    ax: float
    ay: float
    bx: float
    by: float
    ra: float
    rb: float
    kind: int = 0
    nail: bool = False

    def numbers(self) -> list[float]:
        """Return the fields as one table row."""
        return [self.ax, self.ay, self.bx, self.by, self.ra, self.rb, float(self.kind), float(self.nail)]


def hand_bones(
    style: float, edge: float, along: float, reach: float, tilt: float, scale: float, half_u: float, half_v: float
) -> list[list[float]]:
    """Return the table (N, 8) of one sample's bones."""
    bones: list[_Bone] = []
    if style == 3:  # both hands, at left and right
        bones = _grip(1, along, reach, tilt, scale, half_u, half_v)
        bones += _grip(2, along + 0.12 * math.sin(9 * along), reach, tilt * 0.7, scale, half_u, half_v)
    elif style in (1, 2):
        bones = _grip(int(edge), along, reach, tilt, scale, half_u, half_v)
        if style == 2 and edge != 0 and half_u < 60:
            bones += _fingertips(int(edge), along, scale, half_u, half_v)
    return [bone.numbers() for bone in bones]


def _grip(
    edge: int, along: float, reach: float, tilt: float, scale: float, half_u: float, half_v: float
) -> list[_Bone]:
    """Return thumb, palm, wrist and sleeve of a hand at one edge (0 bottom, 1 left, 2 right).

    Local axes: a points over the instrument, b along the edge (down at the sides), both in mm from the grip's place.
    """
    parts = _arm(reach, math.radians(tilt), 0.0 if edge == 0 else 1.0)
    return [
        _Bone(*_place(edge, a, along, scale, half_u, half_v), *_place(edge, b, along, scale, half_u, half_v),
              ra * scale, rb * scale, kind, nail)
        for a, b, ra, rb, kind, nail in parts
    ]  # fmt: skip


def _arm(reach: Value, lean: Value, fall: Value) -> list[tuple[Value, Value, float, float, int, bool]]:
    """Return ends, radii, kind and nail of a hand's parts in local axes, mm.

    Args:
        reach: of the thumb over the edge, mm.
        lean: radians.
        fall: 1 at the sides, where the arm comes from below; 0 at the bottom.
    """
    ip = (reach * 0.30, -3.0 - 2 * fall)
    tip = (reach - 7.5, -5.0 - 6 * fall + 30 * lean)
    base = (-24.0, 6.0 + 14 * fall)
    palm = (-34.0 + 6 * fall, 14.0 + 26 * fall)
    wrist = (-105.0 + 62 * fall, 26.0 + 92 * fall)
    elbow = (-330.0 + 190 * fall, 60.0 + 300 * fall)
    return [
        (base, ip, 12.0, 9.6, 0, False),
        (ip, tip, 9.6, 7.9, 0, True),
        ((-19.0, -2.0 - 4 * fall), (-30.0, 22.0), 15.0, 22.0, 1, False),
        (palm, (palm[0] - 26, palm[1] + 16), 23.0, 27.0, 1, False),
        ((palm[0] - 10, palm[1] + 10), wrist, 29.0, 24.0, 1, False),
        (((wrist[0] * 0.75 + elbow[0] * 0.25), (wrist[1] * 0.75 + elbow[1] * 0.25)), elbow, 34.0, 46.0, 2, False),
        (wrist, elbow, 24.0, 34.0, 1, False),
    ]


def _fingertips(edge: int, along: float, scale: float, half_u: float, half_v: float) -> list[_Bone]:
    """Return four fingertips that reach round the edge opposite to the thumb's."""
    other = 2 if edge == 1 else 1
    return [
        _Bone(*_place(other, a, along, scale, half_u, half_v), *_place(other, b, along, scale, half_u, half_v),
              ra * scale, rb * scale, kind, nail)
        for a, b, ra, rb, kind, nail in _far_fingers()
    ]  # fmt: skip


def _far_fingers() -> list[tuple[Value, Value, float, float, int, bool]]:
    """Return ends, radii, kind and nail of four fingers' last two bones in local axes, mm."""
    parts: list[tuple[Value, Value, float, float, int, bool]] = []
    for finger, (length, radius) in enumerate(((7.0, 7.8), (10.0, 8.2), (9.0, 7.9), (5.0, 6.9))):
        b = (finger - 1.1) * 17.5
        root, knuckle, tip = (-16.0, b + 7.0), (-7.0, b + 3.0), (length - 5.0, b)
        parts.append((root, knuckle, radius + 0.8, radius + 0.6, 0, False))
        parts.append((knuckle, tip, radius + 0.6, radius - 0.5, 0, True))
    return parts


def _place(
    edge: int, at: tuple[float, float], along: float, scale: float, half_u: float, half_v: float
) -> tuple[float, float]:
    a, b = at[0] * scale, at[1] * scale
    if edge == 0:
        return along * half_u * 0.8 + b, half_v - a
    side = -1 if edge == 1 else 1
    return side * (half_u - a), along * half_v * 0.8 + b


@dataclass(frozen=True)
class Bones:
    """The bones of a batch of hands, in the order in which a single hand's are listed.

    Attributes:
        table: (B, N, 6) ends and radii, mm.
        there: (B, N) bool: whether that row's hand has the bone.
        kinds: N numbers, see `_Bone`; the same in every row.
        nails: N flags.
    """

    table: Tensor
    there: Tensor
    kinds: tuple[int, ...]
    nails: tuple[bool, ...]


def batch_bones(
    style: Tensor, edge: Tensor, along: Tensor, reach: Tensor, tilt: Tensor, scale: Tensor, half: Tensor
) -> Bones:
    """Return what `hand_bones` lists for each row: a first hand, a second one, and fingertips round the far edge.

    Args:
        style, edge: (B,) int64.
        along, reach, tilt, scale: (B,).
        half: (B, 2) of the instrument, mm.
    """
    both, wrap = style == 3, (style == 2) & (edge != 0) & (half[:, 0] < 60)
    first = torch.where(both, 1, edge)
    second, far = torch.full_like(edge, 2), torch.where(edge == 1, 2, 1)
    moved = along + 0.12 * torch.sin(9 * along)
    hands = (
        (_arm(reach, torch.deg2rad(tilt), (first != 0).to(reach)), first, along, style > 0),
        (_arm(reach, torch.deg2rad(tilt * 0.7), torch.ones_like(reach)), second, moved, both),
        (_far_fingers(), far, along, wrap),
    )
    listed = [part for parts, *_ in hands for part in parts]

    def every(values: list[Tensor]) -> Tensor:
        """Return (B, N): one value for each hand, repeated for its bones."""
        counts = [len(parts) for parts, *_ in hands]
        return torch.cat([v[:, None].expand(-1, n) for v, n in zip(values, counts, strict=True)], 1)

    def local(ends: list[tuple[Value, Value]], axis: int) -> Tensor:
        return torch.stack([place[axis] + torch.zeros_like(scale) for place in ends], 1)

    at, where = every([hand[1] for hand in hands]), every([hand[2] for hand in hands])
    starts, stops = [part[0] for part in listed], [part[1] for part in listed]
    ends = [_place_each(at, local(p, 0), local(p, 1), where, scale, half) for p in (starts, stops)]
    radii = constant(tuple((part[2], part[3]) for part in listed), scale.device)
    return Bones(
        table=torch.cat([*ends, scale[:, None, None] * radii], -1),
        there=every([hand[3] for hand in hands]),
        kinds=tuple(part[4] for part in listed),
        nails=tuple(part[5] for part in listed),
    )


def _place_each(edge: Tensor, a: Tensor, b: Tensor, along: Tensor, scale: Tensor, half: Tensor) -> Tensor:
    """Return (B, N, 2): where `_place` puts points at `a`, `b` (B, N) of hands at edges (B, N)."""
    a, b, wide, tall = a * scale[:, None], b * scale[:, None], half[:, :1], half[:, 1:]
    below = edge == 0
    side = torch.where(edge == 1, -1.0, 1.0)
    u = torch.where(below, along * wide * 0.8 + b, side * (wide - a))
    v = torch.where(below, tall - a, along * tall * 0.8 + b)
    return torch.stack([u, v], -1)
