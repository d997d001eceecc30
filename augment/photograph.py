"""Photographs at the border: which tensors are taken, and how they are handed back."""

import torch
from torch import Tensor

from spooflab.augment.tone import inverse_tone_curve, srgb_decode
from spooflab.augment.view import View
from spooflab.errors import DataError

_TONE = 0.5
"""Share of a camera's smoothstep contrast curve that is taken to be in a photograph."""


def from_photograph(x: Tensor) -> Tensor:
    """Return uint8 or floating-point (B, 3, H, W) as float32 in [0, 1]; errors as `check_photograph`."""
    check_photograph(x)
    return x.float() / 255 if x.dtype == torch.uint8 else x.float()


def check_photograph(x: Tensor) -> None:
    """Refuse what is no photograph. Values are looked at here alone: one wait of the host for an accelerator's batch.

    Raises:
        DataError: another shape or type, a side below 8, values outside [0, 1], NaN.
    """
    if x.ndim != 4 or x.shape[1] != 3 or x.shape[0] < 1 or min(x.shape[-2:]) < 8:
        raise DataError(f"a photograph of shape {tuple(x.shape)}", wanted="(B, 3, H, W), B >= 1, H and W >= 8")
    if x.dtype == torch.uint8:
        return
    if not x.is_floating_point():
        raise DataError(f"a photograph of {x.dtype}", wanted="uint8, or floating point in [0, 1]")
    low, high = map(float, torch.stack(torch.aminmax(x)).cpu())
    if not (low >= 0 and high <= 1):  # also catches NaN
        raise DataError(
            f"a photograph with values from {low:g} to {high:g}",
            wanted="sRGB code values in [0, 1]",
            next_step="divide by 255, or undo the normalisation first",
        )


def check_window(photo: Tensor, view: View) -> None:
    """Refuse a photograph that is not float32 or not of the batch and the window that `view` was drawn for.

    Raises:
        DataError: what was seen; and whatever `check_photograph` raises.
    """
    wanted = (view.batch_size, 3, view.height, view.width)
    if tuple(photo.shape) != wanted or photo.dtype != torch.float32:
        raise DataError(
            f"a photograph {tuple(photo.shape)} {photo.dtype}",
            wanted=f"{wanted} torch.float32, as the parameters were drawn for",
            next_step="divide uint8 by 255; draw the parameters for these pictures' batch, height and width",
        )
    check_photograph(photo)


def scene_light(photo: Tensor) -> Tensor:
    """Return the light (B, 3, H, W) >= 0 that a photograph, float32 sRGB in [0, 1], is taken to show.

    Half of a camera's contrast curve is undone, then the sRGB transfer. Rounding may leave black a hair below zero,
    where a later power would be undefined: it is cut.
    """
    curve = torch.full((len(photo),), _TONE, device=photo.device)
    return srgb_decode(inverse_tone_curve(photo, tone=curve, gamma=torch.ones_like(curve))).clamp_(min=0)


def to_photograph(photo: Tensor, dtype: torch.dtype) -> Tensor:
    """Return uint8, or float32 on the grid of 1/255, as `dtype`; exact between these two."""
    if photo.dtype == torch.uint8:
        return photo if dtype == torch.uint8 else (photo.float() / 255).to(dtype)
    return (photo * 255).round().to(torch.uint8) if dtype == torch.uint8 else photo.to(dtype)
