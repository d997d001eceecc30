"""Schemes of face painting: what is laid where, in chart millimetres, drawn anew for every seed.

Each scheme returns coats from the bottom up. Anatomy on the chart: eyes at (±29, 0), brows at v = 14 to 21, tip of the
nose at (0, -33), corners of the mouth at (±21, -68), chin at (0, -104), rim of the jaw from (±75, -60) down.
"""

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from spooflab.generators.instruments.drawing import Draws, arc, circle
from spooflab.generators.instruments.makeup_regions import soft_step
from spooflab.generators.instruments.paint_age import injuries, latex, wrinkles
from spooflab.generators.instruments.paint_coat import ACCENT, Coat, closed_shape, coat_of, mirrored, pen_for_face
from spooflab.generators.instruments.skin_chart import Array, smooth_line
from spooflab.generators.instruments.skin_texture import BLOTCHES, CLOUDS, GRAIN, texture

Scheme = Callable[[Draws, int], list[Coat]]


def beard_area(uv: Tensor, kind: int) -> Tensor:
    """Return (h, w) in 0-1: where a beard is put: 0 moustache, 1 with the chin, 2 the whole beard."""
    u, v = uv[0].abs(), uv[1]
    moustache = soft_step(27 - u, 4) * soft_step(-49.5 - v, 2.5) * soft_step(v + 64 + 0.006 * u * u, 2.0)
    chin = soft_step(26 - u, 6) * soft_step(-77 - v, 3)
    line = -30.0 - 0.55 * (70 - u).clamp(min=0) - 6
    cheeks = soft_step(line - v, 5) * soft_step(u - 22, 5)
    below = soft_step(-72 - v + 0.25 * u, 4) * soft_step(u - 14, 8)
    corners = soft_step(31 - u, 4) * soft_step(u - 20, 3) * soft_step(-60 - v, 4)
    whole = torch.maximum(torch.maximum(chin, cheeks), torch.maximum(below, corners))
    if kind == 0:
        return moustache
    if kind == 1:
        return torch.maximum(torch.maximum(moustache, chin), corners)
    return torch.maximum(moustache, whole)


def stubble(draws: Draws, seed: int) -> list[Coat]:
    """A sponge's stipple over the beard's area, with a grey shadow below it."""
    kind = 1 + draws.below(2)

    def area(uv: Tensor) -> Tensor:
        return beard_area(uv, kind)

    def stipple(uv: Tensor) -> Tensor:
        grain = texture(uv, 30.0, seed + 1, GRAIN) + 0.5 * texture(uv, 21.0, seed + 2, GRAIN)
        return soft_step(grain - 0.75, 0.35) * area(uv)

    return [Coat(0, area, amount=0.08), Coat(0, stipple, fine=True, amount=0.9)]


def beard(draws: Draws, seed: int) -> list[Coat]:
    """Only the shadow below a beard of crepe hair; its fibres are drawn by `crepe_hair`."""
    del seed
    kind = draws.below(3)
    return [Coat(0, lambda uv: beard_area(uv, kind), amount=0.35)]


def camouflage(draws: Draws, seed: int) -> list[Coat]:
    """Blotches or slanted slashes of three or four earth colours, dark on the parts that stick out."""
    slashes, turn = draws.often(0.5), draws.between(0.6, 1.2)
    period, skew = draws.between(26, 44), draws.between(0.5, 1.0)

    def field(uv: Tensor, k: int) -> Tensor:
        warp = texture(uv, 400.0, seed + 7 * k, BLOTCHES) * 0.9 + 0.12 * texture(uv, 110.0, seed + k, BLOTCHES)
        if not slashes:
            return warp + 0.3 * texture(uv, 180.0, seed + 90 + k, CLOUDS)
        phase = (uv[0] * math.sin(turn) + uv[1] * math.cos(turn)) * (6.2832 / period)
        return torch.sin(phase + skew * warp + 2.1 * k) - 0.15

    coats = [Coat(0, lambda uv: 0.75 + 0.25 * soft_step(field(uv, 0), 0.6))]
    for k in (1, 2, 3)[: 2 + draws.below(2)]:
        coats.append(Coat(k, lambda uv, k=k: soft_step(field(uv, k) - 0.55, 0.16)))  # type: ignore[misc]  # bound now
    return coats


def dazzle(draws: Draws, seed: int) -> list[Coat]:
    """Asymmetric blocks and bars that break up eyes, bridge of the nose and cheeks."""
    del seed
    first, second = pen_for_face(fine=True), pen_for_face(fine=True)
    side = 1 if draws.often(0.5) else -1
    for k in range(6 + draws.below(4)):
        u, v = side * draws.between(-24, 70), draws.between(-85, 58)
        if k == 0:
            u, v = side * draws.between(5, 25), draws.between(-14, 8)
        turn, long, wide = draws.between(-1.2, 1.2), draws.between(28, 72), draws.between(10, 28)
        c, s = math.cos(turn), math.sin(turn)
        box = np.array([[-1, -1], [1, -1 + draws.between(-0.4, 0.4)], [1, 1], [-1, 1 + draws.between(-0.6, 0.6)]]) / 2
        box = box * np.array([long, wide])
        (first if k % 3 else second).polygon(
            np.stack([u + c * box[:, 0] - s * box[:, 1], v + s * box[:, 0] + c * box[:, 1]], 1)
        )
    for _ in range(1 + draws.below(3)):
        y = draws.between(-80, 50)
        second.stroke(arc((-80.0, y), (80.0, y + draws.between(-60, 60)), 0.02), draws.between(2, 6))
    return [coat_of(second, 1, 0.35, fine=True), coat_of(first, 0, 0.35, fine=True)]


