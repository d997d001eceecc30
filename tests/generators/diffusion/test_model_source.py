"""Models are named by folder or by commit, found on this machine, and fetched through the hub's client alone."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
import torch
from huggingface_hub import errors

from spooflab.cli.main import run
from spooflab.errors import ConfigError, DataError
from spooflab.generators.diffusion import check_memory, fetch, locate, locate_file, parse_source

COMMIT = "0123456789abcdef0123456789abcdef01234567"
ON_HUB = f"hub:owner/tiny-model@{COMMIT}"


class Hub:
    """The client's `snapshot_download`: what is on the machine, what the hub has, and what was asked."""

    def __init__(self, folder: Path, *, here: bool, fails: Exception | None = None) -> None:
        self.folder, self.here, self.fails = folder, here, fails
        self.asked: list[dict[str, Any]] = []

    def __call__(self, repository: str, **options: Any) -> str:
        self.asked.append({"repository": repository, **options})
        if options.get("local_files_only") and not self.here:
            raise errors.LocalEntryNotFoundError("not here")
        if self.fails is not None:
            raise self.fails
        self.here = True
        return str(self.folder)


def _refusal(kind: type[Exception]) -> Exception:
    """An error of the client without the response that it would have come with."""
    return kind.__new__(kind)


def test_names() -> None:
    source = parse_source(ON_HUB, variant="fp16")
    assert (source.where, source.revision, source.variant) == ("owner/tiny-model", COMMIT, "fp16")
    assert str(source) == ON_HUB
    assert source.fetch_command == f"spooflab diffusion fetch {ON_HUB} --variant fp16"
    assert parse_source("models/tiny").revision is None
    one = parse_source(f"{ON_HUB}/models/ip-adapter_sd15.safetensors")
    assert (one.where, one.revision, one.file) == ("owner/tiny-model", COMMIT, "models/ip-adapter_sd15.safetensors")
    near = parse_source("models/faces.safetensors")
    assert (near.where, near.file) == ("models", "faces.safetensors")
    for source in (one, near):
        assert parse_source(str(source)) == source


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "empty"),
        ("hub:tiny", "hub:tiny"),
        ("hub:owner/tiny", "names no full commit"),
        ("hub:owner/tiny@main", "names no full commit"),
        (f"hub:owner/tiny@{COMMIT[:12]}", "names no full commit"),
        (f"hub:../tiny@{COMMIT}", "model source"),
        (f"hub:owner/tiny/more@{COMMIT}", "model source"),
        (f"{ON_HUB}/", "model source"),
        (f"{ON_HUB}/weights.bin", "model source"),
        (f"{ON_HUB}/../weights.safetensors", "model source"),
        (f"{ON_HUB}//weights.safetensors", "model source"),
    ],
)
def test_bad_names(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_source(text)
    with pytest.raises(ConfigError, match="variant"):
        parse_source(ON_HUB, variant="../fp16")


def test_what_is_not_here_is_told_with_the_command_that_gets_it(
    saved: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    hub = Hub(saved, here=False)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", hub)
    source = parse_source(ON_HUB)
    with pytest.raises(DataError, match=f"next: spooflab diffusion fetch {ON_HUB}"):
        locate(source)
    assert run(["diffusion", "fetch", ON_HUB, "--json"]) == 0
    assert locate(source) == saved
    assert [ask.get("local_files_only", False) for ask in hub.asked] == [True, False, True]
    for ask in hub.asked:
        assert (ask["repository"], ask["revision"]) == ("owner/tiny-model", COMMIT)
        assert not {"*.bin", "*.py", "*.pt", "*.ckpt", "*"} & set(ask["allow_patterns"])
    assert ON_HUB in capsys.readouterr().out


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (errors.GatedRepoError, "consent"),
        (errors.RepositoryNotFoundError, "no such repository"),
        (errors.RevisionNotFoundError, "no such repository or commit"),
        (errors.LocalEntryNotFoundError, "cannot be reached"),
        (errors.HfHubHTTPError, "cannot be reached"),
        (ConnectionError, "cannot be reached"),
    ],
)
def test_what_the_hub_refuses_is_told(
    saved: Path, kind: type[Exception], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(huggingface_hub, "snapshot_download", Hub(saved, here=False, fails=_refusal(kind)))
    with pytest.raises(DataError, match=message):
        fetch(parse_source(ON_HUB))


def test_a_folder_is_not_fetched(saved: Path, tmp_path: Path) -> None:
    assert locate(parse_source(str(saved))) == saved
    with pytest.raises(ConfigError, match="nothing to fetch"):
        fetch(parse_source(str(saved)))
    with pytest.raises(DataError, match="not a folder"):
        locate(parse_source(str(tmp_path / "none")))


def test_one_file_of_a_folder_or_of_the_hub(
    adapter: Callable[..., Path], saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    (tmp_path / "models").mkdir()
    with pytest.raises(DataError, match=r"holds 0 files \*\.safetensors in its top folder\n"):
        locate_file(parse_source(str(tmp_path)))
    path = adapter(tmp_path / "models" / "faces.safetensors", saved, "FaceID")
    assert locate_file(parse_source(str(path))) == locate_file(parse_source(str(tmp_path / "models"))) == path
    with pytest.raises(DataError, match=r"in all: models/faces\.safetensors"):
        locate_file(parse_source(str(tmp_path)))
    with pytest.raises(DataError, match="no such file"):
        locate_file(parse_source(str(path.with_name("others.safetensors"))))
    hub = Hub(tmp_path, here=True)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", hub)
    source = parse_source(f"{ON_HUB}/models/faces.safetensors")
    assert locate_file(source) == path
    assert hub.asked[0]["allow_patterns"] == ["models/faces.safetensors", "README.md"]
    assert run(["diffusion", "fetch", str(source), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["class"], facts["sha256"], facts["identity_width"]) == (
        "IP-Adapter FaceID", hashlib.sha256(path.read_bytes()).hexdigest(), 16
    )  # fmt: skip
    path.unlink()
    with pytest.raises(DataError, match=f"next: spooflab diffusion fetch {ON_HUB}/models/faces.safetensors"):
        locate_file(source)


def test_weights_that_do_not_fit_are_refused_before_they_are_loaded() -> None:
    cpu = torch.device("cpu")
    check_memory(800, cpu, what="tiny", free_bytes=1000)
    with pytest.raises(ConfigError, match=r"tiny takes 4\.00 GB of weights; cpu has 2\.00 GB free"):
        check_memory(4 * 10**9, cpu, what="tiny", free_bytes=2 * 10**9)
    with pytest.raises(ConfigError, match="bfloat16"):
        check_memory(10**18, cpu, what="huge")
