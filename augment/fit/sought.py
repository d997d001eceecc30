"""What the noise fit seeks: twelve parameters, in units in which their errors are even."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from spooflab.augment.fit.chain import Candidate

Vector = npt.NDArray[np.float64]
NAMES = (
    "a", "b", "row_share", "smear", "halo", "halo_radius_px", "tone", "gamma", "saturation", "red_gain", "blue_gain",
    "prnu_std",
)  # fmt: skip
LOG = np.array([name in ("a", "b", "halo_radius_px", "red_gain", "blue_gain", "prnu_std") for name in NAMES])
_LOWEST = (1e-6, 1e-9, 0.0, 0.0, 0.0, 0.4, 0.0, 0.6, 0.4, 1.0, 1.0, 1e-4)
_HIGHEST = (0.1, 5e-3, 0.4, 1.0, 2.5, 3.0, 1.0, 1.4, 1.8, 3.5, 3.5, 0.0095)
LOWER, UPPER = (np.where(LOG, np.log(np.maximum(ends, 1e-12)), ends) for ends in (_LOWEST, _HIGHEST))
STEP = np.array([0.15, 0.3, 0.05, 0.08, 0.12, 0.12, 0.12, 0.05, 0.1, 0.12, 0.12, 0.12])


@dataclass(frozen=True)
class Prior:
    """Centre (parameters,) and covariance of the parameters in `NAMES`, in the fit's own units (logs where `LOG`)."""

    mean: Vector
    covariance: Vector

    @property
    def std(self) -> Vector:
        """Standard deviations (parameters,)."""
        return np.sqrt(np.diag(self.covariance))

    @property
    def precision(self) -> Vector:
        """Inverse of the covariance."""
        return np.asarray(np.linalg.inv(self.covariance), np.float64)

    def with_known(self, places: list[int], mean: Vector, covariance: Vector) -> "Prior":
        """Return the belief with some parameters' mean and covariance put anew, tied to no other."""
        means, covariances = self.mean.copy(), self.covariance.copy()
        means[places] = mean
        covariances[places, :], covariances[:, places] = 0, 0
        covariances[np.ix_(places, places)] = covariance
        return Prior(means, covariances)

    def distance2(self, z: Vector) -> float:
        """Return how far `z` lies from the centre, squared standard deviations."""
        off = z - self.mean
        return float(off @ self.precision @ off)


def to_candidate(z: Vector) -> Candidate:
    """Return natural units."""
    return Candidate(**dict(zip(NAMES, np.where(LOG, np.exp(np.where(LOG, z, 0)), z).tolist(), strict=True)))


def from_values(values: dict[str, float]) -> Vector:
    """Return the fit's units."""
    natural = np.array([values[name] for name in NAMES])
    return np.where(LOG, np.log(np.where(LOG, natural, 1).clip(1e-12)), natural)
