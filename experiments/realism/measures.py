"""Everything that is measured of one crop, as a table with names that a physicist reads."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from spooflab.augment.fit.chart import to_lab
from spooflab.augment.fit.edges import edge_steepness
from spooflab.augment.fit.flat_blocks import BANDS, LEVELS, LUMA_BANDS, Blocks, flat_blocks, to_ycc
from spooflab.experiments.realism import spectra
from spooflab.experiments.realism.sides import Pixels
from spooflab.experiments.scores import FloatArray
from spooflab.generators.qc import periodic_contrast

CAUSES = ("sharpness and spectrum", "periodic pattern", "noise", "colour and tone", "compression and sensor grid")
COLOURS_PER_PICTURE = 256
NOISE_LEVELS = len(LEVELS) - 1
_CHROMA_RINGS = ((0, 4), (4, 8), (8, spectra.BINS))
_FEWEST_EDGES, _STEEP = 5, 0.75
_FLAT_BLOCKS = 150
"""Flat blocks of a crop and luma bin at most, evenly among all that pass."""
_UPPER = [place for place, (low, _) in enumerate(LUMA_BANDS) if low >= 4]
"""Luma bands above those into which a scene's own slow changes leak."""
_EMPTY = 0.5
"""Energy, squared code values, added before logarithms: below it rounding leaves nothing to compare."""


@dataclass(frozen=True, eq=False)
class Measured:
    """N crops.

    Attributes:
        names: of the features.
        cause: of each feature, one of `CAUSES`.
        table: (N, F), NaN where a crop does not show it.
        radial: (N, BINS) radial spectrum of luma, log10 of squared code values.
        cfa: (N, 3, 3) by channel (red, green, blue) and `spectra.LATTICE`.
        blocks: (N, 8) `spectra.block_phases` of luma.
        noise: (N, NOISE_LEVELS) variance of flat blocks by luma, squared code values, NaN where there is none.
        colours: (N, COLOURS_PER_PICTURE, 3) L*, a*, b* of evenly spread pixels.
    """

    names: tuple[str, ...]
    cause: tuple[str, ...]
    table: FloatArray
    radial: FloatArray
    cfa: FloatArray
    blocks: FloatArray
    noise: FloatArray
    colours: FloatArray

    def take(self, rows: Sequence[int]) -> "Measured":
        """Return some of the crops."""
        index = np.asarray(rows, dtype=np.int64)
        arrays = (self.table, self.radial, self.cfa, self.blocks, self.noise, self.colours)
        return Measured(self.names, self.cause, *(array[index] for array in arrays))


def measure(crops: Sequence[Pixels]) -> Measured:
    """Measure crops (S, S, 3) of one size."""
    parts = [_measure_one(crop) for crop in crops]
    named = parts[0][0]
    stacked = [np.stack([part[1][i] for part in parts]) for i in range(5)]
    table = np.array([[value for value, _ in part[0].values()] for part in parts])
    return Measured(tuple(named), tuple(cause for _, cause in named.values()), table, *stacked)


def _measure_one(crop: Pixels) -> tuple[dict[str, tuple[float, str]], tuple[FloatArray, ...]]:
    planes = to_ycc(crop.astype(np.float32)).astype(np.float64)
    luma = planes[0]
    power = spectra.radial(luma)
    chroma = np.log10(np.mean([10 ** spectra.radial(plane) for plane in planes[1:]], axis=0))
    cfa = np.stack([spectra.cfa_phase(crop[..., c].astype(np.float64)) for c in range(3)])
    blocks = spectra.block_phases(luma)
    flat = flat_blocks_of(crop)
    lab = to_lab(crop / 255)
    step = np.linspace(0, crop.shape[0] - 1, int(np.sqrt(COLOURS_PER_PICTURE))).round().astype(np.int64)
    colours = lab[np.ix_(step, step)].reshape(-1, 3)
    groups = (
        _sharpness(luma, power, chroma),
        {"contrast of the strongest periodic pattern": np.log10(periodic_contrast(luma.astype(np.float32)) + 1e-4)},
        _noise(flat),
        _colour(lab, crop),
        _grid(cfa, blocks),
    )
    named = {n: (float(v), cause) for cause, group in zip(CAUSES, groups, strict=True) for n, v in group.items()}
    return named, (power, cfa, blocks, noise_levels(flat), colours)


