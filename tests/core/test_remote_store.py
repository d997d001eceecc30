"""A store in a folder, in memory and in a local S3 server: one contract, the same bytes, each shard once."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from silent_leases import silence
from small_samples import sample_fields
from small_shards import ROWS, make_shard

from spooflab.errors import ConfigError, DataError, StoreUnreachable
from spooflab.lease import Lease, LeaseLost, is_alive
from spooflab.local_files import LocalFiles
from spooflab.location import StoreUrl, location_of
from spooflab.object_files import ObjectFiles
from spooflab.records import own_parquet_name, plain_parquet_name, record_name
from spooflab.sample import Sample
from spooflab.shard_pool import run_shards
from spooflab.shard_runs import summarise
from spooflab.store import COMMIT_POINTS, Store, iter_images, iter_rows, read_index, read_row
from spooflab.store_files import StoreFiles, files_at

Make = Callable[..., Sample]
PLAN = {"seed": 3}
BUCKET = "faces"


@pytest.fixture(scope="module")
def server() -> Iterator[Any]:
    kit = pytest.importorskip("s3_server", reason="needs s3fs and moto[s3], flask, flask-cors")
    with kit.s3_server(BUCKET) as started:
        yield started


@pytest.fixture
def s3(server: Any) -> str:
    return f"s3://{BUCKET}/{uuid.uuid4().hex}"


@pytest.fixture
def memory() -> str:
    return f"memory://{uuid.uuid4().hex}/data"


@pytest.fixture(params=["folder", "memory", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(tmp_path / "data") if request.param == "folder" else str(request.getfixturevalue(request.param))


@pytest.fixture(params=["memory", pytest.param("s3", marks=pytest.mark.slow)])
def url(request: pytest.FixtureRequest) -> str:
    return str(request.getfixturevalue(request.param))


def fill(store: Store, make_sample: Make, rows: int = ROWS) -> None:
    for shard in store.pending():
        lease = store.claim(shard)
        assert lease is not None
        with lease:
            store.commit(lease, rows_of(shard, make_sample, rows))


def rows_of(shard: int, make_sample: Make, rows: int = ROWS) -> list[Sample]:
    return [make_sample(shard * rows + row) for row in range(rows)]


def held(store: Store, shard: int = 0) -> Lease:
    lease = store.claim(shard)
    assert lease is not None
    return lease


def final_hash(where: str | Path) -> str:
    """Hash what was committed, whatever the files are called."""
    store = Store.open(where)
    files, digest = files_at(where), hashlib.sha256()
    for record in store.committed():
        digest.update(files.read(store.shard_file(record)[0]) + record.to_bytes())
    return digest.hexdigest()


def uninterrupted(root: Path, shards: int, make_sample: Make) -> str:
    store = Store.create(root, PLAN, shards=shards)
    fill(store, make_sample)
    return final_hash(root)


def test_operations_of_a_place(place: str) -> None:
    files: StoreFiles = files_at(place)
    files.begin(("shards", "leases", "aside"))
    assert files.names("shards") == []
    assert not files.exists("shards/a.json")
    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(lambda n: files.write_once("shards/a.json", b"%d" % n * 9), range(8)))
    assert sum(won) == 1
    assert files.read("shards/a.json") == b"%d" % won.index(True) * 9
    files.write("shards/b.bin", bytes(range(256)) * 4, aside="aside/b", ready=lambda: None)
    files.write("shards/b.bin", bytes(range(256)) * 8, aside="aside/b", ready=lambda: None)
    assert (files.names("shards"), files.names("aside")) == (["a.json", "b.bin"], [])
    assert files.sizes("shards") == {"a.json": 9, "b.bin": 2048}
    assert (files.size("shards/b.bin"), files.size("shards/c"), files.size("shards")) == (2048, None, None) or (
        not files.remote
    )
    assert files.read_all(["shards/b.bin", "shards/a.json"])[1] == files.read("shards/a.json")
    with files.open("shards/b.bin") as file:
        file.seek(-250, os.SEEK_END)
        assert (file.read(4), file.tell(), len(file.read()), file.read(1)) == (bytes(range(6, 10)), 1802, 246, b"")
    silent = files.silent_s("shards/b.bin")
    assert silent is not None
    assert -1 < silent < 60
    assert files.silent_s("shards/c") is None
    assert files.remove(["shards/a.json"]) == ["shards/a.json"]
    assert files.names("shards") == ["b.bin"]
    for read in (files.read, lambda name: files.read_all(["shards/b.bin", name])):
        with pytest.raises(DataError, match="a\\.json") as caught:
            read("shards/a.json")
        assert not isinstance(caught.value, StoreUnreachable)


def test_the_same_bytes_as_in_a_folder(place: str, tmp_path: Path, make_sample: Make) -> None:
    wanted = uninterrupted(tmp_path / "whole", 2, make_sample)
    store = Store.create(place, PLAN, shards=2)
    fill(store, make_sample)
    assert final_hash(place) == wanted
    assert store.verify().problems == ()
    assert store.stored_bytes() == sum(store.shard_size(record) for record in store.committed())
    assert read_index(place).equals(read_index(tmp_path / "whole"))
    assert list(iter_images(place)) == list(iter_images(tmp_path / "whole"))
    assert sum(table.num_rows for table in iter_rows(place, ["key"])) == 2 * ROWS
    assert read_row(place, "s00000004") == make_sample(4)
    assert store.clean_partial() == []
    with pytest.raises(DataError, match="--resume"):
        Store.create(place, PLAN, shards=2)
    with pytest.raises(DataError, match="seed: stored 3, now 4"):
        Store.open(place, {"seed": 4})


def test_a_claimed_shard_is_not_claimed_again(place: str, make_sample: Make) -> None:
    store = Store.create(place, PLAN, shards=1)
    lease = held(store)
    assert Store.open(place).claim(0) is None
    lease.renew("s00000001")
    assert store.making(0) == "s00000001"
    assert 0 <= (store.silent_s(0) or 0.0) < 60
    lease.made_all()
    assert store.making(0) == ""
    with pytest.raises(ZeroDivisionError), lease:
        raise ZeroDivisionError
    assert not lease.note.exists()
    fill(store, make_sample)
    assert store.claim(0) is None


def test_a_late_holder_commits_nothing(place: str, make_sample: Make) -> None:
    store = Store.create(place, PLAN, shards=1)
    late = held(store)
    silence(store, late.name)
    second = held(store)
    assert second.generation == 1
    with pytest.raises(LeaseLost):
        store.commit(late, [make_sample(9)])
    assert store.pending() == [0]
    with second:
        record = store.commit(second, [make_sample(0)])
    assert store.commit(late, [make_sample(0)]) == record
    with pytest.raises(DataError, match="committed with sha256"):
        store.commit(late, [make_sample(1)])
    late.release()
    assert store.verify().problems == ()


@pytest.mark.parametrize("point", [point for point in COMMIT_POINTS if point != "parquet_written"])
def test_a_takeover_at_any_point_leaves_one_whole_shard(point: str, url: str, make_sample: Make) -> None:
    """Two holders with different bytes, the worst case: whoever's record comes first has its own object beside it."""
    store = Store.create(url, PLAN, shards=1)
    late = held(store)

    def take_over(reached: str) -> None:
        if reached == point:
            silence(store, late.name)
            other = store.claim(0)
            if other is not None:  # not after the record
                with other:
                    store.commit(other, [make_sample(1)])

    if point == "record_renamed":
        store.commit(late, [make_sample(0)], hook=take_over)
    else:
        with pytest.raises(DataError, match=r"passed to another|committed with sha256"):
            store.commit(late, [make_sample(0)], hook=take_over)
    report = store.verify()
    assert (report.rows, report.problems) == (1, ())
    assert len(files_at(url).names("shards")) == 2


