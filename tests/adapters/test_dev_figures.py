"""Dev EER and loss against counts by hand and a brute-force search."""

import math

import numpy as np
import pytest

from spooflab.adapters.dev_figures import dev_figures
from spooflab.errors import DataError


def test_by_hand():
    scores = np.array([0.9, 0.8, 0.4, 0.6, 0.2, 0.1])
    labels = np.array([1, 1, 1, 0, 0, 0])
    figures = dev_figures(scores, labels)
    assert figures["eer"] == pytest.approx(1 / 3)
    genuine = -(math.log(0.9) + math.log(0.8) + math.log(0.4)) / 3
    attack = -(math.log(0.4) + math.log(0.8) + math.log(0.9)) / 3
    assert figures["loss"] == pytest.approx((genuine + attack) / 2)


def test_equals_a_search_over_all_thresholds_with_ties():
    rng = np.random.default_rng(0)
    for _ in range(50):
        labels = np.array([0, 1, *rng.integers(0, 2, 20)])
        scores = rng.integers(0, 6, 22) / 5
        best = None
        for tau in [*sorted(set(scores)), math.inf]:
            rejected, accepted = int((scores[labels == 1] < tau).sum()), int((scores[labels == 0] >= tau).sum())
            frr, far = rejected / (labels == 1).sum(), accepted / (labels == 0).sum()
            gap = abs(rejected * (labels == 0).sum() - accepted * (labels == 1).sum())
            if best is None or gap < best[0]:
                best = (gap, (frr + far) / 2)
        assert best is not None
        assert dev_figures(scores, labels)["eer"] == pytest.approx(best[1])


def test_saturated_scores_keep_the_loss_finite():
    figures = dev_figures(np.array([1.0, 0.0, 1.0, 0.0]), np.array([1, 1, 0, 0]))
    assert figures["eer"] == pytest.approx(0.5)
    assert math.isfinite(figures["loss"])
    assert figures["loss"] > 100


def test_bad_input():
    with pytest.raises(DataError, match="both classes"):
        dev_figures(np.array([0.5]), np.array([1]))
    with pytest.raises(DataError, match="not finite"):
        dev_figures(np.array([0.5, np.nan]), np.array([1, 0]))
