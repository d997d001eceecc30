import json
import math
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
import pytest

from spooflab.cli.main import run
from spooflab.experiments.data_sets.balance import association, balance_warnings
from spooflab.experiments.data_sets.ranges import KEPT, RangeTally, has_unit, physical_numbers
from spooflab.experiments.data_sets.stats import measure


def test_a_store_is_counted(make_store: Callable[..., Path]) -> None:
    root = make_store()
    stats = measure(root)
    assert (stats.rows, stats.shards, stats.committed) == (12, 3, 3)
    assert stats.counts["label"] == {"attack": 9, "bonafide": 3}
    assert stats.counts["species"] == dict.fromkeys(
        ("bonafide", "print_a4", "replay_phone", "swap_blend+replay_phone"), 3
    )
    assert (stats.subjects, stats.groups, stats.per_subject) == (3, 1, (4, 4.0, 4))
    assert stats.without == {"mask": 0, "depth": 6, "regions": 12, "landmarks": 0, "box": 0}
    assert stats.skips == {"no_donor": {"print_a4": 1}, "qc_moire": {"print_a4": 1}}
    assert (stats.skipped, stats.qc_rejects) == (2, 1)
    assert stats.file_bytes == sum(path.stat().st_size for path in (root / "shards").glob("*.parquet"))
    yaw = stats.attack_ranges["print_a4"]["yaw_deg"]  # of samples 1, 5 and 9
    assert (yaw.count, yaw.least, yaw.middle, yaw.largest) == (3, 1.0, 5.0, 9.0)
    assert stats.attack_ranges["print_a4"].keys() == {"yaw_deg", "facts.ppi"}


def test_protocol_parts_are_counted_where_records_name_them(make_store: Callable[..., Path]) -> None:
    stats = measure(make_store(rows=4, params={"splits": {"p1": "train"}, "facts": {"subjects_known": 1.5}}))
    assert stats.splits == {"p1": {"train": {"attack": 3, "bonafide": 1}}}
    assert stats.attack_ranges == {}, "a real sample has no drawn parameters"


def test_the_command_prints_the_same_as_json(
    make_store: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    root = make_store()
    assert run(["stats", str(root), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == json.loads(json.dumps(measure(root).to_json()))
    assert run(["stats", str(root)]) == 0
    assert "| print_a4 | presentation | impersonation | 3 |" in capsys.readouterr().out


def test_a_store_of_one_class_says_so(make_store: Callable[..., Path]) -> None:
    stats = measure(make_store(rows=1))
    assert [w.code for w in stats.warnings] == ["no_class", "few_subjects"]


def test_medians_of_a_long_stream_do_not_depend_on_order() -> None:
    values = np.random.default_rng(3).normal(size=4 * KEPT).tolist()
    forth, back = RangeTally(), RangeTally()
    for number, value in enumerate(values):
        forth.add("a", f"k{number}", {"x": value})
    for number in reversed(range(len(values))):
        back.add("a", f"k{number}", {"x": values[number]})
    found = forth.ranges()["a"]["x"]
    assert found == back.ranges()["a"]["x"]
    assert (found.least, found.largest, found.count) == (min(values), max(values), len(values))
    rank = sum(value < found.middle for value in values) / len(values)
    assert abs(rank - 0.5) < 4 * 0.5 / math.sqrt(KEPT)  # four standard errors of a sample's median rank
    short = RangeTally()
    for number, value in enumerate(values[:KEPT]):
        short.add("a", f"k{number}", {"x": value})
    assert short.ranges()["a"]["x"].middle == median(values[:KEPT])


def test_numbers_are_named_by_their_place_and_whole_ones_left_out() -> None:
    drawn = {
        "lamp": {"turn_deg": {"dtype": "float32", "value": 7.5}, "aim": {"dtype": "float32", "value": [0.5, -1.0]}},
        "seed": {"dtype": "int64", "value": 12},
        "matrix": {"dtype": "float32", "value": [[1.0, 0.0], [0.0, 1.0]]},
    }
    assert physical_numbers(drawn) == {"lamp.turn_deg": 7.5, "lamp.aim[0]": 0.5, "lamp.aim[1]": -1.0}
    assert [has_unit(name) for name in ("lamp.turn_deg", "size_mm[1]", "lamp.aim[0]", "facts.zoom")] == [1, 1, 0, 1]


def test_association_is_none_for_independent_columns_and_full_for_one_that_tells() -> None:
    assert association({("a", "x"): 50, ("a", "y"): 50, ("b", "x"): 50, ("b", "y"): 50}) == 0.0
    assert association({("a", "x"): 1000, ("b", "y"): 1000}) == pytest.approx(1, abs=2e-3)
    rng = np.random.default_rng(1)
    drawn = [f"u{n}" for n in rng.integers(0, 30, 600)]
    labels = [f"l{n}" for n in rng.integers(0, 2, 600)]
    counts = {
        (d, t): sum((a, b) == (d, t) for a, b in zip(drawn, labels, strict=True))
        for d in set(drawn)
        for t in set(labels)
    }
    assert association(counts) < 0.1, "thirty values by chance: without the correction it would be about 0.2"
    plain = {("a", "x"): 30, ("a", "y"): 10, ("b", "x"): 10, ("b", "y"): 50}
    seen = np.array([[30, 10], [10, 50]])
    stats = pytest.importorskip("scipy.stats")
    phi2 = stats.chi2_contingency(seen, correction=False)[0] / 100 - 1 / 99
    assert association(plain) == pytest.approx(math.sqrt(phi2 / (1 - 1 / 99)))


def test_imbalance_is_named() -> None:
    found = balance_warnings(
        {"bonafide": 10, "attack": 90},
        {"print_a4": 80, "replay_phone": 10},
        {"device_profile": {("phone", "bonafide"): 10, ("phone", "attack"): 40, ("kiosk", "attack"): 50}},
        subjects=4,
    )
    assert [w.code for w in found] == [
        "rare_class",
        "rare_species",
        "one_class_only",
        "tells_the_label",
        "few_subjects",
    ]
    assert "all 50 pictures of kiosk are attack" in found[2].detail