def test_what_an_uncommitted_predecessor_left_is_removed_later(url: str, make_sample: Make) -> None:
    store, files = Store.create(url, PLAN, shards=2), files_at(url)
    for shard, number in ((0, 5), (1, 6)):
        lease = held(store, shard)

        def die(point: str) -> None:
            if point == "record_next":
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            store.commit(lease, [make_sample(number)], hook=die)
        silence(store, lease.name)
    assert store.pending() == [0, 1]
    assert store.verify().count("orphan") == 2
    second = held(store)
    with second:
        store.commit(second, [make_sample(0)])
    assert [name[:11] for name in files.names("shards")] == ["shard-00000", "shard-00000", "shard-00001"]
    assert len(store.clean_partial()) >= 1
    assert len(files.names("shards")) == 2
    assert files.names("leases") == ["clock"]


def test_copies_between_folders_and_stores_are_read_as_they_are(memory: str, tmp_path: Path, make_sample: Make) -> None:
    wanted = uninterrupted(tmp_path / "here", 2, make_sample)
    fs = fsspec.filesystem("memory")
    fs.put(str(tmp_path / "here"), memory, recursive=True)
    assert final_hash(memory) == wanted
    store = Store.create(memory + "-made", PLAN, shards=2)
    fill(store, make_sample)
    fs.get(memory + "-made/", str(tmp_path / "back"), recursive=True)
    for place in (memory, tmp_path / "back"):
        assert final_hash(place) == wanted
        assert Store.open(place).verify().ok
        assert read_index(place).num_rows == 2 * ROWS


