"""Motifs of tattoos, drawn procedurally: every one differs, and none is copied from anybody's skin.

A motif draws lines into the first pen and, where it has them, filled areas of a second ink into the second.
"""

import math
from collections.abc import Callable, Sequence

import numpy as np

from spooflab.generators.instruments.drawing import Draws, Place, arc, circle, spiral
from spooflab.generators.instruments.skin_chart import Pen, smooth_line

Motif = Callable[[Sequence[Pen], Place, Draws, float], None]
"""Draws with pens at a place; the last argument is the needle's line width in millimetres."""

_FACE_PLACES = {
    "forehead": (0.0, 44.0, 17.0, 0.0),
    "temple": (76.0, 22.0, 15.0, 0.2),
    "cheek": (50.0, -42.0, 18.0, -0.3),
    "chin": (0.0, -94.0, 12.0, 0.0),
    "under_eye": (42.0, -22.0, 8.0, 0.0),
    "brow_end": (62.0, 18.0, 10.0, 0.1),
    "jaw": (62.0, -72.0, 15.0, 0.6),
    "upper_cheek": (66.0, -20.0, 14.0, 0.1),
}
"""Chart position (subject's left), usual size in millimetres and turn of each place."""


def centre_of(name: str, side: int) -> tuple[float, float, float]:
    """Return the chart position and size in millimetres of a place."""
    u, v, size, _ = _FACE_PLACES[name]
    return side * u, v, size


def place_of(name: str, side: int, draws: Draws, scale: float = 1.0) -> Place:
    """Return a place with its usual scatter; `side` is 1 for the subject's left, -1 for the right."""
    u, v, size, turn = _FACE_PLACES[name]
    angle = turn + draws.between(-0.35, 0.35)
    return Place(
        side * u + draws.between(-4, 4) if u else draws.between(-5, 5),
        v + draws.between(-4, 4),
        size * scale * draws.between(0.85, 1.35),
        side * angle,
        side < 0,
    )


def tribal(pens: Sequence[Pen], at: Place, draws: Draws, line_mm: float) -> None:
    """Sweeping blades that taper to points and hook around each other."""
    del line_mm
    for _ in range(5 + draws.below(4)):
        x, y = draws.between(-0.8, 0.3), draws.between(-0.8, 0.8)
        turn, length = draws.between(-0.9, 0.9), draws.between(1.1, 2.1)
        bend = draws.between(0.8, 2.2) * (1 if draws.often(0.6) else -1)
        t = np.linspace(0, 1, 20)
        angle = turn + bend * t**1.5
        path = np.stack([x + length * np.cumsum(np.cos(angle)) / 20, y + length * np.cumsum(np.sin(angle)) / 20], 1)
        width = draws.between(0.16, 0.34) * np.sin(math.pi * t**0.7) ** 1.1 * at.size_mm
        pens[0].stroke(at(path), np.maximum(width, 0.05))
        if draws.often(0.5):
            k = 6 + draws.below(8)
            tip = path[k] + np.array([draws.between(-0.4, 0.4), draws.between(-0.4, 0.4)])
            thorn = np.stack([path[k - 3], tip, path[k + 2]])
            pens[0].polygon(at(thorn))


def curvilinear(pens: Sequence[Pen], at: Place, draws: Draws, line_mm: float) -> None:
    """Spirals with parallel grooves around them."""
    for sx, sy in ((0.0, 0.35), (0.15, -0.5)):
        turns, start = draws.between(1.6, 2.6), draws.between(0, 6.3)
        path = spiral(sx, sy, draws.between(0.42, 0.6), turns * (1 if draws.often(0.5) else -1), start)
        pens[0].stroke(at(path), line_mm * np.linspace(0.8, 1.9, len(path)))
        for k in range(3 + draws.below(3)):
            ring = spiral(sx, sy, 0.68 + 0.14 * k, 0.38, start + 0.25 * k, 24)[8:]
            pens[0].stroke(at(ring), line_mm * 1.1)


