"""Noise and processing, fitted by simulation: flat blocks of the photographs against flat patches of candidates.

A photograph's noise has been through demosaicing, denoising, a curve, sharpening and JPEG, so a x + b cannot be read
off it. But the chain is ours to run: patches of the same colours are developed with a candidate's parameters, the same
band energies are measured, and the candidate moves until they agree (indirect inference: Gourieroux et al. 1993). What
the energies leave open the prior decides; the posterior's spread says how much that was.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from spooflab.augment.fit.chain import Candidate
from spooflab.augment.fit.emulator import Emulator
from spooflab.augment.fit.flat_blocks import Blocks
from spooflab.augment.fit.simulator import Simulator
from spooflab.augment.fit.sought import LOWER, NAMES, STEP, UPPER, Prior, Vector, to_candidate
from spooflab.augment.fit.summary import Summary, huber_cost, huber_weight, summarise, used_of, whitener

_STOP_ERROR = 0.2
_STARTS = (0.03, 0.2, 0.4, 0.65)
"""Strengths of noise reduction from which the search starts."""
_CONFIRMING, _CONFIRMATIONS = 50_000, 6
"""First draw and number of the simulations that judge an optimum; the emulator saw other ones."""


@dataclass(frozen=True)
class Match:
    """The fitted camera.

    Attributes:
        z: parameters in the fit's own units.
        covariance: of `z`, posterior.
        gain_from_data: (parameters,) share of each prior variance that the photographs removed, 0 to 1.
        stops: (photos,) log2 of each photograph's noise relative to the camera's.
        observed, simulated: the summaries that were brought together.
        misfit: root mean square of the standardised residuals; 1 is a perfect model.
        jacobian, whiten: of the residuals, for linear re-fits.
    """

    z: Vector
    covariance: Vector
    gain_from_data: Vector
    stops: Vector
    observed: Summary
    simulated: Summary
    misfit: float
    jacobian: Vector
    whiten: Vector

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
    blocks: Blocks, simulate: Simulator, prior: Prior, photos: int, *, start: Start | None = None, points: int = 64
) -> Match:
    """Return the candidate whose simulated summary comes nearest to that of `blocks`, given the prior.

    A few damped Gauss-Newton steps from several starts find the neighbourhood, and the gains of single photographs,
    unless `start` names them; there, `points` candidates with noise of their own are simulated, a quadratic is
    regressed on them (which averages their noise: Beaumont, Zhang, Balding 2002), and its optimum is taken as far as
    simulations there agree.
    """
    observed = summarise(blocks)
    begin = start or _neighbourhood(blocks, observed, simulate, prior, photos)
    emulator = Emulator.around(begin.z, begin.covariance, simulate, begin.stops, observed, points=points, draw=1000)
    z, covariance = emulator.optimum(observed, prior)
    z = _confirmed(z, begin, observed, simulate, prior)
    seen = emulator.summary(z)
    scaled = emulator.whiten @ (observed.log_energy - seen.log_energy)[emulator.used]
    misfit = float(np.sqrt(np.mean(scaled**2)))
    gain = 1 - np.diag(covariance) / prior.std**2
    jacobian = emulator.jacobian(z)
    widened = covariance * max(1.0, misfit**2)
    return Match(z, widened, gain, begin.stops, observed, seen, misfit, jacobian, emulator.whiten)


def _confirmed(z: Vector, begin: Start, observed: Summary, simulate: Simulator, prior: Prior) -> Vector:
    """Return the one of `z`, where the search began and halfway that simulations, several of each, put nearest."""
    tried = [z, (z + begin.z) / 2, begin.z]
    costs = [_mean_cost(candidate, begin.stops, observed, simulate, prior) for candidate in tried]
    return tried[int(np.argmin(costs))]


def _mean_cost(z: Vector, stops: Vector, observed: Summary, simulate: Simulator, prior: Prior) -> float:
    simulate.centre(z, stops)
    seen = [simulate(z, stops, _CONFIRMING + k) for k in range(_CONFIRMATIONS)]
    mean = Summary(np.mean([s.log_energy for s in seen], axis=0), seen[0].count * _CONFIRMATIONS)
    return _cost(z, mean, observed, prior)


def _neighbourhood(blocks: Blocks, observed: Summary, simulate: Simulator, prior: Prior, photos: int) -> Start:
    """Return the best of several searches: more noise behind more noise reduction looks alike, a long bent valley."""
    stops = np.zeros(photos)
    found = []
    for smear in _STARTS:
        z = _first_guess(observed, simulate, prior, stops, smear)
        z, covariance = _gauss_newton(z, stops, observed, simulate, prior, steps=2)
        found.append((_mean_cost(z, stops, observed, simulate, prior), z, covariance))
    _, z, covariance = min(found, key=lambda each: each[0])
    return Start(z, covariance, photo_stops(blocks, simulate, z, stops))


def photo_stops(blocks: Blocks, simulate: Simulator, z: Vector, stops: Vector) -> Vector:
    """Return log2 of each photograph's noise relative to the camera's, whose median is 0.

    The mean log ratio of a photograph's energies to the simulated ones of its levels, over what a doubling of the noise
    changes there (denoising and coding swallow some of it). Shrunk by what scenes alone would scatter (James and
    Stein 1961).
    """
    seen, louder = simulate(z, stops), simulate(z, stops + 0.5)
    slope = (louder.log_energy - seen.log_energy) / 0.5
    found = np.full(len(stops), np.nan)
    for photo in range(len(stops)):
        own = summarise(blocks.take(blocks.photo == photo), fewest=20)
        weight = np.where(np.isnan(own.log_energy) | np.isnan(seen.log_energy), 0, own.count[:, None] * slope)
        total = float(np.nansum(weight * slope))
        if total > 0:
            ratio = np.nan_to_num(own.log_energy - seen.log_energy)
            found[photo] = float(np.nansum(weight * ratio)) / total
    found = np.where(np.isnan(found), np.nanmedian(found) if np.isfinite(found).any() else 0.0, found)
    found -= float(np.median(found))
    spread = float(np.mean(found**2))
    shrunk: Vector = np.clip(found * max(0.0, 1 - _STOP_ERROR**2 / max(spread, 1e-9)), -5, 5)
    return shrunk


def refit(found: Match, summary: Summary, prior: Prior) -> Vector:
    """Return the parameters that another summary of the same camera leads to, by one linear step from `found`."""
    used = used_of(found.observed, found.simulated)
    residual = (summary.log_energy - found.simulated.log_energy)[used]
    known = ~np.isnan(residual)
    scaled = found.whiten[:, known] @ residual[known]
    white, weight = found.whiten[:, known] @ found.jacobian[known], huber_weight(scaled)
    normal = white.T @ (weight[:, None] * white) + prior.precision
    step = np.linalg.solve(normal, white.T @ (weight * scaled) - prior.precision @ (found.z - prior.mean))
    return np.clip(found.z + step, LOWER, UPPER)


def _first_guess(observed: Summary, simulate: Simulator, prior: Prior, stops: Vector, smear: float) -> Vector:
    """Return the best of a few noise levels behind noise reduction `smear`; everything else at the prior's centre."""
    guesses = []
    for shift in (-3, -2, -1, -0.5, 0, 0.5, 1, 2):
        z = prior.mean.copy()
        z[:2] += shift, shift * simulate.b_power
        z[NAMES.index("smear")] = smear
        guesses.append(np.clip(z, LOWER, UPPER))
    costs = [_cost(z, simulate(z, stops), observed, prior) for z in guesses]
    return guesses[int(np.argmin(costs))]


