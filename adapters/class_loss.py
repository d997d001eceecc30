"""What a wrong class costs: the loss of each sample from its two scores, under class imbalance and unequal stakes."""

from collections.abc import Sequence
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn

from spooflab.adapters.domain_terms import wide
from spooflab.config import Config
from spooflab.errors import ConfigError

Kind = Literal["cross_entropy", "focal", "logit_adjusted", "ldam"]
EVEN = (0.5, 0.5)


class ClassLoss(nn.Module):
    """Loss of attack against bona fide, sample by sample.

    - `cross_entropy`: -log p_y.
    - `focal`: -(1 - p_y)^γ log p_y (Lin et al. 2017, equation 4): easy samples count for less.
    - `logit_adjusted`: cross-entropy of the logits plus τ log π (Menon et al. 2021, equation 10), π the class shares of
      what is learnt from: right for rare classes where batches are drawn as the data come.
    - `ldam`: cross-entropy of s times the logits, y's lowered by Δ_y = m (min n / n_y)^¼ (Cao et al. 2019, equations
      11-13). The paper normalises features and class vectors; here logits are taken as the head makes them, so that
      every algorithm may use it, s is 1 unless set, and nothing is re-weighted late in the training.

    With even batches of both classes, which `BalancedSampler` deals, π is ½ each and the last two are cross-entropy
    (with a common margin): they are for data drawn as they come (`TrainConfig.balance: none`).

    Stakes: with `cost_false_accept`, `cost_false_reject` and `attack_rate`, a sample of a class weighs what its error
    costs times how often the class comes in use, over the mean of both: the score at which accepting and rejecting cost
    the same is then ½ (Elkan 2001), if batches have both classes evenly or `logit_adjusted` takes their shares out.

    Every loss depends on the difference of the two scores alone. It is computed in float32 or better.

    Args:
        kind: see above.
        gamma: γ of `focal`.
        tau: τ of `logit_adjusted`.
        max_margin: m of `ldam`, the margin of the rarest class.
        scale: s of `ldam`.
        smoothing: share of a label that goes to both classes alike (Szegedy et al. 2016); of `cross_entropy` and
            `logit_adjusted`.
        cost_false_accept, cost_false_reject: of an accepted attack and of a rejected bona fide, in one currency.
        attack_rate: share of attacks among presentations in use.
        shares: π: shares of attack and bona fide in what is learnt from.

    Raises:
        ConfigError: a value outside of its range, or smoothing with a loss that has none.
    """

    weight: Tensor
    prior: Tensor
    margin: Tensor

    def __init__(
        self,
        kind: Kind = "cross_entropy",
        *,
        gamma: float = 2.0,
        tau: float = 1.0,
        max_margin: float = 0.5,
        scale: float = 1.0,
        smoothing: float = 0.0,
        cost_false_accept: float = 1.0,
        cost_false_reject: float = 1.0,
        attack_rate: float = 0.5,
        shares: Sequence[float] = EVEN,
    ) -> None:
        super().__init__()
        if kind not in get_args(Kind):
            raise ConfigError(f"class loss {kind!r}", wanted=f"one of {', '.join(get_args(Kind))}")
        if smoothing and kind in ("focal", "ldam"):
            raise ConfigError(f"class loss {kind} with smoothing {smoothing}", wanted="smoothing of 0")
        ranges = {
            "gamma": (gamma, gamma >= 0),
            "tau": (tau, tau >= 0),
            "max_margin": (max_margin, max_margin >= 0),
            "scale": (scale, scale > 0),
            "smoothing": (smoothing, 0 <= smoothing < 1),
            "cost_false_accept": (cost_false_accept, cost_false_accept > 0),
            "cost_false_reject": (cost_false_reject, cost_false_reject > 0),
            "attack_rate": (attack_rate, 0 < attack_rate < 1),
            "shares": (tuple(shares), len(shares) == 2 and min(shares) > 0 and abs(sum(shares) - 1) < 1e-6),
        }
        wrong = [f"{name} {value}" for name, (value, right) in ranges.items() if not right]
        if wrong:
            raise ConfigError(
                f"class loss: {', '.join(wrong)}",
                wanted="gamma, tau, max_margin >= 0; scale, costs > 0; smoothing in [0, 1); attack_rate in (0, 1); two "
                "shares above 0 that sum to 1",
            )
        self.kind, self.gamma, self.tau, self.scale, self.smoothing = kind, gamma, tau, scale, smoothing
        self.staked = cost_false_accept * attack_rate != cost_false_reject * (1 - attack_rate)
        stakes = torch.tensor([cost_false_accept * attack_rate, cost_false_reject * (1 - attack_rate)])
        self.register_buffer("weight", stakes / stakes.mean(), persistent=False)
        prior = torch.tensor(list(shares))
        self.register_buffer("prior", prior, persistent=False)
        self.register_buffer("margin", max_margin * (prior.min() / prior) ** 0.25, persistent=False)

    def forward(self, logits: Tensor, label: Tensor) -> Tensor:
        """Return the losses (B,) of logits (B, 2) for labels (B,) int64."""
        losses = self._plain(logits, label)
        return losses * self.weight.to(losses)[label] if self.staked else losses

    def mean(self, logits: Tensor, label: Tensor) -> Tensor:
        """Return the mean loss, a scalar; plain cross-entropy to the bits that torch's own mean has."""
        if self.kind == "cross_entropy" and not self.staked:
            return F.cross_entropy(logits, label, label_smoothing=self.smoothing)
        losses: Tensor = self(logits, label)
        return losses.mean()

    def of_odds(self, odds: Tensor, label: Tensor) -> Tensor:
        """Return the losses (B,) of log-odds (B,) of bona fide, as `forward` of the scores 0 and `odds`."""
        if self._is_cross_entropy:
            return F.binary_cross_entropy_with_logits(odds, label.to(odds), reduction="none")
        losses: Tensor = self(torch.stack([torch.zeros_like(odds), odds], 1), label)
        return losses

    def slopes(self, logits: Tensor, label: Tensor) -> Tensor:
        """Return each sample's gradient (B, 2) of its loss by its logits, itself differentiable."""
        if self._is_cross_entropy:
            return logits.softmax(1) - F.one_hot(label, logits.shape[1])
        with torch.enable_grad():
            at = logits if logits.requires_grad else logits.detach().requires_grad_()
            (slopes,) = torch.autograd.grad(self(at, label).sum(), at, create_graph=True)
        return slopes

    @property
    def _is_cross_entropy(self) -> bool:
        return self.kind == "cross_entropy" and not self.smoothing and not self.staked

    def _plain(self, logits: Tensor, label: Tensor) -> Tensor:
        if self.kind == "focal":
            log_p = F.log_softmax(wide(logits), 1).gather(1, label[:, None])[:, 0]
            # Not 1 − p, which is 0 for a sure sample, where γ < 1 has a slope of ∞ · 0.
            easy = -torch.expm1(log_p.clamp(max=-torch.finfo(log_p.dtype).tiny))
            return -(easy**self.gamma) * log_p
        if self.kind == "logit_adjusted":
            logits = wide(logits)
            logits = logits + self.tau * self.prior.to(logits).log()
        elif self.kind == "ldam":
            logits = wide(logits)
            logits = self.scale * (logits - F.one_hot(label, 2) * self.margin.to(logits))
        return F.cross_entropy(logits, label, reduction="none", label_smoothing=self.smoothing)


class ClassLossConfig(Config):
    """The settings of `ClassLoss`, which says what they mean and which values they take."""

    kind: Kind = "cross_entropy"
    gamma: float = Field(default=2.0, description="of focal: how little easy samples count")
    tau: float = Field(default=1.0, description="of logit_adjusted: how far the classes' shares are taken out")
    max_margin: float = Field(default=0.5, description="of ldam: margin of the rarest class")
    scale: float = Field(default=1.0, description="of ldam: multiplies the logits")
    smoothing: float = Field(default=0.0, description="share of a label that goes to both classes alike")
    cost_false_accept: float = Field(default=1.0, description="cost of an accepted attack, in any currency")
    cost_false_reject: float = Field(default=1.0, description="cost of a rejected bona fide, in the same currency")
    attack_rate: float = Field(default=0.5, description="share of attacks among presentations in use")

    @model_validator(mode="after")
    def _usable(self) -> "ClassLossConfig":
        try:
            self.build()
        except ConfigError as error:
            raise ValueError(str(error).replace("\n", "; ")) from error
        return self

    def build(self, shares: Sequence[float] = EVEN) -> ClassLoss:
        """Make the loss for data with these shares of attack and bona fide."""
        return ClassLoss(shares=shares, **self.model_dump())