def test_the_index_is_read_without_the_pictures(url: str, make_sample: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store.create(url, PLAN, shards=1)
    with held(store) as lease:
        store.commit(lease, [make_sample(row, size=96) for row in range(40)])
    fetched = list[int]()
    part = ObjectFiles.part

    def counted(files: ObjectFiles, name: str, start: int, end: int) -> bytes:
        fetched.append(end - start)
        return part(files, name, start, end)

    monkeypatch.setattr(ObjectFiles, "part", counted)
    assert read_index(url).num_rows == 40
    size = store.shard_size(store.committed()[0])
    assert size > 1_500_000
    assert sum(fetched) < 0.1 * size
    assert len(fetched) <= 8
    fetched.clear()
    assert read_row(url, "s00000003") == make_sample(3, size=96)
    assert sum(fetched) < 0.95 * size  # one of two row groups


def test_requests_are_as_documented(s3: str, make_sample: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    import s3fs

    calls: Counter[str] = Counter()
    call = s3fs.S3FileSystem._call_s3

    async def counted(fs: Any, method: str, *args: Any, **options: Any) -> Any:
        calls[method] += 1
        return await call(fs, method, *args, **options)

    monkeypatch.setattr(s3fs.S3FileSystem, "_call_s3", counted)
    Store.create(s3, PLAN, shards=3)
    assert calls.total() == 13
    list(run_shards(make_shard, "{}", location_of(s3), [0], 1))  # the first finds no shard yet
    calls.clear()
    done = list(run_shards(make_shard, "{}", location_of(s3), [1], 1))
    assert done[0] is not None
    assert calls == {"get_object": 6, "list_objects_v2": 3, "put_object": 3, "delete_object": 1, "head_object": 1}
    store = Store.open(s3)
    calls.clear()
    assert store.pending() == [2]
    assert store.stored_bytes() > 0
    assert calls == {"list_objects_v2": 2}


def test_no_secret_is_stored(s3: str, server: Any, make_sample: Make) -> None:
    store, files = Store.create(s3, PLAN, shards=1), files_at(s3)
    with held(store) as lease:
        stored = [files.read(lease.name)]
        store.commit(lease, [make_sample(0)])
    stored += [files.read(name) for name in ("plan.json", record_name(0), "leases/clock")]
    secret = server.environment["AWS_SECRET_ACCESS_KEY"].encode()
    assert len(secret) > 20
    assert all(secret not in content for content in stored)


@pytest.mark.parametrize(
    "text", ["s3://me:pass@b/x", "s3://b/x?token=pass", "s3://b/x#pass", "simplecache::s3://b/pass", "s3://pass@b"]
)
def test_urls_with_secrets_are_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(ConfigError, match="environment") as caught:
        location_of(text)
    assert "pass" not in str(caught.value).replace("a password", "")


def test_urls(tmp_path: Path) -> None:
    assert location_of("s3://b/x/") == StoreUrl("s3://b/x")
    assert location_of(f"file://{tmp_path}") == location_of(tmp_path) == tmp_path
    assert isinstance(files_at(f"file://{tmp_path}"), LocalFiles)
    for wrong, told in (("s3://", "empty"), ("s3://b/../c", "'..'"), ("file://x", "absolute"), ("nope://b", "nope")):
        with pytest.raises(ConfigError, match=told):
            files_at(wrong)
    with pytest.raises(ConfigError, match="copy the data set"):
        read_index(Path("s3://b/x"))


class _LooksThenWrites(MemoryFileSystem):  # type: ignore[misc]  # fsspec has no types
    """Conditional creation as a file system does it that knows none."""

    protocol = "racy"

    def pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **options: Any) -> None:
        if mode == "create" and self.exists(path):
            raise FileExistsError(path)
        time.sleep(0.02)
        super().pipe_file(path, value)


class _Ignores(_LooksThenWrites):
    protocol = "ignores"

    def pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **options: Any) -> None:
        MemoryFileSystem.pipe_file(self, path, value)


