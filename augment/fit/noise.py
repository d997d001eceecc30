"""Noise and processing, fitted by simulation: flat blocks of the photographs against flat patches of candidates.

A photograph's noise has been through demosaicing, denoising, a curve, sharpening and JPEG, so a x + b cannot be read
off it. But the chain is ours to run: patches of the same colours are developed with a candidate's parameters, the same
band energies are measured, and the candidate moves until they agree (indirect inference: Gourieroux et al. 1993). What
the energies leave open the prior decides; the posterior's spread says how much that was.
"""

import dataclasses
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from spooflab.augment.fit.beside import Beside, StepSimulator
from spooflab.augment.fit.chain import Candidate
from spooflab.augment.fit.emulator import Posterior, Reference, posterior
from spooflab.augment.fit.photo_stops import photo_stops
from spooflab.augment.fit.runs import Region, Runs
from spooflab.augment.fit.simulator import Simulator, Stops
from spooflab.augment.fit.sought import LOWER, NAMES, STEP, UPPER, Prior, Vector, to_candidate
from spooflab.augment.fit.summary import huber_weight
from spooflab.augment.fit.surfaces import Surfaces
from spooflab.augment.row_threads import map_rows

_STARTS = (0.1, 0.25, 0.45, 0.65)
"""Strengths of noise reduction from which the search starts."""
_WIDE = np.array([0.4, 0.6, 0.05, 0.15, 0.35, 0.25, 0.12, 0.05, 0.1, 0.06, 0.06, 0.3])
"""Standard deviations, in the fit's units, of the first candidates about the start: a quadratic still holds there."""
_REGIONS = ((3.5, 80, 4), (2.5, 60, 4), (2.0, 60, 4), (2.0, 60, 4), (2.0, 60, 8), (2.0, 80, 16))
"""Width of each region after the first, posterior standard deviations; the candidates simulated in it; and the noises
that all surfaces are simulated with at its middle. Slopes are noisy still, and noise in them makes each step too short
(attenuation: Fuller 1987): so there are several, and earlier candidates go on counting."""
_GLANCE, _PANEL = 6, 12
"""Surfaces of a luma bin that are simulated at the rough look, and with each candidate of the match: all have much the
same slopes, so all are compared, by what they have at the middle of a region."""
_STEPS = 32
"""Pictures of steps that are simulated with each candidate; all of them at the middle of a region."""
_LOOK_AGAIN = 2
"""The region after which the photographs' stops are found anew: the rough look may be far off."""
_PAIRED = 8
"""Noises, the same with old and with new stops, that tell how earlier candidates would have looked."""
_LEAST = 0.3
"""Steps of `STEP` that a region is wide at least, for each posterior standard deviation."""
_FIRST_RUNS = 128
"""Candidates simulated in the first region."""


@dataclass(frozen=True)
class Match:
    """The fitted camera.

    Attributes:
        z: parameters in the fit's own units.
        covariance: of `z`, posterior.
        stops: how each photograph's noise departs from the camera's.
        surfaces: what was compared.
        observed, simulated: (levels, bands) log energies that were brought together.
        beside: what was compared beside edges; None if nothing was.
        misfit: root mean square of the standardised residuals; 1 is a perfect model.
        found: the emulator's posterior.
    """

    z: Vector
    covariance: Vector
    stops: Stops
    surfaces: Surfaces
    observed: Vector
    simulated: Vector
    beside: Beside | None
    misfit: float
    found: Posterior

    @property
    def candidate(self) -> Candidate:
        """The parameters in natural units."""
        return to_candidate(self.z)


@dataclass(frozen=True)
class Start:
    """Where a search goes on: parameters, their covariance, and the photographs' stops."""

    z: Vector
    covariance: Vector
    stops: Stops


def look(simulate: Simulator, prior: Prior) -> Start:
    """Return where candidates like the surfaces lie, roughly: the best of a few guesses, and runs far about it.

    Args:
        simulate: for the surfaces to be matched.
        prior: what is believed before.
    """
    stops = Stops.none(len(simulate.quality))
    few = simulate.of(simulate.surfaces.first(_GLANCE))
    z = _first_guess(few, prior, stops)
    few.centre(z, stops)
    share = np.minimum(1, _WIDE / prior.std)
    region, runs = Region.around(z, prior.covariance * np.outer(share, share)), Runs()
    runs.add(region.draw(_FIRST_RUNS, 1000), few, stops)
    found = posterior(region, runs, few.surfaces, prior)
    simulate.centre(found.z, stops)
    return Start(found.z, found.covariance, photo_stops(simulate, found.z))


