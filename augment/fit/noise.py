"""Noise and processing, fitted by simulation: flat blocks of the photographs against flat patches of candidates.

A photograph's noise has been through demosaicing, denoising, a curve, sharpening and JPEG, so a x + b cannot be read
off it. But the chain is ours to run: patches of the same colours are developed with a candidate's parameters, the same
band energies are measured, and the candidate moves until they agree (indirect inference: Gourieroux et al. 1993). What
the energies leave open the prior decides; the posterior's spread says how much that was.
"""

from dataclasses import dataclass

import numpy as np

from spooflab.augment.fit.chain import Candidate
from spooflab.augment.fit.emulator import Posterior, posterior
from spooflab.augment.fit.runs import Region, Runs
from spooflab.augment.fit.simulator import Simulator
from spooflab.augment.fit.sought import LOWER, NAMES, STEP, UPPER, Prior, Vector, to_candidate
from spooflab.augment.fit.summary import huber_weight
from spooflab.augment.fit.surfaces import Surfaces
from spooflab.augment.row_threads import map_rows

_STOP_ERROR = 0.2
_STARTS = (0.1, 0.25, 0.45, 0.65)
"""Strengths of noise reduction from which the search starts."""
_WIDE = np.array([0.4, 0.6, 0.05, 0.15, 0.35, 0.25, 0.12, 0.05, 0.1, 0.06, 0.06])
"""Standard deviations, in the fit's units, of the first candidates about the start: a quadratic still holds there."""
WIDTHS, LAST_WIDTHS = (3.5, 2.5, 2.0), (2.0, 1.5)
"""Of the regions after the first, posterior standard deviations: wide, or the noise of runs would pass for slopes; and
of those that go on from a match, when the sensor's pattern is known."""
_LEAST = 0.3
"""Steps of `STEP` that a region is wide at least, for each posterior standard deviation."""
_FIRST_RUNS, _RUNS = 128, 80
"""Candidates simulated in the first region, and in each of the others."""


@dataclass(frozen=True)
class Match:
    """The fitted camera.

    Attributes:
        z: parameters in the fit's own units.
        covariance: of `z`, posterior.
        stops: (photos,) log2 of each photograph's noise relative to the camera's.
        surfaces: what was compared.
        observed, simulated: (levels, bands) log energies that were brought together.
        misfit: root mean square of the standardised residuals; 1 is a perfect model.
        found: the emulator's posterior.
    """

    z: Vector
    covariance: Vector
    stops: Vector
    surfaces: Surfaces
    observed: Vector
    simulated: Vector
    misfit: float
    found: Posterior

    @property
    def candidate(self) -> Candidate:
        """The parameters in natural units."""
        return to_candidate(self.z)


@dataclass(frozen=True)
class Start:
    """Where a search begins: parameters, their covariance, and the photographs' stops."""

    z: Vector
    covariance: Vector
    stops: Vector


def match(
    simulate: Simulator, prior: Prior, photos: int, *, start: Start | None = None, widths: tuple[float, ...] = WIDTHS
) -> Match:
    """Return the candidate whose simulated energies come nearest to those of the simulator's surfaces, given the prior.

    More noise behind more noise reduction and less sharpening looks nearly alike, a long bent valley, and simulations
    are noisy. So candidates spread over a region are simulated, a quadratic is regressed on them (which averages their
    noise), and the next region is the posterior under it, a little wider.

    Args:
        simulate: for the surfaces to be matched.
        prior: what is believed before.
        photos: how many there are.
        start: where to begin; None to look for it.
        widths: of the regions that are tried in turn, posterior standard deviations.
    """
    surfaces = simulate.surfaces
    if start is None:
        stops = np.zeros(photos)
        z = _first_guess(simulate, prior, stops)
        simulate.centre(z, stops)
        share = np.minimum(1, _WIDE / prior.std)
        region, runs = Region.around(z, prior.covariance * np.outer(share, share)), Runs()
        runs.add(region.draw(_FIRST_RUNS, 1000), simulate, stops)
        found = posterior(region, runs, surfaces, prior)
        start = Start(found.z, found.covariance, photo_stops(simulate, found, stops))
    stops, z, covariance = start.stops, start.z, start.covariance
    runs = Runs()
    for turn, width in enumerate(widths):
        simulate.centre(z, stops)
        region = Region.around(z, width**2 * covariance + np.diag((width * _LEAST * STEP) ** 2))
        runs.add(region.draw(_RUNS, 2000 + turn), simulate, stops)
        found = posterior(region, runs, surfaces, prior)
        z, covariance = found.z, found.covariance
    misfit = float(np.sqrt(np.mean(found.scaled**2)))
    observed, simulated = (surfaces.mean(e, found.apart.weight) for e in (surfaces.log_energy, found.simulated))
    return Match(z, covariance * max(1.0, misfit**2), stops, surfaces, observed, simulated, misfit, found)


def photo_stops(simulate: Simulator, found: Posterior, stops: Vector) -> Vector:
    """Return log2 of each photograph's noise relative to the camera's, whose median is 0.

    The mean log ratio of a photograph's energies to the simulated ones, over what a doubling of the noise changes there
    (denoising and coding swallow some of it). Shrunk by what scenes alone would scatter (James and Stein 1961).
    """
    slope = (simulate(found.z, stops + 0.5) - simulate(found.z, stops)) / 0.5
    surfaces = simulate.surfaces
    weight = found.apart.weight[:, None] * slope
    each = np.full(len(stops), np.nan)
    for photo in np.unique(surfaces.photo):
        rows = surfaces.photo == photo
        total = float((weight * slope)[rows].sum())
        if total > 0:
            each[photo] = float((weight * found.apart.residual)[rows].sum()) / total
    each = np.where(np.isnan(each), np.nanmedian(each) if np.isfinite(each).any() else 0.0, each)
    each -= float(np.median(each))
    spread = float(np.mean(each**2))
    shrunk: Vector = np.clip(each * max(0.0, 1 - _STOP_ERROR**2 / max(spread, 1e-9)), -5, 5)
    return shrunk


def refit(match: Match, times: Vector, prior: Prior) -> Vector:
    """Return the parameters, by one linear step, had each photograph been there `times` (photos,) times."""
    found = match.found
    weight = found.apart.weight * times[match.surfaces.photo]
    residual = match.surfaces.mean(found.apart.residual, weight)[found.used]
    known = ~np.isnan(residual)
    scaled = found.whiten[:, known] @ residual[known]
    white, robust = found.whiten[:, known] @ found.jacobian[known], huber_weight(scaled)
    normal = white.T @ (robust[:, None] * white) + prior.precision
    step = np.linalg.solve(normal, white.T @ (robust * scaled) - prior.precision @ (match.z - prior.mean))
    return np.clip(match.z + step, LOWER, UPPER)


def _first_guess(simulate: Simulator, prior: Prior, stops: Vector) -> Vector:
    """Return the best of a few noise levels behind a few strengths of noise reduction; all else as in the prior."""
    guesses = []
    for smear in _STARTS:
        for shift in (-3, -2, -1, -0.5, 0, 0.5, 1, 2):
            z = prior.mean.copy()
            z[:2] += shift, shift * simulate.b_power
            z[NAMES.index("smear")] = smear
            guesses.append(np.clip(z, LOWER, UPPER))
    away = map_rows(lambda z: _distance(simulate.surfaces, simulate(z, stops)), guesses)
    return guesses[int(np.argmin(away))]


def _distance(surfaces: Surfaces, simulated: Vector) -> float:
    return float(np.mean(np.minimum(np.abs(surfaces.log_energy - simulated), 1.0)))
