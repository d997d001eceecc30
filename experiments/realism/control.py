"""The matched control: bona fide pictures with an attack's blur, noise and colour, and none of its physics.

A detector that rates it like the simulated attack has seen nothing of the physics in that attack.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from spooflab.augment.color import LUMA
from spooflab.augment.fit.chart import to_lab
from spooflab.augment.fit.flat_blocks import to_ycc
from spooflab.augment.tone import srgb_encode
from spooflab.experiments.realism import spectra
from spooflab.experiments.realism.measures import flat_blocks_of, noise_levels
from spooflab.experiments.realism.sides import Pixels, Row
from spooflab.experiments.scores import FloatArray
from spooflab.seeds import seed as named_seed

MOST_BLUR_PX = 3.0
_LOW, _HIGH = 4, 9
"""Rings of the radial spectrum, ends included, over which blur is read: noise rules above, the scene below."""
_CORE = 0.25
"""Share of a picture's sides left out around the middle where blur and noise are read."""


@dataclass(frozen=True)
class Matching:
    """What was done to one bona fide picture: Gaussian blur (px) and white noise (code values of each colour)."""

    blur_px: float
    noise_codes: float


def partners(attacks: Sequence[Row], plain: Sequence[Row], seed: int) -> list[Row]:
    """Return a bona fide picture for each attack: of its subject, and of its camera, where there is one."""
    chosen = []
    for row in attacks:

        def near(other: Row, row: Row = row) -> tuple[bool, bool, int]:
            return other.subject != row.subject, other.device != row.device, named_seed(seed, row.key, other.key)

        chosen.append(min(plain, key=near))
    return chosen


def matched_control(plain: Pixels, attack: Pixels, seed: int) -> tuple[Pixels, Matching]:
    """Give `plain` the colour, blur and noise of `attack`, both (H, W, 3).

    Colour: mean and spread of L*, a*, b* (Reinhard et al. 2001, in CIELAB). Blur: the Gaussian whose transfer
    exp(-2 pi² s² f²) brings the fall of the spectrum to the attack's; a picture is never sharpened. Noise: white
    and of each colour by itself, up to the attack's variance of luma in flat blocks; none is taken away.
    """
    light = _recoloured(plain, attack)
    blur = needed_blur(_middle(light), _middle(attack))
    soft = blurred(light, blur)
    noise = float(np.sqrt(max(0.0, _noise(attack) - _noise(_codes(soft)))) / np.linalg.norm(LUMA))
    soft = soft + np.random.default_rng(seed).normal(0, noise, soft.shape)
    return _codes(soft), Matching(blur, noise)


def needed_blur(plain: FloatArray | Pixels, attack: FloatArray | Pixels) -> float:
    """Return the standard deviation, px, of the Gaussian that makes the spectrum of `plain` fall as the attack's does.

    Least squares of the difference of log spectra over f², whose slope is -4 pi² s² log10(e); 0 where that is positive.
    """
    first, second = (
        spectra.radial(to_ycc(np.asarray(p, dtype=np.float32))[0].astype(np.float64)) for p in (plain, attack)
    )
    ends = spectra.edges()
    frequency = np.sqrt(ends[:-1] * ends[1:])[_LOW:_HIGH]
    apart = (second - first)[_LOW:_HIGH]
    known = np.isfinite(apart)
    fall = float(np.polyfit(frequency[known] ** 2, apart[known], 1)[0])
    return float(np.clip(np.sqrt(max(0.0, -fall) / (4 * np.pi**2 * np.log10(np.e))), 0, MOST_BLUR_PX))


def blurred(pixels: FloatArray, blur_px: float) -> FloatArray:
    """Return (H, W, 3) under a Gaussian of `blur_px`."""
    from scipy.ndimage import gaussian_filter

    soft: FloatArray = gaussian_filter(pixels, (blur_px, blur_px, 0), mode="reflect")
    return soft


def _recoloured(plain: Pixels, attack: Pixels) -> FloatArray:
    """Return `plain` (H, W, 3) in code values with the mean and spread of `attack` in L*, a*, b*."""
    own, wanted = (to_lab(p / 255).reshape(-1, 3) for p in (plain, attack))
    scale = wanted.std(0) / own.std(0).clip(1e-3)
    lab = (own - own.mean(0)) * scale + wanted.mean(0)
    return (255 * from_lab(lab)).reshape(plain.shape)


def from_lab(lab: FloatArray) -> FloatArray:
    """Return sRGB code values (..., 3) in [0, 1] of CIE L*a*b* (D65), the inverse of `to_lab`; clipped to the gamut."""
    import torch

    y = (lab[..., 0] + 16) / 116
    root = np.stack([y + lab[..., 1] / 500, y, y - lab[..., 2] / 200], -1)
    ratio = np.where(root > 6 / 29, root**3, 3 * (6 / 29) ** 2 * (root - 4 / 29))
    matrix = np.array(
        [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
    )
    linear = (ratio * matrix.sum(1)) @ np.linalg.inv(matrix).T
    encoded: FloatArray = srgb_encode(torch.from_numpy(linear.clip(0, 1))).numpy()
    return encoded


def _noise(pixels: Pixels) -> float:
    levels = noise_levels(flat_blocks_of(pixels))
    return float(np.nanmedian(levels)) if np.isfinite(levels).any() else 0.0


def _middle(pixels: FloatArray | Pixels) -> FloatArray | Pixels:
    """The middle square, where the face is."""
    side = int(min(pixels.shape[:2]) * (1 - _CORE))
    top, left = (pixels.shape[0] - side) // 2, (pixels.shape[1] - side) // 2
    return pixels[top : top + side, left : left + side]


def _codes(light: FloatArray) -> Pixels:
    codes: Pixels = np.clip(np.rint(light), 0, 255).astype(np.uint8)
    return codes