def _sharpness(luma: FloatArray, power: FloatArray, chroma: FloatArray) -> dict[str, float]:
    ends = spectra.edges()
    out = {f"luma power at {a:.2f}-{b:.2f} c/px": power[i] for i, (a, b) in enumerate(pairwise(ends))}
    for first, last in _CHROMA_RINGS:
        out[f"chroma power at {ends[first]:.2f}-{ends[last]:.2f} c/px"] = float(
            spectra.known_mean(chroma[first:last], 0)
        )
    across, along = (np.log10(np.mean(np.diff(luma, axis=axis) ** 2) + 1e-6) for axis in (1, 0))
    steep = edge_steepness((luma / 255).astype(np.float32))
    return out | {
        "slope of the spectrum": spectra.slope(power),
        "steps across columns over steps across rows, log10": across - along,
        "steepness of edges, 1/px": float(np.quantile(steep, _STEEP)) if len(steep) >= _FEWEST_EDGES else np.nan,
    }


def _noise(flat: Blocks) -> dict[str, float]:
    if not len(flat.level):
        return {f"noise of flat blocks, {band}": np.nan for band in BANDS} | {"noise, bright over dark": np.nan}
    energy = np.log10(np.median(flat.energy, axis=0) + _EMPTY)
    by_level = noise_levels(flat)
    known = np.flatnonzero(np.isfinite(by_level))
    tilt = np.nan
    if len(known) >= 3:
        tilt = float(np.polyfit(known, np.log10(by_level[known] + _EMPTY), 1)[0])
    named = {f"noise of flat blocks, {band}": value for band, value in zip(BANDS, energy, strict=True)}
    return named | {"noise, bright over dark": tilt}


def flat_blocks_of(crop: Pixels) -> Blocks:
    """Return the flat blocks of a crop, edges beside them or not: a face's crop has few that lie by themselves."""
    return flat_blocks(crop, most=_FLAT_BLOCKS, apart=False)


def noise_levels(flat: Blocks, *, fewest: int = 4) -> FloatArray:
    """Return (NOISE_LEVELS,) the noise-level function: variance of flat blocks by luma, squared code values.

    Mean squared DCT coefficient of the upper luma bands, where white noise of variance v reads v; the median over the
    blocks of a level, so that a hair in one of them is no noise.
    """
    out = np.full(NOISE_LEVELS, np.nan)
    upper = flat.energy[:, _UPPER].mean(1)
    for level in range(NOISE_LEVELS):
        rows = upper[flat.level == level]
        if len(rows) >= fewest:
            out[level] = np.median(rows)
    return out


def _colour(lab: FloatArray, crop: Pixels) -> dict[str, float]:
    flat = lab.reshape(-1, 3)
    low, middle, high = np.percentile(flat, (5, 50, 95), axis=0)
    chroma = np.hypot(flat[:, 1], flat[:, 2])
    out = {f"median {axis}": middle[i] for i, axis in enumerate(("L*", "a*", "b*"))}
    out |= {f"range of {axis}, 5-95 %": high[i] - low[i] for i, axis in enumerate(("L*", "a*", "b*"))}
    return out | {
        "darkest 5 % of L*": low[0],
        "brightest 5 % of L*": high[0],
        "chroma, 95 %": float(np.percentile(chroma, 95)),
        "share of black pixels, log10": float(np.log10((crop.min(-1) <= 2).mean() + 1e-3)),
        "share of burnt pixels, log10": float(np.log10((crop.max(-1) >= 253).mean() + 1e-3)),
    }


def _grid(cfa: FloatArray, blocks: FloatArray) -> dict[str, float]:
    green, others = cfa[1], cfa[[0, 2]].mean(0)
    out = {f"colour-filter lattice in green, {name}": green[i] for i, name in enumerate(spectra.LATTICE)}
    out |= {f"colour-filter lattice in red and blue, {name}": others[i] for i, name in enumerate(spectra.LATTICE)}
    return out | {"seams of 8 x 8 blocks": float(blocks.max() - np.median(blocks))}
