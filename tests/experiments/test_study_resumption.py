"""A grid of 24 small runs gives one table, whatever kills it on the way and wherever its cells run."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

pytestmark = pytest.mark.slow

KILLS = 10


@pytest.fixture(scope="module")
def grid(
    tmp_path_factory: pytest.TempPathFactory,
    indexed: Callable[..., pa.Table],
    stored: Callable[[Path, pa.Table], Path],
) -> Path:
    """A data set and a study file: four algorithms, two folds, three seeds, warm starts, cached features."""
    root = tmp_path_factory.mktemp("grid")
    stored(root / "data", indexed(subjects=12, species=("bonafide", "print_a4", "replay_phone")))
    train = {"size": 32, "batch_size": 16, "eval_every": 8, "warmup_steps": 0, "checkpoint_every": 4, "device": "cpu"}
    study = {
        "data": str(root / "data"),
        "algorithms": [{"name": name} for name in ("erm", "dann", "mixstyle", "dann_target")],
        "seeds": [0, 1, 2],
        "train": train | {"steps": 24, "backbone": {"frozen_stages": 1}, "augment": {"views": 2}},
        "pretrain": {"steps": 8, "augment": {"views": None}},
        "cache": True,
        "bootstrap": 200,
        "workers": 2,
    }
    write(root / "study.yaml", study)
    in_slurm = {"name": "slurm", "cluster": "local", "array_parallelism": 2, "runs_per_job": 12, "minutes": 20}
    write(root / "slurm.yaml", study | {"executor": in_slurm})
    return root


def write(path: Path, study: dict[str, Any]) -> None:
    path.write_text(yaml.safe_dump(study))


def start(grid: Path, out: str, *options: str, file: str = "study.yaml") -> subprocess.Popen[bytes]:
    """Begin the command in a process group of its own."""
    words = [sys.executable, "-m", "spooflab.cli", "study", str(grid / file), "--out", str(grid / out), *options]
    with (grid / f"{out}.log").open("ab") as log:
        return subprocess.Popen(words, stdout=log, stderr=log, start_new_session=True, env=os.environ)


def finish(grid: Path, out: str, *options: str, file: str = "study.yaml") -> dict[str, bytes]:
    """Run the command to its end and return what it says of every cell."""
    assert start(grid, out, *options, file=file).wait(600) == 0, (grid / f"{out}.log").read_text()[-3000:]
    files = {path.parent.name: path.read_bytes() for path in (grid / out).glob("runs/*/scores.parquet")}
    return {"results.parquet": (grid / out / "results.parquet").read_bytes(), **files}


@pytest.fixture(scope="module")
def undisturbed(grid: Path) -> dict[str, bytes]:
    return finish(grid, "undisturbed")


def traces(out: Path) -> set[tuple[str, int]]:
    """Every file of the study with its time of writing: it changes as soon as a cell does anything."""
    found = set()
    for path in out.rglob("*"):
        try:
            found.add((str(path), path.stat().st_mtime_ns))
        except FileNotFoundError:
            continue
    return found


def test_killed_ten_times_it_ends_with_the_same_table(grid: Path, undisturbed: dict[str, bytes]) -> None:
    rng, out = random.Random(24), grid / "killed"
    done: list[int] = []
    # On a starved machine ten lives may finish no cell.
    while (life := len(done)) < KILLS or (not done[-1] and life < 3 * KILLS):
        process = start(grid, "killed")
        if life in (0, 5):  # while it starts, plans, or makes its workers
            time.sleep(rng.uniform(0.5, 4.0))
        else:
            before = traces(out / "runs")
            while traces(out / "runs") == before and process.poll() is None:
                time.sleep(0.02)
            time.sleep(rng.uniform(0.0, 1.5))
        os.killpg(process.pid, signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL, f"life {life} ended by itself; {done}"
        done.append(len(list(out.glob("runs/*/done"))))
    assert done[-1] > 0  # kills hit a study under way
    assert done[-1] < 24
    assert finish(grid, "killed") == undisturbed
    assert not list(out.glob("runs/*/failed.json"))
    assert not (out / "pixels").exists()


@pytest.mark.parametrize("name", ["ray", "slurm"])
def test_other_executors_give_the_same_table(grid: Path, undisturbed: dict[str, bytes], name: str) -> None:
    pytest.importorskip("ray" if name == "ray" else "submitit")
    options = ("--executor", "ray", "--workers", "2") if name == "ray" else ()
    found = finish(grid, name, *options, file="slurm.yaml" if name == "slurm" else "study.yaml")
    assert len(found) == 25
    assert found == undisturbed
    assert pq.read_table(grid / name / "results.parquet").column("status").to_pylist() == ["done"] * 24


def test_workers_end_with_their_killed_parent_and_leave_no_lock(grid: Path, tmp_path: Path) -> None:
    process = start(grid, "orphans")
    runs = grid / "orphans" / "runs"
    while not list(runs.glob("*/training/log.jsonl")):
        assert process.poll() is None
        time.sleep(0.05)
    group = process.pid
    process.kill()  # the parent alone
    process.wait()
    deadline = time.monotonic() + 60
    while _alive(group) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not _alive(group)


def _alive(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True
