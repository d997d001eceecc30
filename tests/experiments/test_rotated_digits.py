"""The digits that tell whether an algorithm learns: turned as stated, dealt once, compared by pairs."""

import json
from pathlib import Path

import numpy as np
import pytest
import scipy.stats
import torch

pytest.importorskip("sklearn")

from spooflab.errors import ConfigError
from spooflab.experiments.rotated_digits import digit_sets, main, paired, read_runs, rotated, run, table


def test_a_quarter_turn_is_a_quarter_turn() -> None:
    digits = torch.rand(3, 8, 8, generator=torch.Generator().manual_seed(1)) * 16
    upright, turned = rotated(digits, 0), rotated(digits, 90)
    assert upright.shape == (3, 3, 32, 32)
    assert int((turned.int() - torch.rot90(upright, 1, (2, 3)).int()).abs().max()) <= 1
    assert float((rotated(digits, 15).float() - upright.float()).abs().mean()) > 2


def test_each_digit_is_dealt_once() -> None:
    train, dev, test, target = digit_sets(3)
    keys = [key for part in (train, dev, test, target) for key in part.keys]
    assert len(keys) == len(set(keys)) == 1797
    assert set(train.domains.tolist()) == set(dev.domains.tolist()) == {0, 1, 2, 3, 4}
    assert set(test.domains.tolist()) == set(target.domains.tolist()) == {5}
    even = [int(name.removeprefix("digit")) % 2 == 0 for name in test.species]
    assert even == (test.labels == 1).tolist()
    assert digit_sets(3)[0].keys == train.keys
    assert digit_sets(4)[0].keys != train.keys


def test_pairs_are_compared_by_students_t() -> None:
    apart = np.array([0.01, -0.02, 0.03, 0.0, 0.015])
    wanted = scipy.stats.ttest_1samp(apart, 0).confidence_interval(0.95)
    middle, reach = paired(apart)
    assert (middle - reach, middle + reach) == pytest.approx(tuple(wanted))


def test_the_table_says_what_separates_each_from_the_baseline() -> None:
    held = {("erm", k): {"dev": 0.9, "held_out": 0.8 + 0.01 * k, "seconds": 3.0} for k in range(3)}
    held |= {("dann", k): {"dev": 0.8, "held_out": 0.75 + 0.01 * k, "seconds": 4.0} for k in range(3)}
    lines = table(held, ["erm", "dann"], 3).splitlines()
    assert lines[2] == "| `erm` | generalisation | 90.0 | 81.0 |  | 3 |"
    assert lines[3] == "| `dann` | generalisation | 80.0 | 76.0 | -5.0 (-5.0 to -5.0) | 4 |"


def test_wrong_arguments(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="algorithms \\['nothing'\\]"):
        main(tmp_path, algorithms=("nothing",))
    with pytest.raises(ConfigError, match="2 or more seeds"):
        main(tmp_path, seeds=1)


@pytest.mark.slow
def test_the_baseline_learns_and_runs_are_kept(tmp_path: Path) -> None:
    figures = run("erm", 0)
    assert figures["dev"] > 0.9
    assert figures["held_out"] > 0.75
    with (tmp_path / "runs.jsonl").open("w", encoding="utf-8") as file:
        for seed in (0, 1):
            file.write(json.dumps({"algorithm": "erm", "seed": seed, **figures}) + "\n")
    assert main(tmp_path, seeds=2, algorithms=("erm",)) == 0
    assert len(read_runs(tmp_path)) == 2
    assert "| `erm` |" in (tmp_path / "table.md").read_text(encoding="utf-8")
