import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from final_files import shard_hashes

from spooflab.errors import DataError
from spooflab.lease import LeaseLost, is_alive
from spooflab.local_files import LocalFiles
from spooflab.records import CommitRecord, PlanFile
from spooflab.sample import Sample, Skip
from spooflab.store import Store, read_index

Make = Callable[..., Sample]
PLAN: dict[str, Any] = {"seed": 7, "config": {"n": 6, "attacks": ["print_a4", "replay_phone"]}, "share": 0.1}


def fill(store: Store, shard: int, make_sample: Make, rows: int = 2) -> CommitRecord:
    lease = store.claim(shard)
    assert lease is not None
    with lease:
        return store.commit(lease, [make_sample(shard * rows + row) for row in range(rows)])


def leftovers(root: Path) -> list[str]:
    return [path.name for folder in ("leases", "aside") for path in (root / folder).iterdir()]


def test_shards_are_pending_until_committed(tmp_path: Path, make_sample: Make) -> None:
    store = Store.create(tmp_path / "a" / "b", PLAN, shards=3)
    assert store.pending() == [0, 1, 2]
    record = fill(store, 1, make_sample)
    assert store.pending() == [0, 2]
    assert store.committed() == [record]
    assert store.claim(1) is None
    assert record.rows == 2
    assert record.sha256 == shard_hashes(store.root)["shard-00001.parquet"]
    again = Store.open(store.root, PLAN)
    assert (again.plan, again.shards, again.fingerprint) == (PLAN, 3, store.fingerprint)
    assert leftovers(store.root) == []


def test_same_rows_give_the_same_bytes_here_and_in_another_process(tmp_path: Path, make_sample: Make) -> None:
    store = Store.create(tmp_path / "here", PLAN, shards=1)
    fill(store, 0, make_sample, rows=40)
    child(tmp_path / "there", "fill(store, 0, 40)")
    assert shard_hashes(tmp_path / "there") == shard_hashes(tmp_path / "here")
    time_of_day = time.strftime("%Y-%m").encode()
    assert time_of_day not in (store.root / "shards" / "shard-00000.parquet").read_bytes()


def test_skips_are_kept_with_their_reasons(tmp_path: Path, make_sample: Make) -> None:
    store = Store.create(tmp_path, PLAN, shards=1)
    lease = store.claim(0)
    assert lease is not None
    skips = [Skip("s00000009", "print_a4", "no_landmarks", "no face was found", "folder", "folder/ann")]
    with lease:
        store.commit(lease, [make_sample(0)], skips)
    assert Store.open(tmp_path).committed()[0].skips == tuple(skips)


def test_a_shard_of_skips_alone_is_a_shard(tmp_path: Path) -> None:
    store = Store.create(tmp_path, PLAN, shards=1)
    lease = store.claim(0)
    assert lease is not None
    store.commit(lease, [], [Skip("s0", "print_a4", "too_small")])
    assert store.verify().ok
    assert read_index(tmp_path).num_rows == 0


def test_keys_come_once(tmp_path: Path, make_sample: Make) -> None:
    store = Store.create(tmp_path, PLAN, shards=1)
    lease = store.claim(0)
    assert lease is not None
    with pytest.raises(DataError, match="'s00000000' comes twice"):
        store.commit(lease, [make_sample(0), make_sample(0)])
    with pytest.raises(DataError, match="comes twice"):
        store.commit(lease, [make_sample(0)], [Skip("s00000000", "bonafide", "too_small")])
    assert store.pending() == [0]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"seed": 8}, "seed: stored 7, now 8"),
        ({"config": {"n": 7, "attacks": ["print_a4", "replay_phone"]}}, "config.n: stored 6, now 7"),
        ({"config": {"n": 6, "attacks": ["replay_phone", "print_a4"]}}, "config.attacks: stored"),
        ({"config": {"n": 6}}, "config.attacks: stored"),
        ({"extra": 1}, 'extra: stored "nothing", now 1'),
    ],
)
def test_another_plan_is_refused_by_the_name_of_its_keys(tmp_path: Path, change: dict[str, Any], told: str) -> None:
    Store.create(tmp_path, PLAN, shards=1)
    with pytest.raises(DataError) as caught:
        Store.open(tmp_path, PLAN | change)
    assert told in str(caught.value)
    assert str(caught.value).count(": stored") == 1
    Store.open(tmp_path, dict(reversed(PLAN.items())))