def clown(draws: Draws, seed: int) -> list[Coat]:
    """White face or muzzle and eyes only, with a red mouth, nose, cheeks and figures over the eyes."""
    del seed
    white, red, black = pen_for_face(), pen_for_face(fine=True), pen_for_face(fine=True)
    if draws.often(0.6):
        white.polygon(_ellipse(0, -18, 92, 92))
    else:
        white.polygon(_ellipse(0, -72, 40 + draws.between(-4, 8), 26))
        for side in (-1, 1):
            white.polygon(_ellipse(side * 30, 16, 20, 26 + draws.between(-4, 6)))
    wide, tall = draws.between(1.1, 2.0), draws.between(0.9, 1.7)
    red.polygon(
        smooth_line(
            [
                (-23 * wide, -64),
                (-10, -60 + 3 * tall),
                (0, -61 + 2 * tall),
                (10, -60 + 3 * tall),
                (23 * wide, -64),
                (14 * wide, -74 - 5 * tall),
                (0, -76 - 6 * tall),
                (-14 * wide, -74 - 5 * tall),
            ],
            6,
            closed=True,
        )
    )
    red.polygon(_ellipse(0, -33, draws.between(12, 17), draws.between(10, 15)))
    if draws.often(0.7):
        for side in (-1, 1):
            red.polygon(_ellipse(side * 52, -34, draws.between(8, 15), draws.between(8, 15)), 0.9)
    kind, long = draws.below(3), draws.between(16, 34)
    for side in (-1, 1):
        if kind == 0:
            black.polygon(np.array([[side * 30 - 5, 4], [side * 30, 4 + long], [side * 30 + 5, 4]]))
            black.polygon(np.array([[side * 30 - 5, -7], [side * 30, -7 - long], [side * 30 + 5, -7]]))
        elif kind == 1:
            black.stroke(arc((side * 14.0, 30.0), (side * 48.0, 30.0), 0.28 * side), np.full(18, draws.between(2, 4)))
        else:
            black.stroke(np.array([[side * 30, -8], [side * 30, -8 - long]]), np.array([2.0, 5.0]))
            black.polygon(_ellipse(side * 30, 30, 12, 5))
    return [coat_of(white, 0, 1.6), coat_of(red, 1, 0.5, fine=True), coat_of(black, 2 + draws.below(2), 0.4, fine=True)]


def skull(draws: Draws, seed: int) -> list[Coat]:
    """Bone-white base, black sockets, nasal cavity, hollows, teeth and cracks; sometimes ornaments."""
    del seed
    base, dark, lines = pen_for_face(), pen_for_face(), pen_for_face(fine=True)
    base.polygon(_ellipse(0, -20, 88, 92))
    a, b = draws.between(17, 22), draws.between(15, 20)
    for side in (-1, 1):
        dark.polygon(_ellipse(side * 29.5, 2, a, b))
        hollow = [(70.0, -30.0), (48.0, -40.0), (40.0, -58.0), (56.0, -72.0), (76.0, -56.0)]
        dark.polygon(closed_shape(hollow, side), draws.between(0.5, 1.0))
        dark.polygon(closed_shape([(66, 18), (82, 22), (80, 44), (68, 38)], side), 0.7)
        dark.polygon(mirrored(np.array([[1.0, -18], [10, -40], [5, -44], [1, -40]]), side))
        if draws.often(0.5):
            for t in np.linspace(0, 2 * math.pi, 13)[:-1]:
                spot = (side * 29.5 + (a + 4) * math.cos(t), 2 + (b + 4) * math.sin(t))
                lines.dot(np.array(spot), 2.2)
    wide = draws.between(38, 56)
    lines.stroke(arc((-wide, -66.0), (wide, -66.0), 0.04), 1.4)
    for x in np.linspace(-wide + 6, wide - 6, 8 + draws.below(5)):
        tall = 10 - 6 * abs(float(x)) / wide
        lines.stroke(np.array([[x, -66 - tall + 2], [x, -64 + tall]]), np.array([0.7, 1.1]))
    for _ in range(draws.below(4)):
        start = np.array([draws.between(-40, 40), draws.between(36, 62)])
        path = [start]
        for _ in range(6):
            path.append(path[-1] + np.array([draws.between(-5, 5), -draws.between(2, 6)]))
        lines.stroke(np.stack(path), np.linspace(1.4, 0.4, 7))
    return [coat_of(base, 0, 2.0), coat_of(dark, 1, 1.3), coat_of(lines, 1, 0.35, fine=True)]


