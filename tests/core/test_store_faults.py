"""Kills, hangs, full disks: 0 rows lost, 0 doubled, 0 silently wrong, nothing partial under a final name."""

import errno
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from final_files import shard_hashes

from spooflab.errors import DataError
from spooflab.sample import Sample
from spooflab.store import COMMIT_POINTS, Store, read_index

Make = Callable[..., Sample]
PLAN = {"seed": 3}
ROWS = 2
HEAD = f"""
import json, os, signal, sys, time
sys.path.insert(0, {str(Path(__file__).parents[1] / "kits")!r})
from pathlib import Path
from small_samples import sample_fields
from spooflab.sample import Sample
from spooflab.store import Store
def rows(shard):
    return [Sample.create(**sample_fields(shard * {ROWS} + row)) for row in range({ROWS})]
"""


def start(work: str, *args: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", HEAD + work, *(str(arg) for arg in args)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def finish(root: Path, make_sample: Make) -> None:
    store = Store.open(root, PLAN)
    for shard in store.pending():
        lease = store.claim(shard)
        assert lease is not None, f"shard {shard} is held by a process that is gone"
        with lease:
            store.commit(lease, [make_sample(shard * ROWS + row) for row in range(ROWS)])


def uninterrupted(root: Path, shards: int, make_sample: Make) -> dict[str, str]:
    Store.create(root, PLAN, shards=shards)
    finish(root, make_sample)
    return shard_hashes(root)


KILLED_AT_EVERY_CALL = """
from spooflab.shards import encode_shard
def work(root, fatal):
    calls = 0
    def deadly(call):
        def counted(*args, **kwargs):
            nonlocal calls
            if calls == fatal:
                os.kill(os.getpid(), signal.SIGKILL)
            calls += 1
            return call(*args, **kwargs)
        return counted
    for name in ("open", "fdopen", "fsync", "link", "replace", "unlink", "mkdir", "utime"):
        setattr(os, name, deadly(getattr(os, name)))
    store = Store.create(root, {"seed": 3}, shards=1)
    with store.claim(0) as lease:
        store.commit(lease, made)
made = rows(0)
encode_shard(made)  # what pyarrow imports at first use need not be imported in every child
base, fatal = Path(sys.argv[1]), 0
while True:
    pid = os.fork()
    if pid == 0:
        work(base / str(fatal), fatal)
        os._exit(0)
    _, status = os.waitpid(pid, 0)
    if not os.WIFSIGNALED(status):
        print(json.dumps([fatal, os.WEXITSTATUS(status)]))
        break
    fatal += 1
"""


@pytest.mark.slow
def test_killed_before_every_system_call_and_resumed_gives_the_same_bytes(tmp_path: Path, make_sample: Make) -> None:
    wanted = uninterrupted(tmp_path / "whole", 1, make_sample)
    (tmp_path / "killed").mkdir()
    told, _ = start(KILLED_AT_EVERY_CALL, tmp_path / "killed").communicate(timeout=120)
    kills, status = json.loads(told)
    assert status == 0
    assert kills > 25
    for number in range(kills):
        root = tmp_path / "killed" / str(number)
        for path in root.glob("shards/*"):  # what has a final name is whole
            assert hashlib.sha256(path.read_bytes()).hexdigest() == wanted[path.name], f"call {number}: {path.name}"
        if not (root / "plan.json").exists():
            Store.create(root, PLAN, shards=1)
        finish(root, make_sample)
        store = Store.open(root)
        assert shard_hashes(root) == wanted, f"call {number}"
        store.clean_partial()
        assert [p for folder in ("aside", "leases") for p in (root / folder).iterdir()] == []
        assert store.verify().problems == ()


@pytest.mark.parametrize(
    "point", [COMMIT_POINTS[0], *(pytest.param(point, marks=pytest.mark.slow) for point in COMMIT_POINTS[1:])]
)
def test_killed_at_a_commit_point(point: str, tmp_path: Path, make_sample: Make) -> None:
    wanted = uninterrupted(tmp_path / "whole", 1, make_sample)
    root = tmp_path / "killed"
    work = """
store = Store.create(Path(sys.argv[1]), {"seed": 3}, shards=1)
def die(point):
    if point == sys.argv[2]:
        os.kill(os.getpid(), signal.SIGKILL)
store.commit(store.claim(0), rows(0), hook=die)
"""
    process = start(work, root, point)
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL
    committed = point == "record_renamed"
    assert Store.open(root).pending() == ([] if committed else [0])
    if not committed:
        with pytest.raises(DataError, match="1 of 1 shards are missing"):
            read_index(root)
        assert Store.open(root).verify().count("missing") == 1
    finish(root, make_sample)
    assert shard_hashes(root) == wanted


def test_a_stopped_process_is_replaced_and_leaves_nothing_when_it_wakes(tmp_path: Path, make_sample: Make) -> None:
    wanted = uninterrupted(tmp_path / "whole", 1, make_sample)
    root = tmp_path / "stopped"
    Store.create(root, PLAN, shards=1)
    work = """
from spooflab.lease import LeaseLost
store = Store.open(Path(sys.argv[1]), lease_s=0.3)
lease = store.claim(0)
print("held", flush=True)
sys.stdin.readline()
try:
    store.commit(lease, rows(0)[:1])
except LeaseLost:
    print("lost", flush=True)
"""
    process = start(work, root)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    process.send_signal(signal.SIGSTOP)
    time.sleep(0.4)
    store = Store.open(root)
    lease = store.claim(0)
    assert lease is not None
    process.send_signal(signal.SIGCONT)
    told, _ = process.communicate("go\n", timeout=60)
    assert told == "lost\n"
    with lease:
        store.commit(lease, [make_sample(row) for row in range(ROWS)])
    assert shard_hashes(root) == wanted
    assert store.verify().problems == ()


def test_a_disk_that_is_full_publishes_nothing_and_can_be_resumed(tmp_path: Path, make_sample: Make) -> None:
    root = tmp_path / "full"
    work = """
import resource
from spooflab.errors import DataError
store = Store.create(Path(sys.argv[1]), {"seed": 3}, shards=1)
resource.setrlimit(resource.RLIMIT_FSIZE, (4000, 4000))
try:
    with store.claim(0) as lease:
        store.commit(lease, rows(0))
except DataError as error:
    print(error)
"""
    told, _ = start(work, root).communicate(timeout=60)
    assert "shard 0" in told
    assert "File too large" in told
    assert "--resume" in told
    assert [p for folder in ("shards", "aside", "leases") for p in (root / folder).iterdir()] == []
    finish(root, make_sample)
    assert Store.open(root).verify().ok


@pytest.mark.parametrize(("code", "wanted"), [(errno.ENOSPC, "free space"), (errno.EROFS, "may write")])
def test_the_system_refuses(
    code: int, wanted: str, tmp_path: Path, make_sample: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store.create(tmp_path / "data", PLAN, shards=1)
    lease = store.claim(0)
    assert lease is not None

    def refuse(descriptor: int) -> None:
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", refuse)
        with pytest.raises(DataError, match=os.strerror(code)) as caught:
            store.commit(lease, [make_sample(0)])
        assert wanted in caught.value.wanted
        assert shard_hashes(tmp_path / "data") == {}
        assert list((tmp_path / "data" / "aside").iterdir()) == []
        with pytest.raises(DataError, match=os.strerror(code)):
            Store.create(tmp_path / "other", PLAN, shards=1)
        assert not (tmp_path / "other" / "plan.json").exists()
    with lease:
        store.commit(lease, [make_sample(0)])
    assert store.verify().ok


def test_a_folder_that_may_not_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot start a store"):
        Store.create(tmp_path / "file" / "data", PLAN, shards=1)


def test_a_file_system_without_hard_links(tmp_path: Path, make_sample: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **options: object) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    wanted = uninterrupted(tmp_path / "whole", 2, make_sample)
    monkeypatch.setattr(os, "link", refuse)
    assert uninterrupted(tmp_path / "plain", 2, make_sample) == wanted
    with pytest.raises(DataError, match="--resume"):
        Store.create(tmp_path / "plain", PLAN, shards=2)


def test_cleaning_leaves_work_under_way_alone(tmp_path: Path) -> None:
    store = Store.create(tmp_path, PLAN, shards=2)
    lease = store.claim(0)
    assert lease is not None
    mine = tmp_path / "aside" / f"shard-00000.{lease.generation:06d}.{lease.token}"
    other = tmp_path / "aside" / "shard-00001.000000.dead"
    stray = tmp_path / "shards" / "shard-00001.parquet"
    for path in (mine, other, stray):
        path.write_bytes(b"x")
    assert set(store.clean_partial()) == {other, stray}
    assert mine.exists()
    lease.check()
