import json
import shutil
import subprocess
from pathlib import Path

import pytest

import spooflab
from spooflab import provenance
from spooflab.provenance import (
    ALGORITHMIC_MEDIA,
    COMPOSITE,
    COMPOSITE_SYNTHETIC,
    COMPOSITE_WITH_TRAINED,
    DIGITAL_CAPTURE,
    SOURCE_TYPES,
    TRAINED_ALGORITHMIC_MEDIA,
    code_facts,
    code_version,
    git_commit,
    is_synthetic,
    joined_source_type,
    source_sha256,
    source_type,
)


def test_source_types_are_those_of_the_newscodes() -> None:
    known = {
        "digitalCapture",
        "algorithmicMedia",
        "composite",
        "compositeSynthetic",
        "trainedAlgorithmicMedia",
        "compositeWithTrainedAlgorithmicMedia",
    }
    assert set(SOURCE_TYPES) == {f"http://cv.iptc.org/newscodes/digitalsourcetype/{name}" for name in known}
    assert [t for t in SOURCE_TYPES if not is_synthetic(t)] == [DIGITAL_CAPTURE]


def test_a_picture_of_pictures_is_a_composite_of_the_most_synthetic_kind() -> None:
    assert joined_source_type([DIGITAL_CAPTURE, DIGITAL_CAPTURE]) == DIGITAL_CAPTURE
    assert joined_source_type([DIGITAL_CAPTURE, ALGORITHMIC_MEDIA]) == COMPOSITE
    assert joined_source_type([DIGITAL_CAPTURE, TRAINED_ALGORITHMIC_MEDIA]) == COMPOSITE_SYNTHETIC
    assert joined_source_type([COMPOSITE, COMPOSITE_WITH_TRAINED]) == COMPOSITE_SYNTHETIC
    assert joined_source_type([]) == COMPOSITE


@pytest.mark.parametrize(
    ("rendered", "learned", "wanted"),
    [
        (True, False, ALGORITHMIC_MEDIA),
        (False, False, COMPOSITE),
        (True, True, TRAINED_ALGORITHMIC_MEDIA),
        (False, True, COMPOSITE_WITH_TRAINED),
    ],
)
def test_source_type(rendered: bool, learned: bool, wanted: str) -> None:
    assert source_type(rendered=rendered, learned=learned) == wanted


def test_code_facts_are_plain_and_stable() -> None:
    facts = code_facts()
    assert json.loads(json.dumps(facts)) == facts
    assert facts == code_facts()
    assert {"spooflab", "source_sha256", "python", "torch", "numpy", "pillow", "pyarrow", "kornia"} == set(facts)
    assert code_version() == f"{spooflab.__version__}+src.{facts['source_sha256'][:12]}"


def test_the_source_hash_sees_code_and_configuration_that_decide_pixels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "spooflab"
    for name in ("augment/lens.py", "generators/print.py", "configs/devices/phone.yaml", "cli/main.py", "seeds.py"):
        (package / name).parent.mkdir(parents=True, exist_ok=True)
        (package / name).write_text(name)
    monkeypatch.setattr(spooflab, "__file__", str(package / "__init__.py"))
    fresh = source_sha256.__wrapped__
    before = fresh()
    (package / "cli" / "main.py").write_text("another command line")
    (package / "augment" / "__pycache__").mkdir()
    (package / "augment" / "__pycache__" / "lens.pyc").write_text("x")
    assert fresh() == before
    seen = {before}
    for name in ("augment/lens.py", "generators/print.py", "configs/devices/phone.yaml", "seeds.py"):
        (package / name).write_text("edited")
        seen.add(fresh())
    (package / "seeds.py").rename(package / "seed.py")
    seen.add(fresh())
    assert len(seen) == 6


def test_provenance_adds_machine_and_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    told = provenance.provenance()
    assert told["synthetic"] is True
    assert told["code"] == code_facts()
    assert json.loads(json.dumps(told)) == told
    monkeypatch.setattr(spooflab, "__file__", "/nowhere/lib/site-packages/spooflab/__init__.py")
    assert provenance.provenance()["git_commit"] is None


@pytest.mark.skipif(shutil.which("git") is None, reason="compares with git itself")
def test_git_commit_agrees_with_git(tmp_path: Path) -> None:
    def git(*args: str, at: Path) -> str:
        identity = ("-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false")
        told = subprocess.run(["git", *identity, *args], cwd=at, check=True, capture_output=True, text=True)
        return told.stdout.strip()

    assert git_commit(tmp_path) is None
    git("init", "-q", "-b", "main", at=tmp_path)
    assert git_commit(tmp_path) is None
    git("commit", "-q", "--allow-empty", "-m", "one", at=tmp_path)
    first = git("rev-parse", "HEAD", at=tmp_path)
    assert git_commit(tmp_path) == first
    git("pack-refs", "--all", at=tmp_path)
    assert git_commit(tmp_path) == first
    git("worktree", "add", "-q", "-b", "side", str(tmp_path / "side"), at=tmp_path)
    git("commit", "-q", "--allow-empty", "-m", "two", at=tmp_path / "side")
    assert git_commit(tmp_path / "side") == git("rev-parse", "HEAD", at=tmp_path / "side") != first
    git("checkout", "-q", "--detach", at=tmp_path)
    assert git_commit(tmp_path) == first
