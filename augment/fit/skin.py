"""Skin smoothing, from how much less noise even skin shows than the camera has elsewhere."""

import dataclasses
import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from spooflab.augment.beautify import skin_weight
from spooflab.augment.box import double, halve
from spooflab.augment.color import luma
from spooflab.augment.fit.chain import Known
from spooflab.augment.fit.flat_blocks import LUMA_BANDS, Blocks
from spooflab.augment.fit.simulator import Simulator, Stops
from spooflab.augment.fit.sought import Vector
from spooflab.augment.fit.surfaces import Surfaces, surfaces_of

_PLAIN, _SKIN = 0.05, 0.5
"""Weight of skin up to which blocks are matched, and from which they are skin."""
_STRENGTHS = np.linspace(0, 1, 6)
"""Strengths that are simulated."""
_DRAWS = 4
"""Noises that each simulation is the mean of."""
_STOP_STEP = 0.25
"""Stops by which noise is raised to see what that changes."""
_TEXTURED = -0.2
"""Strength below which skin is no even skin: it is noisier than the camera by more than the surfaces' errors."""
_FEWEST_PHOTOS, _FEWEST_BLOCKS = 3, 16
_SURFACE_ERROR = 0.1
"""Standard deviation of a surface's log energy beside sampling: what other surfaces of three cameras scattered by."""
_OUTLIER = 3.0


@dataclass(frozen=True)
class Skin:
    """What flat skin tells.

    Attributes:
        strength: of smoothing, mean over photographs; below 0 where skin is noisier than expected; NaN with a `reason`.
        std: standard error of `strength`, from how photographs scatter.
        shots: standard deviation of single photographs' strength, beyond their errors.
        surfaces, photos: how many it rests on.
        reason: why nothing is known, else empty.
    """

    strength: float
    std: float
    shots: float
    surfaces: int
    photos: int
    reason: str = ""

    @staticmethod
    def unknown(surfaces: int, photos: int, reason: str) -> "Skin":
        """Return that nothing is known, and why."""
        return Skin(math.nan, math.inf, 0.0, surfaces, photos, reason)


def apart_from_skin(blocks: Blocks) -> tuple[Blocks, Blocks]:
    """Return the blocks without a hint of skin colour, and those of skin: cameras may smooth skin unasked."""
    weight = _skin_weight(blocks.colour)
    return blocks.take(weight <= _PLAIN), blocks.take(weight >= _SKIN)


