"""Simulated candidates, and the quadratic that runs through them."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from spooflab.augment.fit.beside import StepSimulator
from spooflab.augment.fit.simulator import Simulator, Stops
from spooflab.augment.fit.sought import LOWER, UPPER, Vector
from spooflab.augment.row_threads import map_rows

_SHARING = 4
"""Candidates that share their noise: what it adds to all of them alike is no slope."""
_RIDGE_SLOPE, _RIDGE_CURVATURE, _RIDGE_DRAW = 1e-3, 0.5, 0.14
"""Of slopes, of curvatures, and of what candidates with the same noise share: a run's own variance over theirs. The
last was measured: of the variance of a run an eighth is left between runs with the same noise."""
_CUBIC = 0.25
"""How fast what a quadratic leaves out outgrows a run's own error, with the sixth power of the way."""


@dataclass(frozen=True)
class Region:
    """Where candidates are drawn: z = centre + spread u, u standard normal."""

    centre: Vector
    spread: Vector

    @staticmethod
    def around(z: Vector, covariance: Vector) -> "Region":
        """Return the region of that covariance."""
        return Region(z, np.asarray(np.linalg.cholesky(covariance), np.float64))

    def draw(self, count: int, seed: int) -> list[Vector]:
        """Return candidates, none further than two spreads in a coordinate."""
        steps = np.random.default_rng(seed).standard_normal((count, len(self.centre))).clip(-2, 2)
        return [np.clip(self.centre + self.spread @ step, LOWER, UPPER) for step in steps]

    def u(self, z: Vector) -> Vector:
        """Return the coordinates of (n, parameters)."""
        return np.asarray(np.linalg.solve(self.spread, (z - self.centre).T).T, np.float64)

    def z(self, u: Vector) -> Vector:
        """Return the parameters at (..., parameters) coordinates."""
        return np.asarray(self.centre + u @ self.spread.T, np.float64)


@dataclass
class Runs:
    """Simulations of one simulator with the same stops of the photographs.

    Attributes:
        z: the candidates.
        draw: which noise each took.
        seen: (surfaces, bands) log energies of each.
        beside: (terms,) of `Beside`, of each; none where steps are not simulated.
    """

    z: list[Vector] = field(default_factory=list)
    draw: list[int] = field(default_factory=list)
    seen: list[Vector] = field(default_factory=list)
    beside: list[Vector] = field(default_factory=list)

    def add(self, tried: list[Vector], simulate: Simulator, stops: Stops, steps: StepSimulator | None = None) -> None:
        """Simulate more candidates, on as many threads as torch may use."""
        draws = [(len(self.z) + place) // _SHARING for place in range(len(tried))]

        def each(simulated: Callable[[Vector, Stops, int], Vector]) -> list[Vector]:
            return map_rows(lambda run: simulated(run[0], stops, run[1]), zip(tried, draws, strict=True))

        self.seen += each(simulate)
        if steps is not None:
            self.beside += each(steps)
        self.z += tried
        self.draw += draws

    def move(self, by: Vector, beside: Vector | None) -> None:
        """Add what a change that is common to all runs makes of them."""
        self.seen = [one + by for one in self.seen]
        if beside is not None:
            self.beside = [one + beside for one in self.beside]


class Regression:
    """Quadratic in the coordinates of a region, by ridge regression, with a random effect of each noise.

    Runs outside of the region count less, for a quadratic does not hold for them.
    """

    def __init__(self, region: Region, runs: Runs) -> None:
        self.region, self.runs = region, runs
        u = region.u(np.stack(runs.z))
        terms = terms_of(u)
        shared = (np.asarray(runs.draw)[:, None] == np.unique(runs.draw)).astype(np.float64)
        self._design = np.concatenate([terms, shared], 1)
        self._weight = 1 / (1 + _CUBIC * (u**2).mean(1) ** 3)
        slopes = u.shape[1]
        curvatures = terms.shape[1] - 1 - slopes
        ridge = np.repeat([1e-9, _RIDGE_SLOPE, _RIDGE_CURVATURE, _RIDGE_DRAW], [1, slopes, curvatures, shared.shape[1]])
        self._normal = self._design.T @ (self._weight[:, None] * self._design)
        self._inverse = np.asarray(np.linalg.inv(self._normal + np.diag(ridge)), np.float64)
        self._terms = terms.shape[1]

    def fit(self, target: Vector) -> tuple[Vector, Vector]:
        """Return coefficients (terms, outputs) for (runs, outputs), and a run's own variance (outputs,)."""
        found = self._inverse @ (self._design.T @ (self._weight[:, None] * target))
        left = target - self._design @ found
        free = len(target) - np.trace(self._inverse @ self._normal)
        variance = (self._weight[:, None] * left**2).sum(0) / max(free, len(target) / 4)
        return np.asarray(found[: self._terms], np.float64), np.asarray(variance, np.float64)

    @cached_property
    def _energies(self) -> Vector:
        seen = np.stack(self.runs.seen)
        return self.fit(seen.reshape(len(seen), -1))[0]

    def energies(self, u: Vector) -> Vector:
        """Return the log energies (surfaces, bands) expected at one u."""
        return np.asarray((terms_of(u[None]) @ self._energies).reshape(self.runs.seen[0].shape), np.float64)

    def error2(self, u: Vector) -> float:
        """Return the variance of a prediction at one u over a run's own."""
        at = terms_of(u[None])[0]
        return float(at @ self._inverse[: self._terms, : self._terms] @ at)


def terms_of(u: Vector) -> Vector:
    """Return (n, terms) of a quadratic at (n, parameters): one, each coordinate, each product of two."""
    first, second = np.triu_indices(u.shape[1])
    return np.concatenate([np.ones((len(u), 1)), u, u[:, first] * u[:, second]], 1)
