"""CrossNorm: feature statistics swapped between images, as a whole or from patches."""

from collections.abc import Sequence
from typing import ClassVar, Literal, get_args

import numpy as np
import torch
from torch import Tensor

from spooflab.adapters.backbones import Backbone, Change
from spooflab.adapters.batch import Batch
from spooflab.adapters.stage_change import Mix, StageChange, check_mix, draw_partners, feature_statistics
from spooflab.errors import ConfigError
from spooflab.seeds import seed

Crop = Literal["neither", "style", "content", "both"]
Box = tuple[slice, slice]
_WHOLE = (slice(None), slice(None))
_SMALLEST_BOX = 0.1
"""Share of the map that a patch exceeds, as in the authors' code."""


class CrossNorm(StageChange):
    """Cross-entropy, with channel mean and deviation taken over from another image (Tang et al. 2021).

    The 2-instance mode, without SelfNorm and without the consistency loss of the paper's last ablation. Where MixStyle
    interpolates, this swaps; and gradients flow through the statistics, as in the authors' code. They toss one coin in
    each update (p = 0.5) and then switch on one or two places of the network; here each chosen stage tosses its own.

    Args:
        backbone: network whose `stages` are hooked.
        num_domains: number of training domains.
        probability: p, chance that a stage swaps in one update.
        crop: whether the statistics come from a patch (`style`), are given to a patch alone (`content`), `both` or
            `neither` (the authors' choice inside networks; on ImageNet's images they take `both`). One patch of each
            kind per stage and update. Maps only: tokens of a transformer have no patches.
        beta: a patch's share of the area is drawn from Beta(β, β) until it exceeds a tenth.
        mix: as in `MixStyle`; the authors permute (`random`).
        layers: positions of the stages, counted from 0.
    """

    NAME = "crossnorm"
    SEARCH: ClassVar[dict[str, tuple[float, float, str]]] = {"probability": (0.1, 1.0, "linear")}

    def __init__(
        self,
        backbone: Backbone,
        *,
        num_domains: int = 1,
        probability: float = 0.5,
        crop: Crop = "neither",
        beta: float = 1.0,
        mix: Mix = "random",
        layers: Sequence[int] = (0, 1),
    ) -> None:
        if crop not in get_args(Crop):
            raise ConfigError(f"crossnorm: crop {crop!r}", wanted=f"one of {', '.join(get_args(Crop))}")
        if beta <= 0:
            raise ConfigError(f"crossnorm: beta {beta}", wanted="β > 0")
        check_mix("crossnorm", mix)
        super().__init__(backbone, num_domains=num_domains, probability=probability, layers=layers)
        self.crop, self.beta, self.mix = crop, beta, mix

    def change(self, batch: Batch, layer: int, gen: torch.Generator) -> Change:
        """Draw partners (B,) and, for maps, the patches of one stage."""
        partner = draw_partners(self.mix, batch.domain, gen)
        root = seed(batch.seed, "crossnorm", layer, "boxes")

        def swap(features: Tensor) -> Tensor:
            content, style = self._boxes(features, root)
            return swap_statistics(features, partner.to(features.device), content=content, style=style)

        return swap

    def _boxes(self, features: Tensor, root: int) -> tuple[Box, Box]:
        if self.crop == "neither":
            return _WHOLE, _WHOLE
        if features.ndim != 4:
            raise ConfigError(f"crossnorm: crop {self.crop!r} on features {tuple(features.shape)}", wanted="'neither'")
        rng = np.random.default_rng(root)
        height, width = features.shape[2:]
        style = draw_box(height, width, self.beta, rng) if self.crop in ("style", "both") else _WHOLE
        content = draw_box(height, width, self.beta, rng) if self.crop in ("content", "both") else _WHOLE
        return content, style


def swap_statistics(
    features: Tensor, partner: Tensor, *, content: Box = _WHOLE, style: Box = _WHOLE, eps: float = 1e-5
) -> Tensor:
    """Give each image's features (in the patch `content`) mean and deviation of another's (in the patch `style`).

    Args:
        features: (B, C, H, W), or (B, N, C) tokens of a transformer (whole only).
        partner: (B,) int64, whose statistics are taken over.
        content: rows and columns that change.
        style: rows and columns that the other image is measured in.
        eps: added to the unbiased variance before the root.
    """
    if features.ndim != 4:
        return _restyle(features, features, partner, eps)
    patch = _restyle(features[(..., *content)], features[(..., *style)], partner, eps)
    if content == _WHOLE:
        return patch
    changed = features.clone()
    changed[(..., *content)] = patch
    return changed


def draw_box(height: int, width: int, beta: float, rng: np.random.Generator) -> Box:
    """Draw a patch: area from Beta(β, β), centre uniform, cut at the border, larger than a tenth of the map.

    A patch is at least one position high and wide: the authors' would be empty on maps of two by two.
    """
    while True:
        side = float(np.sqrt(rng.beta(beta, beta)))
        rows = _cut(int(rng.integers(height)), int(height * side), height)
        columns = _cut(int(rng.integers(width)), int(width * side), width)
        if (rows.stop - rows.start) * (columns.stop - columns.start) > _SMALLEST_BOX * height * width:
            return rows, columns


def _cut(centre: int, length: int, size: int) -> slice:
    start = centre - length // 2
    return slice(max(start, 0), min(start + max(length, 1), size))


def _restyle(content: Tensor, style: Tensor, partner: Tensor, eps: float) -> Tensor:
    mean, deviation = feature_statistics(content, eps)
    new_mean, new_deviation = feature_statistics(style, eps)
    return ((content - mean) / deviation * new_deviation[partner] + new_mean[partner]).to(content.dtype)
