"""How far single photographs' noise lies from the camera's: gain follows the light, and not all of it is known."""

import numpy as np
import numpy.typing as npt

from spooflab.augment.fit.flat_blocks import LUMA_BANDS
from spooflab.augment.fit.simulator import Simulator, Stops
from spooflab.augment.fit.sought import Vector
from spooflab.augment.fit.surfaces import Surfaces

_LUMA = slice(0, len(LUMA_BANDS))
_SURFACE_STOPS = 0.4
"""Standard deviation of one surface's noise, stops, where photographs show too few of them to tell."""
_DEAD = 0.05
"""Sum of squared slopes over the bands of luma below which a surface's noise did not get through the camera."""
_TURNS, _POLISHES = 3, 4
"""Newton steps to the photographs' stops, and rounds of the polish in each."""


def photo_stops(simulate: Simulator, z: Vector) -> Stops:
    """Return how far single photographs' noise lies from that of the camera `z`.

    The log ratio of a surface's energies to the simulated ones, over what a doubling of the noise changes there
    (denoising and coding swallow some of it), and the medians of photographs and of levels in turn: Tukey's median
    polish (1977), as textures are no noise. Photographs scatter by more than their surfaces explain: by that, each is
    shrunk towards the others (James and Stein 1961), and what stays open is simulated as scatter.
    """
    surfaces, photos = simulate.surfaces, len(simulate.quality)
    own, count = np.zeros(photos), np.bincount(surfaces.photo, minlength=photos)
    left = np.zeros(len(surfaces))
    for _ in range(_TURNS):
        here, more = (simulate(z, Stops(own + step, 0 * own)) for step in (0.0, 0.5))
        slope = ((more - here) / 0.5)[:, _LUMA]
        told = (slope**2).sum(1)
        left = np.where(told > _DEAD, (slope * (surfaces.log_energy - here)[:, _LUMA]).sum(1) / told.clip(_DEAD), 0.0)
        own += _polished(surfaces, left, count)
        own = np.clip(own - np.median(own[count > 0]), -5, 5) * (count > 0)
    return _shrunk(own, left, count, len(surfaces.levels))


def _shrunk(own: Vector, left: Vector, count: npt.NDArray[np.int64], levels: int) -> Stops:
    """Return `own` (photos,), medians of `count` surfaces each, less what the scatter `left` (surfaces,) explains."""
    seen = count > 0
    free = len(left) - int(seen.sum()) - levels
    spread2 = float(1.4826 * np.median(np.abs(left))) ** 2 * len(left) / max(free, 1)
    if free < len(left) / 3:  # too few surfaces a photograph to see how they scatter
        spread2 = max(spread2, _SURFACE_STOPS**2)
    error2 = np.where(seen, np.pi / 2 * spread2 / count.clip(1), np.inf)  # a median's, of normal values
    between2 = max(0.0, float(np.mean(own[seen] ** 2 - error2[seen])))
    kept = between2 / np.maximum(between2 + error2, 1e-12)
    return Stops(kept * own, np.sqrt(between2 * (1 - kept)))


def _polished(surfaces: Surfaces, left: Vector, count: npt.NDArray[np.int64]) -> Vector:
    """Return what `left` (surfaces,) has by photograph, and take that and what it has by level out of it."""
    own = np.zeros(len(count))
    for _ in range(_POLISHES):
        for level in surfaces.levels:
            left[surfaces.level == level] -= np.median(left[surfaces.level == level])
        for photo in np.flatnonzero(count):
            middle = float(np.median(left[surfaces.photo == photo]))
            own[photo] += middle
            left[surfaces.photo == photo] -= middle
    return own
