"""Verdicts of the benchmark of scale, on runs whose answer is known."""

from collections.abc import Callable
from pathlib import Path

import pytest
from small_shards import make_shard

from spooflab.cli.main import run
from spooflab.errors import ConfigError
from spooflab.experiments.bench.scale_figures import (
    cost_figures,
    executor_figures,
    memory_figures,
    page,
    rate_figures,
    resumption_figures,
)
from spooflab.experiments.bench.scale_runs import Reading, ScaleRun, _part_of
from spooflab.store import Store

SHARDS, ROWS = 200, 50


def watched(
    seconds_of: Callable[[int], float] = lambda shard: 2.0,
    workers_mb: Callable[[float], float] = lambda share: 800.0,
    cpu_share: Callable[[float], float] = lambda share: 2.0,
) -> ScaleRun:
    """A run of 200 shards, read once a second; arguments are functions of the shard, or of the share of time gone."""
    at, lines = 1000.0, []
    for shard in range(SHARDS):
        at += seconds_of(shard)
        lines.append({"at": at, "rows": ROWS - 1, "skips": 1, "seconds": 2 * seconds_of(shard)})
    end, cpu, readings = at, 0.0, []
    for second in range(int(end - 1000.0)):
        share = second / (end - 1000.0)
        cpu += cpu_share(share)
        readings.append(Reading(1000.0 + second, 300.0, workers_mb(share), cpu))
    return ScaleRun((ROWS - 1) * SHARDS, SHARDS, 995.0, end - 995.0, 2 * (end - 995.0), tuple(lines), tuple(readings))


def test_a_steady_run_is_flat_and_steady_and_costs_what_it_costs() -> None:
    steady = watched()
    assert memory_figures(steady)["flat"]
    told = rate_figures(steady, workers=2)
    assert (told["first_per_s"], told["last_per_s"], told["last_to_first"]) == (25.0, 25.0, 1.0)
    assert told["steady"]
    assert told["steady_by_processor_time"]
    cost = cost_figures(steady, workers=2)
    assert (cost["samples"], cost["skips"]) == (10_000, 200)
    assert cost["wall_ms"] == pytest.approx(2e3 * 405 / 10_000)
    assert cost["processor_ms"] == pytest.approx(81.0)
    assert cost["first_shard_s"] == pytest.approx(7.0)
    assert steady.rate == pytest.approx(10_000 / 402)  # from the first claim, two seconds before the first clock tick


def test_what_grows_is_not_flat_but_what_fills_first_is() -> None:
    assert not memory_figures(watched(workers_mb=lambda share: 800 + 120 * share))["flat"]
    assert memory_figures(watched(workers_mb=lambda share: 400 if share < 0.08 else 800))["flat"]
    jagged = watched(workers_mb=lambda share: 800 + 100 * (int(share * 400) % 2))
    assert memory_figures(jagged)["flat"]  # every other second one shard more in memory
    assert memory_figures(jagged)["workers_mb_most"] == 900


def test_what_slows_down_is_not_steady_and_processor_time_tells_why() -> None:
    slowing = watched(seconds_of=lambda shard: 2.0 + shard / SHARDS)
    told = rate_figures(slowing, workers=2)
    assert not told["steady"]
    assert not told["steady_by_processor_time"]
    robbed = watched(seconds_of=lambda s: 2.0 if s < 100 else 4.0, cpu_share=lambda t: 2.0 if t < 1 / 3 else 1.0)
    told = rate_figures(robbed, workers=2)
    assert told["last_to_first"] == pytest.approx(0.5, abs=0.01)
    assert told["last_to_first_by_processor_time"] == pytest.approx(1.0, abs=0.03)


def test_resumption_and_executors_are_judged() -> None:
    assert resumption_figures({0.01: [5.0, 5.2, 9.0], 0.99: [5.4, 5.3, 5.1]})["even"]
    late = resumption_figures({0.01: [5.0], 0.5: [5.2], 0.99: [6.0]})
    assert not late["even"]
    assert late["spread"] == pytest.approx(0.2)
    told = executor_figures({("local", 1): 40.0, ("local", 2): 80.0, ("ray", 1): 41.0, ("ray", 2): 75.0})
    assert told["ray_gains"]
    assert told["ray_keeps_up"]
    slow = executor_figures({("local", 1): 40.0, ("local", 2): 80.0, ("ray", 1): 41.0, ("ray", 2): 60.0})
    assert not slow["ray_gains"]
    assert not slow["ray_keeps_up"]


def test_the_page_tells_what_holds_and_what_fails() -> None:
    slowing = watched(seconds_of=lambda shard: 2.0 + shard / SHARDS)
    report = {
        "workers": 2,
        "machine": "a machine",
        "cost": [cost_figures(slowing, workers=2)],
        "memory": memory_figures(slowing),
        "rate": rate_figures(slowing, workers=2),
        "resumption": resumption_figures({0.01: [5.0], 0.99: [5.1]}),
    }
    lines = page(report).splitlines()
    assert "| 10,000 | 504 s | 19.8 | 100.9 | 100.9 |" in lines
    assert sum(line.endswith("| **fails** |") for line in lines) == 1
    assert sum(line.endswith("| holds |") for line in lines) == 3


def test_a_part_of_a_data_set_is_what_a_resumption_finds(tmp_path: Path) -> None:
    store = Store.create(tmp_path / "whole", {"seed": 3}, shards=4)
    for shard in range(4):
        make_shard("{}", store.root, shard, {})
    _part_of(store.root, 0.5, tmp_path / "half")
    assert Store.open(tmp_path / "half").pending() == [2, 3]
    _part_of(store.root, 0.99, tmp_path / "nearly")
    assert Store.open(tmp_path / "nearly").pending() == [3]
    assert store.verify().ok


def test_too_little_to_judge_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    short = watched()
    with pytest.raises(ConfigError, match="more samples"):
        memory_figures(ScaleRun(1, 0, 0.0, 1.0, 1.0, short.shards, short.readings[:5]))
    with pytest.raises(ConfigError, match="more samples"):
        rate_figures(ScaleRun(1, 0, 0.0, 1.0, 1.0, short.shards[:5], short.readings), workers=2)
    assert run(["bench", "scale", "--samples", "100"]) == 2
    assert "at least 4000" in capsys.readouterr().err
