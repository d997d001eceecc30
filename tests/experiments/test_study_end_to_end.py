"""The study command on a real data set: shards on disk, real training in worker processes, a report."""

import importlib.util
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import torch
import yaml

from spooflab.cli.report import report
from spooflab.cli.study import study
from spooflab.config import load_config
from spooflab.experiments.study import train_settings
from spooflab.experiments.study_config import StudyConfig

CONFIGS = Path(__file__).parents[2] / "configs" / "studies"


@pytest.fixture
def small(tmp_path: Path, indexed: Callable[..., pa.Table], stored: Callable[[Path, pa.Table], Path]) -> Path:
    return stored(tmp_path / "data", indexed(subjects=12, species=("bonafide", "print_a4", "replay_phone")))


def config(path: Path, **changes: Any) -> Path:
    train = {"size": 32, "steps": 6, "batch_size": 16, "eval_every": 3, "warmup_steps": 0, "checkpoint_every": None}
    whole = {
        "algorithms": [{"name": "erm", "label": "ERM"}, {"name": "mixstyle", "label": "MixStyle"}],
        "train": train,
        "bootstrap": 100,
    }
    path.write_text(yaml.safe_dump(whole | changes))
    return path


def test_dry_run_prints_the_grid_and_trains_nothing(
    small: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = config(tmp_path / "s.yaml", seeds=[0, 1, 2])
    assert study(path, tmp_path / "out", dry_run=True, data=small) == 0
    out = capsys.readouterr().out
    assert "12 runs = 2 algorithms × 2 folds × 3 seeds" in out
    assert "0 cached" in out
    assert "estimate: by measured steps" in out
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["probe.json"]
    known = (tmp_path / "out" / "probe.json").read_bytes()
    assert study(path, tmp_path / "out", dry_run=True, json=True, data=small) == 0
    assert (tmp_path / "out" / "probe.json").read_bytes() == known  # measured once
    plan = json.loads(capsys.readouterr().out)
    assert plan["runs"] == 12
    assert [(c["label"], c["runs"], c["basis"]) for c in plan["columns"]] == [
        ("ERM", 6, "measured steps"),
        ("MixStyle", 6, "measured steps"),
        ("images, read once", 1, "measured steps"),
    ]
    assert all(c["seconds"] > 0 and c["bytes"] > 0 for c in plan["columns"])
    assert study(path, tmp_path / "other", dry_run=True, probe="none", json=True, data=small) == 0
    assert not (tmp_path / "other").exists()
    assert json.loads(capsys.readouterr().out)["estimate_basis"] == "a rough guess"
    assert [fold["fold"] for fold in plan["folds"]] == ["print_a4", "replay_phone"]


@pytest.mark.slow
def test_a_dry_run_measures_columns_of_every_kind(
    small: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train = {"size": 32, "steps": 6, "batch_size": 16, "device": "cpu", "augment": {"views": 2}}
    columns = [{"name": "erm"}, {"name": "dann_target"}, {"name": "erm", "label": "tent", "test_time": "tent"}]
    path = config(
        tmp_path / "s.yaml",
        algorithms=columns,
        train=train | {"backbone": {"frozen_stages": 1}},
        pretrain={"steps": 4},
        cache=True,
    )
    assert study(path, tmp_path / "out", dry_run=True, json=True, data=small) == 0
    told = json.loads(capsys.readouterr().out)["columns"]
    assert [column["label"] for column in told] == [
        *("erm", "dann_target", "tent", "warm starts", "images, read once", "cached features")
    ]
    assert {column["basis"] for column in told} == {"measured steps"}
    assert all(column["seconds"] > 0 for column in told)
    assert [column["bytes"] > 0 for column in told] == [True, True, False, True, True, True]


def test_study_trains_reports_and_resumes_in_this_process(
    small: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    path = config(tmp_path / "s.yaml", data=str(small), workers=0)
    assert study(path, out, json=True) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["runs"] == {"done": 4, "failed": 0, "missing": 0, "total": 4}
    assert told == json.loads((out / "summary.json").read_text())
    html = (out / "report.html").read_text()
    assert f"spooflab study {path} --out {out}" in html
    stamps = {p: p.stat().st_mtime_ns for p in out.glob("runs/*/*") if p.is_file()}
    assert study(path, out) == 0
    assert {p: p.stat().st_mtime_ns for p in out.glob("runs/*/*") if p.is_file()} == stamps
    assert told["answer"] in capsys.readouterr().out
    assert report(out) == 0


@pytest.mark.slow
def test_worker_processes_give_the_same_scores_as_this_one(small: Path, tmp_path: Path) -> None:
    path = config(tmp_path / "s.yaml", data=str(small), protocol={"name": "leave_one_attack_out", "only": ["print_a4"]})
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as the workers have
    try:
        assert study(path, tmp_path / "here", workers=0) == 0
    finally:
        torch.set_num_threads(threads)
    script = tmp_path / "go.py"
    script.write_text(
        "import sys\nfrom pathlib import Path\nfrom spooflab.cli.study import study\n"
        "if __name__ == '__main__':\n    sys.exit(study(Path(sys.argv[1]), Path(sys.argv[2]), workers=2))\n"
    )
    command = [sys.executable, str(script), str(path), str(tmp_path / "pool")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    here, pool = (
        {p.parent.name: p.read_bytes() for p in (tmp_path / name).glob("runs/*/scores.parquet")}
        for name in ("here", "pool")
    )
    assert here == pool
    assert len(here) == 2


@pytest.mark.slow
def test_a_failing_algorithm_gives_a_partial_study_and_a_nonzero_exit(
    small: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    bad = {"name": "erm", "label": "huge rate", "train": {"lr": 1e30, "clip_norm": 1e30}}
    path = config(tmp_path / "s.yaml", data=str(small), workers=0, algorithms=[{"name": "erm"}, bad])
    assert study(path, out) == 1
    printed = capsys.readouterr()
    assert "2 done · 2 failed" in printed.out
    assert f"again: spooflab study {path} --out {out}" in printed.out
    assert report(out) == 1


@pytest.mark.slow
def test_a_tracker_gets_every_run_under_the_name_of_its_cell(small: Path, tmp_path: Path) -> None:
    protocol = {"name": "leave_one_attack_out", "only": ["print_a4"]}
    algorithms = [{"name": "erm", "label": "ERM"}]
    changes: dict[str, Any] = {"data": str(small), "workers": 0, "protocol": protocol, "algorithms": algorithms}
    tracked = config(tmp_path / "t.yaml", tracker="tensorboard", **changes)
    assert study(tracked, tmp_path / "out") == 0
    runs = {p.parent.relative_to(tmp_path / "out" / "trackers") for p in (tmp_path / "out").rglob("events.*")}
    assert runs == {Path("ERM/print_a4/seed-0")}
    assert study(config(tmp_path / "p.yaml", **changes), tmp_path / "plain") == 0
    assert (tmp_path / "out" / "results.parquet").read_bytes() == (tmp_path / "plain" / "results.parquet").read_bytes()
    missing = config(tmp_path / "m.yaml", tracker="wandb", **changes)
    if importlib.util.find_spec("wandb") is None:
        assert study(missing, tmp_path / "missing") == 1
        reasons = [json.loads(p.read_text())["reason"] for p in (tmp_path / "missing").rglob("failed.json")]
        assert reasons == ["tracker wandb: not installed"]


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_shipped_study_loads_with_settings_that_the_trainer_knows(path: Path) -> None:
    loaded = load_config(path, StudyConfig)
    assert loaded.bootstrap >= 2000
    for algorithm in loaded.algorithms:
        assert train_settings(loaded, algorithm.title)["algorithm"] == algorithm.name
