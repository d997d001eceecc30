"""Executors run each cell once, wherever it runs, and tell how it ended; a crash costs the cell that crashed alone."""

import json
import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pydantic import TypeAdapter, ValidationError

from spooflab.cli.repeating import repeating_command
from spooflab.errors import ConfigError, DataError
from spooflab.experiments.executors import AnyExecutor, LocalExecutor, RayExecutor, SlurmExecutor, chosen_executor
from spooflab.experiments.executors.ending import Raised, as_error, attempt
from spooflab.experiments.executors.time_limit import Limited, OverTime, overran
from spooflab.experiments.run import failure_record
from spooflab.experiments.run_folder import Busy, RunFolder
from spooflab.experiments.run_spec import RunSpec
from spooflab.experiments.study import plan_study, run_study
from spooflab.experiments.study_config import StudyConfig

KITS = Path(__file__).parents[1] / "kits"
CELLS = ["a", "killed", "b", "raises", "refuses", "c"]


def spec(name: str = "a") -> RunSpec:
    return RunSpec(name, {}, 0, name, (), (), (), (), Path("."), "")


def raising(error: Exception) -> Any:
    def task(_spec: RunSpec, _out: Path) -> None:
        raise error

    return task


def executor(**settings: Any) -> Any:
    return TypeAdapter(AnyExecutor).validate_python(settings)


def test_an_error_crosses_processes_as_plain_values(tmp_path: Path) -> None:
    assert as_error(attempt(lambda _spec, _out: None, spec(), tmp_path)) is None
    ours = DataError("no rows", wanted="some", next_step="make some")
    ending = json.loads(json.dumps(attempt(raising(ours), spec(), tmp_path)))
    assert str(as_error(ending)) == str(ours)
    assert type(as_error(ending)) is DataError
    assert isinstance(as_error(attempt(raising(Busy("held")), spec(), tmp_path)), Busy)
    other = as_error(attempt(raising(ZeroDivisionError("by zero")), spec(), tmp_path))
    assert type(other) is Raised
    record = failure_record(spec(), other, "again")
    assert record["reason"] == "ZeroDivisionError: by zero"
    assert "raise error" in record["traceback"][-2]  # where it was raised, not where it was read


def test_the_command_line_wins_over_the_file_and_workers_means_cells_at_once() -> None:
    assert chosen_executor(None, 3) == LocalExecutor(workers=3)
    assert chosen_executor(LocalExecutor(workers=5), 3) == LocalExecutor(workers=5)
    assert chosen_executor(LocalExecutor(workers=5), 3, workers=0).apart is False
    in_file = SlurmExecutor(partition="gpu", array_parallelism=40)
    assert chosen_executor(in_file, 3) is in_file
    assert chosen_executor(in_file, 3, name="slurm", workers=8) == SlurmExecutor(partition="gpu", array_parallelism=8)
    assert chosen_executor(in_file, 3, name="ray") == RayExecutor()
    assert chosen_executor(None, 3, name="ray", workers=4).lanes == 4
    assert chosen_executor(in_file, 3, name="local").lanes == 3
    for other in (RayExecutor(), in_file):
        with pytest.raises(ConfigError, match="0 workers"):
            chosen_executor(other, 3, workers=0)


def test_a_file_with_an_unknown_executor_or_key_is_refused() -> None:
    assert executor(name="slurm", minutes=10, parameters={"account": "lab"}).parameters == {"account": "lab"}
    for wrong in ({"name": "dask"}, {"name": "ray", "partition": "gpu"}, {"name": "slurm", "minutes": 0}, {}):
        with pytest.raises(ValidationError):
            executor(**wrong)


def test_what_is_not_installed_or_not_there_is_named_with_what_helps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))  # no srun
    for name in ("RAY_USAGE_STATS_ENABLED", "RAY_AUTH_MODE", "RAY_AUTH_TOKEN"):
        monkeypatch.setenv(name, "x")
    never = raising(AssertionError())
    pytest.importorskip("submitit")
    with pytest.raises(ConfigError, match=r"(?s)srun.*cluster: local"):
        SlurmExecutor().run([spec()], never, tmp_path, never)
    for name, kind in (("ray", RayExecutor), ("submitit", SlurmExecutor)):
        monkeypatch.setitem(sys.modules, name, None)
        with pytest.raises(ConfigError, match=r"pip install 'spooflab\[(ray|slurm)\]'"):
            kind().run([spec()], never, tmp_path, never)


def test_what_the_file_says_reaches_the_batch_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("submitit")
    (tmp_path / "srun").write_text("#!/bin/sh\n")
    (tmp_path / "srun").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    whole = {
        "partition": "gpu",
        "minutes": 120,
        "array_parallelism": 40,
        "cpus_per_run": 4,
        "gpus_per_run": 1,
        "memory_gb": 16,
        "setup": ["module load cuda"],
        "parameters": {"account": "lab"},
    }

    def batch_file(**settings: Any) -> str:
        made = executor(name="slurm", **settings)._executor(tmp_path / "jobs")
        made._executor.parameters["map_count"] = 100
        text: str = made._executor._make_submission_file_text("python x", "uid")
        return text

    lines = batch_file(**whole).splitlines()
    wanted = ["partition=gpu", "time=120", "array=0-99%40", "cpus-per-task=4", "gpus-per-node=1", "mem=16GB"]
    assert [line for line in [*wanted, "account=lab"] if f"#SBATCH --{line}" not in lines] == []
    assert "module load cuda" in lines
    bare = batch_file()
    assert "#SBATCH --time=60" in bare
    assert "partition" not in bare
    assert "gpus" not in bare


