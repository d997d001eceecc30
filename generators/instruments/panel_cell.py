"""The unit cell of a panel: where red, green and blue leave it, as a raster and as a Fourier series."""

import math
from functools import lru_cache

import torch
from torch import Tensor

from spooflab.generators.instruments.panel import Panel
from spooflab.generators.lattice import Lattice

SAMPLES = 48
"""Samples of the raster across one pixel: 16 across a stripe."""
_FINE = 8
"""Points across a sample, whose mean is the sample's coverage."""
_ORDER = 8
"""Harmonics kept per pixel: beyond them no lens and pixel of this lab transfers anything."""
_PRIMARIES = {"rgb_stripe": (0, 1, 2), "bgr_stripe": (2, 1, 0)}


def cell_pixels(panel: Panel) -> tuple[int, int]:
    """Return how many pixels the repeating cell spans across and down."""
    if panel.subpixels.layout == "pentile_diamond":
        return 2, 2
    return 1, 2 if panel.subpixels.chevron_deg else 1


def panel_cell(panel: Panel, samples: int = SAMPLES) -> Tensor:
    """Return (3, rows, columns): the covered share of each sample by the emitters of red, green and blue.

    Args:
        panel: the model.
        samples: across one pixel.
    """
    across, down = cell_pixels(panel)
    fine = samples * _FINE
    x = (torch.arange(across * fine) + 0.5) / fine
    y = (torch.arange(down * fine) + 0.5) / fine
    if panel.subpixels.layout == "pentile_diamond":
        inside = _diamonds(panel, x[None], y[:, None])
    else:
        inside = _stripes(panel, x[None], y[:, None])
    shape = (3, down * samples, _FINE, across * samples, _FINE)
    return inside.float().reshape(shape).mean((2, 4))


def stripe_offset(panel: Panel) -> tuple[float, float, float]:
    """Return how far right of the pixel's centre red, green and blue lie, in millimetres.

    A stripe panel shows the three values of one pixel side by side, so their pictures are displaced; a PenTile panel's
    driver resamples each colour for its own places.
    """
    if panel.subpixels.layout == "pentile_diamond":
        return 0.0, 0.0, 0.0
    place = _PRIMARIES[panel.subpixels.layout]
    red, green, blue = ((place.index(colour) - 1) / 3 * panel.pitch_mm for colour in range(3))
    return red, green, blue


@lru_cache(maxsize=64)
def panel_lattice(panel: Panel) -> Lattice:
    """Return the series of the panel's cell (kept: it is the same for every shot)."""
    across, down = cell_pixels(panel)
    period = (across * panel.pitch_mm, down * panel.pitch_mm)
    return Lattice.from_cell(panel_cell(panel), period, order=_ORDER * max(across, down))


def _stripes(panel: Panel, x: Tensor, y: Tensor) -> Tensor:
    gap = panel.subpixels.black_matrix_um / 1000 / panel.pitch_mm
    lean = math.tan(math.radians(panel.subpixels.chevron_deg))
    within = y - y.floor()
    slanted = x - lean * (within - 0.5) * torch.where(y.floor() % 2 == 0, 1.0, -1.0)
    emitters = []
    for colour in range(3):
        centre = (_PRIMARIES[panel.subpixels.layout].index(colour) + 0.5) / 3
        half_w = (1 / 3 - gap) / 2 * panel.subpixels.size[colour]
        half_h = (1 - gap) / 2 * panel.subpixels.size[colour]
        across = ((slanted - centre + 0.5) % 1.0 - 0.5).abs() <= half_w
        emitters.append(across & ((within - 0.5).abs() <= half_h))
    return torch.stack(emitters)


def _diamonds(panel: Panel, x: Tensor, y: Tensor) -> Tensor:
    """Return squares turned by 45 degrees: greens at pixel corners, red and blue alternating at pixel centres.

    The nearest emitters are half a diagonal apart, so squares that touched would have a half-diagonal of half a pixel.
    """
    gap = panel.subpixels.black_matrix_um / 1000 / panel.pitch_mm
    reach = (0.5 - gap / math.sqrt(2)) * torch.tensor(panel.subpixels.size)
    red, green, blue = reach.tolist()

    def diamond(cx: float, cy: float, half: float, period: float) -> Tensor:
        dx = ((x - cx + period / 2) % period - period / 2).abs()
        dy = ((y - cy + period / 2) % period - period / 2).abs()
        return dx + dy <= half

    return torch.stack(
        [
            diamond(0.5, 0.5, red, 2) | diamond(1.5, 1.5, red, 2),
            diamond(0.0, 0.0, green, 1),
            diamond(1.5, 0.5, blue, 2) | diamond(0.5, 1.5, blue, 2),
        ]
    )
