"""A study runs each cell once, survives failures and kills, and never changes a finished run."""

import json
import subprocess
import sys
import textwrap
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from spooflab.config import parse_config
from spooflab.errors import ConfigError, DataError
from spooflab.experiments.executors import LocalExecutor
from spooflab.experiments.price import FINISHED, GUESSED, price_study
from spooflab.experiments.probe import Measured, Probe, timing_key
from spooflab.experiments.report import write_report
from spooflab.experiments.results import load_results
from spooflab.experiments.run_folder import Busy, RunFolder
from spooflab.experiments.run_spec import RunSpec
from spooflab.experiments.study import Plan, plan_study, run_study
from spooflab.experiments.study_config import StudyConfig

Task = Callable[[RunSpec, Path], None]


@pytest.fixture
def plan(study_yaml: dict[str, Any], index: pa.Table, tmp_path: Path) -> Plan:
    return plan_study(StudyConfig.model_validate(study_yaml), data=tmp_path, index=index)


def files(out: Path) -> dict[str, bytes]:
    return {str(p.relative_to(out)): p.read_bytes() for p in sorted(out.rglob("*")) if p.is_file()}


def test_grid_is_algorithms_by_folds_by_seeds(plan: Plan) -> None:
    assert len(plan.runs) == 2 * 7
    assert len({run.run_id for run in plan.runs}) == 14
    assert [run.fold for run in plan.runs] == sorted(run.fold for run in plan.runs)
    assert plan.runs[0].train_config["algorithm"] == "erm"


def test_identity_is_what_decides_the_result_and_nothing_else(
    study_yaml: dict[str, Any], index: pa.Table, tmp_path: Path
) -> None:
    def ids(data: Path = tmp_path, table: pa.Table = index, **changes: Any) -> set[str]:
        config = StudyConfig.model_validate(study_yaml | changes)
        return {run.run_id for run in plan_study(config, data=data, index=table).runs}

    base = ids()
    (tmp_path / "moved").mkdir()
    assert ids(tmp_path / "moved") == base
    assert ids(algorithms=[{"name": "dann", "label": "B"}, {"name": "erm", "label": "A"}]) == base
    assert ids(workers=2, bootstrap=300) == base
    assert ids(executor={"name": "slurm"}, run_minutes=5, tracker="tensorboard", cache=True) == base
    assert not ids(train={"steps": 11}) & base
    assert not ids(seeds=[1]) & base
    assert not ids(train_size=40) & base
    assert not ids(protocol={"name": "leave_one_attack_out", "split": {"seed": 1}}) & base
    column = index.column("image_sha256").to_pylist()
    changed = index.set_column(index.column_names.index("image_sha256"), "image_sha256", [["0" * 64, *column[1:]]])
    assert not ids(table=changed) & base


def test_algorithms_and_seeds_see_the_same_rows(plan: Plan) -> None:
    for fold in {run.fold for run in plan.runs}:
        rows = {(run.train, run.dev, run.test) for run in plan.runs if run.fold == fold}
        assert len(rows) == 1


def test_unknown_settings_are_refused_before_anything_runs(
    study_yaml: dict[str, Any], index: pa.Table, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=r"algorithm ERM: stepz"):
        plan_study(StudyConfig.model_validate(study_yaml | {"train": {"stepz": 3}}), data=tmp_path, index=index)
    with pytest.raises(ConfigError, match="bootstrep"):
        parse_config(study_yaml | {"bootstrep": 3}, StudyConfig, origin="s.yaml")
    with pytest.raises(ConfigError, match="two share a heading"):
        parse_config(study_yaml | {"algorithms": [{"name": "erm"}] * 2}, StudyConfig, origin="s.yaml")
    twins = [{"name": "erm"}, {"name": "erm", "label": "again"}]
    with pytest.raises(ConfigError, match="7 runs are the same as another"):
        plan_study(StudyConfig.model_validate(study_yaml | {"algorithms": twins}), data=tmp_path, index=index)
    with pytest.raises(ConfigError, match="names no data"):
        plan_study(StudyConfig.model_validate(study_yaml), data=None, index=index)
    with pytest.raises(DataError, match="no such folder"):
        plan_study(StudyConfig.model_validate(study_yaml), data=tmp_path / "gone", index=index)


