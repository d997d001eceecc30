"""Noise and processing, fitted by simulation: flat blocks of the photographs against flat patches of candidates.

A photograph's noise has been through demosaicing, denoising, a curve, sharpening and JPEG, so a x + b cannot be read
off it. But the chain is ours to run: patches of the same colours are developed with a candidate's parameters, the same
band energies are measured, and the candidate moves until they agree (indirect inference: Gourieroux et al. 1993). What
the energies leave open the prior decides; the posterior's spread says how much that was.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from spooflab.augment.color import LUMA
from spooflab.augment.fit.chain import PATCH_PX, Candidate, Known, device_rows, flat_patches
from spooflab.augment.fit.flat_blocks import (
    BANDS,
    KEPT_SHARE,
    LEVELS,
    SIDE,
    Blocks,
    band_energy,
    block_dct,
    structure_of,
    to_ycc,
)

Vector = npt.NDArray[np.float64]
NAMES = (
    "a", "b", "row_share", "smear", "halo", "halo_radius_px", "tone", "gamma", "saturation", "red_gain", "blue_gain",
)  # fmt: skip
_LOG = np.array([name in ("a", "b", "halo_radius_px", "red_gain", "blue_gain") for name in NAMES])
_LOWEST = (1e-6, 1e-9, 0.0, 0.0, 0.0, 0.4, 0.0, 0.6, 0.4, 1.0, 1.0)
_HIGHEST = (0.1, 5e-3, 0.4, 1.0, 2.5, 3.0, 1.0, 1.4, 1.8, 3.5, 3.5)
_LOWER, _UPPER = (np.where(_LOG, np.log(np.maximum(ends, 1e-12)), ends) for ends in (_LOWEST, _HIGHEST))
_STEP = np.array([0.15, 0.3, 0.05, 0.08, 0.12, 0.12, 0.12, 0.05, 0.1, 0.12, 0.12])
_FEWEST_BLOCKS = 80
_PATCHES = 28
_COEFFICIENTS = np.array([7, 11, 15, 18, 14, 6, 6, 12, 21, 12, 21])
_TRIM = 0.2
_HUBER = 2.0
_STOP_ERROR, _RARE_ERROR = 0.2, 0.3
_FLOOR = 0.5
"""Energy, squared code values, below which a band counts as empty: JPEG and rounding leave nothing to compare there."""
_BAND_ERROR, _LEVEL_ERROR = 0.04, 0.05
"""Standard deviations of log energy that are put down to the scene, band by band and shared by a level's bands."""


@dataclass(frozen=True)
class Prior:
    """Centre and standard deviation of the parameters in `NAMES`, in the fit's own units (logs where `_LOG`)."""

    mean: Vector
    std: Vector


@dataclass(frozen=True)
class Summary:
    """Log energies (levels, bands) and how many blocks each level rests on."""

    log_energy: Vector
    count: npt.NDArray[np.int64]


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


def to_candidate(z: Vector) -> Candidate:
    """Return natural units."""
    return Candidate(**dict(zip(NAMES, np.where(_LOG, np.exp(np.where(_LOG, z, 0)), z).tolist(), strict=True)))


def from_values(values: dict[str, float]) -> Vector:
    """Return the fit's units."""
    natural = np.array([values[name] for name in NAMES])
    return np.where(_LOG, np.log(np.where(_LOG, natural, 1)), natural)


def summarise(blocks: Blocks, *, fewest: int = _FEWEST_BLOCKS) -> Summary:
    """Return trimmed mean energies per luma level and band, as logs.

    The top fifth of each is left out, here and in the simulation alike: a speck of dust or a hair is no noise.
    """
    levels = len(LEVELS) - 1
    log_energy = np.full((levels, len(BANDS)), np.nan)
    count = np.zeros(levels, np.int64)
    for level in range(levels):
        rows = blocks.energy[blocks.level == level]
        count[level] = len(rows)
        if len(rows) >= fewest:
            kept = np.sort(rows, axis=0)[: max(1, int(len(rows) * (1 - _TRIM)))]
            log_energy[level] = np.log(kept.mean(0) + _FLOOR)
    return Summary(log_energy, count)


