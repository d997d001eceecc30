"""Ray starts a task again whose process died, twice; then it says so, and the local pool finds the sample."""

import json
import signal
from pathlib import Path

import pytest
from small_samples import sample_fields
from small_shards import ROWS, make_shard

from spooflab.errors import DataError
from spooflab.shard_pool import run_shards
from spooflab.shard_ray import RETRIES, run_shards_on_ray
from spooflab.shard_runs import summarise
from spooflab.store import Store

pytestmark = pytest.mark.slow


def key_of(number: int) -> str:
    return str(sample_fields(number)["key"])


def test_a_task_that_dies_is_started_again_and_given_up_with_the_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("ray")
    # Ray's processes import the task by its name.
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1] / "kits"), prepend=":")
    passing, fatal, begun = key_of(1), key_of(ROWS + 1), tmp_path / "begun"
    config = {
        "signals": {passing: signal.SIGKILL, fatal: signal.SIGSEGV},
        "lives": {passing: RETRIES},
        "begun": str(begun),
    }
    store = Store.create(tmp_path / "data", {"seed": 3}, shards=3)
    with pytest.raises(DataError, match="process died 3 times") as caught:
        list(run_shards_on_ray(make_shard, json.dumps(config), store.root, [0, 1], 1))
    assert "without Ray" in caught.value.next_step
    assert store.pending() == [1, 2]  # what passed at its third attempt is committed
    tried = begun.read_text().split()
    assert (tried.count(passing), tried.count(fatal)) == (RETRIES + 1, RETRIES + 1)

    told = list(run_shards(make_shard, json.dumps(config), store.root, store.pending(), 2, lease_s=60.0))
    assert sorted(done.shard for done in told if done is not None) == [1, 2]
    (skip,) = (skip for record in store.committed() for skip in record.skips)
    assert (skip.key, skip.reason) == (fatal, "process_died")
    assert summarise(store).given_up == 1
    assert store.verify().ok
