"""Baseline: colour jitter, which public code takes for a print.

After He et al. 2024, "Joint Physical-Digital Facial Attack Detection Via Simulating Spoofing Clues" (arXiv 2404.08450):
torchvision's `ColorJitter(brightness=0.4, contrast=0.4, saturation=0.4, hue=0.4)`, its four steps in random order.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from kornia.color import hsv_to_rgb, rgb_to_hsv
from kornia.enhance import (
    adjust_brightness_accumulative,
    adjust_contrast_with_mean_subtraction,
    adjust_saturation_with_gray_subtraction,
)
from torch import Tensor

from spooflab.generators.ablation import ablation
from spooflab.generators.attacks.baselines.baseline import Baseline
from spooflab.params import Params, uniform

_RANGE = 0.4


@dataclass(frozen=True)
class BaselineColourJitterParams(Params):
    """One jitter.

    Attributes:
        order: (B, 4) int64, a permutation of brightness, contrast, saturation, hue.
        brightness, contrast, saturation: (B,) factors 0.6-1.4.
        hue: (B,) shift in turns, -0.4...0.4.
        ablated: (B,) int64, 0.
    """

    order: Tensor
    brightness: Tensor
    contrast: Tensor
    saturation: Tensor
    hue: Tensor
    ablated: Tensor


class BaselineColourJitter(Baseline):
    """Colour jitter (species `baseline_colour_jitter`)."""

    species = "baseline_colour_jitter"

    def sample(self, batch_size: int, generator: torch.Generator) -> BaselineColourJitterParams:
        """Draw the order and the strengths."""
        n = batch_size
        factors = uniform(3 * n, 1 - _RANGE, 1 + _RANGE, generator).reshape(n, 3)
        return BaselineColourJitterParams(
            order=torch.rand(n, 4, generator=generator).argsort(1),
            brightness=factors[:, 0].clone(),
            contrast=factors[:, 1].clone(),
            saturation=factors[:, 2].clone(),
            hue=uniform(n, -_RANGE, _RANGE, generator),
            ablated=ablation(self.species, self.EFFECTS, (), n),
        )

    def parse(self, record: dict[str, Any]) -> BaselineColourJitterParams:
        """Rebuild parameters from a record's JSON."""
        return BaselineColourJitterParams.from_json(record)

    def change(self, picture: Tensor, params: Params) -> Tensor:
        """Return the jittered picture."""
        assert isinstance(params, BaselineColourJitterParams)
        steps: tuple[Callable[[Tensor], Tensor], ...] = (
            lambda x: adjust_brightness_accumulative(x, params.brightness),
            lambda x: adjust_contrast_with_mean_subtraction(x, params.contrast),
            lambda x: adjust_saturation_with_gray_subtraction(x, params.saturation),
            lambda x: _shift_hue(x, float(params.hue[0])),
        )
        for step in params.order[0].tolist():
            picture = steps[step](picture)
        return picture


def _shift_hue(picture: Tensor, turns: float) -> Tensor:
    hsv = rgb_to_hsv(picture)
    hsv[:, 0] = torch.remainder(hsv[:, 0] + 2 * math.pi * turns, 2 * math.pi)
    shifted: Tensor = hsv_to_rgb(hsv)
    return shifted
