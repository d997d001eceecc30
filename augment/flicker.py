"""Light that pulses with the mains, as the rows of a rolling shutter gather it."""

import math

import torch
from torch import Tensor

from spooflab.augment.view import View


def row_times(view: View) -> Tensor:
    """Return (B, H), milliseconds from the light's clock to the start of each row's exposure."""
    rows = torch.arange(view.height, device=view.phase_ms.device) / max(1, view.height - 1)
    return view.phase_ms[:, None] + view.readout_ms[:, None] * rows


def lamp_flicker(view: View, *, hz: Tensor, depth: Tensor) -> Tensor:
    """Return (B, 1, H, 1) gains of rows lit by 1 + depth cos(2 pi hz t), averaged over each row's exposure.

    The mean over an exposure T from t is 1 + depth sinc(hz T) cos(2 pi hz (t + T / 2)): an exposure of whole periods
    shows no bands. `hz`, `depth`: (B,).
    """
    per_ms = hz / 1000
    middle = row_times(view) + view.exposure_ms[:, None] / 2
    contrast = depth * torch.sinc(per_ms * view.exposure_ms)
    return (1 + contrast[:, None] * torch.cos(2 * math.pi * per_ms[:, None] * middle))[:, None, :, None]