def test_folders_that_hold_something_are_refused(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    with pytest.raises(DataError, match="photos"):
        Store.create(tmp_path, PLAN, shards=1)
    Store.create(tmp_path / "data", PLAN, shards=1)
    with pytest.raises(DataError, match="--resume"):
        Store.create(tmp_path / "data", PLAN, shards=1)
    with pytest.raises(DataError, match=r"no plan\.json"):
        Store.open(tmp_path)
    with pytest.raises(DataError, match="at least one"):
        Store.create(tmp_path / "none", PLAN, shards=0)
    with pytest.raises(DataError, match="not JSON"):
        Store.create(tmp_path / "odd", {"a": float("nan")}, shards=1)


def test_a_damaged_plan_is_refused(tmp_path: Path) -> None:
    Store.create(tmp_path, PLAN, shards=2)
    path = tmp_path / "plan.json"
    good = path.read_text()
    for wrong in (good.replace('"seed": 7', '"seed": 8'), good[:-20], "[]", good.replace('"shards": 2', '"shards": 1')):
        path.write_text(wrong)
        with pytest.raises(DataError, match=r"plan\.json"):
            Store.open(tmp_path)
    body = json.loads(good) | {"schema_version": 99}
    path.write_text(json.dumps(body))
    with pytest.raises(DataError, match="schema version 99"):
        Store.open(tmp_path)


def test_only_one_of_many_creates(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        outcomes = list(pool.map(_try_create, [tmp_path / "data"] * 16))
    assert sum(outcomes) == 1
    assert PlanFile.read(tmp_path / "data" / "plan.json").plan == PLAN


def _try_create(root: Path) -> bool:
    try:
        Store.create(root, PLAN, shards=1)
    except DataError:
        return False
    return True


def test_a_claimed_shard_is_not_claimed_again(tmp_path: Path, make_sample: Make) -> None:
    store = Store.create(tmp_path, PLAN, shards=2)
    lease = store.claim(0)
    assert lease is not None
    assert store.claim(0) is None
    assert Store.open(tmp_path).claim(0) is None
    lease.release()
    again = store.claim(0)
    assert again is not None
    with pytest.raises(LeaseLost):
        lease.check()
    with pytest.raises(DataError, match="shard 2"):
        store.claim(2)


def test_a_lease_outlives_its_term_only_by_signs_of_life(tmp_path: Path) -> None:
    store = Store.create(tmp_path, PLAN, shards=1, lease_s=100)
    lease = store.claim(0)
    assert lease is not None
    old = time.time() - 101
    os.utime(lease.path, (old, old))
    assert not is_alive(LocalFiles(tmp_path), lease.name)
    lease.renew()
    assert is_alive(LocalFiles(tmp_path), lease.name)
    os.utime(lease.path, (old, old))
    second = store.claim(0)
    assert second is not None
    assert second.generation == lease.generation + 1
    with pytest.raises(LeaseLost):
        lease.renew()


def test_a_lease_of_another_machine_lives_until_its_term(tmp_path: Path) -> None:
    store = Store.create(tmp_path, PLAN, shards=1)
    lease = store.claim(0)
    assert lease is not None
    content = json.loads(lease.path.read_text()) | {"host": "elsewhere", "pid": 1}
    lease.path.write_text(json.dumps(content))
    assert store.claim(0) is None
    old = time.time() - 121
    os.utime(lease.path, (old, old))
    assert store.claim(0) is not None


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="process start times are read from /proc")
def test_a_dead_holder_and_a_number_used_again_are_taken_over(tmp_path: Path) -> None:
    child(tmp_path, "store.claim(0)")
    store = Store.open(tmp_path)
    lease = store.claim(0)
    assert lease is not None
    content = json.loads(lease.path.read_text()) | {"started": "12345"}
    lease.path.write_text(json.dumps(content))
    assert not is_alive(LocalFiles(tmp_path), lease.name)


def test_a_late_holder_commits_nothing(tmp_path: Path, make_sample: Make) -> None:
    store = Store.create(tmp_path, PLAN, shards=1, lease_s=50)
    late = store.claim(0)
    assert late is not None
    os.utime(late.path, (0, 0))
    second = store.claim(0)
    assert second is not None
    with pytest.raises(LeaseLost):
        store.commit(late, [make_sample(0)])
    assert shard_hashes(tmp_path) == {}
    late.release()
    second.check()
    with second:
        record = store.commit(second, [make_sample(0)])
    assert leftovers(tmp_path) == []
    assert store.commit(late, [make_sample(0)]) == record
    with pytest.raises(DataError, match="committed with sha256"):
        store.commit(late, [make_sample(1)])
    assert store.verify().ok


def test_a_takeover_between_the_two_renames_is_noticed(tmp_path: Path, make_sample: Make) -> None:
    store = Store.create(tmp_path, PLAN, shards=1, lease_s=50)
    late = store.claim(0)
    assert late is not None

    def take_over(point: str) -> None:
        if point == "parquet_renamed":
            os.utime(late.path, (0, 0))
            assert store.claim(0) is not None

    with pytest.raises(LeaseLost):
        store.commit(late, [make_sample(0)], hook=take_over)
    assert store.pending() == [0]
    assert store.committed() == []


def test_an_exception_gives_the_lease_back(tmp_path: Path) -> None:
    store = Store.create(tmp_path, PLAN, shards=1)
    lease = store.claim(0)
    assert lease is not None
    with pytest.raises(ZeroDivisionError), lease:
        raise ZeroDivisionError
    assert store.claim(0) is not None


def test_records_detect_any_change(tmp_path: Path, make_sample: Make) -> None:
    record = CommitRecord(0, "f" * 64, "a" * 64, 1, "b" * 64, (Skip("s1", "print_a4", "too_small", "a detail"),))
    path = tmp_path / "shard-00000.json"
    path.write_bytes(record.to_bytes())
    assert CommitRecord.read(path) == record
    assert record.to_bytes() == replace(record).to_bytes()
    for old, new in ((b"a detail", b"b detail"), (b'"rows": 1', b'"rows": 2'), (b"}", b""), (b"{", b"[")):
        path.write_bytes(record.to_bytes().replace(old, new, 1))
        with pytest.raises(DataError, match="shard-00000"):
            CommitRecord.read(path)


def child(root: Path, work: str) -> None:
    """Run `work` in another process on the store at `root`, made if need be."""
    script = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parents[1] / "kits")!r})
from pathlib import Path
from small_samples import sample_fields
from spooflab.sample import Sample
from spooflab.store import Store
root = Path({str(root)!r})
plan = {PLAN!r}
store = Store.open(root) if (root / "plan.json").exists() else Store.create(root, plan, shards=1)
def fill(store, shard, rows):
    with store.claim(shard) as lease:
        store.commit(lease, [Sample.create(**sample_fields(shard * rows + row)) for row in range(rows)])
{work}
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)
