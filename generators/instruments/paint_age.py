"""Age and injuries painted or built up on a face: wrinkles along anatomical lines, latex, scars, bruises."""

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from spooflab.generators.instruments.drawing import Draws, arc
from spooflab.generators.instruments.makeup_regions import soft_step
from spooflab.generators.instruments.paint_coat import ACCENT, Coat, closed_shape, coat_of, mirrored, pen_for_face
from spooflab.generators.instruments.skin_chart import Array, smooth_line
from spooflab.generators.instruments.skin_texture import BLOTCHES, GRAIN, texture


def wrinkle_lines(draws: Draws) -> list[tuple[Array, float]]:
    """Return lines along which faces crease with age, each (N, 2) from its deepest part, with a depth in 0-1.

    Forehead, glabella, crow's feet, under the eyes, nasolabial and marionette folds, around the mouth.
    """
    out: list[tuple[Array, float]] = []
    for level in (31.0, 40.0, 49.0, 57.0)[: 3 + draws.below(2)]:
        x = np.linspace(-44 + draws.between(-6, 6), 44 + draws.between(-6, 6), 24)
        wave = 1.5 * np.sin(0.11 * x + draws.between(-1, 1)) - 0.002 * x * x
        out.append((np.stack([x, level + draws.between(-2, 2) + wave], 1), draws.between(0.5, 1.0)))
    for side in (-1, 1):
        top = (5.5 + draws.between(-1, 1), 25.0)
        out.append((mirrored(arc((4.5, 7.0), top, draws.between(-0.06, 0.06)), side), draws.between(0.5, 1.0)))
        for k in range(3 + draws.below(3)):
            tilt = -0.55 + 0.34 * k + draws.between(-0.08, 0.08)
            length = draws.between(10, 19)
            end = (46 + length * math.cos(tilt), 0.5 + length * math.sin(tilt))
            out.append(
                (mirrored(arc((46.0, 0.5 - 1.2 * k), end, draws.between(-0.08, 0.08)), side), draws.between(0.5, 0.9))
            )
        for k in range(1 + draws.below(2)):
            low = -13.0 - 5 * k
            bag = [(15.0, -7.0), (24.0, low), (36.0, low - 1), (45.0, -8.0 - 2 * k)]
            out.append((mirrored(smooth_line(bag, 8), side), 0.7 - 0.2 * k))
        fold = [(15.5, -38.0), (22.0, -48.0), (27.0, -60.0), (27.5 + draws.between(-1, 2), -74.0)]
        out.append((mirrored(smooth_line(fold, 8), side), 1.0))
        marionette = [(23.0, -71.0), (25.0, -80.0), (24.0 + draws.between(-2, 2), -90.0)]
        out.append((mirrored(smooth_line(marionette, 6), side), draws.between(0.5, 1.0)))
        hollow = [(58.0, -28.0), (50.0, -42.0), (44.0, -58.0)]
        out.append((mirrored(smooth_line(hollow, 6), side), draws.between(0.0, 0.6)))
    for x in np.linspace(-14, 14, 7):
        end = (float(x) * 1.1, -52.0)
        out.append((arc((float(x), -59.0), end, 0.03), draws.between(0.2, 0.55)))
    return out


def wrinkles(draws: Draws, seed: int) -> list[Coat]:
    """Old-age makeup: shadow lines with a highlight at their side, a sallow wash, hollows and age spots."""
    dark, light, wash = pen_for_face(fine=True), pen_for_face(), pen_for_face()
    width = draws.between(1.1, 2.0)
    for line, depth in wrinkle_lines(draws):
        t = np.linspace(0, 1, len(line))
        taper = np.sin(math.pi * (0.12 + 0.85 * t)) ** 0.7
        dark.stroke(line, width * (0.4 + 0.8 * depth) * taper, 0.35 + 0.6 * depth)
        shifted = line + np.array([0.0, width * 1.3])
        light.stroke(shifted, width * 1.2 * taper, 0.6 * depth)
    for side in (-1, 1):
        wash.polygon(closed_shape([(52, -28), (66, -34), (58, -66), (38, -58), (40, -40)], side), 0.5)
        wash.polygon(closed_shape([(14, -8), (30, -9), (45, -6), (42, -17), (26, -19)], side), 0.6)
        wash.polygon(closed_shape([(58, 20), (76, 24), (74, 48), (60, 50)], side), 0.4)

    def spots(uv: Tensor) -> Tensor:
        return soft_step(texture(uv, 96.0, seed + 5, BLOTCHES) - 1.75, 0.25) * 0.5

    return [
        coat_of(wash, 0, 5.0, amount=0.35),
        coat_of(light, ACCENT, 1.2, amount=0.28),
        Coat(0, spots, amount=0.5),
        coat_of(dark, 0, 0.55, fine=True),
    ]


