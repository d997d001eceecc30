"""What JPEG leaves in pixels that were not resized since: block edges, and combs in the DCT coefficients."""

import numpy as np
from numpy.typing import NDArray

_BLOCK = 8
_K, _N = np.arange(_BLOCK)[:, None], np.arange(_BLOCK)[None]
_DCT = np.cos(np.pi * _K * (2 * _N + 1) / (2 * _BLOCK)) * np.where(_K == 0, np.sqrt(1 / 8), np.sqrt(2 / 8))
_STEPS = np.arange(3, 65)
_LEAST, _COMB = 24, 0.6


def blockiness(luma: NDArray[np.float64]) -> float:
    """Return the mean step across 8 x 8 block edges over the mean step elsewhere; 1 is no trace.

    The measure of Wang, Sheikh and Bovik (No-reference perceptual quality assessment of JPEG compressed images, 2002),
    as a ratio. Blocks begin at the first pixel.

    Args:
        luma: (H, W) levels.
    """
    across, elsewhere = [], []
    for rows in (luma, luma.T):
        step = np.abs(np.diff(rows, axis=1))
        edge = np.arange(step.shape[1]) % _BLOCK == _BLOCK - 1
        across.append(step[:, edge].mean() if edge.any() else 0.0)
        elsewhere.append(step[:, ~edge].mean())
    return float((sum(across) + 1e-3) / (sum(elsewhere) + 1e-3))


def jpeg_step(luma: NDArray[np.float64]) -> float:
    """Return the quantisation step of the three lowest AC coefficients, 0 where none can be seen.

    Quantised coefficients lie on multiples of their step q: the mean of cos(2πc/q) over those that are not rounded to 0
    is near 1 for them and near 0 for others, as in the estimate of Fan and de Queiroz (Identification of bitmap
    compression history, 2003). The largest step with such a comb counts: its divisors have it too.

    Args:
        luma: (H, W) levels, blocks beginning at the first pixel.
    """
    height, width = (side // _BLOCK * _BLOCK for side in luma.shape)
    blocks = luma[:height, :width].reshape(height // _BLOCK, _BLOCK, width // _BLOCK, _BLOCK).swapaxes(1, 2)
    coefficients = np.einsum("kn,abnm,lm->abkl", _DCT[:3], blocks - 128, _DCT[:3], optimize=True)
    steps = [_comb(coefficients[..., k, n].ravel()) for k, n in ((0, 1), (1, 0), (1, 1))]
    return float(np.median(steps))


def _comb(values: NDArray[np.float64]) -> float:
    counted = np.abs(values)[:, None] > _STEPS / 2
    waves = np.where(counted, np.cos(2 * np.pi * values[:, None] / _STEPS), 0)
    number = counted.sum(0)
    contrast = waves.sum(0) / np.maximum(number, 1)
    seen = _STEPS[(number >= _LEAST) & (contrast >= _COMB)]
    return float(seen[-1]) if len(seen) else 0.0
