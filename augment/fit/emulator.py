"""What the photographs tell of the parameters, with a quadratic through simulations in the simulation's place.

Simulations are noisy and dear, and the valley of good candidates is long and bent: a search among single simulations
ends where noise was kind to it. Regression on many averages their noise, and its own error is counted in (Beaumont,
Zhang, Balding 2002; Sacks et al. 1989).
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from numpy.polynomial.legendre import legvander

from spooflab.augment.fit.beside import Beside
from spooflab.augment.fit.runs import Region, Regression, Runs, terms_of
from spooflab.augment.fit.sought import LOWER, UPPER, Prior, Vector
from spooflab.augment.fit.summary import Apart, apart, huber_cost, huber_weight, whitener
from spooflab.augment.fit.surfaces import Surfaces

_EDGE, _REACH = 2.5, 1.4
"""Spreads within which the quadratic is trusted: each coordinate, and the root mean square of all."""
_TYPICAL = 0.5
"""Coordinate at which the quadratic's error is taken."""
_SMOOTH = 3
"""Degree in the level of what a band's energies do with the parameters."""
_TURNS = 3
_CHAINS, _STEPS, _BURN, _THIN = 48, 500, 150, 5


@dataclass(frozen=True)
class Reference:
    """Energies of all surfaces at the region's centre; runs simulate some of them, and tell how a level changes.

    Attributes:
        panel: (surfaces,) which the runs simulate.
        energies: (surfaces, bands) log energies at the centre, the mean of several simulations.
        variance: (surfaces, bands) of `energies`.
        beside: (terms,) of `Beside` at the centre; None where steps are not simulated.
    """

    panel: npt.NDArray[np.bool_]
    energies: Vector
    variance: Vector
    beside: Vector | None = None


@dataclass(frozen=True)
class Posterior:
    """What is believed after the photographs, and how its mean compares with them.

    Attributes:
        z, covariance: mean and covariance.
        apart: what the photographs exceed the mean's energies by.
        simulated: (surfaces, bands) log energies expected of the mean.
        used: (levels, bands) which of their means were compared: T terms, with those beside edges behind them.
        beside: (terms,) of `Beside`, what photographs exceed the mean's by; NaN where none was compared.
        scaled: (T,) residuals of unit variance.
        jacobian: (T, parameters) of log energies and terms beside edges.
        whiten: (T, T) what makes residuals of unit variance.
    """

    z: Vector
    covariance: Vector
    apart: Apart
    simulated: Vector
    used: npt.NDArray[np.bool_]
    beside: Vector
    scaled: Vector
    jacobian: Vector
    whiten: Vector


def posterior(
    region: Region,
    runs: Runs,
    surfaces: Surfaces,
    prior: Prior,
    reference: Reference | None = None,
    beside: Beside | None = None,
) -> Posterior:
    """Return the posterior of the parameters within `region`, after runs there.

    Which surfaces count depends on where they are compared, so that is done again about each mean.

    Args:
        region: about whose centre the runs lie.
        runs: of the surfaces in `reference.panel`.
        surfaces: what is compared.
        prior: what is believed before.
        reference: all surfaces at the centre; None if the runs are of all surfaces.
        beside: what is seen beside the photographs' edges, which runs and reference simulate; None if they do not.
    """
    regression = Regression(region, runs)
    if reference is None:
        everything = np.ones(len(surfaces), bool)
        at_centre = regression.energies(np.zeros(len(region.centre)))
        reference = Reference(everything, at_centre, np.zeros_like(at_centre))
    at = np.zeros(len(region.centre))
    sample = at[None]
    for turn in range(_TURNS):
        emulator = Emulator(regression, surfaces, reference, prior, at, beside)
        sample = emulator.sample(emulator.least(runs) if turn == 0 else emulator.descend(at))
        at = sample.mean(0)
    emulator = Emulator(regression, surfaces, reference, prior, at, beside)
    return Posterior(
        np.clip(region.z(at), LOWER, UPPER),
        region.spread @ np.cov(sample.T) @ region.spread.T,
        emulator.apart,
        emulator.simulated,
        emulator.used,
        emulator.beside_left(at),
        emulator.scaled(at[None])[0],
        emulator.slope(at) @ np.linalg.inv(region.spread),
        emulator.whiten,
    )


