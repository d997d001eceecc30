"""Baseline: a swirled copy of the picture mixed into it, which public code takes for moire.

After He et al. 2024, "Joint Physical-Digital Facial Attack Detection Via Simulating Spoofing Clues" (CVPR workshops,
arXiv 2404.08450; repository Xianhua-He/cvpr2024-face-anti-spoofing-challenge): 0.8 of the picture and 0.2 of the
picture turned about its centre by an angle that grows with the radius, looked up at whole pixels.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from spooflab.generators.ablation import ablation
from spooflab.generators.attacks.baselines.baseline import Baseline
from spooflab.params import Params, uniform

_SHARE = 0.2


@dataclass(frozen=True)
class BaselineSwirlMoireParams(Params):
    """One swirl.

    Attributes:
        twist: (B,) turn in radians for each pixel of radius, 0.0005-0.01.
        ablated: (B,) int64, 0.
    """

    twist: Tensor
    ablated: Tensor


class BaselineSwirlMoire(Baseline):
    """Swirl-warp "moire" (species `baseline_swirl_moire`)."""

    species = "baseline_swirl_moire"

    def sample(self, batch_size: int, generator: torch.Generator) -> BaselineSwirlMoireParams:
        """Draw the twist."""
        off = ablation(self.species, self.EFFECTS, (), batch_size)
        return BaselineSwirlMoireParams(uniform(batch_size, 0.0005, 0.01, generator), off)

    def parse(self, record: dict[str, Any]) -> BaselineSwirlMoireParams:
        """Rebuild parameters from a record's JSON."""
        return BaselineSwirlMoireParams.from_json(record)

    def change(self, picture: Tensor, params: Params) -> Tensor:
        """Return 0.8 of the picture and 0.2 of the swirled one.

        A turn by theta + twist r of the offset (x, y) needs no polar angle: it is a rotation by twist r.
        """
        assert isinstance(params, BaselineSwirlMoireParams)
        height, width = picture.shape[-2:]
        x = torch.arange(width).float()[None, :] - width // 2
        y = torch.arange(height).float()[:, None] - height // 2
        turn = torch.hypot(x, y) * params.twist
        cosine, sine = turn.cos(), turn.sin()
        column = (x * cosine - y * sine + width // 2).clamp(0, width - 1).long()
        row = (x * sine + y * cosine + height // 2).clamp(0, height - 1).long()
        swirled = picture.flatten(2)[:, :, (row * width + column).flatten()].reshape(picture.shape)
        return picture * (1 - _SHARE) + swirled * _SHARE