def latex(draws: Draws, seed: int) -> list[Coat]:
    """Stretch-and-stipple latex: colour only settles in its wrinkles; `relief` raises them."""
    height = relief(draws, seed, "latex")

    def settled(uv: Tensor) -> Tensor:
        return soft_step(-height(uv) - 0.15, 0.5)

    return [Coat(0, settled, amount=0.6), Coat(ACCENT, lambda uv: torch.ones_like(uv[0]), amount=0.06)]


def relief(draws: Draws, seed: int, design: str) -> Callable[[Tensor], Tensor]:
    """Return the height in millimetres of what is built up on the skin, as a function of chart positions."""
    if design == "latex":
        pen = pen_for_face()
        for line, depth in wrinkle_lines(draws):
            pen.stroke(line, 2.2, 0.5 + 0.5 * depth)
        folds = pen.picture().soften(1.0)

        def wrinkled(uv: Tensor) -> Tensor:
            # Stretched skin dries into fine folds across the pull: across on the cheeks, along on the forehead.
            fine = (
                texture(uv, (46.0, 120.0), seed + 2, BLOTCHES) * 0.6 + texture(uv, (70.0, 150.0), seed + 3, GRAIN) * 0.4
            )
            level = texture(uv, (190.0, 47.0), seed + 4, BLOTCHES) + 0.5 * texture(uv, (110.0, 60.0), seed + 6, GRAIN)
            share = soft_step(uv[1] - 22, 8)
            return 0.15 * torch.lerp(fine, 0.8 * level, share) - 0.8 * folds.at(uv)[0]

        return wrinkled
    pen = pen_for_face()
    for _ in range(2):
        pen.stroke(_scar(draws), 2.4)
    ridge = pen.picture().soften(0.9)
    return lambda uv: -1.2 * ridge.at(uv)[0]


def _scar(draws: Draws) -> Array:
    side = 1 if draws.often(0.5) else -1
    u, v = side * draws.between(14, 58), draws.between(-62, 38)
    turn, length = draws.between(0.6, 2.5), draws.between(16, 44)
    du, dv = math.cos(turn) * length / 2, math.sin(turn) * length / 2
    return arc((u - du, v - dv), (u + du, v + dv), draws.between(-0.1, 0.1))


def injuries(draws: Draws, seed: int) -> list[Coat]:
    """Bruises with yellowing rims, black eyes, scars and cuts with stage blood."""
    first = Draws(seed, "scars")
    red, blood, pale = pen_for_face(fine=True), pen_for_face(fine=True), pen_for_face(fine=True)
    for _ in range(2):
        line = _scar(first)
        t = np.linspace(0, 1, len(line))
        red.stroke(line, draws.between(2.0, 4.0) * np.sin(math.pi * (0.05 + 0.9 * t)) ** 0.6, 0.7)
        if draws.often(0.6):
            blood.stroke(line, draws.between(0.8, 1.8) * np.sin(math.pi * (0.1 + 0.8 * t)))
            for _ in range(draws.below(4)):
                start = line[draws.below(len(line))]
                drip = np.stack([start, start + np.array([draws.between(-2, 2), -draws.between(5, 22)])])
                blood.stroke(drip, np.array([0.9, 1.3]))
                blood.dot(drip[1], 0.9)
        else:
            pale.stroke(line, 1.0, 0.8)
            for k in range(2, len(line) - 1, 3):
                across = np.array([-(line[k + 1] - line[k])[1], (line[k + 1] - line[k])[0]])
                across = across / max(float(np.hypot(*across)), 1e-6) * 3.0
                red.stroke(np.stack([line[k] - across, line[k] + across]), 0.7, 0.9)
    side = 1.0 if draws.often(0.5) else -1.0
    spots = [(side * 29.0, -5.0, 17.0, 14.0)] if draws.often(0.7) else []
    spots += [
        (draws.between(-60, 60), draws.between(-80, 40), draws.between(9, 18), draws.between(8, 16))
        for _ in range(2 + draws.below(3))
    ]

    def depth(uv: Tensor) -> Tensor:
        total = torch.zeros_like(uv[0])
        uneven = 0.24 * texture(uv, 170.0, seed + 1, BLOTCHES) + 0.10 * texture(uv, 90.0, seed + 2, GRAIN)
        for u, v, a, b in spots:
            far = ((uv[0] - u) / a).square() + ((uv[1] - v) / b).square()
            total = torch.maximum(total, 1.25 - far)
        return total + uneven * total.clamp(max=1)

    return [
        Coat(2, lambda uv: soft_step(depth(uv) - 0.3, 0.4) * (1 - soft_step(depth(uv) - 0.8, 0.5)), amount=0.6),
        Coat(0, lambda uv: soft_step(depth(uv) - 0.55, 0.5), amount=0.35),
        Coat(1, lambda uv: soft_step(depth(uv) - 0.75, 0.5), amount=0.9),
        coat_of(red, 0, 0.6, fine=True, amount=1.1),
        coat_of(pale, 3, 0.35, fine=True, amount=0.15),
        coat_of(blood, ACCENT, 0.25, fine=True, amount=1.6),
    ]
