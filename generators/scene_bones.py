"""The bones of a hand that holds an instrument's edge, in millimetres in the instrument's plane."""

import math
from dataclasses import dataclass


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
    lean = math.radians(tilt)
    fall = 0.0 if edge == 0 else 1.0  # at the sides the arm comes from below
    ip = (reach * 0.30, -3.0 - 2 * fall)
    tip = (reach - 7.5, -5.0 - 6 * fall + 30 * lean)
    base = (-24.0, 6.0 + 14 * fall)
    palm = (-34.0 + 6 * fall, 14.0 + 26 * fall)
    wrist = (-105.0 + 62 * fall, 26.0 + 92 * fall)
    elbow = (-330.0 + 190 * fall, 60.0 + 300 * fall)
    parts = [
        (base, ip, 12.0, 9.6, 0, False),
        (ip, tip, 9.6, 7.9, 0, True),
        ((-19.0, -2.0 - 4 * fall), (-30.0, 22.0), 15.0, 22.0, 1, False),
        (palm, (palm[0] - 26, palm[1] + 16), 23.0, 27.0, 1, False),
        ((palm[0] - 10, palm[1] + 10), wrist, 29.0, 24.0, 1, False),
        (((wrist[0] * 0.75 + elbow[0] * 0.25), (wrist[1] * 0.75 + elbow[1] * 0.25)), elbow, 34.0, 46.0, 2, False),
        (wrist, elbow, 24.0, 34.0, 1, False),
    ]
    return [
        _Bone(*_place(edge, a, along, scale, half_u, half_v), *_place(edge, b, along, scale, half_u, half_v),
              ra * scale, rb * scale, kind, nail)
        for a, b, ra, rb, kind, nail in parts
    ]  # fmt: skip


def _fingertips(edge: int, along: float, scale: float, half_u: float, half_v: float) -> list[_Bone]:
    """Return four fingertips that reach round the edge opposite to the thumb's."""
    other = 2 if edge == 1 else 1
    bones = []
    for finger, (length, radius) in enumerate(((7.0, 7.8), (10.0, 8.2), (9.0, 7.9), (5.0, 6.9))):
        b = (finger - 1.1) * 17.5
        root, knuckle, tip = (-16.0, b + 7.0), (-7.0, b + 3.0), (length - 5.0, b)
        places = [_place(other, p, along, scale, half_u, half_v) for p in (root, knuckle, tip)]
        bones.append(_Bone(*places[0], *places[1], (radius + 0.8) * scale, (radius + 0.6) * scale))
        bones.append(_Bone(*places[1], *places[2], (radius + 0.6) * scale, (radius - 0.5) * scale, 0, True))
    return bones


def _place(
    edge: int, at: tuple[float, float], along: float, scale: float, half_u: float, half_v: float
) -> tuple[float, float]:
    a, b = at[0] * scale, at[1] * scale
    if edge == 0:
        return along * half_u * 0.8 + b, half_v - a
    side = -1 if edge == 1 else 1
    return side * (half_u - a), along * half_v * 0.8 + b
