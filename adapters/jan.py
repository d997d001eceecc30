"""Joint adaptation network: features and predictions whose joint distribution is the target's."""

from typing import ClassVar, get_args

import torch
from torch import Tensor

from spooflab.adapters.backbones import Backbone
from spooflab.adapters.batch import Batch
from spooflab.adapters.kernel_mmd import Estimate, joint_kernel, mmd
from spooflab.adapters.target_penalty import Side, TargetPenalty
from spooflab.errors import ConfigError


class JAN(TargetPenalty):
    """Cross-entropy plus λ · JMMD² of features and predictions (Long et al. 2017).

    The joint kernel is the product of one Gaussian kernel on the features and one on the softmax predictions, each
    with the median squared distance of the batch as its bandwidth. The paper's linear estimate is selectable; its
    adversarial variant (JAN-A) is not built. pytorch-adapt's `MMDLoss` takes lists too, but see `DAN`.

    Args:
        backbone: network from images to features.
        num_domains: unused; part of the contract.
        weight: λ, constant here; in the paper it grows from 0 to 1 along Ganin's schedule.
        estimate: `linear` in the paper; `quadratic` has a smaller variance.
    """

    SEARCH: ClassVar[dict[str, tuple[float, float, str]]] = {"weight": (0.1, 10.0, "log")}
    least: ClassVar[int] = 2

    def __init__(
        self, backbone: Backbone, *, num_domains: int = 1, weight: float = 1.0, estimate: Estimate = "quadratic"
    ) -> None:
        super().__init__(backbone, num_domains=num_domains, weight=weight)
        if estimate not in get_args(Estimate):
            raise ConfigError(f"jan: estimate {estimate!r}", wanted=f"one of {', '.join(get_args(Estimate))}")
        self.estimate: Estimate = estimate

    def penalty(self, source: Side, target: Side, batch: Batch) -> Tensor:
        """Return JMMD² of features and predictions."""
        layers = [torch.cat(pair) for pair in zip(source, target, strict=True)]
        kernel = joint_kernel([layers[0], layers[1].softmax(1)], [torch.ones(1), torch.ones(1)])
        return mmd(kernel, len(source.features), self.estimate)