def skin_coloured(colours: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    """Return (...,) which of (..., 3) sRGB in [0, 1] have a hint of skin colour."""
    weight = _skin_weight(colours.reshape(-1, 3).astype(np.float32))
    return np.asarray(weight > _PLAIN).reshape(colours.shape[:-1])


def plain_pixels(photo: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
    """Return (H, W) which pixels of a photograph (H, W, 3) have no hint of skin colour, at the scale of smoothing."""
    codes = torch.from_numpy(photo).permute(2, 0, 1)[None].float().div_(255)
    small = halve(codes)
    weight = double(skin_weight(small, luma(small)), *photo.shape[:2])
    return np.asarray(weight[0, 0].numpy() <= _PLAIN)


def _skin_weight(colours: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    pixels = torch.from_numpy(colours)[:, :, None, None]
    return np.asarray(skin_weight(pixels, luma(pixels)).flatten().numpy(), np.float32)


def fit_skin(
    skin: Blocks, known: Known, quality: npt.NDArray[np.int64], z: Vector, stops: Stops, *, b_power: float = 1.5
) -> Skin:
    """Return the strength of skin smoothing behind `skin`, given the camera without it.

    Smoothing leaves the share (1 - strength)^2 of the energy of luma noise on even skin. Each surface's strength is
    where simulations reach its mean log energy.

    Args:
        skin: flat blocks of skin colour, without texture.
        known: what is not sought.
        quality: (photos,) JPEG quality, 0 for none.
        z: the camera in the noise fit's units, matched where there is no skin.
        stops: how each photograph's noise departs from the camera's; what is open of it is an error here.
        b_power: how much faster b changes than a with them.
    """
    surfaces = surfaces_of(skin, fewest_blocks=_FEWEST_BLOCKS, fewest_at_level=_FEWEST_BLOCKS)
    photos = np.unique(surfaces.photo)
    if len(photos) < _FEWEST_PHOTOS:
        return Skin.unknown(len(surfaces), len(photos), f"flat skin in {len(photos)} photographs")
    given = Stops(stops.log2, 0 * stops.scatter)
    noisier = Stops(stops.log2 + _STOP_STEP, 0 * stops.scatter)

    def energies(strength: float, of: Stops) -> Vector:
        simulate = Simulator(surfaces, dataclasses.replace(known, beautify=strength), quality, b_power=b_power)
        simulate.centre(z, of)
        drawn = [_mean_luma(simulate(z, of, draw)) for draw in range(_DRAWS)]
        return np.asarray(np.mean(drawn, axis=0), np.float64)

    simulated = np.stack([energies(strength, given) for strength in _STRENGTHS])
    per_stop = (energies(0.0, noisier) - simulated[0]) / _STOP_STEP
    each, per_log = _strengths(surfaces, simulated)
    variance = _mean_luma(surfaces.variance) / len(LUMA_BANDS) + _SURFACE_ERROR**2
    own, error2 = np.zeros(len(photos)), np.zeros(len(photos))
    for place, photo in enumerate(photos):
        weight = np.where(surfaces.photo == photo, 1 / (per_log**2 * variance), 0.0)
        share = weight / weight.sum()
        own[place] = (share * each).sum()
        error2[place] = 1 / weight.sum() + ((share * per_log * per_stop).sum() * stops.scatter[photo]) ** 2
    mean, std, shots = pooled(own, error2)
    if mean < _TEXTURED - 2 * std:
        return Skin.unknown(len(surfaces), len(photos), f"skin shows more than noise in {len(photos)} photographs")
    return Skin(mean, std, shots, len(surfaces), len(photos))


def pooled(each: Vector, error2: Vector) -> tuple[float, float, float]:
    """Return mean, its standard error, and the standard deviation behind the errors of (n,) values of known variance.

    The moment estimate of DerSimonian and Laird (1986), after leaving out what lies far from the median: a texture
    that passed for skin.
    """
    off = np.abs(each - np.median(each))
    near = off <= _OUTLIER * np.maximum(np.sqrt(error2), 1.48 * float(np.median(off)))
    each, weight = each[near], 1 / error2[near]
    mean = float((weight * each).sum() / weight.sum())
    excess = float((weight * (each - mean) ** 2).sum()) - (len(each) - 1)
    between = max(0.0, excess / max(float(weight.sum() - (weight**2).sum() / weight.sum()), 1e-9))
    weight = 1 / (1 / weight + between)
    return float((weight * each).sum() / weight.sum()), float(weight.sum() ** -0.5), math.sqrt(between)


def _mean_luma(values: Vector) -> Vector:
    return np.asarray(values[:, : len(LUMA_BANDS)].mean(1), np.float64)


def _strengths(surfaces: Surfaces, simulated: Vector) -> tuple[Vector, Vector]:
    """Return each surface's strength, and how much it falls for each unit of log energy.

    From (strengths, surfaces) simulated energies: linear between them and, as noise may point past no smoothing, below
    the first.
    """
    seen = _mean_luma(surfaces.log_energy)
    strength, per_log = np.zeros(len(seen)), np.zeros(len(seen))
    for row, curve in enumerate(simulated.T):
        fall = np.minimum(np.diff(curve), -1e-3)
        place = int(np.clip(np.searchsorted(-curve, -seen[row]) - 1, 0, len(fall) - 1))
        per_log[row] = (_STRENGTHS[place + 1] - _STRENGTHS[place]) / -fall[place]
        strength[row] = _STRENGTHS[place] - per_log[row] * (seen[row] - curve[place])
    return strength.clip(-1, 1), per_log
