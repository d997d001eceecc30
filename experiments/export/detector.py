"""What is exported: everything from decoded pixels to a likelihood, as one module that is hard to feed wrongly."""

import copy
from typing import Any

import torch
from torch import Tensor, nn

from spooflab.adapters import Algorithm

INPUT = "images"
OUTPUTS = ("log_odds", "bonafide_likelihood")


class Detector(nn.Module):
    """Pictures as a decoder leaves them to log-odds and likelihood of bona fide.

    The input is uint8 at the network's own side, so that a runtime refuses floats, other scales, planar layout and
    other sizes. Division by 255, normalisation, network, pixel-wise map and temperature are inside. Resizing is not: no
    runtime promises the very filter that pictures were resized with in training (`to_training_size`).

    Args:
        model: trained algorithm; it is copied, and low-rank updates are merged in the copy.
        size: side of its images in pixels.
    """

    def __init__(self, model: Algorithm, size: int) -> None:
        super().__init__()
        self.model = copy.deepcopy(model).float().to(memory_format=torch.contiguous_format)
        merge_low_rank_updates(self.model)
        self.size, self.temperature = size, float(model.score_temperature)
        self.requires_grad_(False).eval()

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """(B, S, S, 3) uint8 sRGB to `OUTPUTS`, each (B,) float64: log-odds come before the temperature."""
        planes = images.permute(0, 3, 1, 2).contiguous().float() / 255
        odds = self.model.log_odds(planes)
        return odds, torch.sigmoid(odds / self.temperature)

    def example(self, batch: int = 3) -> Tensor:
        """Return pictures (B, S, S, 3) to trace with; no value in them matters."""
        ramp = torch.arange(batch * self.size * self.size * 3) % 256
        return ramp.to(torch.uint8).view(batch, self.size, self.size, 3)


def merge_low_rank_updates(model: nn.Module) -> None:
    """Add low-rank updates (LoRA) into the weights that they are updates of, in place, and drop them."""
    try:
        from peft.tuners.tuners_utils import BaseTunerLayer
    except ImportError:  # without peft there are none
        return
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, BaseTunerLayer):
                layer: Any = child
                layer.merge()
                setattr(parent, name, layer.get_base_layer())
