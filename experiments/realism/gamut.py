"""Colours of two sets of pictures: how far apart, axis by axis, and what of one lies outside of the other's hull."""

from dataclasses import dataclass

import numpy as np

from spooflab.experiments.scores import FloatArray

AXES = ("L*", "a*", "b*")
PERCENTILES = (1, 5, 25, 50, 75, 95, 99)
_CORE = 0.99


@dataclass(frozen=True)
class Gamut:
    """Two clouds of colours, (n, 3) and (m, 3) L*, a*, b*.

    Attributes:
        percentiles: by side and axis, at `PERCENTILES`.
        delta_e: CIE 1976 distance of the means.
        wasserstein: by axis, in units of L*, a*, b*.
        hull: by side, volume of the convex hull of the core (99 %) in cubic units.
        outside: share of the real core outside of the synthetic hull, and the other way round.
    """

    percentiles: dict[str, dict[str, list[float]]]
    delta_e: float
    wasserstein: dict[str, float]
    hull: dict[str, float]
    outside: dict[str, float]


def compare_gamuts(synthetic: FloatArray, real: FloatArray) -> Gamut:
    """Compare two clouds (n, 3), (m, 3) of L*, a*, b*, each picture with the same number of pixels."""
    from scipy.stats import wasserstein_distance

    both = {"synthetic": synthetic, "real": real}
    cores = {name: _core(cloud) for name, cloud in both.items()}
    outside = {
        "real outside synthetic": _outside(cores["real"], cores["synthetic"]),
        "synthetic outside real": _outside(cores["synthetic"], cores["real"]),
    }
    return Gamut(
        {n: {a: np.percentile(c[:, i], PERCENTILES).tolist() for i, a in enumerate(AXES)} for n, c in both.items()},
        delta_e(synthetic.mean(0), real.mean(0)),
        {a: float(wasserstein_distance(synthetic[:, i], real[:, i])) for i, a in enumerate(AXES)},
        {name: hull_volume(core) for name, core in cores.items()},
        outside,
    )


def delta_e(first: FloatArray, second: FloatArray) -> float:
    """Return the CIE 1976 difference of two L*, a*, b*."""
    return float(np.linalg.norm(first - second))


def hull_volume(cloud: FloatArray) -> float:
    """Return the volume of the convex hull of (n, 3); 0 for a flat cloud."""
    from scipy.spatial import ConvexHull, QhullError

    try:
        return float(ConvexHull(cloud).volume)
    except (QhullError, ValueError):
        return 0.0


def _core(cloud: FloatArray) -> FloatArray:
    """The 99 % nearest to the middle in Mahalanobis distance: one dead pixel would stretch a hull."""
    centred = cloud - cloud.mean(0)
    inverse = np.linalg.inv(np.cov(cloud.T) + 1e-6 * np.eye(3))
    distance = np.einsum("ni,ij,nj->n", centred, inverse, centred)
    core: FloatArray = cloud[distance <= np.quantile(distance, _CORE)]
    return core


def _outside(cloud: FloatArray, hull: FloatArray) -> float:
    from scipy.spatial import Delaunay, QhullError

    try:
        return float((Delaunay(hull).find_simplex(cloud) < 0).mean())
    except (QhullError, ValueError):
        return 1.0
