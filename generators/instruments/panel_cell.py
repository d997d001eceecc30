"""The unit cell of a panel: where red, green, blue and white leave it, as a raster and as a Fourier series."""

import math
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

from spooflab.generators.instruments.panel import Panel
from spooflab.generators.lattice import Lattice, half_plane

SAMPLES = 48
"""Samples of the raster across one pixel: 16 across a stripe."""
_FINE = 8
"""Points across a sample, whose mean is the sample's coverage."""
_ORDER = 8
"""Harmonics kept per pixel: beyond them no lens and pixel of this lab transfers anything."""
_COLOURS = "rgbw"
_ROWS = {
    "rgb_stripe": ("rgb",),
    "bgr_stripe": ("bgr",),
    "rwbg_stripe": ("rwbg",),
    "rgwb_stripe": ("rgwb",),
    "rgbw_quad": ("rg", "bw"),
    "rgbw_pentile": ("rgbw", "bwrg"),
    "rgbw_stripe": ("rgbw", "bwrg"),
}
"""Emitters of the cell, row by row, in every layout on a rectangular grid."""
_CELLS = {"pentile_diamond": (2, 2), "rgbw_quad": (1, 1), "rgbw_pentile": (2, 2), "rgbw_stripe": (4 / 3, 2)}
_RESAMPLED = ("pentile_diamond", "rgbw_pentile", "rgbw_stripe")
"""Layouts with fewer emitters than colours times pixels: the driver resamples each colour for its own places."""


def cell_pixels(panel: Panel) -> tuple[float, float]:
    """Return how many pixels the repeating cell spans across and down."""
    return _CELLS.get(panel.subpixels.layout, (1, 2 if panel.subpixels.chevron_deg else 1))


class Emitter(NamedTuple):
    """One emitter of the cell, in pixels from the cell's corner.

    Attributes:
        colour: 0 red, 1 green, 2 blue, 3 white.
        x, y: its centre.
        half_w, half_h: half its width and height; for a diamond both are half its diagonal.
        lean: shift to the right per pixel downwards.
        diamond: a square turned by 45 degrees instead of a (leaning) rectangle.
    """

    colour: int
    x: float
    y: float
    half_w: float
    half_h: float
    lean: float = 0.0
    diamond: bool = False


def emitters(panel: Panel) -> list[Emitter]:
    """Return every emitter of the repeating cell."""
    if panel.subpixels.layout == "pentile_diamond":
        return _diamonds(panel)
    gap = panel.subpixels.black_matrix_um / 1000 / panel.pitch_mm
    cell, rows = cell_pixels(panel), _ROWS[panel.subpixels.layout]
    rows = rows * (2 if panel.subpixels.chevron_deg and len(rows) == 1 else 1)
    wide, tall = cell[0] / len(rows[0]), cell[1] / len(rows)
    lean = math.tan(math.radians(panel.subpixels.chevron_deg))
    found = []
    for line, row in enumerate(rows):
        for column, name in enumerate(row):
            colour = _COLOURS.index(name)
            size = panel.subpixels.size[colour]
            found.append(
                Emitter(
                    colour,
                    (column + 0.5) * wide,
                    (line + 0.5) * tall,
                    (wide - gap) / 2 * size,
                    (tall - gap) / 2 * size,
                    lean if line % 2 == 0 else -lean,
                )
            )
    return found


