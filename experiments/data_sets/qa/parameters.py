"""Drawn parameters against what they were drawn from: distance of the distributions, and parts of the range left empty.

Pictures that could not be made or failed quality control are missing from a data set, and so may be parts of a range.
"""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spooflab.experiments.data_sets.priors import Draws, Priors, varying
from spooflab.experiments.statistics import holm

BINS = 10
"""Parts of a range, of equal probability under the prior."""
SURE_TO_BE_HIT = 20.0
"""Samples that a part of the range should have before its emptiness is a finding: chance leaves e^-20 of such empty."""
SURE = 0.01
_FINE = 200
_AT_ONCE = 512


@dataclass(frozen=True)
class Fit:
    """One parameter of one species or device model.

    Attributes:
        kind: `attack` or `device`.
        group: species or device model.
        name: of the parameter.
        samples: values recorded.
        ks: Kolmogorov-Smirnov distance of the recorded values from the prior, at 200 of the prior's quantiles: at most
            0.005 less than over all points.
        p: of that distance, asymptotic (Smirnov), Holm-corrected over all parameters of the data set.
        bins: parts of the range with a value, of how many.
        of: see `bins`.
        empty: parts without any, as `low … high`.
        holes: those of them where `SURE_TO_BE_HIT` samples or more were to be expected.
        outside: share of values beyond the prior's draws.
    """

    kind: str
    group: str
    name: str
    samples: int
    ks: float
    p: float
    bins: int
    of: int
    empty: tuple[str, ...]
    holes: tuple[str, ...]
    outside: float


class _Scale:
    """Cells between quantiles of a prior's draws; the first and last take what lies beyond."""

    def __init__(self, draws: NDArray[np.float32]) -> None:
        self.edges = np.unique(np.quantile(draws, np.linspace(0, 1, _FINE + 1), method="inverted_cdf"))
        self.draws = len(draws)
        self.mass = self.count(draws) / len(draws)
        middle = np.cumsum(self.mass) - self.mass / 2
        self.bin = np.minimum((middle * BINS).astype(int), BINS - 1)

    def count(self, values: NDArray[Any]) -> NDArray[np.int64]:
        cell = np.searchsorted(self.edges, values, side="left") + 1
        cell[values < self.edges[0]] = 0
        return np.bincount(cell, minlength=len(self.edges) + 2)


class FitTally:
    """Takes the parameters of one sample after the other; memory grows with species, devices and parameters alone."""

    def __init__(self, kind: str, priors: Mapping[str, Draws]) -> None:
        self._kind = kind
        self._scales = {
            group: {name: _Scale(draws) for name, draws in varying(columns).items()}
            for group, columns in priors.items()
        }
        self._counts: dict[tuple[str, str], NDArray[np.int64]] = {}
        self._waiting: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
        self._held: dict[str, int] = defaultdict(int)

    def add(self, group: str, values: Mapping[str, float]) -> None:
        """Take one sample's parameters; groups and parameters without a prior are passed over."""
        scales = self._scales.get(group)
        if scales is None:
            return
        for name, value in values.items():
            if name in scales:
                self._waiting[group][name].append(value)
        self._held[group] += 1
        if self._held[group] == _AT_ONCE:
            self._count(group)

    def fits(self) -> list[Fit]:
        """Return what was found, by group and parameter; p is not yet corrected (`corrected`)."""
        for group in list(self._waiting):
            self._count(group)
        return [
            _fit(self._kind, group, name, self._scales[group][name], counts)
            for (group, name), counts in sorted(self._counts.items())
        ]

    def _count(self, group: str) -> None:
        for name, values in self._waiting.pop(group, {}).items():
            # Records keep float32 exactly, and so do the draws.
            counts = self._scales[group][name].count(np.array(values, dtype=np.float32))
            place = (group, name)
            self._counts[place] = self._counts[place] + counts if place in self._counts else counts
        self._held[group] = 0


def corrected(fits: list[Fit]) -> list[Fit]:
    """Correct every p by Holm's procedure over all of them."""
    return [replace(fit, p=p) for fit, p in zip(fits, holm([fit.p for fit in fits]), strict=True)]


def fit_parameters(attack: FitTally, device: FitTally) -> list[Fit]:
    """Return all fits of a data set, corrected together."""
    return corrected([*attack.fits(), *device.fits()])


def tallies(priors: Priors) -> tuple[FitTally, FitTally]:
    """Return tallies of attacks and of devices."""
    return FitTally("attack", priors.attack), FitTally("device", priors.device)


def _fit(kind: str, group: str, name: str, scale: _Scale, counts: NDArray[np.int64]) -> Fit:
    from scipy.special import kolmogorov

    samples = int(counts.sum())
    apart = float(np.abs(np.cumsum(counts) / samples - np.cumsum(scale.mass)).max())
    effective = samples * scale.draws / (samples + scale.draws)
    ends = np.concatenate([scale.edges[:1], scale.edges, scale.edges[-1:]])
    seen, empty, holes = 0, list[str](), list[str]()
    known = [place for place in range(BINS) if scale.mass[scale.bin == place].sum() > 0]
    for place in known:
        cells = np.flatnonzero(scale.bin == place)
        if counts[cells].sum():
            seen += 1
            continue
        told = f"{ends[max(cells[0] - 1, 0)]:.4g} … {ends[cells[-1]]:.4g}"
        empty.append(told)
        if samples * scale.mass[cells].sum() >= SURE_TO_BE_HIT:
            holes.append(told)
    outside = float(counts[0] + counts[-1]) / samples
    p = float(kolmogorov(np.sqrt(effective) * apart))
    return Fit(kind, group, name, samples, apart, p, seen, len(known), tuple(empty), tuple(holes), outside)
