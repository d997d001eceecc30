"""What whole studies claim: nothing where nothing is, and a planted difference as often as stated.

Each study is drawn with effects of subjects, images, trainings and their meetings, and judged by the code that reports
are written with. Both algorithms of a null study are the same law under two names.
"""

import numpy as np
import pytest
from simulated_study import Law, simulated

from spooflab.experiments.power import power_of
from spooflab.experiments.summary import compare
from spooflab.experiments.two_way import Parts

STUDIES = 200
TOLERANCE = 0.05 + 3 * np.sqrt(0.05 * 0.95 / STUDIES)
"""5 % and three standard deviations of a count of 200."""
APART = {"training": 0.6, "on_subject": 0.1, "on_image": 0.2}
"""Trainings that differ on all rows alike, which resampled subjects cannot show: the hardest case for few seeds."""


def finds(law: Law, seed: int) -> bool:
    return any(difference["sure"] for difference in compare(simulated(law, seed))[1])


def test_one_null_study_finds_nothing_and_one_large_difference_is_found() -> None:
    assert not finds(Law(), 0)
    ranking, differences, _ = compare(simulated(Law(skill=(4.0, 1.5), seeds=5), 0))
    assert ranking[0]["algorithm"] == "a"
    assert differences[0]["sure"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "law",
    [
        Law(),
        Law(seeds=2, **APART),
        Law(seeds=3, **APART),
        Law(seeds=5, **APART),
        Law(subjects=8),
        Law(skill=(2.5,) * 5),
        Law(seeds=1, training=0.0, on_subject=0.3, on_image=0.5),
    ],
    ids=["as drawn", "2 seeds apart", "3 seeds apart", "5 seeds apart", "8 subjects", "5 algorithms", "1 seed"],
)
def test_identical_algorithms_are_told_apart_in_5_percent_of_studies_at_most(law: Law) -> None:
    found = sum(finds(law, seed) for seed in range(STUDIES))
    limit = 0.15 if law.seeds == 1 else TOLERANCE
    # One seed cannot show its own noise, which the report says in words; trainings' noise on single rows it does show.
    assert found / STUDIES <= limit


@pytest.mark.slow
@pytest.mark.parametrize(
    "law",
    [Law(skill=(2.8, 2.2), seeds=5), Law(skill=(3.2, 2.2), seeds=5, **APART)],
    ids=["noise on single rows", "trainings apart"],
)
def test_a_planted_difference_is_found_at_the_stated_power(law: Law) -> None:
    found, seen, parts = 0, [], []
    for seed in range(STUDIES):
        _, differences, samples = compare(simulated(law, seed))
        difference = samples["b"] - samples["a"]
        found += differences[0]["sure"] and differences[0]["minus"] == "a"
        seen.append(difference.mean)
        parts.append(difference.parts)
    mean = {name: float(np.mean([getattr(p, name) for p in parts])) for name in ("subject", "seed", "both")}
    stated = power_of(Parts(**mean, subjects=law.subjects, seeds=law.seeds), float(np.mean(seen)))
    # Three standard deviations of a count of 200, and a little for the error of the planted size itself.
    assert found / STUDIES == pytest.approx(stated, abs=3 * np.sqrt(stated * (1 - stated) / STUDIES) + 0.03)
