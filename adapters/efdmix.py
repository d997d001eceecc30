"""EFDMix: new styles by mixing whole distributions of feature values, matched rank by rank."""

import torch
from torch import Tensor

from spooflab.adapters.mixstyle import MixStyle


class EFDMix(MixStyle):
    """Cross-entropy, with the feature values of early stages mixed rank by rank (Zhang et al. 2022).

    MixStyle mixes mean and deviation; this mixes all moments. In each channel the value of rank r gets λ times itself
    plus (1 − λ) times the value of rank r of another image, λ ~ Beta(α, α) per image. Gradients as in the authors'
    code: that of the image itself passes with factor 1 (they subtract a detached copy), that of the other image with
    1 − λ, to where its value of that rank lies. Equal values are ranked by position.

    Args:
        backbone: network whose `stages` are hooked.
        num_domains: number of training domains.
        probability: p, chance that a stage mixes in one update.
        alpha: α of the Beta distribution.
        mix: as in `MixStyle`.
        layers: positions of the stages, counted from 0.
    """

    NAME = "efdmix"

    def mixed(self, features: Tensor, weight: Tensor, partner: Tensor) -> Tensor:
        """Return a stage's output, mixed rank by rank with that of the partners (B,) by weights (B,)."""
        return mix_ranks(features, weight, partner)


def mix_ranks(features: Tensor, weight: Tensor, partner: Tensor) -> Tensor:
    """Mix each value with the value of the same rank, channel by channel, of another image.

    Args:
        features: (B, C, H, W), or (B, N, C) tokens of a transformer.
        weight: (B,) λ, the share of the image's own values.
        partner: (B,) int64, whose values are mixed in.
    """
    values = features.flatten(2) if features.ndim == 4 else features.transpose(1, 2)
    ordered, order = torch.sort(values, dim=2, stable=True)
    matched = torch.empty_like(values).scatter(2, order, ordered[partner])
    share = (1 - weight).to(values).view(-1, 1, 1)
    mixed = values + share * (matched - values.detach())
    return mixed.view_as(features) if features.ndim == 4 else mixed.transpose(1, 2)
