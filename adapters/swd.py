"""Sliced Wasserstein discrepancy: MCD with a distance of the two classifiers' output distributions."""

from typing import ClassVar

from torch import Tensor

from spooflab.adapters.mcd import MCD


class SWD(MCD):
    """`MCD` whose discrepancy is the sliced Wasserstein-2 distance of the classifiers' outputs (Lee et al. 2019).

    The sliced distance is the mean over random unit directions θ of the squared differences of the sorted
    projections. With two classes p = (1 − a, a), and a projection is (θ₂ − θ₁) a + θ₁: every direction sorts alike,
    and the expectation of (θ₂ − θ₁)² is 1. So the expectation over directions is taken exactly, mean (a₍ᵢ₎ − b₍ᵢ₎)²,
    and none is drawn. (pytorch-adapt's layer draws 128 from the global generator whatever it is told.)

    Args:
        backbone: network from images to features.
        num_domains: unused: all sources together are one domain.
        repeat: phases C per step, at least 1.
    """

    SEARCH: ClassVar[dict[str, tuple[float, float, str]]] = {"repeat": (1, 8, "linear")}

    def discrepancy(self, first: Tensor, second: Tensor) -> Tensor:
        """Return the squared Wasserstein-2 distance of the two samples of p(bona fide)."""
        return (first[:, 1].sort().values - second[:, 1].sort().values).square().mean()
