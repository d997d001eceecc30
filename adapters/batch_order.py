"""Which rows a step trains on: dealt evenly to classes and domains, or as the data come."""

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from spooflab.adapters.balanced_sampler import BalancedSampler
from spooflab.adapters.batch import ATTACK, BONAFIDE
from spooflab.adapters.class_loss import EVEN
from spooflab.adapters.mining.resampling import ResampledSampler
from spooflab.adapters.shuffled_walk import ShuffledWalk
from spooflab.adapters.train_config import TrainConfig


class BatchOrder(Protocol):
    """Infinite batches of row numbers that a step number alone decides."""

    def batch(self, step: int) -> tuple[list[int], list[int]]:
        """Return the row of each slot of batch `step`, and how often that row had come before."""
        ...

    def empty_cells(self) -> Sequence[tuple[int, int]]:
        """Return the (label, domain) pairs that were to be balanced and that no row has."""
        ...


def batch_order(config: TrainConfig, labels: Tensor, domains: Tensor, seed: int) -> BatchOrder:
    """Return the order of a training set's rows that `config.balance` and `config.resample` ask for.

    With `none` each row comes once before any comes again, in shuffled orders: a batch has the classes and domains as
    the data have them, give or take the draw, and a small one may lack a class or a domain. Every algorithm takes such
    a batch; what compares classes or domains then adds nothing for the one that is absent, as its docstring says.
    """
    if config.balance == "none":
        return ShuffledWalk(len(labels), batch_size=config.batch_size, seed=seed, name="train order")
    if config.resample is None:
        return BalancedSampler(labels, domains, batch_size=config.batch_size, seed=seed)
    every = config.resample.every or max(1, round(len(labels) / config.batch_size))
    return ResampledSampler(labels, domains, batch_size=config.batch_size, seed=seed, every=every)


def class_shares(config: TrainConfig, labels: Tensor) -> tuple[float, float]:
    """Return the shares of attack and bona fide in the batches of `batch_order`."""
    if config.balance == "class_domain":
        return EVEN
    attacks, live = torch.bincount(labels, minlength=2)[[ATTACK, BONAFIDE]].tolist()
    return attacks / len(labels), live / len(labels)
