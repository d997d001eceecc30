"""Two studies are paired row by row where they judged the same samples, and told apart no more than that allows."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from spooflab.cli.main import run as command
from spooflab.errors import DataError
from spooflab.experiments.comparison import compare_studies
from spooflab.experiments.report.compare_page import render_comparison
from spooflab.experiments.results import Results, load_results
from spooflab.experiments.run_spec import RunSpec
from spooflab.experiments.statistics import cluster_draws, student_factors
from spooflab.experiments.study import plan_study, run_study
from spooflab.experiments.study_config import StudyConfig

Task = Callable[[RunSpec, Path], None]
Make = Callable[..., Results]
SPECIES = ("bonafide", "print_a4", "print_photo", "replay_phone")


@pytest.fixture(scope="module")
def few(indexed: Callable[..., pa.Table]) -> pa.Table:
    return indexed(24, SPECIES)


@pytest.fixture
def make(few: pa.Table, study_yaml: dict[str, Any], task_for: Callable[[pa.Table], Task], tmp_path: Path) -> Make:
    def study(name: str, index: pa.Table = few, **changes: Any) -> Results:
        config = study_yaml | {"bootstrap": 100} | changes
        plan = plan_study(StudyConfig.model_validate(config), data=tmp_path, index=index)
        run_study(plan, tmp_path / name, command=f"spooflab study {name}.yaml", task=task_for(index))
        return load_results(tmp_path / name)

    return study


def labelled(**names: str) -> list[dict[str, str]]:
    return [{"name": name, "label": label} for label, name in names.items()]


def test_a_study_compared_with_itself_is_the_same(make: Make) -> None:
    one = make("one")
    told = compare_studies(one, one, require_pairs=True)
    assert next(iter(told)) == "answer"
    assert told["answer"] == "The same: every score of both studies is equal."
    assert told["same"]
    assert not told["differs"]
    assert told["overall"]["low"] == told["overall"]["high"] == told["overall"]["difference"] == 0
    plain = [{"name": entry["name"], "label": ""} for entry in one.study["config"]["algorithms"]]
    older = replace(one, study=one.study | {"config": one.study["config"] | {"algorithms": plain}})
    assert {line["key"] for line in compare_studies(one, older)["differs"]["configuration"]} == {
        *(f"algorithms.{name}" for name in ("ERM", "DANN", "erm", "dann"))
    }


def test_a_better_detector_is_surely_better_and_the_configuration_says_why(make: Make) -> None:
    one, two = make("one", algorithms=labelled(A="erm")), make("two", algorithms=labelled(A="mixstyle"))
    told = compare_studies(one, two)
    assert told["answer"].startswith("The second study's error is surely lower: mean ACER ")
    assert told["overall"]["high"] < 0
    assert {cell["pairing"] for cell in told["cells"]} == {"paired"}
    assert {"key": "algorithms.A.name", "first": "erm", "second": "mixstyle"} in told["differs"]["configuration"]
    assert set(told["differs"]) == {"configuration"}
    back = compare_studies(two, one)
    assert back["overall"]["difference"] == -told["overall"]["difference"]
    assert back["overall"]["low"] == pytest.approx(-told["overall"]["high"], rel=1e-12)


def test_the_interval_is_that_of_whole_people_resampled_on_both_sides(make: Make) -> None:
    fold = {"name": "leave_one_attack_out", "only": ["print_a4"], "split": {"test": 0.34, "dev": 0.17}}
    studies = [make(n, algorithms=labelled(A=n), protocol=fold) for n in ("erm", "dann")]
    told = compare_studies(studies[0], studies[1])["cells"][0]
    cells = [study.cells[0] for study in studies]
    people = np.unique(cells[0].test.subject)
    found = []
    for draw in cluster_draws(len(people), 100, 0):
        acer = []
        for cell in cells:
            threshold = cell.metrics.threshold
            wrong, seen = {True: 0, False: 0}, {True: 0, False: 0}
            for score, attack, person in zip(cell.test.score, cell.test.attack, cell.test.subject, strict=True):
                times = int(draw[list(people).index(person)])
                seen[bool(attack)] += times
                wrong[bool(attack)] += times * int((score >= threshold) == attack)
            acer.append((wrong[True] / seen[True] + wrong[False] / seen[False]) / 2)
        found.append(acer[1] - acer[0])
    # One training each: what is uncertain is the people, of whom there are few.
    errors = np.array(found) - np.mean(found)
    count = len(people)
    drawn = errors * np.sqrt(count / (count - 1)) * student_factors(count, 100, np.random.default_rng([0, 1]))
    want = told["difference"] + np.nanquantile(drawn, [0.025, 0.975])
    assert (told["low"], told["high"]) == pytest.approx(want)


def test_other_data_are_not_paired_and_the_answer_says_so(make: Make, indexed: Callable[..., pa.Table]) -> None:
    one, two = make("one"), make("two", index=indexed(28, SPECIES))
    told = compare_studies(one, two)
    assert told["answer"].endswith("Not paired: the test rows are others.")
    assert {cell["pairing"] for cell in told["cells"]} == {"unpaired"}
    assert any("data differ" in sentence for sentence in told["certainty"])
    assert any(line["key"] == "fingerprint" for line in told["differs"]["data"])
    with pytest.raises(DataError, match="--paired asks for"):
        compare_studies(one, two, require_pairs=True)


def test_another_split_of_the_same_data_is_paired_on_the_rows_that_both_judged(make: Make) -> None:
    split = {"name": "leave_one_attack_out", "split": {"test": 0.5, "dev": 0.17}}
    one, two = make("one"), make("two", protocol=split)
    told = compare_studies(one, two)
    cell = told["cells"][0]
    assert cell["pairing"] == "paired on shared rows"
    assert 0 < cell["shared"] < cell["rows"]
    assert [line["key"] for line in told["differs"]["protocol"]] == ["split.test"]


def test_seeds_in_common_are_compared_and_others_in_their_order(make: Make) -> None:
    small = {
        "algorithms": labelled(A="erm"),
        "protocol": {"name": "leave_one_attack_out", "only": ["print_a4"], "split": {"test": 0.34, "dev": 0.17}},
    }
    one, two, three = (make(str(seeds), seeds=seeds, **small) for seeds in ([0, 1], [1, 2], [5, 6]))
    common, ordered = compare_studies(one, two), compare_studies(one, three)
    assert any("those in common are compared" in sentence for sentence in common["certainty"])
    assert common["overall"]["difference"] == 0  # seed 1 gave the same scores in both
    assert not common["same"]
    assert any("paired in order" in sentence for sentence in ordered["certainty"])
    assert ordered["overall"]["low"] < 0 < ordered["overall"]["high"]


def test_what_cannot_be_compared_is_refused(make: Make) -> None:
    one = make("one")
    with pytest.raises(DataError, match="ACER, the other by HTER"):
        compare_studies(one, make("two", metric="hter"))
    with pytest.raises(DataError, match="no algorithm and fold is finished in both"):
        compare_studies(one, make("three", algorithms=labelled(X="erm")))
    cell = one.cells[0]
    assert cell.scores is not None
    others = [f"{name}x" for name in cell.scores.column("subject").to_pylist()]
    place = cell.scores.schema.get_field_index("subject")
    moved = replace(cell, scores=cell.scores.set_column(place, "subject", pa.array(others)))
    with pytest.raises(DataError, match="in one study and"):
        compare_studies(one, replace(one, cells=(moved, *one.cells[1:])))


def test_page_and_command_tell_the_same(make: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one = make("one", algorithms=labelled(A="erm", Lost="ohem"))
    two = make("two", algorithms=[{"name": "mixstyle", "label": "A"}, {"name": "dann", "label": "<b>"}])
    assert command(["compare", str(tmp_path / "one"), str(tmp_path / "two"), "--out", str(tmp_path / "c")]) == 0
    shown = capsys.readouterr().out
    kept = json.loads((tmp_path / "c/comparison.json").read_text())
    assert kept["answer"] in shown.replace("\n", " ")
    assert {entry["algorithm"] for entry in kept["left_out"]} == {"Lost", "<b>"}
    page = (tmp_path / "c/comparison.html").read_text()
    assert page == render_comparison(kept, (one, two), (str(tmp_path / "one"), str(tmp_path / "two")))
    assert "<b>" not in page.replace("<dd><b>", "").replace('"figure"><b>', "")
    assert "&lt;b&gt;" in page
    assert "<script" not in page
    assert "http" not in page
    assert command(["compare", str(tmp_path / "one"), str(tmp_path / "none")]) == 2