def test_a_cell_past_its_limit_is_stopped_and_one_within_it_leaves_nothing(tmp_path: Path) -> None:
    def forever(_spec: RunSpec, _out: Path) -> None:
        while True:
            pass

    with pytest.raises(OverTime, match=r"limit of 0\.001 minutes"):
        Limited(forever, 0.001, kill=False)(spec(), tmp_path)
    Limited(lambda _spec, _out: None, 1.0, kill=True)(spec(), tmp_path)
    assert overran(spec(), tmp_path) is None
    assert not list(tmp_path.rglob("hang.txt"))
    assert pickle.loads(pickle.dumps(Limited(os.kill, 1.0, kill=True))).task is os.kill  # as a pool sends it


def test_a_cell_that_another_process_runs_is_waited_for_and_then_run_if_it_must(
    study_yaml: dict[str, Any], index: pa.Table, fake_task: Any, tmp_path: Path
) -> None:
    plan = plan_study(StudyConfig.model_validate(study_yaml), data=tmp_path, index=index)
    busy, gone = plan.runs[2], plan.runs[5]
    tries: list[str] = []

    def elsewhere_at_first(run: RunSpec, out: Path) -> None:
        tries.append(run.run_id)
        if run in (busy, gone) and tries.count(run.run_id) == 1:
            if run is busy:
                fake_task(run, out)  # as if the other process finished it meanwhile; of `gone` it died
            raise Busy("held")
        fake_task(run, out)

    outcome = run_study(plan, tmp_path, command="x", task=elsewhere_at_first)
    assert (outcome.finished, outcome.failed) == (len(plan.runs), 0)
    assert all(RunFolder(tmp_path / "runs" / run.run_id).done for run in plan.runs)
    assert len(tries) == len(plan.runs) + 2


def test_the_repeating_command_is_what_was_asked() -> None:
    told = repeating_command("mine", Path("m.yaml"), Path("o"), data=None, dry_run=False, resume=True, workers=0)
    assert told == "spooflab mine m.yaml --out o --resume --workers 0"


def run_script(settings: dict[str, Any], names: list[str], out: Path, minutes: float | None = None) -> dict[str, str]:
    out.mkdir()
    path = os.pathsep.join(filter(None, (str(KITS), os.environ.get("PYTHONPATH"))))
    words = [json.dumps(settings), json.dumps(names), str(out), json.dumps(minutes)]
    done = subprocess.run(
        [sys.executable, str(KITS / "executor_cells.py"), *words],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env={**os.environ, "PYTHONPATH": path},
    )
    assert done.returncode == 0, done.stderr
    ends: dict[str, str] = json.loads(done.stdout.splitlines()[-1])
    return ends


@pytest.mark.slow
@pytest.mark.parametrize(
    ("settings", "died"),
    [
        ({"name": "local", "workers": 2}, "the process died (SIGKILL: out of memory, or killed by hand)"),
        ({"name": "ray", "workers": 2}, "the process died (WorkerCrashedError: "),
        (
            {"name": "slurm", "cluster": "local", "array_parallelism": 2, "runs_per_job": 3, "minutes": 5},
            "ended in the middle of it, state FINISHED; its log: ",
        ),
    ],
    ids=lambda value: value["name"] if isinstance(value, dict) else "",
)
def test_a_cell_that_kills_its_process_costs_no_other(settings: dict[str, Any], died: str, tmp_path: Path) -> None:
    pytest.importorskip({"local": "torch", "ray": "ray", "slurm": "submitit"}[settings["name"]])
    out = tmp_path / "out"
    ends = run_script(settings, CELLS, out)
    assert died in ends.pop("killed")
    assert ends == {
        **dict.fromkeys("abc", "None"),
        "raises": "Picky: not well",
        "refuses": "no rows\nwanted: some\nnext: make some",
    }
    facts = {(out / name).read_text() for name in "abc"}
    assert {fact.split()[0] for fact in facts} == {"1"}  # torch threads
    if settings["name"] == "local":
        assert facts == {"1 1 False"}
    assert not list(out.rglob("*.pkl"))


@pytest.mark.slow
def test_a_cell_that_hangs_is_ended_even_when_it_hears_nothing(tmp_path: Path) -> None:
    ends = run_script({"name": "local", "workers": 2}, ["a", "late", "stuck", "b"], tmp_path / "out", 0.05)
    assert (ends["a"], ends["b"]) == ("None", "None")
    assert ends["late"] == "OverTime: ran past its limit of 0.05 minutes (run_minutes)"
    assert ends["stuck"].startswith("hung past its limit")
    assert "in task" in Path(ends["stuck"].split(": ")[-1]).read_text()