class Simulator:
    """Flat patches in the colours of some blocks: candidates in, summaries out; equal candidates give equal summaries.

    Args:
        blocks: whose colours, levels and photographs the patches take.
        known: what is not sought.
        quality: (photos,) JPEG quality of each photograph, 0 for none.
        b_power: how much faster b changes than a where a photograph's gain departs from the mean.
    """

    def __init__(self, blocks: Blocks, known: Known, quality: npt.NDArray[np.int64], *, b_power: float = 1.5) -> None:
        rows = [np.zeros(0, np.int64)]
        for level in range(len(LEVELS) - 1):
            found = np.flatnonzero(blocks.level == level)
            if len(found) >= _FEWEST_BLOCKS:
                # Evenly over the level's brightness, so that the patches' mean energy is not off by their choice.
                order = found[np.argsort(blocks.colour[found] @ np.asarray(LUMA, np.float32), kind="stable")]
                rows.append(order[((np.arange(_PATCHES) + 0.5) * len(order) / _PATCHES).astype(np.int64)])
        self.chosen = blocks.take(np.concatenate(rows))
        self.offset = np.zeros((len(LEVELS) - 1, 3), np.float32)
        self.known, self.quality, self.b_power = known, quality, b_power

    def centre(self, z: Vector, stops: Vector) -> None:
        """Correct the light of the patches so that the candidate `z` gives them the mean colours that were measured.

        Noise before a curve moves the mean behind it, most of all in the dark.
        """
        for _ in range(2):
            got = self._photos(to_candidate(z), stops).mean((1, 2))
            for level in np.unique(self.chosen.level):
                rows = self.chosen.level == level
                self.offset[level] += (self.chosen.colour[rows] - got[rows]).mean(0)

    def __call__(self, z: Vector, stops: Vector, draw: int = 0) -> Summary:
        """Return the summary of the candidate `z`: of every level the flattest blocks, as in the photographs."""
        photos = self._photos(to_candidate(z), stops, draw) * 255
        side = PATCH_PX // SIDE
        coefficients = block_dct(to_ycc(photos.reshape(-1, PATCH_PX, 3)))
        structure = structure_of((coefficients[..., 0, 0] / SIDE).astype(np.float32), coefficients)
        inner = slice(1, side - 1)
        structure = structure.reshape(-1, side, side)[:, inner, inner].reshape(len(photos), -1)
        measured = coefficients.reshape(3, -1, side, side, SIDE, SIDE)[:, :, inner, inner].reshape(3, -1, SIDE, SIDE)
        each = structure.shape[1]
        kept = []
        for level in np.unique(self.chosen.level):
            rows = np.flatnonzero(np.repeat(self.chosen.level == level, each))
            order = rows[np.argsort(structure.ravel()[rows], kind="stable")]
            kept.append(order[: int(KEPT_SHARE * len(order))])
        chosen = np.sort(np.concatenate(kept))
        patch = chosen // each
        c = self.chosen
        return summarise(Blocks(c.colour[patch], c.level[patch], c.photo[patch], band_energy(measured[:, chosen])))

    def _photos(self, candidate: Candidate, stops: Vector, draw: int = 0) -> npt.NDArray[np.float32]:
        """Return (patches, PATCH_PX, PATCH_PX, 3) in [0, 1]."""
        chosen = self.chosen
        params = device_rows(
            candidate,
            self.known,
            len(chosen.photo),
            (PATCH_PX, PATCH_PX),
            quality=self.quality[chosen.photo],
            stops=stops[chosen.photo],
            b_power=self.b_power,
            draw=draw,
        )
        codes = np.clip(chosen.colour + self.offset[chosen.level], 0, 1)
        photos: npt.NDArray[np.float32] = (
            flat_patches(codes, params, candidate).permute(0, 2, 3, 1).contiguous().numpy()
        )
        return photos


def match(blocks: Blocks, simulate: Simulator, prior: Prior, photos: int, *, points: int = 64) -> Match:
    """Return the candidate whose simulated summary comes nearest to that of `blocks`, given the prior.

    A few damped Gauss-Newton steps find the neighbourhood; there, `points` candidates with noise of their own are
    simulated, a quadratic is regressed on them (which averages their noise: Beaumont, Zhang, Balding 2002), and its
    optimum is taken. That is done twice, with the gains of single photographs between.
    """
    observed = summarise(blocks)
    stops = np.zeros(photos)
    z = _first_guess(observed, simulate, prior, stops)
    z, covariance = _gauss_newton(z, stops, observed, simulate, prior, steps=3)
    stops = photo_stops(blocks, simulate, z, stops)
    for number in range(2):
        emulator = _Emulator.around(z, covariance, simulate, stops, observed, points=points, draw=1000 * (number + 1))
        z, covariance = emulator.optimum(observed, prior)
    seen = emulator.summary(z)
    scaled = emulator.whiten @ (observed.log_energy - seen.log_energy)[emulator.used]
    misfit = float(np.sqrt(np.mean(scaled**2)))
    gain = 1 - np.diag(covariance) / prior.std**2
    jacobian = emulator.jacobian(z)
    return Match(z, covariance * max(1.0, misfit**2), gain, stops, observed, seen, misfit, jacobian, emulator.whiten)


