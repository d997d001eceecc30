"""Blur of the lens from the steepest edges, matched by simulated ones."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from spooflab.augment.fit.chain import Candidate, Known
from spooflab.augment.fit.edges import Edges, edge_steepness
from spooflab.augment.fit.steps import blurred, photographed_steps, step_covers
from spooflab.augment.view import View

FloatArray = npt.NDArray[np.float64]
_SIDE = 48
_BLURS = np.array([0.15, 0.3, 0.45, 0.6, 0.8, 1.0, 1.3, 1.7, 2.2])
_FEWEST = 12
_STEEP = 0.75
_SIMULATED, _EACH = 384, 60
"""Steps that are simulated, for steepness differs between colours by more than between blurs; edges of each."""


@dataclass(frozen=True)
class Sharpness:
    """Blur of single photographs (standard deviation, px; NaN where edges are few), beyond diffraction and pixel."""

    blur_px: FloatArray
    edges: int
    steepness: FloatArray
    """(blurs,) what simulated edges of `_BLURS` show."""


def fit_sharpness(
    edges: Edges, candidate: Candidate, known: Known, quality: npt.NDArray[np.int64], lens: View
) -> Sharpness:
    """Return each photograph's blur: the one whose simulated edges, of the same colours, are as steep as its own.

    A scene's edges are sharp or softer, never sharper than the lens: upper quartiles are compared, which noise lifts in
    both alike. A finished device resamples what it photographs where its lens bends: so are the simulated edges, for
    the blur of that is not to be found twice.

    Args:
        edges: of all photographs.
        candidate, known: the camera.
        quality: (photos,) of JPEG.
        lens: a photograph's window with its distortion, aperture and pitch.
    """
    photos = range(len(quality))
    if len(edges) < _FEWEST or min(lens.height, lens.width) < _SIDE:
        return Sharpness(np.full(len(photos), np.nan), len(edges), np.zeros(0))
    pairs = edges.colours[np.linspace(0, len(edges) - 1, _SIMULATED).astype(int)]
    middle = np.full(len(pairs), int(np.median(quality)), np.int64)
    covers = step_covers(len(pairs), _SIDE, lens)
    curve = []
    for blur in _BLURS:
        seen = photographed_steps(pairs, blurred(covers, float(blur), lens), candidate, known, middle)
        steep = edge_steepness(seen, most=_EACH)
        curve.append(float(np.quantile(steep, _STEEP)) if len(steep) else np.nan)
    steepness = np.minimum.accumulate(np.nan_to_num(np.asarray(curve), nan=1e-3))
    own = np.array([_upper(edges.steepness[edges.picture == photo]) for photo in photos])
    blur_px = np.interp(-own, -steepness, _BLURS)
    return Sharpness(np.where(np.isnan(own), np.nan, blur_px), len(edges), steepness)


def _upper(steepness: FloatArray) -> float:
    return float(np.quantile(steepness, _STEEP)) if len(steepness) >= _FEWEST else np.nan
