"""JPEG by the reference library itself on the CPU, and its equal on tensors elsewhere."""

import io

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from spooflab.augment.jpeg_tensor import tensor_jpeg
from spooflab.augment.row_threads import map_rows
from spooflab.errors import DataError

SUBSAMPLING = {"4:4:4": 0, "4:2:2": 1, "4:2:0": 2}
"""Codes of the chroma formats."""


def jpeg(image: Tensor, *, quality: Tensor, subsampling: Tensor) -> Tensor:
    """Code and decode uint8 (B, 3, H, W) as libjpeg does; rows of `quality` (B,) int64 0 pass unchanged.

    On the CPU libjpeg does it, row by row on torch's threads; elsewhere `tensor_jpeg`, which yields the same bytes.

    Args:
        image: uint8 (B, 3, H, W), B at least 1; H and W at least 8 where they do not lie on the CPU.
        quality: (B,) int64 of libjpeg, 1-100, or 0 for no codec.
        subsampling: (B,) int64: 0 is 4:4:4, 1 is 4:2:2, 2 is 4:2:0.

    Raises:
        DataError: another shape or type, or a value out of range. Values that lie on another device than the CPU are
            not read: quality is clamped there, and an unknown subsampling counts as 4:4:4.
    """
    check_jpeg(image, quality, subsampling)
    if image.device.type != "cpu":
        return tensor_jpeg(image, quality=quality.to(image.device), subsampling=subsampling.to(image.device))
    planes, coded = image.numpy(), np.empty(image.shape, np.uint8)
    rows = zip(planes, coded, quality.tolist(), subsampling.tolist(), strict=True)
    map_rows(lambda row: _code(row[0], row[1], quality=row[2], subsampling=row[3]), rows)
    return torch.from_numpy(coded)


def _code(planes: np.ndarray, coded: np.ndarray, *, quality: int, subsampling: int) -> None:
    """Write uint8 (3, H, W) `planes` to `coded` after one pass through libjpeg, none at quality 0."""
    if quality == 0:
        coded[:] = planes
        return
    file = io.BytesIO()
    picture = Image.merge("RGB", [Image.fromarray(plane) for plane in planes])  # faster than to interleave in NumPy
    picture.save(file, "JPEG", quality=quality, subsampling=subsampling)
    for plane, band in zip(coded, Image.open(file).split(), strict=True):
        plane[:] = np.asarray(band)


def check_jpeg(image: Tensor, quality: Tensor, subsampling: Tensor) -> None:
    """Raise `DataError` unless these are pictures and parameters that `jpeg` takes."""
    if image.ndim != 4 or image.shape[1] != 3 or min(image.shape) < 1 or image.dtype != torch.uint8:
        raise DataError(f"jpeg: pictures {tuple(image.shape)} {image.dtype}", wanted="(B, 3, H, W) torch.uint8, B >= 1")
    if image.device.type != "cpu" and min(image.shape[-2:]) < 8:
        raise DataError(f"jpeg: pictures {tuple(image.shape)} on {image.device}", wanted="sides of at least 8")
    for name, value, top in (("quality", quality, 100), ("subsampling", subsampling, 2)):
        check_codes(f"jpeg: {name}", value, len(image), low=0, high=top)


def check_codes(name: str, value: Tensor, batch_size: int, *, low: int, high: int) -> None:
    """Raise `DataError` unless `value` is (batch_size,) int64 and, where it can be read at no cost, within low-high."""
    if value.shape != (batch_size,) or value.dtype != torch.int64:
        raise DataError(f"{name} {tuple(value.shape)} {value.dtype}", wanted=f"({batch_size},) torch.int64")
    if value.device.type == "cpu" and (int(value.min()) < low or int(value.max()) > high):
        raise DataError(f"{name} {value.tolist()}", wanted=f"whole numbers {low} to {high}")