def animal(draws: Draws, seed: int) -> list[Coat]:
    """A big or small cat: coloured base, pale muzzle and brows, dark nose, stripes from the rim, whiskers."""
    del seed
    base, pale, dark = pen_for_face(), pen_for_face(), pen_for_face(fine=True)
    base.polygon(_ellipse(0, -16, 90, 92))
    for side in (-1, 1):
        pale.polygon(_ellipse(side * 15, -60, 19, 15))
        pale.polygon(_ellipse(side * 30, 20, 16, 11))
        dark.polygon(mirrored(np.array([[0.0, -30], [13, -37], [8, -46], [0, -48]]), side))
        for k in range(6 + draws.below(4)):
            t = -1.15 + 0.36 * k + draws.between(-0.06, 0.06)
            start = (side * 96 * math.cos(t), -18 + 92 * math.sin(t))
            end = (start[0] * draws.between(0.5, 0.66), -18 + (start[1] + 18) * draws.between(0.5, 0.66))
            dark.stroke(arc(start, end, draws.between(-0.12, 0.12)), np.linspace(8, 0.6, 18))
        for k in range(3):
            tip = (side * draws.between(52, 66), -50 - 7 * k + draws.between(-3, 3))
            dark.stroke(arc((side * 18.0, -54.0 - 3 * k), tip, 0.06 * side), np.linspace(1.3, 0.5, 18))
            dark.dot(np.array([side * (12.0 + 4 * k), -54.0 - 2 * k]), 1.0)
    dark.stroke(np.array([[0, -46], [0, -58]]), 1.6)
    return [coat_of(base, 0, 2.5), coat_of(pale, 1, 2.0), coat_of(dark, 2, 0.4, fine=True)]


def tribal(draws: Draws, seed: int) -> list[Coat]:
    """Bands over cheeks, nose and forehead with rows of dots beside them."""
    del seed
    bands, spots = pen_for_face(fine=True), pen_for_face(fine=True)
    for _ in range(3 + draws.below(3)):
        v, wide = draws.between(-80, 52), draws.between(8, 18)
        tilt = draws.between(-0.35, 0.35)
        if draws.often(0.6):
            line = arc((-90.0, v), (90.0, v), draws.between(-0.06, 0.06))
            bands.stroke(line, wide)
            for x in np.linspace(-70, 70, 22):
                spots.dot(np.array([x, v + wide * 0.5 + 4]), 1.6)
        else:
            for side in (-1, 1):
                start, end = (side * 22.0, v), (side * 84.0, v + 60 * tilt)
                bands.stroke(arc(start, end, 0.05), wide * np.linspace(0.6, 1.0, 18))
                for t in np.linspace(0, 1, 9):
                    spots.dot(np.array([start[0] + t * (end[0] - start[0]), v + t * 60 * tilt - wide * 0.5 - 4]), 1.8)
    if draws.often(0.6):
        bands.stroke(np.array([[0, -76], [0, -108]]), draws.between(5, 12))
    return [coat_of(bands, 0, 0.7, fine=True), coat_of(spots, ACCENT, 0.4, fine=True)]


def flag(draws: Draws, seed: int) -> list[Coat]:
    """Two or three bars over the face, upright or lying, or a cross on a field."""
    kind, wobble = draws.below(3), draws.between(0.5, 2.5)

    def edge(uv: Tensor, k: int) -> Tensor:
        return wobble * (0.6 * texture(uv, 260.0, seed + k, BLOTCHES) + 0.15 * texture(uv, 80.0, seed + k, GRAIN))

    if kind == 2:

        def cross(uv: Tensor) -> Tensor:
            upright = soft_step(9 - uv[0].abs() + edge(uv, 1), 1.2)
            lying = soft_step(9 - (uv[1] + 18).abs() + edge(uv, 2), 1.2)
            return torch.maximum(upright, lying)

        return [Coat(0, lambda uv: torch.ones_like(uv[0])), Coat(1, cross)]
    axis, cuts = kind, ((-24.0, 24.0), (-46.0, 20.0))[kind]
    low, high = (cut + draws.between(-4, 4) for cut in cuts)
    return [
        Coat(0, lambda uv: soft_step(low - uv[axis] + edge(uv, 1), 1.2)),
        Coat(
            1, lambda uv: soft_step(uv[axis] - low - edge(uv, 1), 1.2) * soft_step(high - uv[axis] + edge(uv, 2), 1.2)
        ),
        Coat(2, lambda uv: soft_step(uv[axis] - high - edge(uv, 2), 1.2)),
    ]


def _ellipse(u: float, v: float, a: float, b: float) -> Array:
    return np.asarray(circle(0, 0, 1.0, 40) * np.array([a, b]) + np.array([u, v]))


SCHEMES: dict[str, Scheme] = {
    "wrinkles": wrinkles,
    "latex": latex,
    "injuries": injuries,
    "stubble": stubble,
    "beard": beard,
    "camouflage": camouflage,
    "dazzle": dazzle,
    "clown": clown,
    "skull": skull,
    "animal": animal,
    "tribal": tribal,
    "flag": flag,
}
"""Schemes by the names that the bank's `design` uses."""
