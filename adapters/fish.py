"""Fish: steps through the domains one by one, of which the model follows a part: gradients that agree add up."""

import dataclasses
from collections.abc import Sequence
from typing import ClassVar, Literal, get_args

import torch
from torch import Tensor

from spooflab.adapters.algorithm import Engine
from spooflab.adapters.backbones import Backbone
from spooflab.adapters.batch import Batch
from spooflab.adapters.domain_terms import check_range
from spooflab.adapters.erm import ERM
from spooflab.errors import ConfigError, DataError
from spooflab.seeds import generator

Order = Literal["random", "fixed"]


class Fish(ERM):
    """Gradient matching between domains by a Reptile-like outer step (Shi et al. 2022, algorithm 1).

    From w, the trainer's optimiser makes one step on each domain's cross-entropy in turn, to w̃; then
    w ← w + ε (w̃ − w). To second order that also ascends the inner products of the domains' gradients, without
    computing them. One call of `step` is thus D optimiser steps, on B/D images each. As in DomainBed, the optimiser's
    moments go on from step to step, and floating-point buffers (batch norm's statistics) are interpolated like weights.
    A domain that the step's batches lack is passed over. One training domain is ERM of which ε is followed.

    A domain's images are taken out of each micro-batch, so batch norm sees them alone, as in DomainBed; a network
    whose last maps are one pixel needs two of them there.

    Args:
        backbone: network from images to features.
        num_domains: number of training domains.
        meta_lr: ε in (0, 1]. DomainBed tries 0.05, 0.1 and 0.5.
        order: of the domains within a step: `random` (the paper) or `fixed`, by number (DomainBed).
    """

    SEARCH: ClassVar[dict[str, tuple[float, float, str]]] = {"meta_lr": (5e-2, 5e-1, "log")}

    def __init__(
        self, backbone: Backbone, *, num_domains: int = 1, meta_lr: float = 0.5, order: Order = "random"
    ) -> None:
        super().__init__(backbone, num_domains=num_domains)
        check_range("fish", 0, 1, meta_lr=meta_lr)
        if meta_lr == 0:
            raise ConfigError("fish: meta_lr 0", wanted="a value in (0, 1]: with 0 nothing is learnt")
        if order not in get_args(Order):
            raise ConfigError(f"fish: order {order!r}", wanted=f"one of {', '.join(get_args(Order))}")
        self.meta_lr = meta_lr
        self.order: Order = order

    def step(self, batches: Sequence[Batch], engine: Engine) -> dict[str, Tensor]:
        """Make one optimiser step per domain present and follow them by `meta_lr`; return the mean `loss` on the way.

        Raises:
            ConfigError: several processes, of which some may lack a domain that others wait for.
            DataError: one image of a domain, and a network that cannot be trained on one.
        """
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            processes = torch.distributed.get_world_size()
            if processes > 1:
                raise ConfigError(f"fish: {processes} processes", wanted="1: domains are stepped through in turn")
        start = {name: t.clone() for name, t in self.state_dict().items() if t.is_floating_point()}
        losses = [self._domain_step(batches, domain, engine) for domain in self._turns(batches)]
        with torch.no_grad():
            for name, tensor in self.state_dict().items():
                if name in start:
                    tensor.copy_(start[name].lerp(tensor, self.meta_lr))
        return {"loss": torch.stack(losses).mean()}

    def _turns(self, batches: Sequence[Batch]) -> list[int]:
        present: list[int] = torch.unique(torch.cat([batch.domain for batch in batches])).tolist()
        if self.order == "fixed":
            return present
        order = torch.randperm(len(present), generator=generator(batches[0].seed, "fish"))
        return [present[i] for i in order.tolist()]

    def _domain_step(self, batches: Sequence[Batch], domain: int, engine: Engine) -> Tensor:
        """Make one optimiser step on the mean cross-entropy of `domain`, and return that."""
        parts = [part for part in (domain_part(batch, domain) for batch in batches) if len(part)]
        count, total = sum(map(len, parts)), torch.zeros(())
        for i, part in enumerate(parts):
            try:
                loss = engine.losses(part)["loss"] * (len(part) / count)
            except ValueError as error:
                if len(part) > 1:
                    raise
                raise DataError(
                    f"fish: one image of domain {domain} in a micro-batch ({', '.join(part.keys)}): {error}",
                    wanted="two, for batch norm",
                    next_step="raise batch_size, or lower accumulate",
                ) from error
            engine.backward(loss, last=i == len(parts) - 1)
            total = loss.detach() if i == 0 else total + loss.detach()
        engine.optimise()
        return total


def domain_part(batch: Batch, domain: int) -> Batch:
    """Return the rows of `batch` that are of `domain`; without unlabelled target images."""
    rows = torch.nonzero(batch.domain == domain)[:, 0]
    chosen = rows.tolist()
    return dataclasses.replace(
        batch,
        images=batch.images[rows],
        label=batch.label[rows],
        domain=batch.domain[rows],
        keys=[batch.keys[i] for i in chosen] if batch.keys else (),
        species=[batch.species[i] for i in chosen] if batch.species else (),
        maps=None if batch.maps is None else batch.maps[rows],
        target=None,
    )
