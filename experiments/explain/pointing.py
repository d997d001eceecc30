"""Whether a detector looks at the instrument: the pointing game and its energy, against looking anywhere."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spooflab.experiments.explain.clustered_mean import clustered_mean
from spooflab.experiments.scores import BoolArray, FloatArray
from spooflab.experiments.statistics import clopper_pearson

WHOLE_FRAME = 0.75
"""Median share of the frame from which a species' masks are left out: nearly any place is then a hit."""

FEWEST = 8
"""Fewest attacks that a rate is given for."""


@dataclass(frozen=True)
class Pointing:
    """The pointing game (Zhang et al. 2018) over attacks, and the energy-based one (Wang et al. 2020).

    Attributes:
        attacks: how many.
        hits: how many whose saliency is largest inside their own mask.
        rate, low, high: share of hits with its Clopper-Pearson interval; a map without any saliency is a miss.
        chance: what a place drawn anywhere in the frame would hit: the mean share of the frame that masks cover.
        other_masks: what the same maxima hit in the masks of the other attacks: a habit of looking at the middle
            scores here as well.
        own_gain_low: lower bound, over people, of the mean difference between hitting the own mask and the others'.
        energy, energy_low, energy_high: mean share of the saliency inside the mask, with its interval over people.
        energy_gain_low: lower bound of the mean difference between that share and the mask's share of the frame.
        empty: maps without any saliency, which have no energy.
    """

    attacks: int
    hits: int
    rate: float
    low: float
    high: float
    chance: float
    other_masks: float
    own_gain_low: float | None
    energy: float | None
    energy_low: float | None
    energy_high: float | None
    energy_gain_low: float | None
    empty: int

    @property
    def beats_chance(self) -> bool:
        """Whether the rate's interval lies above what any place of the frame would hit."""
        return self.low > self.chance

    @property
    def follows_own_mask(self) -> bool:
        """Whether maxima lie in the attack's own mask more often than in those of other attacks."""
        return self.own_gain_low is not None and self.own_gain_low > 0


def pointing(saliency: FloatArray, masks: BoolArray, people: Sequence[str] | NDArray[Any]) -> Pointing:
    """Play both games.

    Args:
        saliency: (N, H, W), ≥ 0.
        masks: (N, H, W), True where the instrument covers the pixel.
        people: (N,) whom each attack shows; intervals of the energy take people as independent, not pictures.
    """
    count = len(saliency)
    flat, inside = saliency.reshape(count, -1), masks.reshape(count, -1)
    total = flat.sum(1)
    place = flat.argmax(1)
    hit = inside[np.arange(count), place] & (total > 0)
    everywhere = inside[:, place].T & (total > 0)[:, None]  # [i, j]: maximum of i in the mask of j
    others = (everywhere.sum(1) - np.diag(everywhere)) / max(1, count - 1)
    area = inside.mean(1)
    known = total > 0
    share = (flat * inside).sum(1)[known] / total[known]
    who = np.asarray(people)[known]
    energy, gain = clustered_mean(share, who), clustered_mean(share - area[known], who)
    own = clustered_mean(hit - others, people)
    hits = int(hit.sum())
    low, high = clopper_pearson(hits, count)
    return Pointing(
        attacks=count,
        hits=hits,
        rate=hits / count,
        low=low,
        high=high,
        chance=float(area.mean()),
        other_masks=float(others.mean()),
        own_gain_low=own.low if own else None,
        energy=energy.mean if energy else None,
        energy_low=energy.low if energy else None,
        energy_high=energy.high if energy else None,
        energy_gain_low=gain.low if gain else None,
        empty=int((~known).sum()),
    )


def mcnemar(first: BoolArray, second: BoolArray) -> float:
    """Return the exact two-sided p of two games played on the same attacks (McNemar 1947).

    >>> mcnemar(np.array([True] * 5), np.array([False] * 5))
    0.0625
    """
    from scipy.stats import binomtest

    only = int((first & ~second).sum()), int((second & ~first).sum())
    return float(binomtest(only[0], sum(only)).pvalue) if sum(only) else 1.0


def hits_of(saliency: FloatArray, masks: BoolArray) -> BoolArray:
    """Return (N,) whether each map is largest inside its mask."""
    flat = saliency.reshape(len(saliency), -1)
    found: BoolArray = masks.reshape(len(masks), -1)[np.arange(len(flat)), flat.argmax(1)] & (flat.sum(1) > 0)
    return found
