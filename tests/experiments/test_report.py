"""The report says what the figures allow, holds everything itself, and escapes what it was given."""

import csv
import re
from collections.abc import Callable
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from spooflab.errors import ConfigError
from spooflab.experiments.metrics import NAMES, curve_figures
from spooflab.experiments.report import write_report
from spooflab.experiments.report.curves import Curve, curve_band, det, roc
from spooflab.experiments.report.focus import shown_columns
from spooflab.experiments.report.palette import heat, inks
from spooflab.experiments.report.plots import critical_difference, histogram
from spooflab.experiments.report.worst import _fact
from spooflab.experiments.results import load_results, row_interval
from spooflab.experiments.run_spec import RunSpec
from spooflab.experiments.scores import ScoreSet
from spooflab.experiments.statistics import Friedman, bootstrap
from spooflab.experiments.study import plan_study, run_study
from spooflab.experiments.study_config import StudyConfig
from spooflab.experiments.worst_errors import main_facts, worst_rows

Task = Callable[[RunSpec, Path], None]


@pytest.fixture
def study(study_yaml: dict[str, Any], index: pa.Table, fake_task: Task, tmp_path: Path) -> Callable[..., Path]:
    def run(**changes: Any) -> Path:
        plan = plan_study(StudyConfig.model_validate(study_yaml | changes), data=tmp_path, index=index)
        run_study(plan, tmp_path / "out", command="spooflab study s.yaml --out out", task=fake_task)
        return tmp_path / "out"

    return run


class Links(HTMLParser):
    """Collects what a browser would fetch, and the ids and targets within the page."""

    def __init__(self) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.ids: set[str] = set()
        self.targets: set[str] = set()
        self.tags: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            if name in ("src", "data", "poster", "srcset") or (name == "href" and tag == "link"):
                self.fetched.append(value or "")
            elif name == "href" and value:
                self.targets.add(value)
            elif name == "id" and value:
                self.ids.add(value)


def test_report_is_self_contained_and_has_every_section(study: Callable[..., Path]) -> None:
    out = study()
    write_report(out)
    html = (out / "report.html").read_text()
    page = Links()
    page.feed(html)
    assert all(source.startswith("data:image/jpeg;base64,") for source in page.fetched)
    assert page.fetched
    assert not {"script", "link", "iframe", "object"} & set(page.tags)
    assert not re.search(r"url\(|@import|https?://", html)
    wanted = "ranking matrix det scores worst explain species devices transfer oracle costs calibration folds power"
    wanted += " data leaks runs tables"
    assert set(wanted.split()) | {"answer"} == page.ids
    held = {target for target in page.targets if target.startswith("data:")}
    assert page.targets - held == {f"#{name}" for name in wanted.split()}
    assert len(held) == len(list((out / "tables").iterdir())) == 7
    assert 'name="viewport"' in html
    assert "@media print" in html


def test_results_have_one_row_per_run_with_every_figure_and_interval(study: Callable[..., Path]) -> None:
    out = study()
    write_report(out)
    rows = pq.read_table(out / "results.parquet").to_pylist()
    assert len(rows) == 14
    for row in rows:
        for name in NAMES:
            interval = row_interval(row, name)
            assert interval is not None
            assert interval.low <= row[name] + 1e-12
            assert row[name] <= interval.high + 1e-12
        assert row["gap_acer"] == pytest.approx(row["acer"] - row["oracle_acer"])
        assert row["threshold_source"] == "dev"
        assert row["held_out"] == [row["fold"]]


def test_answer_comes_first_and_claims_no_more_than_the_intervals_allow(study: Callable[..., Path]) -> None:
    algorithms = [{"name": n, "label": n} for n in ("erm", "mixstyle")]
    sure = write_report(study(algorithms=algorithms))
    assert next(iter(sure)) == "answer"
    assert sure["verdict"] == "best"
    assert sure["answer"].startswith("mixstyle generalises best: mean ACER ")
    assert sure["differences"][0]["low"] > 0
    close = write_report(study(algorithms=[{"name": "dann", "label": n, "hparams": h} for n, h in TWINS]))
    assert close["verdict"] == "tie"
    assert close["answer"].startswith("No algorithm is surely best")
    assert close["differences"][0]["low"] <= 0
    alone = write_report(study(algorithms=[{"name": "erm"}]))
    assert alone["verdict"] == "single"
    assert alone["answer"].startswith("erm reaches a mean ACER of")


TWINS = (("one", {}), ("two", {"weight": 0.5}))


def test_device_folds_that_cannot_reach_significance_say_so(study: Callable[..., Path]) -> None:
    summary = write_report(study(protocol={"name": "leave_one_device_out"}))
    assert any("4 folds cannot reach p < 0.05" in sentence for sentence in summary["certainty"])
    assert "unseen capture devices" in summary["answer"]


