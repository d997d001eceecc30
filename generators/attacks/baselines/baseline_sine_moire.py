"""Baseline: sinusoids added to the picture, the commonest stand-in for moire.

Two kinds: up to three plane waves added to each channel, as augmentation code does, and the pattern of PIMoG
(Fang et al. 2022, "PIMoG: An Effective Screen-shooting Noise-Layer Simulation", sec. 3.2): the lesser of concentric
rings and of plane waves, another for each channel, of which 15 % is mixed in.
"""

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from spooflab.generators.ablation import ablation
from spooflab.generators.attacks.baselines.baseline import Baseline
from spooflab.params import Params, choice, log_uniform, uniform

KINDS = ("planes", "rings")
"""Patterns; `BaselineSineMoireParams.kind` indexes them."""
_WAVES = 3
_RINGS_SHARE = 0.15


@dataclass(frozen=True)
class BaselineSineMoireParams(Params):
    """One pattern.

    Attributes:
        kind: (B,) int64 index into `KINDS`.
        count: (B,) int64, number of plane waves, 1-3.
        angle_deg: (B, 3, 3) direction of each wave in each channel; rings use the first wave's, in whole degrees.
        period_px: (B, 3) of each plane wave.
        phase: (B, 3, 3) of each plane wave in each channel, in turns.
        amplitude: (B,) of a plane wave, in code values of 0-1.
        centre: (B, 3, 2) of each channel's rings, as a share of the picture's height and width.
        ablated: (B,) int64, 0.
    """

    kind: Tensor
    count: Tensor
    angle_deg: Tensor
    period_px: Tensor
    phase: Tensor
    amplitude: Tensor
    centre: Tensor
    ablated: Tensor


class BaselineSineMoire(Baseline):
    """Added sinusoids (species `baseline_sine_moire`)."""

    species = "baseline_sine_moire"

    def sample(self, batch_size: int, generator: torch.Generator) -> BaselineSineMoireParams:
        """Draw the kind, the waves and the rings."""
        n = batch_size
        common = uniform(n * _WAVES, 0.0, 180.0, generator).reshape(n, _WAVES, 1).expand(-1, -1, 3)
        own = uniform(n * _WAVES * 3, 0.0, 180.0, generator).reshape(n, _WAVES, 3)
        kind = choice(n, len(KINDS), generator)
        return BaselineSineMoireParams(
            kind=kind,
            count=1 + choice(n, _WAVES, generator),
            angle_deg=torch.where((kind == 1)[:, None, None], own.floor(), common).contiguous(),
            period_px=log_uniform(n * _WAVES, 2.5, 25.0, generator).reshape(n, _WAVES),
            phase=torch.rand(n, _WAVES, 3, generator=generator),
            amplitude=uniform(n, 0.02, 0.1, generator),
            centre=torch.rand(n, 3, 2, generator=generator),
            ablated=ablation(self.species, self.EFFECTS, (), n),
        )

    def parse(self, record: dict[str, Any]) -> BaselineSineMoireParams:
        """Rebuild parameters from a record's JSON."""
        return BaselineSineMoireParams.from_json(record)

    def change(self, picture: Tensor, params: Params) -> Tensor:
        """Return the picture under its pattern."""
        assert isinstance(params, BaselineSineMoireParams)
        if KINDS[int(params.kind[0])] == "rings":
            return picture * (1 - _RINGS_SHARE) + _RINGS_SHARE * _rings(picture, params)
        return picture + params.amplitude * _planes(picture, params)


def _planes(picture: Tensor, params: BaselineSineMoireParams) -> Tensor:
    """Return (1, 3, H, W): the sum of plane waves.

    sin(a + b) = sin a cos b + cos a sin b makes each wave two products of a row and a column.
    """
    height, width = picture.shape[-2:]
    waves = int(params.count[0])
    angle = torch.deg2rad(params.angle_deg[0, :waves])[..., None]
    rate = 2 * math.pi / params.period_px[0, :waves, None, None]
    across = rate * angle.cos() * torch.arange(width) + 2 * math.pi * params.phase[0, :waves, :, None]
    down = rate * angle.sin() * torch.arange(height)
    left = torch.stack([down.cos(), down.sin()], -1)  # (waves, 3, H, 2)
    right = torch.stack([across.sin(), across.cos()], -2)  # (waves, 3, 2, W)
    return (left @ right).sum(0)[None]


def _rings(picture: Tensor, params: BaselineSineMoireParams) -> Tensor:
    """Return (1, 3, H, W) in [0.5, 1]: the lesser of rings a pixel apart and of plane waves 2 pi pixels long."""
    height, width = picture.shape[-2:]
    row, column = torch.arange(1, height + 1).float()[None, :, None], torch.arange(1, width + 1).float()[None, None, :]
    middle = params.centre[0] * torch.tensor([height, width])
    radius = torch.hypot(row - middle[:, :1, None], column - middle[:, 1:, None])
    angle = torch.deg2rad(params.angle_deg[0, 0])[:, None, None]
    rings = torch.cos(2 * math.pi * radius)
    planes = torch.cos(angle.cos() * column + angle.sin() * row)
    return (0.75 + 0.25 * torch.minimum(rings, planes))[None]
