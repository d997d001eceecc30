"""A smooth backbone with stages to hook, and its forward pass in NumPy."""

from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor, nn

from spooflab.adapters import Backbone, Batch

Change = Callable[[np.ndarray], np.ndarray]


class Stage(nn.Module):
    """tanh of a 1 by 1 convolution."""

    def __init__(self, inside: int, outside: int, seed: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outside, inside, generator=torch.Generator().manual_seed(seed)))

    def forward(self, features: Tensor) -> Tensor:
        return torch.tanh(torch.einsum("oc,bchw->bohw", self.weight, features))


class StagedBackbone(nn.Module):
    """Stages of 1 by 1 convolutions, then the spatial mean of the squares (the mean alone would lose deviations)."""

    after_stages = Backbone.after_stages
    frozen, frozen_stages, takes_maps = False, 0, False

    def __init__(self, stages: int = 2, dim: int = 4) -> None:
        super().__init__()
        self.dim = dim
        self.parts = nn.ModuleList(Stage(3 if i == 0 else dim, dim, i) for i in range(stages))

    @property
    def stages(self) -> list[nn.Module]:
        return list(self.parts)

    def forward(self, images: Tensor) -> Tensor:
        for part in self.parts:
            images = part(images)
        return images.square().mean((2, 3))


def staged(kind: type, stages: int = 2, **kwargs: object) -> nn.Module:
    torch.manual_seed(0)
    return kind(StagedBackbone(stages), num_domains=3, **kwargs).double()


def staged_logits(model: nn.Module, images: np.ndarray, changes: Mapping[int, Change]) -> np.ndarray:
    features = images
    for i, part in enumerate(model.backbone.parts):
        features = np.tanh(np.einsum("oc,bchw->bohw", part.weight.detach().numpy(), features))
        features = changes[i](features) if i in changes else features
    pooled = (features**2).mean((2, 3))
    return pooled @ model.head.weight.detach().numpy().T + model.head.bias.detach().numpy()


def picture_batch(size: int = 8, *, side: int = 4, domains: int = 3, seed: int = 11) -> Batch:
    gen = torch.Generator().manual_seed(6)
    images = torch.rand(size, 3, side, side, generator=gen, dtype=torch.float64)
    return Batch(images, torch.arange(size) % 2, torch.arange(size) % domains, seed=seed)