def test_missing_cells_are_shown_as_missing(study_yaml: dict[str, Any], index: pa.Table, tmp_path: Path) -> None:
    plan = plan_study(StudyConfig.model_validate(study_yaml), data=tmp_path, index=index)

    def stop(_: RunSpec, __: Path) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_study(plan, tmp_path, command="x", task=stop)
    summary = write_report(tmp_path)
    assert summary["runs"]["missing"] == 14
    assert summary["answer"] == "No fold is finished for every algorithm yet, so there is no answer."
    assert (tmp_path / "report.html").read_text().count(">missing</td>") >= 14


def test_tables_beside_the_page_hold_the_summary(study: Callable[..., Path]) -> None:
    out = study()
    summary = write_report(out)
    with (out / "tables/matrix.csv").open(newline="") as file:
        cells = {(row["fold"], row["algorithm"]): row for row in csv.DictReader(file)}
    assert len(cells) == 14
    for (fold, label), row in cells.items():
        entry = summary["matrix"][fold][label]
        assert all(float(row[name]) == entry[name] for name in ("value", "low", "high", "auc", "bpcer100"))
    tex = (out / "tables/ranking.tex").read_text()
    assert f"\\mathbf{{{100 * summary['ranking'][0]['mean']:.1f}}}" in tex
    assert tex.count("mathbf") == 1


@pytest.mark.slow
def test_many_columns_are_reduced_to_those_that_answer(study: Callable[..., Path]) -> None:
    many = [{"name": "erm"}, *({"name": "dann", "label": f"d{i}", "hparams": {"weight": 1.0 + i}} for i in range(9))]
    out = study(algorithms=many, protocol={"name": "leave_one_device_out", "only": ["webcam"]}, title="wide")
    summary = write_report(out)
    results = load_results(out)
    shown = shown_columns(results, summary)
    assert len(shown) == 6
    assert {"erm", summary["best"]} <= set(shown)
    worst = summary["ranking"][-1]["algorithm"]
    assert worst in shown_columns(results, summary, [worst])
    with pytest.raises(ConfigError, match="--show nobody"):
        write_report(out, ["nobody"])
    html = (out / "report.html").read_text()
    assert "All 10 algorithms" in html
    curves = html[html.index('<section id="det">') : html.index('<section id="scores">')]
    assert curves.count("<polyline") == 2 * 6  # DET and ROC
    told = re.findall(r"d\d|erm|\d+ others", summary["answer"])
    assert sum(int(name.split()[0]) if "others" in name else 1 for name in told) == 10
    assert len(told) < 10


@pytest.mark.parametrize(
    ("name", "value", "want"),
    [
        ("distance_mm", 412.34, ("distance", "412 mm")),
        ("tilt_deg", 4.5, ("tilt", "4.5°")),
        ("swap_blend.changed_share", 0.25, ("changed share", "0.25")),
        ("face_px", 1234.0, ("face", "1,234 px")),
        ("lpi", 133.0, ("lpi", "133")),
    ],
)
def test_facts_read_as_words_with_units(name: str, value: float, want: tuple[str, str]) -> None:
    assert _fact(name, value) == want


def test_names_from_data_are_escaped(study: Callable[..., Path]) -> None:
    evil = "<script>alert(1)</script>"
    out = study(title=evil, algorithms=[{"name": "erm", "label": evil}, {"name": "dann"}])
    write_report(out)
    html = (out / "report.html").read_text()
    assert "<script" not in html
    assert "&lt;script&gt;" in html


def test_matrix_mean_over_seeds_and_its_parts(study: Callable[..., Path]) -> None:
    out = study(seeds=[0, 1, 2])
    summary = write_report(out)
    results = load_results(out)
    cells = results.at("ERM", "print_a4")
    entry = summary["matrix"]["print_a4"]["ERM"]
    assert entry["value"] == pytest.approx(np.mean([cell.metrics.acer for cell in cells]))
    assert entry["seeds"] == [0, 1, 2]
    assert entry["low"] <= entry["value"] <= entry["high"]
    row = next(r for r in summary["ranking"] if r["algorithm"] == "ERM")
    every = [c.metrics.acer for fold in results.folds for c in results.at("ERM", fold)]
    assert row["mean"] == pytest.approx(np.mean(every))


def test_heat_gets_darker_with_every_step() -> None:
    def light(value: float) -> float:
        colour = heat(value)[0]
        red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
        return 0.299 * red + 0.587 * green + 0.114 * blue

    steps = [light(v) for v in np.linspace(0, 1, 51)]
    assert all(left >= right for left, right in pairwise(steps))
    assert heat(0.02)[1] == "#1d1d1f"
    assert heat(0.9)[1] == "#ffffff"