def dots(pens: Sequence[Pen], at: Place, draws: Draws, line_mm: float) -> None:
    """Rings of dots that grow towards the outside."""
    petals = 6 + draws.below(7)
    for ring in range(4):
        radius = 0.22 + 0.26 * ring
        for k in range(petals * (1 + (ring + 1) // 2)):
            t = 2 * math.pi * (k + 0.5 * (ring % 2)) / (petals * (1 + (ring + 1) // 2))
            spot = at(np.array([[radius * math.cos(t), radius * math.sin(t)]]))[0]
            pens[0].dot(spot, line_mm * (0.7 + 0.3 * ring) * draws.between(0.85, 1.15))
    pens[0].dot(at(np.zeros((1, 2)))[0], 0.11 * at.size_mm)


def script(pens: Sequence[Pen], at: Place, draws: Draws, line_mm: float) -> None:
    """A line or two that read as writing: joined letter-like strokes, of no alphabet."""
    rows = 1 + draws.below(2)
    for row in range(rows):
        x, y = -1.15, 0.3 - 0.6 * row
        path = [(x, y)]
        while x < 1.15:
            step, tall = draws.between(0.09, 0.16), draws.between(0.16, 0.5) * (-0.7 if draws.often(0.2) else 1)
            path += [(x + 0.3 * step, y + tall), (x + 0.6 * step, y + 0.3 * tall), (x + step, y)]
            x += step * 1.05
        curve = smooth_line(path, 5)
        slope = np.gradient(curve[:, 1])
        # Broad on downstrokes, hairline upwards, as a nib writes.
        pens[0].stroke(at(curve), line_mm * np.where(slope < 0, 1.5, 0.75))


def geometric(pens: Sequence[Pen], at: Place, draws: Draws, line_mm: float) -> None:
    """Nested polygons with spokes, every second facet filled."""
    sides, turn = 3 + draws.below(5), draws.between(0, 6.3)
    t = np.arange(sides) / sides * 2 * math.pi + turn
    corners = np.stack([np.cos(t), np.sin(t)], 1)
    for scale in (1.0, 0.72, 0.4):
        ring = np.concatenate([corners, corners[:2]]) * scale
        pens[0].stroke(at(ring), line_mm)
    for k in range(sides):
        pens[0].stroke(at(np.stack([corners[k] * 0.4, corners[k]])), line_mm)
        if k % 2 == 0:
            nxt = corners[(k + 1) % sides]
            pens[-1].polygon(at(np.stack([corners[k] * 0.72, corners[k] * 0.4, nxt * 0.4, nxt * 0.72])), 0.85)


def star(pens: Sequence[Pen], at: Place, draws: Draws, line_mm: float) -> None:
    """A nautical star: half of each ray filled."""
    rays, turn = (5, 5, 6, 8)[draws.below(4)], math.pi / 2 + draws.between(-0.2, 0.2)
    inner = draws.between(0.32, 0.5)
    for k in range(rays):
        angles = [turn + 2 * math.pi * (k + d) / rays for d in (-0.5, 0.0, 0.5)]
        tips = [np.array([r * math.cos(a), r * math.sin(a)]) for a, r in zip(angles, (inner, 1.0, inner), strict=True)]
        pens[0].polygon(at(np.stack([np.zeros(2), tips[0], tips[1]])))
        pens[-1].polygon(at(np.stack([np.zeros(2), tips[1], tips[2]])), 0.7 if len(pens) > 1 else 0.0)
        pens[0].stroke(at(np.stack([tips[0], tips[1], tips[2]])), line_mm)


def web(pens: Sequence[Pen], at: Place, draws: Draws, line_mm: float) -> None:
    """A cobweb that spreads from a corner: spokes and sagging threads."""
    spokes, first, spread = 6 + draws.below(4), draws.between(-0.5, 0.3), draws.between(1.8, 3.0)
    tips = [first + spread * k / (spokes - 1) for k in range(spokes)]
    reach = [draws.between(0.95, 1.35) for _ in tips]
    for a, r in zip(tips, reach, strict=True):
        pens[0].stroke(at(np.array([[-0.5, -0.5], [-0.5 + 2 * r * math.cos(a), -0.5 + 2 * r * math.sin(a)]])), line_mm)
    for ring in range(1, 6):
        for a, b, ra, rb in zip(tips, tips[1:], reach, reach[1:], strict=False):
            s = 2 * ring / 5.6
            p = (-0.5 + s * ra * math.cos(a), -0.5 + s * ra * math.sin(a))
            q = (-0.5 + s * rb * math.cos(b), -0.5 + s * rb * math.sin(b))
            pens[0].stroke(at(arc(p, q, 0.14)), line_mm * 0.8)


def rose(pens: Sequence[Pen], at: Place, draws: Draws, line_mm: float) -> None:
    """A flower of spiralling petals with two leaves; the petals are filled with the second ink."""
    for side in (-1, 1):
        stem, tip = (side * 0.5, -0.4), (side * 1.3, -0.75)
        leaf = np.concatenate([arc(stem, tip, 0.2), arc(tip, stem, 0.2)])
        pens[-1].polygon(at(leaf), 0.45)
        pens[0].stroke(at(leaf), line_mm)
    for ring, count in ((1.0, 6), (0.68, 5), (0.36, 3)):
        turn = draws.between(0, 6.3)
        for k in range(count):
            t = turn + 2 * math.pi * k / count
            centre = (0.55 * ring * math.cos(t), 0.55 * ring * math.sin(t))
            petal = circle(*centre, 0.46 * ring + 0.06) * np.array([1.0, 0.96])
            pens[-1].polygon(at(petal), 0.75 + 0.25 * (k % 2))
            pens[0].stroke(at(np.concatenate([petal[:20]])), line_mm * 0.9)


def barbed(pens: Sequence[Pen], at: Place, draws: Draws, line_mm: float) -> None:
    """A twisted wire with barbs."""
    x = np.linspace(-1.6, 1.6, 60)
    phase, tall = draws.between(0, 6.3), draws.between(0.05, 0.09)
    for sign in (1, -1):
        pens[0].stroke(at(np.stack([x, sign * tall * np.sin(9 * x + phase) - 0.1 * x * x], 1)), line_mm * 1.3)
    for k in range(7):
        cx = -1.4 + 0.46 * k
        cy = -0.1 * cx * cx
        for lean in (-0.5, 0.5):
            tip = np.array([[cx - 0.04, cy - 0.2], [cx + lean * 0.16, cy + 0.2]])
            pens[0].stroke(at(tip), line_mm * np.array([0.5, 1.6]))


def tears(pens: Sequence[Pen], at: Place, draws: Draws, line_mm: float) -> None:
    """Drops under the eye, filled or in outline."""
    for k in range(1 + draws.below(3)):
        x, y = 0.35 * k - 0.2, -0.6 * (k % 2)
        ring = [(0.0, 0.6), (0.2, 0.0), (0.26, -0.3), (0.0, -0.55), (-0.26, -0.3), (-0.2, 0.0)]
        drop = smooth_line([(x + dx, y + dy) for dx, dy in ring], 6, closed=True)
        if draws.often(0.6):
            pens[0].polygon(at(drop))
        else:
            pens[0].stroke(at(np.concatenate([drop, drop[:2]])), line_mm)


def symbols(pens: Sequence[Pen], at: Place, draws: Draws, line_mm: float) -> None:
    """A handful of small signs scattered: crosses, hearts, stars, moons, rings, arrows."""
    for k in range(9):
        if draws.often(0.2):
            continue
        x, y = 0.95 * (k % 3 - 1) + draws.between(-0.12, 0.12), 0.9 * (k // 3 - 1) + draws.between(-0.12, 0.12)
        size = draws.between(0.24, 0.38)
        turn = draws.between(-0.6, 0.6)
        u, v = at(np.array([[x, y]]))[0].tolist()
        spot = Place(u, v, size * at.size_mm, at.angle + turn, at.mirrored)
        _small(pens, spot, draws.below(6), line_mm * 1.2)


def _small(pens: Sequence[Pen], at: Place, kind: int, line_mm: float) -> None:
    if kind == 0:
        pens[0].stroke(at(np.array([[0, -1.0], [0, 1.0]])), line_mm * 1.4)
        pens[0].stroke(at(np.array([[-0.6, 0.35], [0.6, 0.35]])), line_mm * 1.4)
    elif kind == 1:
        t = np.linspace(0, 2 * math.pi, 30)
        heart = np.stack([np.sin(t) ** 3, (13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t)) / 16], 1)
        pens[-1].polygon(at(heart))
    elif kind == 2:
        t = np.arange(10) / 10 * 2 * math.pi + math.pi / 2
        r = np.where(np.arange(10) % 2 == 0, 1.0, 0.42)
        pens[0].polygon(at(np.stack([r * np.cos(t), r * np.sin(t)], 1)))
    elif kind == 3:
        outer, inner = circle(0, 0, 1.0)[4:25], circle(0.42, 0, 0.75)[5:24]
        pens[0].polygon(at(np.concatenate([outer, inner[::-1]])))
    elif kind == 4:
        ring = circle(0, 0, 0.8)
        pens[0].stroke(at(np.concatenate([ring, ring[:2]])), line_mm)
        pens[0].dot(at(np.zeros((1, 2)))[0], 0.25 * at.size_mm)
    else:
        pens[0].stroke(at(np.array([[-1.0, 0], [1.0, 0]])), line_mm)
        pens[0].polygon(at(np.array([[1.2, 0], [0.6, 0.35], [0.6, -0.35]])))


def linework_face(pens: Sequence[Pen], at: Place, draws: Draws, line_mm: float) -> None:
    """Rows of parallel curves over the face, mirrored: rays on the forehead, arcs on cheeks, spirals on the chin."""
    del at
    gap, wide = draws.between(3.6, 5.4), line_mm * draws.between(1.6, 2.6)
    bow, tilt = draws.between(-0.16, 0.16), draws.between(0.5, 1.1)
    for side in (-1, 1):
        for k in range(5):
            low = (side * (8 + gap * k), 24 + 1.2 * k)
            top = (side * (10 + gap * k * tilt), 60 - 2.0 * k)
            pens[0].stroke(arc(low, top, side * bow), wide * np.linspace(1.2, 0.5, 18))
            start = (side * (20 + 1.4 * k), -46 - gap * 0.9 * k)
            end = (side * (66 + 2.2 * k), -24 - gap * 1.5 * k)
            pens[0].stroke(arc(start, end, -side * (0.16 + 0.02 * k)), wide * np.linspace(0.8, 1.3, 18))
        for cx, cy, r in ((46.0, -30.0, 9.0), (14.0, -93.0, 8.0), (20.0, -41.0, 6.0)):
            path = spiral(side * cx, cy, r, side * draws.between(1.6, 2.2), 1.0)
            pens[0].stroke(path, wide * 0.9)


def blackwork_face(pens: Sequence[Pen], at: Place, draws: Draws, line_mm: float) -> None:
    """Large black fields over forehead, cheeks or half of the face, with skin left free in bands."""
    del at, line_mm
    half = draws.often(0.4)
    edge = draws.between(-3, 3)
    for side in (1,) if half else (-1, 1):
        brow = [(side * (edge + 2), 26), (side * 44, 30), (side * 70, 22), (side * 62, 64), (side * (edge + 2), 66)]
        cheek = [(24, -20), (58, -14), (84, -22), (80, -66), (48, -96), (26, -56)]
        for shape in (brow, [(side * x, y) for x, y in cheek]):
            pens[0].polygon(smooth_line([(float(x), float(y)) for x, y in shape], 6, closed=True))
        for _ in range(2 + draws.below(3)):
            y, slope = draws.between(-80, 60), draws.between(-0.5, 0.5)
            band = arc((side * -5.0, y), (side * 100.0, y + 100 * slope), draws.between(-0.1, 0.1))
            pens[0].stroke(band, draws.between(2.0, 6.0), 0.0)


MOTIFS: dict[str, Motif] = {
    "tribal": tribal,
    "curvilinear": curvilinear,
    "dots": dots,
    "script": script,
    "geometric": geometric,
    "star": star,
    "web": web,
    "rose": rose,
    "barbed": barbed,
    "tears": tears,
    "symbols": symbols,
    "linework_face": linework_face,
    "blackwork_face": blackwork_face,
}
"""Motifs by name, as the bank's `designs` list them."""

PLACES = tuple(_FACE_PLACES)
"""Names that `place_of` knows."""
USUAL: dict[str, tuple[str, ...]] = {
    "tears": ("under_eye",),
    "barbed": ("forehead", "jaw"),
    "script": ("forehead", "brow_end", "jaw", "upper_cheek"),
    "web": ("temple", "upper_cheek", "cheek"),
}
"""Where motifs usually go; the others go anywhere."""