def test_a_study_finishes_once_and_the_second_call_writes_no_run_again(
    plan: Plan, fake_task: Task, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    first = run_study(plan, out, command="again", task=fake_task)
    assert (first.finished, first.failed, first.exit_code) == (14, 0, 0)
    before = files(out)

    def never(spec: RunSpec, _: Path) -> None:
        raise AssertionError(spec.name)

    second = run_study(plan, out, command="again", task=never)
    assert (second.finished, second.cached, second.exit_code) == (0, 14, 0)
    assert files(out) == before


def test_run_folder_holds_scores_of_dev_and_test_by_key(plan: Plan, fake_task: Task, tmp_path: Path) -> None:
    spec = plan.runs[0]
    fake_task(spec, tmp_path)
    record, scores, worst = RunFolder(tmp_path / "runs" / spec.run_id).read()
    assert scores.column_names == ["key", "score", "label", "species", "device", "device_id", "subject", "split"]
    assert scores.column("key").to_pylist() == [*spec.dev, *spec.test]
    assert record["identity"] == json.loads(json.dumps(spec.identity))
    assert record["metrics"]["threshold_source"] == "dev"
    assert set(worst.column("error").to_pylist()) <= {"attack accepted", "bona fide rejected"}
    for row in worst.to_pylist():
        assert row["thumbnail"][:2] == b"\xff\xd8"
        assert json.loads(row["facts"])["distance_mm"] >= 320


def test_a_failed_cell_is_recorded_and_the_others_go_on(plan: Plan, fake_task: Task, tmp_path: Path) -> None:
    def flaky(spec: RunSpec, out: Path) -> None:
        if spec.fold == "print_cut" and spec.label == "DANN":
            raise MemoryError("out of memory")
        fake_task(spec, out)

    told: list[tuple[str, str | None]] = []
    outcome = run_study(
        plan, tmp_path, command="spooflab study s.yaml", task=flaky, progress=lambda r, p: told.append((r.name, p))
    )
    assert (outcome.finished, outcome.failed, outcome.exit_code) == (13, 1, 1)
    assert ("DANN · print_cut · seed 0", "out of memory") in told
    summary = write_report(tmp_path)
    assert summary["failures"] == [
        {
            "run": summary["failures"][0]["run"],
            "cell": "DANN · print_cut · seed 0",
            "reason": "MemoryError: out of memory",
            "retry": "spooflab study s.yaml",
        }
    ]
    assert summary["matrix"]["print_cut"]["DANN"] is None
    assert "print_cut" in summary["folds_left_out"]
    rows = pq.read_table(tmp_path / "results.parquet").to_pylist()
    assert sorted({row["status"] for row in rows}) == ["done", "failed"]
    assert ">failed</td>" in (tmp_path / "report.html").read_text()
    # Tried again, it is done, and the record of the failure is gone.
    assert run_study(plan, tmp_path, command="x", task=fake_task).exit_code == 0
    assert not list(tmp_path.glob("runs/*/failed.json"))


def test_a_fold_with_one_class_fails_with_its_reason(
    study_yaml: dict[str, Any], indexed: Callable[..., pa.Table], fake_task: Task, tmp_path: Path
) -> None:
    table = indexed(species=("bonafide", "print_a4", "swap_blend"))
    # Without print_a4 the dev subjects have no attack left: their swaps are taken away.
    config = StudyConfig.model_validate(study_yaml)
    dev = config.protocol.split.parts(table)["dev"]
    drop = dev & (np.array(table.column("species").to_pylist()) == "swap_blend")
    plan = plan_study(config, data=tmp_path, index=table.filter(pa.array(~drop)))
    outcome = run_study(plan, tmp_path, command="x", task=fake_task)
    assert (outcome.finished, outcome.failed) == (2, 2)
    failed = [json.loads(p.read_text()) for p in tmp_path.glob("runs/*/failed.json")]
    assert all("fold print_a4" in f["reason"] and "dev rows hold no attack" in f["reason"] for f in failed)


def test_a_cell_that_did_not_finish_counts_as_not_done(plan: Plan, fake_task: Task, tmp_path: Path) -> None:
    spec = plan.runs[0]
    fake_task(spec, tmp_path)
    folder = RunFolder(tmp_path / "runs" / spec.run_id)
    (folder.path / "done").unlink()  # as if killed before the marker
    assert not folder.done
    fake_task(spec, tmp_path)
    assert folder.done


@pytest.mark.slow
def test_damage_after_the_marker_is_found_and_named(plan: Plan, fake_task: Task, tmp_path: Path) -> None:
    run_study(plan, tmp_path, command="x", task=fake_task)
    victim = tmp_path / "runs" / plan.runs[3].run_id / "scores.parquet"
    data = bytearray(victim.read_bytes())
    data[len(data) // 2] ^= 1
    victim.write_bytes(bytes(data))
    summary = write_report(tmp_path)
    assert summary["runs"]["failed"] == 1
    assert "changed since the run finished" in summary["failures"][0]["reason"]
    assert f"delete {victim.parent}" in summary["failures"][0]["retry"]


def test_two_processes_do_not_run_the_same_cell(plan: Plan, fake_task: Task, tmp_path: Path) -> None:
    spec = plan.runs[0]
    folder = RunFolder(tmp_path / "runs" / spec.run_id)
    with folder.lease(), pytest.raises(Busy):
        fake_task(spec, tmp_path)
    fake_task(spec, tmp_path)
    assert folder.done


@pytest.mark.slow
def test_report_is_rebuilt_from_run_folders_alone(plan: Plan, fake_task: Task, tmp_path: Path) -> None:
    run_study(plan, tmp_path, command="x", task=fake_task)
    first = write_report(tmp_path)
    html = (tmp_path / "report.html").read_bytes()
    for name in ("report.html", "summary.json", "results.parquet"):
        (tmp_path / name).unlink()
    assert write_report(tmp_path) == first
    assert (tmp_path / "report.html").read_bytes() == html
    (tmp_path / "study.json").unlink()
    again = write_report(tmp_path)
    assert again["runs"] == {"done": 14, "failed": 0, "missing": 0, "total": 14}
    assert again["matrix"]["print_a4"]["ERM"]["value"] == first["matrix"]["print_a4"]["ERM"]["value"]
    with pytest.raises(DataError, match="no finished run"):
        load_results(tmp_path / "nowhere")


def test_price_rests_on_finished_runs_of_the_same_column(plan: Plan, fake_task: Task, tmp_path: Path) -> None:
    local = LocalExecutor(workers=2)
    rough = price_study(plan, tmp_path, local)
    assert [(c.label, c.runs, c.basis) for c in rough.columns] == [("ERM", 7, GUESSED), ("DANN", 7, GUESSED)]
    erm = [run for run in plan.runs if run.label == "ERM"]
    for run, seconds in zip(erm, (3.0, 5.0), strict=False):
        fake_task(run, tmp_path)
        _tell_seconds(RunFolder(tmp_path / "runs" / run.run_id), seconds)
    price = price_study(plan, tmp_path, local)
    assert [(c.label, c.runs, c.basis) for c in price.columns] == [("ERM", 5, FINISHED), ("DANN", 7, GUESSED)]
    assert price.columns[0].seconds == pytest.approx(4.0)
    assert price.columns[1] == rough.columns[1]
    assert price.seconds == pytest.approx((5 * 4.0 + 7 * price.columns[1].seconds) / 2)
    assert price.basis == f"{GUESSED} and {FINISHED}"


def _tell_seconds(folder: RunFolder, seconds: float) -> None:
    record = json.loads((folder.path / "run.json").read_text())
    (folder.path / "done").unlink()
    folder.write_json("run.json", record | {"cell_seconds": seconds})
    folder.finish()


def test_price_of_a_run_is_the_sum_of_its_parts(plan: Plan, tmp_path: Path) -> None:
    one = Measured(setup=2.0, step=0.1, score=0.01, feature=0.0, feature_bytes=0.0, adapt=0.0, model_bytes=1000.0)
    probe = Probe({timing_key(run): one for run in plan.runs}, {128: 0.5}, {})
    price = price_study(plan, tmp_path, LocalExecutor(workers=0), probe)
    runs = [run for run in plan.runs if run.label == "ERM"]
    # 400 steps, an evaluation every 50, then dev and test once.
    each = [2.0 + 400 * 0.1 + 0.01 * (8 * len(r.dev) + len(r.dev) + len(r.test)) for r in runs]
    assert price.columns[0].seconds == pytest.approx(sum(each) / 7)
    assert price.columns[0].bytes == 9000.0
    assert price.columns[2].label == "images, read once"
    assert price.columns[2].seconds == pytest.approx(0.5 * len(plan.index))
    assert price.seconds == pytest.approx(2 * sum(each) + 0.5 * len(plan.index))


def test_settings_that_leave_a_step_as_long_share_its_measure(plan: Plan) -> None:
    run = plan.runs[0]

    def key(**changes: Any) -> str:
        return timing_key(replace(run, train_config={**run.train_config, **changes}))

    assert key(lr=0.1, steps=3, weight_decay=0.5) == timing_key(run)
    assert key(hparams={"weight": 0.5}) == key(hparams={"weight": 2.5})
    assert len({timing_key(run), key(size=64), key(batch_size=8), key(algorithm="dann"), key(hparams={"k": 2})}) == 5


@pytest.mark.slow
def test_the_table_of_figures_holds_no_time_or_machine(plan: Plan, fake_task: Task, tmp_path: Path) -> None:
    tables = []
    for seconds in (1.0, 900.0):
        out = tmp_path / str(seconds)
        run_study(plan, out, command="x", task=fake_task)
        for run in plan.runs:
            _tell_seconds(RunFolder(out / "runs" / run.run_id), seconds)
        write_report(out)
        tables.append((out / "results.parquet").read_bytes())
        assert pq.read_table(out / "times.parquet").column("cell_seconds").to_pylist() == [seconds] * 14
    assert tables[0] == tables[1]


@pytest.mark.slow
def test_pool_survives_a_cell_that_kills_its_process(tmp_path: Path) -> None:
    script = tmp_path / "pool.py"
    script.write_text(
        textwrap.dedent("""
        import os, signal, sys
        from pathlib import Path
        from spooflab.experiments.executors import LocalExecutor
        from spooflab.experiments.run_spec import RunSpec

        def spec(name):
            return RunSpec(name, {}, 0, name, (), (), (), (), Path("."), "")

        def task(run, out):
            if run.label == "killed":
                os.kill(os.getpid(), signal.SIGKILL)
            if run.label == "raises":
                raise ValueError("no")
            (out / run.label).write_text(os.environ["OMP_NUM_THREADS"])

        if __name__ == "__main__":
            names = ["a", "killed", "b", "raises", "c", "d"]
            ends = {}
            def report(run, error):
                assert run.label not in ends
                ends[run.label] = str(error)
            LocalExecutor(workers=2).run([spec(n) for n in names], task, Path(sys.argv[1]), report)
            print(sorted(ends.items()))
        """)
    )
    done = subprocess.run(
        [sys.executable, str(script), str(tmp_path)], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    # The second is what a fork server leaves to be said where it missed how its child ended.
    ends = ("SIGKILL: out of memory, or killed by hand", "killed, out of memory, or crashed")
    wants = [
        dict.fromkeys("abcd", "None") | {"killed": f"the process died ({end})", "raises": "ValueError: no"}
        for end in ends
    ]
    assert done.stdout.strip() in [str(sorted(want.items())) for want in wants]
    assert (tmp_path / "a").read_text() == "1"
