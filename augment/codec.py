"""Lossy coding by the reference library itself."""

import io

import numpy as np
import torch
from PIL import Image
from torch import Tensor


def jpeg(image: Tensor, *, quality: Tensor, subsampling: Tensor) -> Tensor:
    """Code and decode uint8 (B, 3, H, W) with libjpeg; rows of `quality` (B,) 0 pass unchanged.

    `subsampling` (B,) int64: 0 is 4:4:4, 1 is 4:2:2, 2 is 4:2:0.
    """
    pixels = image.permute(0, 2, 3, 1).contiguous().cpu().numpy()
    rows = [
        jpeg_round_trip(row, quality=q, subsampling=s) if q else row
        for row, q, s in zip(pixels, quality.tolist(), subsampling.tolist(), strict=True)
    ]
    return torch.from_numpy(np.stack(rows)).permute(0, 3, 1, 2).contiguous().to(image.device)


def jpeg_round_trip(pixels: np.ndarray, *, quality: int, subsampling: int) -> np.ndarray:
    """Return uint8 (H, W, 3) after one pass through libjpeg."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=quality, subsampling=subsampling)
    return np.asarray(Image.open(buffer))