class Emulator:
    """Cost of candidates in the regression's coordinates, from level means whose surfaces were weighed at `at`."""

    def __init__(
        self,
        regression: Regression,
        surfaces: Surfaces,
        reference: Reference,
        prior: Prior,
        at: Vector,
        beside: Beside | None,
    ) -> None:
        self.region, self.prior = regression.region, prior
        panel = surfaces.take(reference.panel)
        moved = regression.energies(at) - regression.energies(0 * at)
        self.simulated = reference.energies + panel.mean(moved, np.ones(len(panel)))[surfaces.level]
        self.apart = apart(surfaces, self.simulated)
        weight = self.apart.weight[reference.panel]
        self.used = ~np.isnan(self.apart.mean) & ~np.isnan(panel.mean(np.ones((len(panel), 1)), weight))
        levels = np.stack([panel.mean(one, weight)[self.used] for one in regression.runs.seen])
        edges, edges_away, edges_covariance, self._beside = _edge_terms(beside, regression.runs, reference)
        self._coefficients, own = regression.fit(np.concatenate([levels, edges], 1))
        self._smooth_slopes(own)
        own = own * regression.error2(at + _TYPICAL)
        variance = self.apart.variance + surfaces.mean_variance(reference.variance, self.apart.weight)
        first = levels.shape[1]
        variance[self.used] += own[:first]
        edges_covariance = edges_covariance + np.diag(own[first:])
        self.whiten = np.zeros((len(own), len(own)))
        self.whiten[:first, :first] = whitener(variance, self.used)
        self.whiten[first:, first:] = np.linalg.inv(np.linalg.cholesky(edges_covariance))
        away = surfaces.mean(surfaces.log_energy - reference.energies, self.apart.weight)[self.used]
        self._target = np.concatenate([away, edges_away]) + terms_of(0 * at[None])[0] @ self._coefficients

    def _smooth_slopes(self, variance: Vector) -> None:
        """Draw what each band's energies do with the parameters through a cubic of the level.

        It hardly bends more, and noise in the slopes of so many levels would pass for information: it makes valleys
        look narrow, and steps along them short.
        """
        level, band = np.nonzero(self.used)
        for one in np.unique(band):
            rows = np.flatnonzero(band == one)
            basis = legvander(2 * level[rows] / (self.used.shape[0] - 1) - 1, min(_SMOOTH, len(rows) - 1))
            weight = 1 / np.sqrt(variance[rows].clip(1e-9))[:, None]
            moved = self._coefficients[1:, rows]
            through = np.linalg.lstsq(weight * basis, weight * moved.T, rcond=None)[0]
            self._coefficients[1:, rows] = (basis @ through).T

    def left(self, u: Vector) -> Vector:
        """Return residuals (n, T) at (n, parameters): of level means, then beside edges."""
        return np.asarray(self._target - terms_of(u) @ self._coefficients, np.float64)

    def beside_left(self, u: Vector) -> Vector:
        """Return the residuals beside edges at one u, NaN where they are not compared."""
        out = np.full(len(self._beside), np.nan)
        out[self._beside] = self.left(u[None])[0, int(self.used.sum()) :]
        return out

    def scaled(self, u: Vector) -> Vector:
        """Return residuals of unit variance (n, T) at (n, parameters)."""
        return np.asarray(self.left(u) @ self.whiten.T, np.float64)

    def slope(self, u: Vector) -> Vector:
        """Return the derivatives (T, parameters) of the terms at one u; differences of a quadratic are exact."""
        ends = terms_of(np.concatenate([u + np.eye(len(u)), u - np.eye(len(u))])) @ self._coefficients
        return np.asarray((ends[: len(u)] - ends[len(u) :]).T / 2, np.float64)

    def cost(self, u: Vector) -> Vector:
        """Return minus twice the log posterior (n,) of (n, parameters), infinite where the quadratic is not trusted."""
        z = self.region.z(u)
        off = z - self.prior.mean
        trusted = (np.abs(u).max(1) <= _EDGE) & ((u**2).mean(1) <= _REACH**2) & ((z >= LOWER) & (z <= UPPER)).all(1)
        total = huber_cost(self.scaled(u)) + np.einsum("ni,ij,nj->n", off, self.prior.precision, off)
        return np.where(trusted, total, np.inf)

    def least(self, runs: Runs) -> Vector:
        """Return the best that descents from the centre and from the best runs lead to."""
        starts = self.region.u(np.stack(runs.z))
        starts = np.concatenate([np.zeros((1, starts.shape[1])), starts[(starts**2).mean(1) <= 1.1**2]]).clip(-2, 2)
        ends = np.stack([self.descend(u) for u in starts[np.argsort(self.cost(starts))[:6]]])
        return np.asarray(ends[int(np.argmin(self.cost(ends)))], np.float64)

    def descend(self, u: Vector) -> Vector:
        """Return where damped Gauss-Newton steps lead."""
        now = float(self.cost(u[None])[0])
        for _ in range(30):
            step = np.linalg.solve(*self._quadratic(u))
            tried = np.stack([u + share * step for share in (1.0, 0.5, 0.2, 0.05)]).clip(-_EDGE, _EDGE)
            tried *= np.minimum(1, _REACH / np.sqrt((tried**2).mean(1, keepdims=True)))
            costs = self.cost(tried)
            place = int(np.argmin(costs))
            gained = now - float(costs[place])
            if not gained > 0:
                break
            u, now = tried[place], float(costs[place])
            if gained < 0.01:
                break
        return u

    def sample(self, u: Vector) -> Vector:
        """Return (n, parameters) of the posterior, many chains from one u (Metropolis et al. 1953)."""
        rng = np.random.default_rng(0)
        size = len(u)
        root = np.linalg.cholesky(np.linalg.inv(self._quadratic(u)[0])) * (2 / size**0.5)
        places = np.repeat(u[None], _CHAINS, 0)
        costs, kept = self.cost(places), []
        for step in range(_STEPS):
            tried = places + rng.standard_normal((_CHAINS, size)) @ root.T
            there = self.cost(tried)
            moved = np.log(rng.random(_CHAINS)) < 0.5 * (costs - there)
            places, costs = np.where(moved[:, None], tried, places), np.where(moved, there, costs)
            if step >= _BURN and step % _THIN == 0:
                kept.append(places)
        return np.concatenate(kept)

    def _quadratic(self, u: Vector) -> tuple[Vector, Vector]:
        """Return half the cost's Hessian, after Gauss and Newton, and minus half its gradient."""
        spread, scaled = self.region.spread, self.scaled(u[None])[0]
        white, weight = self.whiten @ self.slope(u), huber_weight(scaled)
        normal = white.T @ (weight[:, None] * white) + spread.T @ self.prior.precision @ spread
        off = self.region.z(u) - self.prior.mean
        return normal, white.T @ (weight * scaled) - spread.T @ self.prior.precision @ off


def _edge_terms(
    beside: Beside | None, runs: Runs, reference: Reference
) -> tuple[Vector, Vector, Vector, npt.NDArray[np.bool_]]:
    """Return the runs' terms beside edges, what the photographs exceed the centre's by, its covariance, and which.

    Terms are those that photographs, centre and every run show: a candidate may be too noisy for clean edges.
    """
    if beside is None or reference.beside is None:
        return np.zeros((len(runs.z), 0)), np.zeros(0), np.zeros((0, 0)), np.zeros(0, np.bool_)
    seen = np.stack(runs.beside)
    away = beside.terms - reference.beside
    kept = np.isfinite(away) & np.isfinite(seen).all(0)
    return seen[:, kept], away[kept], beside.covariance[np.ix_(kept, kept)], kept
