"""Quality figures of a finished picture, recorded with every sample."""

import numpy as np
from numpy.typing import NDArray

LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)
"""Rec. 601 luma weights."""


def measure(image: NDArray[np.uint8]) -> dict[str, float]:
    """Return `mean_luma` in [0, 255], `clipped` (share of pixels with a channel at 0 or 255) and `sharpness`.

    Sharpness is the variance of the 4-neighbour Laplacian of luma (Pech-Pacheco et al., ICPR 2000), in squared levels.
    Args:
        image: (H, W, 3) uint8.
    """
    luma = image.astype(np.float32) @ LUMA
    laplacian = luma[:-2, 1:-1] + luma[2:, 1:-1] + luma[1:-1, :-2] + luma[1:-1, 2:] - 4 * luma[1:-1, 1:-1]
    clipped = ((image == 0) | (image == 255)).any(-1)
    return {
        "mean_luma": float(luma.mean()),
        "clipped": float(clipped.mean()),
        "sharpness": float(laplacian.var()),
    }