@pytest.mark.parametrize("kind", [_LooksThenWrites, _Ignores])
def test_a_store_that_lets_two_writers_win_is_refused(kind: type[MemoryFileSystem]) -> None:
    fsspec.register_implementation(str(kind.protocol), kind, clobber=True)
    with pytest.raises(DataError, match=r"[2-6] of 6 writers created the same object[\s\S]*If-None-Match"):
        Store.create(f"{kind.protocol}://x/data", PLAN, shards=1)
    assert not Store.begun(f"{kind.protocol}://x/data")


def test_a_reply_that_is_lost_harms_nothing(memory: str, make_sample: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """The request is sent again by the client, and told that the object exists: its own."""
    store = Store.create(memory, PLAN, shards=1)
    tried = ObjectFiles._tried

    def lost(files: ObjectFiles, name: str, data: bytes) -> Exception | None:
        return tried(files, name, data) or FileExistsError(name)

    monkeypatch.setattr(ObjectFiles, "_tried", lost)
    with held(store) as lease:
        record = store.commit(lease, [make_sample(0)])
    assert store.committed() == [record]
    assert store.verify().problems == ()


def test_a_host_whose_clock_is_wrong_takes_nothing_over(memory: str, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store.create(memory, PLAN, shards=1)
    lease, files = held(store), files_at(memory)
    content = json.loads(files.read(lease.name)) | {"host": "elsewhere"}
    files.touch(lease.name, json.dumps(content).encode())
    true = time.time
    monkeypatch.setattr(time, "time", lambda: true() + 86400)
    assert is_alive(files, lease.name)
    assert store.claim(0) is None


def test_an_error_in_mid_write_shows_nothing(memory: str, make_sample: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    store, files = Store.create(memory, PLAN, shards=1), files_at(memory)

    def fail(*args: Any, **options: Any) -> None:
        raise ConnectionResetError("it went away")

    with held(store) as lease, monkeypatch.context() as patch:
        patch.setattr(MemoryFileSystem, "pipe_file", fail)
        with pytest.raises(StoreUnreachable, match=r"it went away[\s\S]*--resume"):
            store.commit(lease, [make_sample(0)])
    assert files.names("shards") == []
    fill(store, make_sample)
    assert store.verify().ok


def test_an_outage_is_not_told_as_damage(memory: str, make_sample: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store.create(memory, PLAN, shards=1)
    fill(store, make_sample)
    whole = MemoryFileSystem.cat_file

    def fail(fs: Any, path: str, *args: Any, **options: Any) -> bytes:
        if path.endswith("parquet"):
            raise TimeoutError("no answer")
        return bytes(whole(fs, path, *args, **options))

    monkeypatch.setattr(MemoryFileSystem, "cat_file", fail)
    for work in (store.verify, lambda: read_index(memory), lambda: list(iter_images(memory))):
        with pytest.raises(StoreUnreachable, match="no answer"):
            work()


def test_a_flip_and_a_loss_are_found_in_objects(memory: str, make_sample: Make) -> None:
    store, files = Store.create(memory, PLAN, shards=3), files_at(memory)
    fill(store, make_sample)
    names = [store.shard_file(record)[0] for record in store.committed()]
    flipped = bytearray(files.read(names[0]))
    flipped[len(flipped) // 2] ^= 1
    files.touch(names[0], bytes(flipped))
    files.remove([names[1]])
    report = store.verify()
    assert {problem.shard for problem in report.problems if problem.kind == "corrupt"} == {0, 1}


def test_a_server_that_stops_in_mid_run(s3: str, server: Any, tmp_path: Path, make_sample: Make) -> None:
    wanted = uninterrupted(tmp_path / "whole", 4, make_sample)
    store = Store.create(s3, PLAN, shards=4)
    run = run_shards(make_shard, "{}", location_of(s3), store.pending(), 1)
    assert next(run) is not None
    server.stop()
    try:
        with pytest.raises(StoreUnreachable, match=r"s3://faces/[\s\S]*--resume"):
            list(run)
    finally:
        server.start()
    assert len(Store.open(s3).pending()) == 3
    assert store.verify().count("orphan") == store.verify().count("corrupt") == 0
    list(run_shards(make_shard, "{}", location_of(s3), store.pending(), 1))
    assert final_hash(s3) == wanted
    assert store.verify().problems == ()


HEAD = f"""
import os, signal, sys
sys.path.insert(0, {str(Path(__file__).parents[1] / "kits")!r})
from small_samples import sample_fields
from spooflab.sample import Sample
from spooflab.store import Store
def rows(shard):
    return [Sample.create(**sample_fields(shard * {ROWS} + row)) for row in range({ROWS})]
"""
LAUNCHER = """
store = Store.open(sys.argv[1], {"seed": 3})
for shard in store.pending():
    lease = store.claim(shard)
    if lease is not None:
        with lease:
            store.commit(lease, rows(shard))
        print(shard, flush=True)
"""
KILLED = """
store = Store.open(sys.argv[1], {"seed": 3})
def die(point):
    if point == sys.argv[2]:
        os.kill(os.getpid(), signal.SIGKILL)
store.commit(store.claim(0), rows(0), hook=die)
"""


def start(work: str, *args: str) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", HEAD + work, *args], stdout=subprocess.PIPE, text=True)


@pytest.mark.slow
def test_two_launchers_at_one_url_commit_each_shard_once(s3: str, tmp_path: Path, make_sample: Make) -> None:
    shards = 12
    wanted = uninterrupted(tmp_path / "whole", shards, make_sample)
    Store.create(s3, PLAN, shards=shards)
    processes = [start(LAUNCHER, s3) for _ in range(2)]
    told = [process.communicate(timeout=240)[0].split() for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    assert sorted(int(shard) for shard in told[0] + told[1]) == list(range(shards))
    assert final_hash(s3) == wanted
    assert Store.open(s3).verify().problems == ()


@pytest.mark.slow
@pytest.mark.parametrize("point", [point for point in COMMIT_POINTS if point != "parquet_written"])
def test_killed_at_a_commit_point_and_resumed(point: str, s3: str, tmp_path: Path, make_sample: Make) -> None:
    wanted = uninterrupted(tmp_path / "whole", 1, make_sample)
    Store.create(s3, PLAN, shards=1)
    process = start(KILLED, s3, point)
    process.communicate(timeout=240)
    assert process.returncode == -signal.SIGKILL
    store = Store.open(s3)
    assert store.pending() == ([] if point == "record_renamed" else [0])
    fill(store, make_sample)
    assert final_hash(s3) == wanted
    assert store.verify().problems == ()


@pytest.mark.slow
@pytest.mark.parametrize(("number", "reason"), [(signal.SIGSEGV, "process_died"), (signal.SIGSTOP, "hung")])
def test_the_watched_pool_gives_up_what_kills_or_hangs(number: int, reason: str, s3: str) -> None:
    store, bad = Store.create(s3, PLAN, shards=3), str(sample_fields(ROWS + 1)["key"])
    config = json.dumps({"signals": {bad: number}})
    done = [d for d in run_shards(make_shard, config, location_of(s3), store.pending(), 2, lease_s=4.0) if d]
    assert sorted(d.shard for d in done) == [0, 1, 2]
    told = summarise(store)
    assert (told.rows, told.skips, told.given_up) == (3 * ROWS - 1, 1, 1)
    (skip,) = (skip for record in store.committed() for skip in record.skips)
    assert (skip.key, skip.reason) == (bad, reason)
    assert store.verify().problems == ()


def test_names_of_shards() -> None:
    assert plain_parquet_name(7) == "shards/shard-00007.parquet"
    assert own_parquet_name(7, "ab" * 32) == "shards/shard-00007.abababababababab.parquet"
