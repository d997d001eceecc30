"""Commands at a URL: what a folder gets, an object store gets, to the byte; what takes no URL says so."""

import hashlib
import json
import uuid
from pathlib import Path

import pytest
from small_generation import TINY

from spooflab.cli.main import run
from spooflab.store import Store, iter_images, read_index
from spooflab.store_files import files_at

CONFIGS = Path(__file__).parents[2] / "configs"
STUDY, MINING = CONFIGS / "studies" / "quickstart.yaml", CONFIGS / "mining" / "generator_in_the_loop.yaml"


@pytest.fixture
def url() -> str:
    return f"memory://{uuid.uuid4().hex}/data"


def content(where: str | Path) -> list[str]:
    store = Store.open(where)
    found = [files_at(where).read(store.shard_file(record)[0]) for record in store.committed()]
    return [hashlib.sha256(data).hexdigest() for data in (*found, files_at(where).read("plan.json"))]


@pytest.mark.slow
def test_commands_at_a_url(url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "tiny.yaml"
    config.write_text(json.dumps(TINY), encoding="utf-8")
    assert run(["generate", str(config), "--out", str(tmp_path / "here")]) == 0
    assert run(["generate", str(config), "--out", url, "--shard", "1/2"]) == 0
    assert run(["verify", url]) == 1
    assert run(["generate", str(config), "--out", url]) == 2
    assert f"{url} already holds a data set" in capsys.readouterr().err
    assert run(["generate", "--out", url, "--resume", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["out"], told["complete"], told["rows"]) == (url, True, 4)
    assert content(url) == content(tmp_path / "here")
    assert run(["verify", url]) == 0
    assert run(["generate", str(config), "--out", url, "--resume", "--seed", "2"]) == 2
    assert "seed: stored 1, now 2" in capsys.readouterr().err

    assert run(["stats", url, "--json"]) == 0
    stats = json.loads(capsys.readouterr().out)
    assert run(["stats", str(tmp_path / "here"), "--json"]) == 0
    assert stats == json.loads(capsys.readouterr().out)

    assert run(["card", url]) == 2
    assert run(["card", url, "--out", str(tmp_path / "card")]) == 0
    listed = json.loads((tmp_path / "card" / "croissant.json").read_text())["distribution"]
    record = Store.open(url).committed()[0]
    assert listed[0]["contentUrl"] == f"{url}/shards/shard-00000.{record.sha256[:16]}.parquet"
    assert run(["export-dataset", url, "--to", "webdataset", "--out", str(tmp_path / "tars")]) == 0
    key = read_index(url).column("key")[0].as_py()
    assert run(["replay", url, "--key", key, "--out", str(tmp_path / "again.png")]) == 0

    merged = [str(tmp_path / "merged"), f"{url}-merged"]
    for out in merged:
        parts = [url, str(tmp_path / "here")]
        assert run(["merge", *parts, "--out", out, "--names", "a", "b", "--duplicates", "skip"]) == 0
    assert content(merged[0]) == content(merged[1])
    assert [k for k, _ in iter_images(merged[1])] == [f"a-{k}" for k, _ in iter_images(url)]


@pytest.mark.slow
def test_ray_fills_an_object_store_with_the_bytes_of_a_local_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("ray")
    pytest.importorskip("moto.server", reason="needs moto[s3], flask, flask-cors")
    pytest.importorskip("s3fs")
    from s3_server import s3_server

    config = tmp_path / "tiny.yaml"
    config.write_text(json.dumps(TINY), encoding="utf-8")
    assert run(["generate", str(config), "--out", str(tmp_path / "here")]) == 0
    with s3_server("faces"):
        where = "s3://faces/by-ray"
        assert run(["generate", str(config), "--out", where, "--executor", "ray", "--workers", "2", "--json"]) == 0
        told = json.loads(capsys.readouterr().out)
        assert (told["out"], told["complete"], told["rows"], told["skips"]) == (where, True, 4, 0)
        assert content(where) == content(tmp_path / "here")
        assert run(["verify", where]) == 0
        assert set(files_at(where).names("leases")) <= {"clock"}


@pytest.mark.parametrize(
    "command",
    [
        ["audit", "s3://faces/x"],
        ["study", str(STUDY), "--out", "study", "--data", "s3://faces/x", "--dry-run"],
        ["study", str(STUDY), "--out", "s3://faces/x", "--data", "data"],
        ["search", str(STUDY), "--out", "s3://faces/x", "--data", "data"],
        ["train", str(STUDY), "--out", "s3://faces/x", "--data", "data"],
        ["mine", str(MINING), "--out", "s3://faces/x"],
        ["mine", str(MINING), "--out", "s3://faces/x", "--dry-run"],
        ["ingest", "folder", "data", "--out", "s3://faces/x", "--licence", "l", "--consent", "c"],
        ["ingest", "folder", "s3://faces/x", "--out", "data", "--licence", "l", "--consent", "c"],
        ["ingest", "folder", "data", "--out", "file:///faces/x", "--licence", "l", "--consent", "c"],
        ["report", "s3://faces/x"],
        ["compare", "s3://faces/x", "s3://faces/y"],
        ["explain", "s3://faces/x"],
        ["evaluate", "https://faces/scores.csv"],
        ["curate", "s3://faces/x", "--out", "data", "--n", "3"],
        ["qa", "s3://faces/x", "--out", "data"],
        ["realism", "s3://faces/x", "data", "--out", "out"],
        ["export", "s3://faces/x", "--out", "out"],
        ["score", "s3://faces/x", "data"],
        ["preview", "procedural", "--out", "s3://faces/x.png"],
        ["fit-device", "s3://faces/x", "--out", "device.yaml"],
        ["export-dataset", "data", "--to", "hf", "--out", "s3://faces/x"],
    ],
)
def test_what_takes_no_url_says_so(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(command) == 2
    told = capsys.readouterr().err
    assert "no URL is taken here" in told, told
    assert list(tmp_path.iterdir()) == []


def test_secrets_in_a_url_are_not_repeated(capsys: pytest.CaptureFixture[str]) -> None:
    for command in (["verify"], ["stats"], ["generate", "--resume", "--out"]):
        assert run([*command, "s3://me:hunter2@faces/x"]) == 2
        told = capsys.readouterr()
        assert "environment" in told.err
        assert "hunter2" not in told.err + told.out
