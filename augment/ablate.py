"""Switch single stages of a camera off, so that a study can tell which of them a detector learns."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import torch

from spooflab.augment.device_params import DeviceParams
from spooflab.errors import ConfigError

Change = Callable[[DeviceParams], dict[str, torch.Tensor]]

_OFF: dict[str, Change] = {
    "cfa": lambda p: {"cfa": torch.zeros_like(p.cfa)},
    "noise": lambda p: {name: torch.zeros_like(getattr(p, name)) for name in ("noise_a", "noise_b", "row_std")},
    "prnu": lambda p: {"prnu_std": torch.zeros_like(p.prnu_std)},
    "vignette": lambda p: {"corner_gain": torch.ones_like(p.corner_gain)},
    "lateral_colour": lambda p: {name: torch.zeros_like(getattr(p, name)) for name in ("red_scale", "blue_scale")},
    "balance_error": lambda p: {"balance_error": torch.ones_like(p.balance_error)},
    "auto_balance": lambda p: {
        name: torch.zeros_like(x) for name in ("awb_strength",) if (x := getattr(p, name)) is not None
    },
    "corner_blur": lambda p: {
        name: torch.zeros_like(x) for name in ("corner_blur_px",) if (x := getattr(p, name)) is not None
    },
    "defects": lambda p: {
        name: torch.zeros_like(x) for name in ("defect_share",) if (x := getattr(p, name)) is not None
    },
    "denoise": lambda p: {"smear": torch.zeros_like(p.smear)},
    "beautify": lambda p: {"beautify": torch.zeros_like(p.beautify)},
    "tone": lambda p: {"tone": torch.zeros_like(p.tone), "gamma": torch.ones_like(p.gamma)},
    "sharpen": lambda p: {"halo": torch.zeros_like(p.halo)},
    "jpeg": lambda p: {
        name: torch.zeros_like(x) for name in ("quality", "stream") if (x := getattr(p, name)) is not None
    },
}

DEVICE_EFFECTS = tuple(_OFF)
"""Stages of the camera that `ablated` can switch off."""


def ablated(params: DeviceParams, effects: Sequence[str]) -> DeviceParams:
    """Return the shots with some stages neutral; everything else keeps its draw, noise pattern included.

    Raises:
        ConfigError: an effect that no camera has.
    """
    if strange := sorted(set(effects) - set(_OFF)):
        raise ConfigError(f"device effects {strange} are unknown", wanted=f"some of {', '.join(_OFF)}")
    for effect in sorted(set(effects)):
        changes: dict[str, Any] = dict(_OFF[effect](params))
        params = dataclasses.replace(params, **changes)
    return params
