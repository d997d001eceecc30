"""Log energies as a quadratic in the parameters, regressed on simulations (Beaumont, Zhang, Balding 2002)."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from spooflab.augment.fit.simulator import Simulator
from spooflab.augment.fit.sought import LOWER, STEP, UPPER, Prior, Vector
from spooflab.augment.fit.summary import Summary, huber_weight, used_of, whitener


@dataclass(frozen=True)
class Emulator:
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
    ) -> "Emulator":
        """Simulate `points` candidates about `z` and regress.

        They lie as wide as `covariance` says, and wide enough that the noise of a simulation is no slope.
        """
        simulate.centre(z, stops)
        spread = np.asarray(np.linalg.cholesky(covariance + np.diag(STEP**2)), np.float64)
        steps = np.random.default_rng(draw).standard_normal((points, len(z))).clip(-2, 2)
        tried = [np.clip(z + spread @ step, LOWER, UPPER) for step in steps]
        seen = [simulate(candidate, stops, draw + k) for k, candidate in enumerate(tried)]
        used = used_of(observed, seen[0])
        u = np.linalg.solve(spread, (np.stack(tried) - z).T).T
        design = np.concatenate([np.ones((points, 1)), u, u * u], 1)
        ridge = np.diag([0.0] + [0.05] * len(z) + [1.0] * len(z))
        target = np.stack([each.log_energy[used] for each in seen])
        coefficients = np.asarray(np.linalg.solve(design.T @ design + ridge, design.T @ target), np.float64)
        count = seen[0].count * (points // (2 * len(z)))  # what regression averages
        return Emulator(z, spread, coefficients, used, whitener(observed, Summary(observed.log_energy, count)), count)

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
        precision = self.spread.T @ prior.precision @ self.spread
        for _ in range(40):
            scaled = self.whiten @ (target - self._predict(u))
            weight = huber_weight(scaled)
            white = self.whiten @ self._slope(u)
            normal = white.T @ (weight[:, None] * white) + precision
            off = self.origin + self.spread @ u - prior.mean
            step = np.linalg.solve(normal, white.T @ (weight * scaled) - self.spread.T @ prior.precision @ off)
            u = np.asarray(np.clip(u + 0.5 * step, -3, 3), np.float64)
        z = np.clip(self.origin + self.spread @ u, LOWER, UPPER)
        return z, self.spread @ np.linalg.inv(normal) @ self.spread.T
