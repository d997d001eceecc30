"""A plain engine for `Algorithm.step`, and the losses and gradients of the linear backbone's domains, by hand."""

from collections.abc import Sequence

import numpy as np
import torch
from conformance import log_softmax
from torch import Tensor, nn

from spooflab.adapters import Batch


class PlainEngine:
    """Gradient descent with a fixed step, and nothing else."""

    def __init__(self, model: nn.Module, lr: float) -> None:
        self.model, self.optimizer = model, torch.optim.SGD(model.parameters(), lr=lr)

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        return self.model(batch)

    def backward(self, loss: Tensor, *, last: bool = True) -> None:
        loss.backward()

    def optimise(self) -> None:
        self.optimizer.step()
        self.optimizer.zero_grad()


def features_of(model: nn.Module, data: Batch) -> np.ndarray:
    return np.tanh(data.images.flatten(1).numpy() @ model.backbone.weight.detach().numpy().T)


def head_of(layer: nn.Linear) -> tuple[np.ndarray, np.ndarray]:
    return layer.weight.detach().numpy(), layer.bias.detach().numpy()


def picked(scores: np.ndarray, label: Tensor) -> np.ndarray:
    return scores[np.arange(len(label)), label.numpy()]


def rows(data: Batch, index: Sequence[int], **changes: object) -> Batch:
    return Batch(data.images[index], data.label[index], data.domain[index], **{"seed": data.seed, **changes})


def domain_loss(weights: Sequence[np.ndarray], data: Batch, domains: Sequence[int]) -> float:
    first, second, bias = weights
    losses = []
    for d in domains:
        index = torch.nonzero(data.domain == d)[:, 0]
        features = np.tanh(data.images[index].flatten(1).numpy() @ first.T)
        losses.append(-picked(log_softmax(features @ second.T + bias), data.label[index]).mean())
    return float(np.mean(losses))


def domain_gradient(weights: Sequence[np.ndarray], data: Batch, domains: Sequence[int]) -> list[np.ndarray]:
    """The gradient of `domain_loss`, by hand."""
    first, second, bias = weights
    slopes = [np.zeros_like(w) for w in weights]
    for d in domains:
        index = torch.nonzero(data.domain == d)[:, 0]
        x = data.images[index].flatten(1).numpy()
        features = np.tanh(x @ first.T)
        error = np.exp(log_softmax(features @ second.T + bias))
        error[np.arange(len(index)), data.label[index].numpy()] -= 1
        error /= len(index) * len(domains)
        slopes[0] += ((error @ second) * (1 - features**2)).T @ x
        slopes[1] += error.T @ features
        slopes[2] += error.sum(0)
    return slopes


def weights_of(model: nn.Module) -> list[np.ndarray]:
    return [p.detach().numpy().copy() for p in (model.backbone.weight, model.head.weight, model.head.bias)]
