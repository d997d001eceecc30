"""`spooflab doctor-loader` on loaders with sound and unsound randomness."""

import json
from pathlib import Path

import pytest
import torch
from PIL import Image

from spooflab.augment.bridges.sample_digest import digest
from spooflab.cli.main import run
from spooflab.errors import DataError

PROPERTIES = ("distinct", "epochs", "workers", "batch_size")


@pytest.fixture(autouse=True)
def in_the_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(Path(__file__).parent / "loaders")


def _examine(name: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, dict]:
    status = run(["doctor-loader", f"some_loaders:{name}", "--json"])
    return status, json.loads(capsys.readouterr().out)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "failing"),
    [
        ("keyed", ()),
        pytest.param("shuffled", (), marks=pytest.mark.slow),
        pytest.param("batch_sampled", (), marks=pytest.mark.slow),
        pytest.param("unbatched", (), marks=pytest.mark.slow),
        pytest.param("nested", (), marks=pytest.mark.slow),
        pytest.param("make_keyed", (), marks=pytest.mark.slow),
        pytest.param("init_with_data", (), marks=pytest.mark.slow),
        ("numpy_global", ("workers", "batch_size")),
        pytest.param("torch_global", ("workers", "batch_size"), marks=pytest.mark.slow),
        ("own_generator", ("distinct", "epochs", "workers", "batch_size")),
        pytest.param("own_flips", ("distinct", "epochs", "workers", "batch_size"), marks=pytest.mark.slow),
        pytest.param("blind_to_the_first", ("distinct", "epochs", "workers", "batch_size"), marks=pytest.mark.slow),
        pytest.param("same_workers", ("distinct", "epochs", "workers", "batch_size"), marks=pytest.mark.slow),
        ("worker_count", ("workers",)),
        pytest.param("by_worker_large_batches", ("workers", "batch_size"), marks=pytest.mark.slow),
        pytest.param("same_epochs", ("epochs",), marks=pytest.mark.slow),
        pytest.param("same_epochs_python", ("epochs",), marks=pytest.mark.slow),
        ("stuck_workers", ("epochs",)),
        pytest.param("by_batch", ("batch_size",), marks=pytest.mark.slow),
        pytest.param("collated", ("workers",), marks=pytest.mark.slow),
    ],
)
def test_each_fault_is_caught_under_its_name(
    name: str, failing: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    status, found = _examine(name, capsys)
    assert [p["name"] for p in found["properties"]] == list(PROPERTIES)
    assert tuple(p["name"] for p in found["properties"] if p["status"] == "fail") == failing, found
    assert status == (1 if failing else 0)
    assert found["ok"] is not bool(failing)
    assert found["random"]
    assert all(p["indices"] for p in found["properties"] if p["status"] == "fail")


@pytest.mark.slow
def test_a_loader_without_randomness_is_told_as_such(capsys: pytest.CaptureFixture[str]) -> None:
    status, found = _examine("constant", capsys)
    assert status == 0
    assert not found["random"]
    assert {p["status"] for p in found["properties"]} == {"none"}


def test_too_few_samples_for_the_workers_are_no_proof(capsys: pytest.CaptureFixture[str]) -> None:
    status, found = _examine("keyed_pair", capsys)
    said = {p["name"]: p for p in found["properties"]}
    assert status == 0
    assert said["workers"]["status"] == "none"
    assert "only 2 of 4 workers" in said["workers"]["detail"]


@pytest.mark.slow
def test_the_lines_for_people_carry_the_evidence(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["doctor-loader", "some_loaders:own_generator"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("FAIL distinct across workers: workers 0 and 1; 0 and 2; 1 and 2 drew the same: 16 ")
    assert "16 of 16 indices are the same in epochs 0 and 1 with 2 workers: 0, 1, 2" in lines[1]
    assert "between 0 and 1 workers" in lines[2] or "between 0 and 2 workers" in lines[2]
    assert run(["doctor-loader", "some_loaders:same_epochs"]) == 1
    assert "though numpy.random.default_rng is used" in capsys.readouterr().out


@pytest.mark.slow
def test_our_own_transform_passes(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("albumentations")
    assert run(["doctor-loader", "with_devices:loader", "--samples", "6"]) == 0
    assert capsys.readouterr().out.count("pass ") == 4


@pytest.mark.parametrize(
    ("args", "named"),
    [
        (["some_loaders"], "module:name"),
        (["no_such_module:x"], "no_such_module"),
        (["some_loaders:absent"], "absent"),
        (["some_loaders:nothing"], "is a int"),
        (["some_loaders:make_nothing"], "NoneType"),
        (["some_loaders:make_error"], "no data here"),
        (["some_loaders:stream"], "map-style"),
        (["some_loaders:broken"], "no such picture"),
        (["some_loaders:leaving"], "the loader raised SystemExit"),
        (["some_loaders:make_exit"], "SystemExit"),
        (["a_finished_script:loader"], "cannot import 'a_finished_script'"),
        (["a_script:loader"], "cannot import 'a_script'"),
        (["some_loaders:keyed", "--samples", "1"], "samples 1"),
        (["some_loaders:keyed", "--workers", "2"], "workers [2]"),
    ],
)
def test_bad_arguments_exit_2(args: list[str], named: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["doctor-loader", *args]) == 2
    printed = capsys.readouterr()
    assert named in printed.err
    assert printed.out == ""


def test_digests_tell_values_apart() -> None:
    picture = Image.new("RGB", (2, 2))
    values = [
        1, 1.0, True, "1", b"1", None, [1], [1, 1], {"a": 1}, {"b": 1}, {1, 2},
        torch.ones(2), torch.ones(2, 1), torch.ones(2, dtype=torch.int64), torch.ones(2).numpy() + 1, picture,
        picture.resize((1, 4)), torch.ones(2, dtype=torch.bfloat16) * 3,
    ]  # fmt: skip
    assert len({digest(value) for value in values}) == len(values)
    assert digest({"a": torch.ones(2)}) == digest({"a": torch.ones(2)})
    with pytest.raises(DataError, match="cannot be compared"):
        digest([object()])
