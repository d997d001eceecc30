"""The quick camera, for training loops: the shots of the full one, seen through a shorter chain.

Same parameters, same order of causes: curve undone, one warp, one point spread function, shading and photo response,
noise of variance a x + b, balance and matrix, tone, smoothing and sharpening on one detail layer, libjpeg.

Left out: lateral colour, tangential distortion, soft corners, defective photosites, and what a mosaic does to detail
(but not to noise). Simplified: exposure and light are read from a thinned-out picture, noise comes from a bank, it is
told from texture on one scale, seven taps cut off the tail of diffraction, and streams are coded as JPEG. The tests of
this module state how far both agree. Stored data sets are made by the full chain alone.
"""

from functools import lru_cache
from typing import Literal

import torch
from torch import Tensor

from spooflab.augment.device_params import DeviceParams
from spooflab.augment.noise_bank import bank_side, noise_bank, row_bank
from spooflab.augment.quick_batch import quick_tensors
from spooflab.augment.quick_chunks import quick_cpu
from spooflab.augment.quick_table import quick_table
from spooflab.errors import ConfigError

Fidelity = Literal["full", "quick"]


def check_fidelity(fidelity: Fidelity) -> Fidelity:
    """Return `fidelity`, or raise `ConfigError`."""
    if fidelity not in ("full", "quick"):
        raise ConfigError(f"fidelity {fidelity!r}", wanted="'full' or 'quick'")
    return fidelity


def quick_photograph(photo: Tensor, params: DeviceParams) -> Tensor:
    """Return `photo` taken again with `params`, as uint8 (B, 3, H, W) where `photo` lies.

    On the CPU the batch goes through caches and libjpeg in chunks; elsewhere as a whole, and nothing is read back.

    Args:
        photo: uint8, or float32 sRGB in [0, 1], (B, 3, H, W).
        params: on the CPU, drawn for the same B, H, W.
    """
    table = quick_table(params)
    if photo.device.type == "cpu":
        return quick_cpu(photo, table)
    table = table.to(photo.device)
    banks = device_banks(photo.device, bank_side(*photo.shape[-2:]))
    return quick_tensors(photo if photo.is_floating_point() else photo / 255, table, *banks)


@lru_cache(maxsize=4)
def device_banks(device: torch.device, side: int) -> tuple[Tensor, Tensor]:
    """Return the banks that `quick_tensors` takes, on `device`."""
    noise = torch.stack([noise_bank(False, side), noise_bank(True, side)])
    return noise.to(device), row_bank(side).to(device)
