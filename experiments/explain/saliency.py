"""Where a detector looks: Grad-CAM and integrated gradients, of the network and of one that has learnt nothing."""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from spooflab.adapters.at_rest import at_rest

if TYPE_CHECKING:
    from spooflab.adapters.algorithm import Algorithm

ATTACK, BONAFIDE = -1.0, 1.0
"""Whose evidence is followed: of the log-odds of bona fide, falls or rises."""

LEAST_PLACES = 6
"""Fewest places along a side of the map that Grad-CAM is read from: on 3 × 3 places no spoof could be missed."""

BASELINE = 0.5
"""Grey level of the picture that integrated gradients start from: the middle of sRGB."""

STEPS = 32
"""Points of the Gauss–Legendre rule along the way from the grey picture."""

BLUR = 1 / 48
"""Standard deviation of the blur of integrated gradients, as a share of the side: single pixels are noise."""

Evidence = Callable[[Tensor], Tensor]


def evidence(model: "Algorithm", sign: float = ATTACK) -> Evidence:
    """Return a function of images (B, 3, S, S): log-odds (B,) of attack, or of bona fide."""
    return lambda images: sign * model.log_odds(images)


def cam_stage(model: "Algorithm", least: int = LEAST_PLACES) -> int | None:
    """Return the deepest stage whose output is a map with `least` places a side or more; None for a transformer.

    Where even the first stage's map is smaller, the first is taken. Where a map of pixel-wise supervision is all that
    scores, stages after it play no part.
    """
    backbone = model.backbone
    sides: dict[int, int] = {}

    def note(place: int) -> Callable[[Tensor], Tensor]:
        def seen(features: Tensor) -> Tensor:
            if isinstance(features, Tensor) and features.ndim == 4:
                sides[place] = min(features.shape[-2:])
            return features

        return seen

    like = next(backbone.parameters())
    blank = torch.zeros(1, 3, backbone.size, backbone.size, dtype=like.dtype, device=like.device)
    changes = {place: note(place) for place in range(len(backbone.stages))}
    with torch.no_grad(), at_rest(backbone), backbone.after_stages(changes):
        backbone(blank)
    if model.pixel is not None and model.pixel.config.score == "map":
        sides = {place: side for place, side in sides.items() if place <= model.pixel.stage}
    large = [place for place, side in sides.items() if side >= least]
    return max(large) if large else min(sides, default=None)


def grad_cam(model: nn.Module, layer: nn.Module, towards: Evidence, images: Tensor) -> Tensor:
    """Return Grad-CAM (Selvaraju et al. 2017), (B, S, S) ≥ 0, of float images (B, 3, S, S), interpolated bilinearly."""
    from captum.attr import LayerGradCam

    # A frozen backbone follows gradients for images alone that want them.
    images = images.detach().requires_grad_()
    with at_rest(model):
        found: Any = LayerGradCam(towards, layer).attribute(images, relu_attributions=True)
    grown = F.interpolate(found.detach().double(), images.shape[-2:], mode="bilinear", align_corners=False)
    return grown[:, 0]


@dataclass(frozen=True)
class Integrated:
    """Integrated gradients of a batch.

    Attributes:
        attribution: (B, 3, S, S), signed.
        gap: (B,) how far the attributions of each picture are from adding up to the change in evidence, relative to it.
    """

    attribution: Tensor
    gap: Tensor

    @property
    def saliency(self) -> Tensor:
        """(B, S, S) ≥ 0: what speaks for the evidence, summed over channels and blurred."""
        return blurred(self.attribution.sum(1)).clamp(min=0)


def integrated_gradients(
    model: nn.Module, towards: Evidence, images: Tensor, *, baseline: float = BASELINE, steps: int = STEPS
) -> Integrated:
    """Return integrated gradients (Sundararajan, Taly and Yan 2017) from grey to float images (B, 3, S, S)."""
    from captum.attr import IntegratedGradients

    with at_rest(model):
        found: Any = IntegratedGradients(towards).attribute(
            images, baselines=baseline, n_steps=steps, internal_batch_size=64
        )
        with torch.no_grad():
            change = (towards(images) - towards(torch.full_like(images[:1], baseline))).double()
    attribution = found.detach().double()
    gap = (attribution.sum((1, 2, 3)) - change).abs() / change.abs().clamp(min=1e-9)
    return Integrated(attribution, gap)


def blurred(maps: Tensor, share: float = BLUR) -> Tensor:
    """Blur maps (B, S, S) by a Gaussian whose deviation is a share of the side."""
    from kornia.filters import gaussian_blur2d

    sigma = share * maps.shape[-1]
    # Four deviations either side, and no wider than a reflected border allows.
    side = min(2 * round(4 * sigma) + 1, 2 * (maps.shape[-1] - 1) - 1)
    grown: Tensor = gaussian_blur2d(maps[:, None], side, (sigma, sigma))
    return grown[:, 0]


def randomised(model: "Algorithm", generator: torch.Generator) -> "Algorithm":
    """Return a copy whose weights are dealt out anew within each tensor: same architecture and scale, nothing learnt.

    Adebayo et al. (2018) draw weights again; shuffling does so from the trained values and needs no initialiser.
    Statistics of batch norm are shuffled among their channels as well.
    """
    blank = copy.deepcopy(model)
    with torch.no_grad():
        for tensor in (*blank.parameters(), *blank.buffers()):
            if tensor.is_floating_point() and tensor.numel() > 1:
                order = torch.randperm(tensor.numel(), generator=generator)
                tensor.copy_(tensor.flatten()[order].view_as(tensor))
    return blank
