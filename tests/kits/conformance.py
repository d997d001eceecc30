"""What algorithms are held against: a smooth small model, losses in NumPy, finite differences."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from spooflab.adapters import Batch


class LinearBackbone(nn.Module):
    """Features A·x of the flattened image, smooth, so that finite differences are exact to rounding."""

    def __init__(self, pixels: int = 12, dim: int = 5) -> None:
        super().__init__()
        self.dim = dim
        self.weight = nn.Parameter(torch.randn(dim, pixels, generator=torch.Generator().manual_seed(1)) * 0.5)
        self.stages: list[nn.Module] = []

    def forward(self, images: Tensor) -> Tensor:
        return torch.tanh(images.flatten(1) @ self.weight.T)


def batch(size: int = 8, *, domains: int = 3, progress: float = 0.0) -> Batch:
    gen = torch.Generator().manual_seed(5)
    images = torch.rand(size, 3, 2, 2, generator=gen, dtype=torch.float64)
    return Batch(images, torch.arange(size) % 2, torch.arange(size) % domains, seed=11, progress=progress)


def log_softmax(x: np.ndarray) -> np.ndarray:
    return x - x.max(1, keepdims=True) - np.log(np.exp(x - x.max(1, keepdims=True)).sum(1, keepdims=True))


def per_sample_loss(model: nn.Module, data: Batch) -> np.ndarray:
    features = np.tanh(data.images.flatten(1).numpy() @ model.backbone.weight.detach().numpy().T)
    logits = features @ model.head.weight.detach().numpy().T + model.head.bias.detach().numpy()
    return -log_softmax(logits)[np.arange(len(data)), data.label.numpy()]


def build(kind: type, **kwargs: object) -> nn.Module:
    torch.manual_seed(0)
    return kind(LinearBackbone(), num_domains=3, **kwargs).double()


def numeric_gradient(parameter: nn.Parameter, value: Callable[[], float], eps: float = 1e-6) -> np.ndarray:
    flat = parameter.data.view(-1)
    slopes = np.empty(flat.numel())
    for i in range(flat.numel()):
        old = flat[i].item()
        flat[i] = old + eps
        up = value()
        flat[i] = old - eps
        down = value()
        flat[i] = old
        slopes[i] = (up - down) / (2 * eps)
    return slopes.reshape(parameter.shape)