def test_det_puts_the_operating_point_on_its_curve() -> None:
    scores = ScoreSet.build([0.9, 0.6, 0.4, 0.7, 0.2, 0.1], [False, False, False, True, True, True])
    svg = str(det([Curve("a<b", scores, 0.6, inks(["a"])["a"])], "fold"))
    dot = re.search(r'<circle cx="([\d.]+)" cy="([\d.]+)"', svg)
    line = re.search(r'<polyline points="([^"]+)"', svg)
    assert dot
    assert line
    x, y = float(dot[1]), float(dot[2])
    corners = [tuple(map(float, point.split(","))) for point in line[1].split()]
    assert any(
        min(x1, x2) <= x <= max(x1, x2) and min(y1, y2) <= y <= max(y1, y2) and (x1 == x2 or y1 == y2)
        for (x1, y1), (x2, y2) in pairwise(corners)
    )
    assert "a&lt;b: APCER 33.3 %, BPCER 33.3 %" in svg


def test_roc_ends_in_its_corners_and_its_area_is_the_auc() -> None:
    rng = np.random.default_rng(3)
    scores = ScoreSet.build(np.r_[rng.normal(1, 1, 80), rng.normal(0, 1, 90)], np.arange(170) >= 80)
    svg = str(roc([Curve("a", scores, 0.5, inks(["a"])["a"])], "fold"))
    line = re.search(r'<polyline points="([^"]+)"', svg)
    assert line
    points = np.array([tuple(map(float, point.split(","))) for point in line[1].split()])
    share = np.c_[(points[:, 0] - 40) / 250, (264 - points[:, 1]) / 254]
    assert share[[0, -1]].tolist() == [[1, 1], [0, 0]]
    area = -np.sum(np.diff(share[:, 0]) * (share[1:, 1] + share[:-1, 1]) / 2)
    figures = curve_figures(scores)
    assert area == pytest.approx(figures["auc"][0], abs=1e-3)  # coordinates are tenths of a unit of 250


def test_band_at_a_budget_is_the_bootstrap_of_the_budgeted_bpcer() -> None:
    rng = np.random.default_rng(5)
    people = np.repeat(np.arange(12), 10)
    attack = np.tile(np.arange(10) < 5, 12)
    scores = ScoreSet.build(rng.normal(1.2 * ~attack, 1) + rng.normal(0, 0.4, 12)[people], attack, subject=people)
    band = curve_band(scores, np.array([0.05, 0.1, 1.0]), pooled=False, replicates=400, seed=7)
    assert band is not None
    samples = bootstrap(scores, None, replicates=400, seed=7)
    for place, name in enumerate(("bpcer20", "bpcer10")):
        want = np.quantile(samples[name], [0.025, 0.975])
        assert [band[0][place], band[1][place]] == pytest.approx(want)
    assert band[0][2] == band[1][2] == 0
    alone = ScoreSet.build([0.9, 0.1], [False, True], subject=["s", "s"])
    assert curve_band(alone, np.array([0.1]), pooled=True) is None


def test_histogram_marks_the_threshold_and_leaves_out_failures() -> None:
    scores = ScoreSet.build([0.9, 0.1, float("nan")], [False, True, True])
    svg = str(histogram(scores, 0.5, "x"))
    assert svg.count('fill="#0B7A75"') == svg.count('fill="#C4541A"') == 1
    assert "τ 0.5" in svg


def test_critical_difference_joins_what_it_does_not_tell_apart() -> None:
    svg = str(critical_difference(Friedman(0.01, {"a": 1.0, "b": 2.2, "c": 2.8}, 1.0)))
    assert svg.count('class="group"') == 1
    assert str(critical_difference(Friedman(0.01, {"a": 1.0, "b": 2.0, "c": 3.0}, 0.9))).count('class="group"') == 0


def test_many_mean_ranks_have_a_line_each() -> None:
    ranks = {f"algorithm_with_a_long_name_{i}": 1 + 44 * i / 44 for i in range(45)}
    svg = str(critical_difference(Friedman(0.01, ranks, 10.0)))
    assert svg.count('class="rank"') == 45
    # Black are those that the best is not told apart from: ranks below 1 + 10.
    assert svg.count('<circle cx="') == 45
    assert len(re.findall(r'<circle [^>]*fill="#1d1d1f"', svg)) == 10
    assert "algorithm_with_a_l…" in svg


def test_worst_errors_are_the_surest_ones_and_failures_come_first() -> None:
    scores = ScoreSet.build([0.9, 0.7, float("nan"), 0.1, 0.4, 0.8], [True, True, True, False, False, False])
    rows = worst_rows(scores, 0.5)
    assert rows["attack accepted"].tolist() == [2, 0, 1]
    assert rows["bona fide rejected"].tolist() == [3, 4]
    assert not any(part.size for part in worst_rows(scores, float("nan")).values())


def test_main_facts_prefer_derived_physics_and_skip_seeds() -> None:
    facts = main_facts(
        '{"facts": {"lens_seed": 3, "distance_mm": 412.5}, "face": {"age": {"dtype": "f", "value": 3.0}}}'
    )
    assert facts == {"distance_mm": 412.5}
    drawn = main_facts('{"attack": {"yaw_deg": {"dtype": "float32", "value": 4.25}, "noise_seed": 7, "on": true}}')
    assert drawn == {"yaw_deg": 4.25}
    assert main_facts("not json") == {}
