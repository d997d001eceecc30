"""MLDG: steps that help the domains they were not made on."""

from contextlib import ExitStack
from typing import ClassVar, Literal, get_args

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from spooflab.adapters.algorithm import Algorithm
from spooflab.adapters.backbones import Backbone
from spooflab.adapters.batch import Batch
from spooflab.adapters.moved_weights import logits_at, mean_domain_loss, slopes_of, trainable
from spooflab.errors import ConfigError
from spooflab.seeds import generator

Order = Literal["first", "second"]


class MLDG(Algorithm):
    """Meta-learning domain generalisation (Li et al. 2018, algorithm 1): F(Θ) + β · G(Θ − α ∇F(Θ)).

    The domains of a micro-batch are split at random. F is the mean over the meta-train domains of their mean
    cross-entropy (equation 1), G the same over the meta-test domains (equation 2), at the weights after one gradient
    step of length α on F. Both losses are in `update`, so that one backward pass gives the whole gradient.

    `order="second"` differentiates through the inner step, as the paper writes it and its code does by default;
    `"first"` takes ∇F as a constant there, as DomainBed does, for a third of the time. DomainBed's inner
    step is one of Adam, and is made for each meta-train domain by itself, on batches cut to equal length.

    Batch norms see the two groups apart, and their running statistics both, G's last; a domain group of one image
    enters its image twice, because batch norm wants two values. A micro-batch with one domain alone gives F, that is,
    ERM. Under fp16 the inner gradient is not scaled; bf16 has its range.

    Args:
        backbone: network from images to features.
        num_domains: number of training domains, at least 2.
        beta: β, weight of the meta-test loss.
        inner_lr: α, length of the inner step.
        meta_test: number of meta-test domains, below `num_domains`; where fewer domains are in a micro-batch, one of
            them stays for meta-training.
        order: see above.
    """

    SEARCH: ClassVar[dict[str, tuple[float, float, str]]] = {
        "beta": (0.1, 10.0, "log"),
        "inner_lr": (1e-4, 1e-1, "log"),
    }

    def __init__(
        self,
        backbone: Backbone,
        *,
        num_domains: int,
        beta: float = 1.0,
        inner_lr: float = 5e-4,
        meta_test: int = 1,
        order: Order = "first",
    ) -> None:
        super().__init__(backbone, num_domains=num_domains)
        if num_domains < 2:
            raise ConfigError(
                f"mldg: {num_domains} training domain",
                wanted="at least 2: one to learn on, one to be tested on",
                next_step="choose another domain_by (device_id, instrument_id, …) or add data",
            )
        if beta < 0 or inner_lr < 0:
            raise ConfigError(f"mldg: beta {beta}, inner_lr {inner_lr}", wanted="values ≥ 0")
        if not 1 <= meta_test < num_domains:
            raise ConfigError(f"mldg: meta_test {meta_test}", wanted=f"1…{num_domains - 1} of {num_domains} domains")
        if order not in get_args(Order):
            raise ConfigError(f"mldg: order {order!r}", wanted=f"one of {', '.join(get_args(Order))}")
        self.beta, self.inner_lr, self.meta_test = beta, inner_lr, meta_test
        self.order: Order = order

    def update(self, batch: Batch) -> dict[str, Tensor]:
        """Return `loss` and its parts `meta_train` (F) and `meta_test` (G, absent where one domain is alone)."""
        tested = self._tested(batch)
        with ExitStack() as stack:
            if self.order == "second":
                stack.enter_context(sdpa_kernel(SDPBackend.MATH))  # the fused kernels have no second derivative
            weights = trainable(self)
            learned = self._loss(batch, ~tested, weights)
            if not tested.any():
                return {"loss": learned, "meta_train": learned.detach()}
            slopes = slopes_of(learned, weights, differentiable=self.order == "second")
            moved = {name: p - self.inner_lr * slopes[name] for name, p in weights.items()}
            held_out = self._loss(batch, tested, moved)
        return {
            "loss": learned + self.beta * held_out,
            "meta_train": learned.detach(),
            "meta_test": held_out.detach(),
        }

    def _tested(self, batch: Batch) -> Tensor:
        """Draw the meta-test domains; return which rows (B,) are theirs."""
        present = torch.unique(batch.domain).cpu()
        order = torch.randperm(len(present), generator=generator(batch.seed, "mldg"))
        chosen = present[order[: min(self.meta_test, len(present) - 1)]]
        return torch.isin(batch.domain, chosen.to(batch.domain.device))

    def _loss(self, batch: Batch, rows: Tensor, weights: dict[str, Tensor]) -> Tensor:
        index = torch.nonzero(rows)[:, 0]
        index = index.repeat(2) if len(index) == 1 else index
        logits = logits_at(self, weights, batch.images[index])
        return mean_domain_loss(self.class_loss(logits, batch.label[index]), batch.domain[index])