def panel_cell(panel: Panel, samples: int = SAMPLES) -> Tensor:
    """Return (C, rows, columns): the covered share of each sample by the emitters of red, green, blue (and white).

    Args:
        panel: the model.
        samples: across one pixel; a multiple of 12.
    """
    cell = cell_pixels(panel)
    columns, rows = (round(side * samples) for side in cell)
    x = ((torch.arange(columns * _FINE) + 0.5) / (samples * _FINE))[None]
    y = ((torch.arange(rows * _FINE) + 0.5) / (samples * _FINE))[:, None]
    inside = torch.zeros(_count(panel), rows * _FINE, columns * _FINE, dtype=torch.bool)
    for one in emitters(panel):
        dy = (y - one.y + cell[1] / 2) % cell[1] - cell[1] / 2
        dx = (x - one.x - one.lean * dy + cell[0] / 2) % cell[0] - cell[0] / 2
        if one.diamond:
            inside[one.colour] |= dx.abs() + dy.abs() <= one.half_w
        else:
            inside[one.colour] |= (dx.abs() <= one.half_w) & (dy.abs() <= one.half_h)
    return inside.float().reshape(len(inside), rows, _FINE, columns, _FINE).mean((2, 4))


def emitter_offset(panel: Panel) -> tuple[tuple[float, float], ...]:
    """Return how far right of and below the pixel's centre each colour lies, in millimetres.

    A pixel shows its values beside each other, so their pictures are displaced; where the driver resamples each colour
    for its own places they are not.
    """
    colours = _count(panel)
    if panel.subpixels.layout in _RESAMPLED:
        return ((0.0, 0.0),) * colours
    rows = _ROWS[panel.subpixels.layout]
    found = {
        colour: ((column + 0.5) / len(row) - 0.5, (line + 0.5) / len(rows) - 0.5)
        for line, row in enumerate(rows)
        for column, colour in enumerate(row)
    }
    return tuple((found[c][0] * panel.pitch_mm, found[c][1] * panel.pitch_mm) for c in _COLOURS[:colours])


@lru_cache(maxsize=128)
def panel_lattice(panel: Panel) -> Lattice:
    """Return the series of the panel's cell (kept: it is the same for every shot).

    Every emitter has a known transform: a rectangle of w x h pixels w h sinc(w f) sinc(h g) at (f, g) cycles per pixel,
    g replaced by g + lean f where it leans; a square turned by 45 degrees with half-diagonal r
    2 r² sinc(r (f + g)) sinc(r (f - g)).
    """
    across, down = cell_pixels(panel)
    order = math.floor(_ORDER * max(across, down))
    m, n = half_plane(order)
    f, g = m.double() / across, n.double() / down
    total = torch.zeros(_count(panel), len(m), dtype=torch.complex128)
    area = torch.zeros(_count(panel), dtype=torch.float64)
    for one in emitters(panel):
        if one.diamond:
            size = 2 * one.half_w**2
            shape = torch.sinc(one.half_w * (f + g)) * torch.sinc(one.half_w * (f - g))
        else:
            size = 4 * one.half_w * one.half_h
            shape = torch.sinc(2 * one.half_w * f) * torch.sinc(2 * one.half_h * (g + one.lean * f))
        total[one.colour] += size * shape * torch.exp(-2j * math.pi * (f * one.x + g * one.y))
        area[one.colour] += size
    period = (across * panel.pitch_mm, down * panel.pitch_mm)
    return Lattice.from_series(period, m, n, total / area[:, None], area / (across * down))


def _count(panel: Panel) -> int:
    return 4 if panel.subpixels.white else 3


def _diamonds(panel: Panel) -> list[Emitter]:
    """Return squares turned by 45 degrees: greens at pixel corners, red and blue alternating at pixel centres.

    The nearest emitters are half a diagonal apart, so squares that touched would have a half-diagonal of half a pixel.
    """
    gap = panel.subpixels.black_matrix_um / 1000 / panel.pitch_mm
    places = (
        ((0.5, 0.5), (1.5, 1.5)),
        ((0.0, 0.0), (1.0, 0.0), (0.0, 1.0), (1.0, 1.0)),
        ((1.5, 0.5), (0.5, 1.5)),
    )
    found = []
    for colour, at in enumerate(places):
        half = (0.5 - gap / math.sqrt(2)) * panel.subpixels.size[colour]
        found += [Emitter(colour, x, y, half, half, diamond=True) for x, y in at]
    return found
