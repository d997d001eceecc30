"""Test-time columns of a study: one training, scores of the method itself, and a report that says who saw what."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from spooflab.adapters import ImageSet, Tent, load_model
from spooflab.config import parse_config
from spooflab.errors import ConfigError, DataError
from spooflab.experiments.at_test_time import adapt_and_score, stream
from spooflab.experiments.report import write_report
from spooflab.experiments.run import run_cell
from spooflab.experiments.run_folder import RunFolder
from spooflab.experiments.run_spec import RunSpec
from spooflab.experiments.study import Plan, plan_study, run_study
from spooflab.experiments.study_config import StudyConfig
from spooflab.store import read_index

pytestmark = pytest.mark.slow  # together half a minute

TENT = {"name": "erm", "test_time": "tent", "test_time_hparams": {"lr": 0.01, "batch_size": 16}}


@pytest.fixture(scope="module")
def small(
    tmp_path_factory: pytest.TempPathFactory,
    indexed: Callable[..., pa.Table],
    stored: Callable[[Path, pa.Table], Path],
) -> Path:
    species = ("bonafide", "print_a4", "replay_phone")
    return stored(tmp_path_factory.mktemp("store") / "data", indexed(subjects=12, species=species))


def planned(data: Path, algorithms: list[dict[str, Any]], table: pa.Table | None = None) -> Plan:
    config = StudyConfig.model_validate(
        {
            "protocol": {"name": "leave_one_attack_out", "only": ["print_a4"]},
            "algorithms": algorithms,
            "train": {"size": 32, "steps": 3, "batch_size": 16, "eval_every": 3, "checkpoint_every": None},
            "bootstrap": 100,
            "workers": 0,
        }
    )
    return plan_study(config, data=data, index=read_index(data) if table is None else table)


def test_the_method_is_part_of_the_identity_and_the_training_is_that_of_the_plain_column(
    index: pa.Table, tmp_path: Path
) -> None:
    other = TENT | {"label": "slow", "test_time_hparams": {"lr": 0.001, "batch_size": 16}}
    plan = planned(tmp_path, [{"name": "erm"}, TENT, other], index)
    plain, tent, slow = plan.runs
    assert [run.label for run in plan.runs] == ["erm", "erm + tent", "slow"]
    assert [run.setting for run in plan.runs] == ["generalisation", "test_time", "test_time"]
    assert len({plain.run_id, tent.run_id, slow.run_id}) == 3
    assert tent.base.run_id == slow.base.run_id == plain.run_id
    assert tent.test_time == {"name": "tent", "hparams": {"lr": 0.01, "steps": 1, "batch_size": 16}}


@pytest.mark.parametrize(
    ("column", "message"),
    [
        ({"name": "erm", "test_time": "tnet"}, r"test_time 'tnet' is unknown\nwanted: one of tent, t3a, adabn"),
        ({"name": "erm", "test_time": "tent", "test_time_hparams": {"rate": 1}}, r"tent has no test_time_hparams"),
        ({"name": "erm", "test_time": "tent", "test_time_hparams": {"lr": "fast"}}, r"lr: .*seen 'fast'"),
        ({"name": "erm", "test_time": "tent", "test_time_hparams": {"steps": 0}}, r"steps 0"),
        ({"name": "cdan", "test_time": "tent"}, r"cdan adapts while it trains(?s:.*)one setting per column"),
    ],
)
def test_wrong_methods_are_refused_before_anything_runs(
    column: dict[str, Any], message: str, index: pa.Table, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=message):
        planned(tmp_path, [column], index)


def test_hyper_parameters_of_no_method_are_refused() -> None:
    with pytest.raises(ConfigError, match="without test_time"):
        parse_config(
            {"algorithms": [{"name": "erm", "test_time_hparams": {"lr": 1.0}}]}, StudyConfig, origin="study.yaml"
        )


def test_columns_that_differ_in_their_method_train_once_and_score_as_the_method_does(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import spooflab.adapters as adapters

    trained: list[int] = []
    fit = adapters.fit

    def counted(*args: Any, **kwargs: Any) -> Any:
        trained.append(kwargs["seed"])
        return fit(*args, **kwargs)

    monkeypatch.setattr(adapters, "fit", counted)
    columns = [TENT, {"name": "erm", "test_time": "t3a", "label": "T3A"}, {"name": "erm", "label": "ERM"}]
    plan = planned(small, columns)
    out = tmp_path / "out"
    assert run_study(plan, out, command="spooflab study s.yaml").exit_code == 0
    assert trained == [0]

    tent = plan.runs[0]
    record, table, _ = RunFolder(out / "runs" / tent.run_id).read()
    assert record["setting"] == "test_time"
    assert record["identity"]["test_time"]["name"] == "tent"
    model = load_model(out / "runs" / tent.base.run_id / "training")
    for part, keys in (("dev", tent.dev), ("test", tent.test)):
        order = stream(keys)
        images = ImageSet.load(small, [keys[row] for row in order], 32)
        want = Tent(lr=0.01, batch_size=16).scores(model, images)
        got = {row["key"]: row["score"] for row in table.to_pylist() if row["split"] == part}
        assert [got[keys[row]] for row in order] == want.tolist()
    plain = RunFolder(out / "runs" / plan.runs[2].run_id).read()[1]
    assert not np.allclose(plain.column("score").to_numpy(), table.column("score").to_numpy())

    summary = write_report(out)
    assert summary["settings"] == {"erm + tent": "test_time", "T3A": "test_time", "ERM": "generalisation"}
    assert set(summary["best_by_setting"]) == {"generalisation", "test_time"}
    assert summary["certainty"][0] == (
        "Not the same task: ERM saw images of the sources alone; erm + tent, T3A adapted to the unlabelled test images "
        "while scoring them. A difference between settings is not one between algorithms."
    )
    assert "generalises best" not in summary["answer"] or summary["best"] == "ERM"
    rows = pq.read_table(out / "results.parquet").to_pylist()
    assert {row["algorithm"]: row["setting"] for row in rows} == summary["settings"]
    assert '<small class="setting">test time</small>' in (out / "report.html").read_text()
    (out / "study.json").unlink()  # the runs themselves say it
    assert write_report(out)["settings"] == summary["settings"]


def test_scores_know_neither_the_order_of_the_rows_nor_a_plain_column(small: Path, tmp_path: Path) -> None:
    plan = planned(small, [TENT])
    run_study(plan, tmp_path, command="x")
    spec: RunSpec = plan.runs[0]
    base = RunFolder(tmp_path / "runs" / spec.base.run_id)
    assert base.done
    first = adapt_and_score(spec, base, tmp_path)
    turned = adapt_and_score(replace(spec, dev=spec.dev[::-1], test=spec.test[::-1]), base, tmp_path)
    assert turned.test[::-1].tolist() == first.test.tolist()
    assert turned.dev[::-1].tolist() == first.dev.tolist()
    assert write_report(tmp_path)["runs"]["total"] == 1
    # Without its model the run says what to delete.
    folder = RunFolder(tmp_path / "runs" / spec.run_id)
    (folder.path / "done").unlink()
    (base.path / "training" / "model.safetensors").unlink()
    with pytest.raises(DataError, match=rf"delete {base.path}"):
        run_cell(spec, tmp_path)


def test_one_setting_needs_no_warning(index: pa.Table, fake_task: Callable[..., None], tmp_path: Path) -> None:
    plan = planned(tmp_path, [{"name": "erm"}, {"name": "dann"}], index)
    run_study(plan, tmp_path / "out", command="x", task=fake_task)
    summary = write_report(tmp_path / "out")
    assert not any("Not the same task" in sentence for sentence in summary["certainty"])
    assert all(row["same_setting"] for row in summary["differences"])
    assert json.loads((tmp_path / "out" / "study.json").read_text())["settings"]["dann"] == "generalisation"
