"""A supervised pool: processes die and hang, and the store ends as if none had, but for what never can be made."""

import json
import signal
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from final_files import shard_hashes
from small_samples import sample_fields
from small_shards import ROWS, make_shard

from spooflab.budget import Budget
from spooflab.errors import ConfigError, DataError
from spooflab.part import Part
from spooflab.run_metrics import RunMetrics
from spooflab.shard_pool import run_shards
from spooflab.shard_runs import ShardDone, summarise
from spooflab.store import Store

SHARDS = 4


def started(root: Path) -> Store:
    return Store.create(root, {"seed": 3}, shards=SHARDS)


def run(root: Path, pending: Sequence[int], workers: int, config: object = (), **options: object) -> list[ShardDone]:
    found = run_shards(make_shard, json.dumps(config or {}), root, pending, workers, **options)  # type: ignore[arg-type]
    return [done for done in found if done is not None]


@pytest.fixture
def whole(tmp_path: Path) -> dict[str, str]:
    store = started(tmp_path / "whole")
    run(store.root, store.pending(), 1)
    return shard_hashes(store.root)


def key_of(number: int) -> str:
    return str(sample_fields(number)["key"])


@pytest.mark.slow
@pytest.mark.parametrize(("number", "reason"), [(signal.SIGSEGV, "process_died"), (signal.SIGSTOP, "hung")])
def test_what_kills_or_hangs_its_process_is_given_up_and_all_else_made(
    number: int, reason: str, tmp_path: Path, whole: dict[str, str]
) -> None:
    store, bad = started(tmp_path / "bad"), key_of(ROWS + 1)
    done = run(store.root, store.pending(), 2, {"signals": {bad: number}}, lease_s=2.0)
    assert sorted(d.shard for d in done) == list(range(SHARDS))
    told = summarise(store)
    assert (told.rows, told.skips, told.given_up) == (ROWS * SHARDS - 1, 1, 1)
    (skip,) = (skip for record in store.committed() for skip in record.skips)
    assert (skip.key, skip.reason) == (bad, reason)
    found = shard_hashes(store.root)
    assert {name for name in whole if whole[name] != found[name]} == {"shard-00001.json", "shard-00001.parquet"}
    assert store.verify().ok
    assert list((store.root / "aside").iterdir()) == list((store.root / "leases").iterdir()) == []


@pytest.mark.slow
def test_processes_that_die_outside_of_samples_end_the_run_with_a_reason(tmp_path: Path) -> None:
    store = started(tmp_path / "s")
    with pytest.raises(DataError, match="outside of any sample, 10 times in a row"):
        run(store.root, [0], 2, {"outside": True})
    assert store.pending() == list(range(SHARDS))


def test_a_budget_stops_between_shards_and_another_run_goes_on(tmp_path: Path, whole: dict[str, str]) -> None:
    store = started(tmp_path / "s")
    size = (tmp_path / "whole" / "shards" / "shard-00000.parquet").stat().st_size
    run(store.root, store.pending(), 1, budget=Budget(max_gb=2.5 * size / 1e9))
    assert store.pending() == [2, 3]
    assert run(store.root, store.pending(), 1, budget=Budget(max_gb=2.5 * size / 1e9, stored=2 * size)) != []
    assert store.pending() == [3]  # a first shard tells what shards cost
    run(store.root, store.pending(), 1)
    assert shard_hashes(store.root) == whole


@pytest.mark.slow
def test_whoever_does_not_take_results_holds_the_work_back(tmp_path: Path) -> None:
    store = Store.create(tmp_path / "s", {"seed": 3}, shards=12)
    made = run_shards(make_shard, "{}", store.root, store.pending(), 2)
    assert next(made) is not None
    time.sleep(5.0)  # what was begun ends; nothing else is begun
    assert len(store.committed()) <= 1 + 2
    assert len([done for done in made if done is not None]) == 11


def test_one_worker_makes_a_shard_when_it_is_asked_for(tmp_path: Path) -> None:
    store = started(tmp_path / "s")
    made = run_shards(make_shard, "{}", store.root, store.pending(), 1)
    for count in (1, 2):
        assert next(made) is not None
        assert len(store.committed()) == count


def test_hours_count_the_shard_that_would_be_begun() -> None:
    now = [0.0]
    budget = Budget(max_hours=1.0, clock=lambda: now[0])
    assert budget.refusal(0) == ""
    budget.spend(ShardDone(0, 1, 0, "", 10, seconds=1200.0))
    now[0] = 2300.0
    assert budget.refusal(1) == ""
    now[0] = 2500.0
    assert "--max-hours 1" in budget.refusal(0)
    with pytest.raises(ConfigError, match="max-gb: 0"):
        Budget(max_gb=0.0)


@pytest.mark.parametrize("text", ["0/3", "4/3", "1", "a/b", "-1/3", "1/3/5"])
def test_a_part_that_cannot_be_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="i/n"):
        Part.parse(text)


def test_parts_share_all_shards_and_no_shard_twice(tmp_path: Path, whole: dict[str, str]) -> None:
    store = started(tmp_path / "s")
    parts = [Part.parse(f"{i}/3").of(store.pending()) for i in (1, 2, 3)]
    assert sorted(shard for part in parts for shard in part) == list(range(SHARDS))
    for part in parts:
        run(store.root, part, 1)
    assert shard_hashes(store.root) == whole


def test_metrics_are_lines_with_rate_and_remaining_time(tmp_path: Path) -> None:
    now = [0.0]
    meter = RunMetrics(4, tmp_path / "m.jsonl", clock=lambda: now[0])
    for shard in range(2):
        now[0] += 5.0
        meter.count(ShardDone(shard, 20, 1, "ab", 1000, 4.0))
    first, second = map(json.loads, (tmp_path / "m.jsonl").read_text().splitlines())
    assert (first["rows_per_s"], first["eta_s"]) == (4.0, 15.0)
    assert (second["rows_total"], second["skips_total"], second["bytes_total"], second["eta_s"]) == (40, 2, 2000, 10.0)
    assert second["driver_peak_mb"] > 10