def _gauss_newton(
    z: Vector, stops: Vector, observed: Summary, simulate: Simulator, prior: Prior, *, steps: int
) -> tuple[Vector, Vector]:
    """Return where `steps` damped steps lead, and the posterior covariance at the last linearisation."""
    damping = 0.05
    normal = prior.precision
    for _ in range(steps):
        simulate.centre(z, stops)
        seen = simulate(z, stops)
        used, whiten = used_of(observed, seen), whitener(observed, seen)
        scaled = whiten @ (observed.log_energy - seen.log_energy)[used]
        weight = huber_weight(scaled)
        white = whiten @ _jacobian(lambda v: simulate(v, stops).log_energy[used], z, seen.log_energy[used])  # noqa: B023  # called at once
        normal = white.T @ (weight[:, None] * white) + prior.precision
        slope = white.T @ (weight * scaled) - prior.precision @ (z - prior.mean)
        cost = _cost(z, seen, observed, prior)
        for _attempt in range(5):
            scale = np.diag(np.diag(normal)) * damping
            trial = np.clip(z + np.linalg.solve(normal + scale, slope), LOWER, UPPER)
            if _cost(trial, simulate(trial, stops), observed, prior) < cost:
                z, damping = trial, damping / 5
                break
            damping *= 5
        else:
            break
    covariance = np.asarray(np.linalg.inv(normal), np.float64)
    return z, covariance


def _cost(z: Vector, seen: Summary, observed: Summary, prior: Prior) -> float:
    used = used_of(observed, seen)
    scaled = whitener(observed, seen) @ (observed.log_energy - seen.log_energy)[used]
    return huber_cost(scaled) + prior.distance2(z)


def _jacobian(function: Callable[[Vector], Vector], z: Vector, at_z: Vector) -> Vector:
    columns = []
    for place, step in enumerate(STEP):
        moved = z.copy()
        moved[place] += step if z[place] + step <= UPPER[place] else -step
        columns.append((function(moved) - at_z) / (moved[place] - z[place]))
    return np.stack(columns, 1)
