"""Baseline: a dot screen that anybody can see, laid over the picture as print simulations often do.

Four screens of cyan, magenta, yellow and black ink at 15, 75, 0 and 45 degrees, with the plain conversion
(ink = 1 - channel, black = the least of them), as in scripts that make "halftone" effects (for instance
philgyford/python-halftone): one dot in each cell whose area grows with the ink. A real 150 lpi screen at usual
distances lies above the sensor's Nyquist frequency; this one does not.
"""

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from spooflab.generators.ablation import ablation
from spooflab.generators.attacks.baselines.baseline import Baseline
from spooflab.params import Params, uniform

_ANGLES_DEG = (15.0, 75.0, 0.0, 45.0)


@dataclass(frozen=True)
class BaselineDotsParams(Params):
    """One screen.

    Attributes:
        cell_px: (B,) spacing of the dots, 3-8.
        turn_deg: (B,) turn of the whole set of screens.
        phase_px: (B, 4, 2) shift of each screen.
        black: (B,) how much of the grey component is printed in black, 0-1.
        opacity: (B,) weight of the dots in the result.
        ablated: (B,) int64, 0.
    """

    cell_px: Tensor
    turn_deg: Tensor
    phase_px: Tensor
    black: Tensor
    opacity: Tensor
    ablated: Tensor


class BaselineDots(Baseline):
    """Visible dot screen (species `baseline_dots`)."""

    species = "baseline_dots"

    def sample(self, batch_size: int, generator: torch.Generator) -> BaselineDotsParams:
        """Draw spacing, turn, black and opacity."""
        n = batch_size
        return BaselineDotsParams(
            cell_px=uniform(n, 3.0, 8.0, generator),
            turn_deg=uniform(n, -45.0, 45.0, generator),
            phase_px=uniform(n * 8, 0.0, 9.0, generator).reshape(n, 4, 2),
            black=uniform(n, 0.0, 1.0, generator),
            opacity=uniform(n, 0.2, 0.9, generator),
            ablated=ablation(self.species, self.EFFECTS, (), n),
        )

    def parse(self, record: dict[str, Any]) -> BaselineDotsParams:
        """Rebuild parameters from a record's JSON."""
        return BaselineDotsParams.from_json(record)

    def change(self, picture: Tensor, params: Params) -> Tensor:
        """Return the picture with its dots.

        In a cell (u, v) of turns the spot function 1/2 + (cos u + cos v) / 4 is printed where it exceeds 1 - ink, over
        a soft edge of a pixel; inks multiply.
        """
        assert isinstance(params, BaselineDotsParams)
        ink = 1 - picture[0]
        grey = params.black * ink.amin(0, keepdim=True)
        coverage = torch.cat([ink - grey, grey])
        per_px = math.pi / (2 * params.cell_px)  # the spot function's steepest rise
        printed = ((_spots(params, *picture.shape[-2:]) - 1 + coverage) / per_px).add_(0.5).clamp_(0, 1)
        printed[coverage <= 0] = 0
        paper = (1 - printed[:3]) * (1 - printed[3:])
        return torch.lerp(picture, paper[None], params.opacity)


def _spots(params: BaselineDotsParams, height: int, width: int) -> Tensor:
    """Return (4, H, W) in [0, 1]: 1 in the middle of each screen's cells."""
    angle = torch.deg2rad(torch.tensor(_ANGLES_DEG) + params.turn_deg)[:, None, None]
    rate = 2 * math.pi / params.cell_px
    x = torch.arange(width)[None, None, :] + params.phase_px[0, :, :1, None]
    y = torch.arange(height)[None, :, None] + params.phase_px[0, :, 1:, None]
    u, v = rate * (x * angle.cos() + y * angle.sin()), rate * (y * angle.cos() - x * angle.sin())
    return (u.cos() + v.cos()).mul_(0.25).add_(0.5)