def told(belief: Prior, start: Start, name: str, value: float, std: float) -> tuple[Prior, Start]:
    """Return belief and start after one parameter has been measured by other means, in the fit's own units."""
    place = NAMES.index(name)
    gain = start.covariance[:, place] / (start.covariance[place, place] + std**2)
    z = np.clip(start.z + gain * (value - start.z[place]), LOWER, UPPER)
    covariance = start.covariance - np.outer(gain, start.covariance[place])
    return belief.with_known([place], np.array([value]), np.array([[std**2]])), Start(z, covariance, start.stops)


def match(simulate: Simulator, prior: Prior, start: Start, steps: StepSimulator | None = None) -> Match:
    """Return the candidate whose simulated energies come nearest to those of the simulator's surfaces, given the prior.

    With `steps`, what is seen beside edges is brought together as well.

    More noise behind more noise reduction and less sharpening looks nearly alike, a long bent valley, and simulations
    are noisy. So candidates spread over a region are simulated, a quadratic is regressed on them (which averages their
    noise), and the next region is the posterior under it, a little wider; earlier runs go on counting.
    """
    surfaces = simulate.surfaces
    panel = surfaces.first(_PANEL)
    few = simulate.of(panel)
    stops, z, covariance = start.stops, start.z, start.covariance
    few_steps, beside = (steps.first(_STEPS), steps.seen) if steps else (None, None)
    runs = Runs()
    for turn, (width, count, draws) in enumerate(_REGIONS):
        few.centre(z, stops)
        region = Region.around(z, width**2 * covariance + np.diag((width * _LEAST * STEP) ** 2))
        runs.add(region.draw(count, 2000 + turn), few, stops, few_steps)
        found = posterior(region, runs, surfaces, prior, _reference(simulate, panel, z, stops, steps, draws), beside)
        z, covariance = found.z, found.covariance
        if turn == _LOOK_AGAIN:
            stops = stops_anew(simulate, few, z, stops, runs, few_steps)
    misfit = float(np.sqrt(np.mean(found.scaled**2)))
    observed, simulated = (surfaces.mean(e, found.apart.weight) for e in (surfaces.log_energy, found.simulated))
    return Match(z, covariance * max(1.0, misfit**2), stops, surfaces, observed, simulated, beside, misfit, found)


def stops_anew(
    simulate: Simulator, few: Simulator, z: Vector, stops: Stops, runs: Runs, steps: StepSimulator | None
) -> Stops:
    """Return the photographs' stops at `z`, and move the runs of `few` surfaces by what they change there."""
    simulate.centre(z, stops)
    found = photo_stops(simulate, z)
    draws = range(8000, 8000 + _PAIRED)

    def moved(simulated: Simulator | StepSimulator) -> Vector:
        return np.asarray(np.mean(map_rows(lambda d: simulated(z, found, d) - simulated(z, stops, d), draws), 0))

    runs.move(moved(few), moved(steps) if steps else None)
    return found


def _reference(
    simulate: Simulator,
    panel: npt.NDArray[np.bool_],
    z: Vector,
    stops: Stops,
    steps: StepSimulator | None,
    draws: int,
) -> Reference:
    """Return what all surfaces, the mean of several noises, and all steps show at `z`."""
    simulate.centre(z, stops)
    drawn = np.stack(map_rows(lambda draw: simulate(z, stops, draw), range(9000, 9000 + draws)))
    beside = steps(z, stops, 9000) if steps else None
    return Reference(panel, drawn.mean(0), drawn.var(0, ddof=1) / draws, beside)


def given(found: Match, values: dict[str, float]) -> Match:
    """Return the match given parameters that are known from elsewhere, by name and in the fit's own units.

    The mean of the conditional normal: a curve or a saturation other than the matched one, with all else left as it
    is, would show other noise than what was matched.
    """
    places = [NAMES.index(name) for name in values]
    away = np.array([values[name] for name in values]) - found.z[places]
    gain = np.linalg.solve(found.covariance[np.ix_(places, places)], found.covariance[places]).T
    return dataclasses.replace(found, z=np.clip(found.z + gain @ away, LOWER, UPPER))


def refit(match: Match, times: Vector, prior: Prior) -> Vector:
    """Return the parameters, by one linear step, had each photograph been there `times` (photos,) times.

    What is seen beside edges stays as it is: how it scatters is in the posterior already.
    """
    found = match.found
    weight = found.apart.weight * times[match.surfaces.photo]
    beside = found.beside[np.isfinite(found.beside)]
    residual = np.concatenate([match.surfaces.mean(found.apart.residual, weight)[found.used], beside])
    known = ~np.isnan(residual)
    scaled = found.whiten[:, known] @ residual[known]
    white, robust = found.whiten[:, known] @ found.jacobian[known], huber_weight(scaled)
    normal = white.T @ (robust[:, None] * white) + prior.precision
    step = np.linalg.solve(normal, white.T @ (robust * scaled) - prior.precision @ (match.z - prior.mean))
    return np.clip(match.z + step, LOWER, UPPER)


def _first_guess(simulate: Simulator, prior: Prior, stops: Stops) -> Vector:
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
