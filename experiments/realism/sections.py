"""What is told of one matched species besides its AUC: spectra, sensor grid, noise, colour, and what differs most."""

from dataclasses import asdict, replace
from typing import Any

import numpy as np

from spooflab.augment.fit.flat_blocks import LEVELS
from spooflab.experiments.realism import spectra
from spooflab.experiments.realism.domain import cross_fit, within_folds_auc
from spooflab.experiments.realism.gamut import compare_gamuts, delta_e
from spooflab.experiments.realism.species import Pair, side_mean
from spooflab.experiments.scores import BoolArray, FloatArray
from spooflab.experiments.statistics import percentile

BAND = (10, 90)
"""Percentiles of single pictures between which a band is drawn."""
DECIBEL = 10.0
_TOLD = 8


def interval(estimate: float, replicates: FloatArray) -> dict[str, float | None]:
    """Return an estimate with its 95 % bootstrap bounds, None where there are none."""
    bounds = percentile(replicates)
    low, high = bounds or (None, None)
    return {"value": round(float(estimate), 6) if np.isfinite(estimate) else None, "low": low, "high": high}


def both_means(pair: Pair, values: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return (1 + B, ...) means of the synthetic and of the real pictures: plain first, then each resample."""
    weights = np.concatenate([np.ones((1, pair.weights.shape[1])), pair.weights])
    return side_mean(values, weights, ~pair.is_real), side_mean(values, weights, pair.is_real)


def spectrum_of(pair: Pair) -> dict[str, Any]:
    """Return the radial spectra: means and bands of both sides, and their distance in decibels.

    The distance is the root mean square over the bins of the difference of mean levels; sampling alone lifts it above
    0, which `by_chance`, the mean distance of two halves of the real subjects, shows.
    """
    here, there = both_means(pair, pair.measured.radial)
    apart = DECIBEL * (here - there)
    distance = np.sqrt(spectra.known_mean(apart**2, 1))
    return {
        "edges": spectra.edges().tolist(),
        "synthetic": _curve(pair.measured.radial, ~pair.is_real),
        "real": _curve(pair.measured.radial, pair.is_real),
        "difference_db": [interval(apart[0, b], apart[1:, b]) for b in range(spectra.BINS)],
        "distance_db": interval(distance[0], distance[1:]),
        "by_chance_db": _by_chance(pair, pair.measured.radial),
        "slope": {
            "synthetic": spectra.slope(here[0]),
            "real": spectra.slope(there[0]),
        },
    }


def _by_chance(pair: Pair, values: FloatArray, halvings: int = 20) -> float:
    rows = np.flatnonzero(pair.is_real)
    names, member = np.unique(pair.physics.subject[rows], return_inverse=True)
    rng = np.random.default_rng(0)
    found = []
    for _ in range(halvings):
        first = np.isin(member, rng.permutation(len(names))[: len(names) // 2])
        apart = spectra.known_mean(values[rows[first]], 0) - spectra.known_mean(values[rows[~first]], 0)
        found.append(DECIBEL * np.sqrt(spectra.known_mean(apart**2, 0)))
    return float(np.mean(found))


def _curve(values: FloatArray, rows: BoolArray) -> dict[str, list[float | None]]:
    chosen = values[rows]
    columns = [chosen[np.isfinite(chosen[:, c]), c] for c in range(values.shape[1])]
    told: dict[str, list[float | None]] = {"mean": [float(c.mean()) if len(c) else None for c in columns]}
    for name, at in zip(("low", "high"), BAND, strict=True):
        told[name] = [float(np.percentile(c, at)) if len(c) else None for c in columns]
    return told


def grid_of(pair: Pair) -> dict[str, Any]:
    """Return the signatures of the colour-filter lattice and of 8 x 8 blocks: means of both sides and differences."""
    lines = []
    for c, channel in enumerate(("red", "green", "blue")):
        for f, name in enumerate(spectra.LATTICE):
            here, there = both_means(pair, pair.measured.cfa[:, c, f])
            lines.append(_difference(f"2 × 2 lattice in {channel}, {name}", here, there))
    seams = pair.measured.blocks.max(1) - np.median(pair.measured.blocks, axis=1)
    lines.append(_difference("seams of 8 × 8 blocks", *both_means(pair, seams)))
    return {"lines": lines}


def _difference(name: str, here: FloatArray, there: FloatArray) -> dict[str, Any]:
    return {
        "name": name,
        "synthetic": float(here[0]),
        "real": float(there[0]),
        "difference": interval(here[0] - there[0], here[1:] - there[1:]),
    }


def noise_of(pair: Pair) -> dict[str, Any]:
    """Return the noise-level functions: variance of flat blocks over luma, squared code values, and the distance.

    Means are of logarithms, so that one noisy picture does not stand for a level.
    """
    log = np.log10(pair.measured.noise + 0.1)
    here, there = both_means(pair, log)
    apart = DECIBEL * (here - there)
    known = np.isfinite(apart[0])
    size, level = np.full((2, len(apart)), np.nan)
    if known.any():
        size = np.sqrt(spectra.known_mean(apart[:, known] ** 2, 1))
        level = spectra.known_mean(apart[:, known], 1)
    return {
        "luma": ((LEVELS[:-1] + LEVELS[1:]) / 2).tolist(),
        "synthetic": _curve(log, ~pair.is_real),
        "real": _curve(log, pair.is_real),
        "distance_db": interval(size[0], size[1:]),
        "synthetic_less_real_db": interval(level[0], level[1:]),
    }


def colour_of(pair: Pair) -> dict[str, Any]:
    """Return colour percentiles, hulls, the difference of means, and the Wasserstein distance of each axis."""
    colours = pair.measured.colours
    found = compare_gamuts(*(colours[rows].reshape(-1, 3) for rows in (~pair.is_real, pair.is_real)))
    here, there = both_means(pair, colours.mean(1))
    replicates = np.linalg.norm(here - there, axis=1)
    assert abs(replicates[0] - delta_e(here[0], there[0])) < 1e-9
    return asdict(found) | {"delta_e": interval(replicates[0], replicates[1:])}


def most_different(pair: Pair) -> list[dict[str, Any]]:
    """Return the measures whose means differ most, in standard deviations of the synthetic pictures, with intervals."""
    table = pair.measured.table[:, pair.shown]
    spread = np.nanstd(table[~pair.is_real], axis=0).clip(1e-9)
    here, there = both_means(pair, table)
    apart = (there - here) / spread
    names = [n for n, shown in zip(pair.measured.names, pair.shown, strict=True) if shown]
    causes = [c for c, shown in zip(pair.measured.cause, pair.shown, strict=True) if shown]
    found: list[dict[str, Any]] = [
        {"name": name, "cause": cause, **interval(apart[0, f], apart[1:, f])}
        for f, (name, cause) in enumerate(zip(names, causes, strict=True))
    ]
    clear = [line for line in found if line["low"] is not None and (line["low"] > 0 or line["high"] < 0)]
    return sorted(clear, key=lambda line: -abs(line["value"]))[:_TOLD]


def cause_aucs(pair: Pair) -> dict[str, float]:
    """Return the cross-fitted AUC of each cause's measures alone."""
    out = {}
    causes = np.array(pair.measured.cause)[pair.shown]
    for cause in dict.fromkeys(causes.tolist()):
        domain = replace(pair.physics, table=pair.physics.table[:, causes == cause])
        out[cause] = float(within_folds_auc(cross_fit(domain, pair.fit.fold[:1]), domain.real)[0])
    return out