@dataclass(frozen=True)
class _Emulator:
    """Log energies as a quadratic without cross terms, in coordinates u that make the posterior round.

    z = origin + spread u.
    """

    origin: Vector
    spread: Vector
    coefficients: Vector
    used: npt.NDArray[np.bool_]
    whiten: Vector
    count: npt.NDArray[np.int64]

    @staticmethod
    def around(
        z: Vector, covariance: Vector, simulate: Simulator, stops: Vector, observed: Summary, *, points: int, draw: int
    ) -> "_Emulator":
        """Simulate `points` candidates about `z` and regress.

        They lie as wide as `covariance` says, and wide enough that the noise of a simulation is no slope.
        """
        simulate.centre(z, stops)
        spread = np.asarray(np.linalg.cholesky(covariance + np.diag(_STEP**2)), np.float64)
        steps = np.random.default_rng(draw).standard_normal((points, len(z))).clip(-2, 2)
        tried = [np.clip(z + spread @ step, _LOWER, _UPPER) for step in steps]
        seen = [simulate(candidate, stops, draw + k) for k, candidate in enumerate(tried)]
        used = _used(observed, seen[0])
        u = np.linalg.solve(spread, (np.stack(tried) - z).T).T
        design = np.concatenate([np.ones((points, 1)), u, u * u], 1)
        ridge = np.diag([0.0] + [0.05] * len(z) + [1.0] * len(z))
        target = np.stack([each.log_energy[used] for each in seen])
        coefficients = np.asarray(np.linalg.solve(design.T @ design + ridge, design.T @ target), np.float64)
        count = seen[0].count * (points // (2 * len(z)))  # what regression averages
        return _Emulator(z, spread, coefficients, used, _whitener(observed, Summary(observed.log_energy, count)), count)

    def _predict(self, u: Vector) -> Vector:
        prediction: Vector = np.concatenate([[1.0], u, u * u]) @ self.coefficients
        return prediction

    def _slope(self, u: Vector) -> Vector:
        n = len(u)
        slope: Vector = (self.coefficients[1 : n + 1] + 2 * u[:, None] * self.coefficients[n + 1 :]).T
        return slope

    def _u(self, z: Vector) -> Vector:
        return np.asarray(np.linalg.solve(self.spread, z - self.origin), np.float64)

    def summary(self, z: Vector) -> Summary:
        """Return the summary that is expected of `z`."""
        log_energy = np.full(self.used.shape, np.nan)
        log_energy[self.used] = self._predict(self._u(z))
        return Summary(log_energy, self.count)

    def jacobian(self, z: Vector) -> Vector:
        """Return the derivative of the used log energies by z."""
        return self._slope(self._u(z)) @ np.linalg.inv(self.spread)

    def optimum(self, observed: Summary, prior: Prior) -> tuple[Vector, Vector]:
        """Return the best z within three spreads and its posterior covariance."""
        target = observed.log_energy[self.used]
        u: Vector = np.zeros(len(self.origin))
        precision = self.spread.T @ np.diag(prior.std**-2.0) @ self.spread
        for _ in range(40):
            scaled = self.whiten @ (target - self._predict(u))
            weight = _huber(scaled)
            white = self.whiten @ self._slope(u)
            normal = white.T @ (weight[:, None] * white) + precision
            off = self.origin + self.spread @ u - prior.mean
            step = np.linalg.solve(normal, white.T @ (weight * scaled) - self.spread.T @ (off / prior.std**2))
            u = np.asarray(np.clip(u + 0.5 * step, -3, 3), np.float64)
        z = np.clip(self.origin + self.spread @ u, _LOWER, _UPPER)
        return z, self.spread @ np.linalg.inv(normal) @ self.spread.T


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
    used = _used(found.observed, found.simulated)
    residual = (summary.log_energy - found.simulated.log_energy)[used]
    known = ~np.isnan(residual)
    scaled = found.whiten[:, known] @ residual[known]
    white, weight = found.whiten[:, known] @ found.jacobian[known], _huber(scaled)
    normal = white.T @ (weight[:, None] * white) + np.diag(prior.std**-2.0)
    step = np.linalg.solve(normal, white.T @ (weight * scaled) - (found.z - prior.mean) / prior.std**2)
    return np.clip(found.z + step, _LOWER, _UPPER)


def _first_guess(observed: Summary, simulate: Simulator, prior: Prior, stops: Vector) -> Vector:
    """Return the best of a few noise levels and strengths of denoising; everything else at the prior's centre."""
    guesses = []
    for smear in (0.02, 0.3, 0.7):
        for shift in (-3, -2, -1, 0, 1, 2):
            z = prior.mean.copy()
            z[:2] += shift, shift * simulate.b_power
            z[NAMES.index("smear")] = smear
            guesses.append(np.clip(z, _LOWER, _UPPER))
    costs = [_cost(z, simulate(z, stops), observed, prior) for z in guesses]
    return guesses[int(np.argmin(costs))]


def _gauss_newton(
    z: Vector, stops: Vector, observed: Summary, simulate: Simulator, prior: Prior, *, steps: int
) -> tuple[Vector, Vector]:
    """Return where `steps` damped steps lead, and the posterior covariance at the last linearisation."""
    damping = 0.05
    normal = np.diag(prior.std**-2.0)
    for _ in range(steps):
        simulate.centre(z, stops)
        seen = simulate(z, stops)
        used, whiten = _used(observed, seen), _whitener(observed, seen)
        scaled = whiten @ (observed.log_energy - seen.log_energy)[used]
        weight = _huber(scaled)
        white = whiten @ _jacobian(lambda v: simulate(v, stops).log_energy[used], z, seen.log_energy[used])  # noqa: B023  # called at once
        normal = white.T @ (weight[:, None] * white) + np.diag(prior.std**-2.0)
        slope = white.T @ (weight * scaled) - (z - prior.mean) / prior.std**2
        cost = _cost(z, seen, observed, prior)
        for _attempt in range(5):
            scale = np.diag(np.diag(normal)) * damping
            trial = np.clip(z + np.linalg.solve(normal + scale, slope), _LOWER, _UPPER)
            if _cost(trial, simulate(trial, stops), observed, prior) < cost:
                z, damping = trial, damping / 5
                break
            damping *= 5
        else:
            break
    covariance = np.asarray(np.linalg.inv(normal), np.float64)
    return z, covariance


def _cost(z: Vector, seen: Summary, observed: Summary, prior: Prior) -> float:
    used = _used(observed, seen)
    scaled = np.abs(_whitener(observed, seen) @ (observed.log_energy - seen.log_energy)[used])
    huber = np.where(scaled < _HUBER, scaled**2, 2 * _HUBER * scaled - _HUBER**2)
    return float(huber.sum() + (((z - prior.mean) / prior.std) ** 2).sum())


def _used(observed: Summary, seen: Summary) -> npt.NDArray[np.bool_]:
    return ~np.isnan(observed.log_energy) & ~np.isnan(seen.log_energy)


def _whitener(observed: Summary, seen: Summary) -> Vector:
    """Return the matrix that makes residuals independent and of unit variance, one block a level.

    Sampling errors of both summaries (chi square), a scene's error in each band, and one that a level's bands share.
    """
    used = _used(observed, seen)
    rows = 2 / (observed.count.clip(1)[:, None] * _COEFFICIENTS) + 2 / (seen.count.clip(1)[:, None] * _COEFFICIENTS)
    # Near the floor the codec keeps a coefficient now and then: a little more noise makes a multiple of them.
    rare = _RARE_ERROR * np.clip(0.7 - observed.log_energy, 0, 1)
    variance = (rows + _BAND_ERROR**2 + rare**2)[used]
    level = np.broadcast_to(np.arange(len(LEVELS) - 1)[:, None], used.shape)[used]
    covariance = np.diag(variance) + _LEVEL_ERROR**2 * (level[:, None] == level[None, :])
    inverse: Vector = np.linalg.inv(np.linalg.cholesky(covariance))
    return inverse


def _huber(scaled: Vector) -> Vector:
    return np.minimum(1, _HUBER / np.abs(scaled).clip(1e-9))


def _jacobian(function: Callable[[Vector], Vector], z: Vector, at_z: Vector) -> Vector:
    columns = []
    for place, step in enumerate(_STEP):
        moved = z.copy()
        moved[place] += step if z[place] + step <= _UPPER[place] else -step
        columns.append((function(moved) - at_z) / (moved[place] - z[place]))
    return np.stack(columns, 1)
