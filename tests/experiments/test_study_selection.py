"""How a study's file says what chooses the weights, and where the oracle stands."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from spooflab.config import parse_config
from spooflab.errors import ConfigError
from spooflab.experiments.run import oracle_selection
from spooflab.experiments.study import plan_study
from spooflab.experiments.study_config import StudyConfig
from spooflab.experiments.training import Trained


def planned(index: pa.Table, folder: Path, study: dict[str, Any], **changes: Any) -> Any:
    return plan_study(parse_config(study | changes, StudyConfig, origin="x"), data=folder, index=index)


def test_a_column_may_be_chosen_by_unlabelled_targets(index: pa.Table, tmp_path: Path, study_yaml: Any) -> None:
    columns = [
        {"name": "bnm"},
        {"name": "bnm", "selection": "snd"},
        {"name": "erm", "selection": "leave_one_domain_out"},
    ]
    plan = planned(index, tmp_path, study_yaml, algorithms=columns)
    by = {run.label: (run.train_config["monitor"], run.selection) for run in plan.runs}
    assert by == {
        "bnm": ("eer", ""),
        "bnm, by snd": ("snd", ""),
        "erm, by leave_one_domain_out": ("eer", "leave_one_domain_out"),
    }


def test_selection_that_would_see_too_much_is_refused(index: pa.Table, tmp_path: Path, study_yaml: Any) -> None:
    with pytest.raises(ConfigError, match=r"algorithm ERM: .*must not see"):
        planned(index, tmp_path, study_yaml, selection="entropy")
    with pytest.raises(ConfigError, match="oracle: true"):
        planned(index, tmp_path, study_yaml, selection="oracle")
    with pytest.raises(ConfigError, match="has seen the domain"):
        planned(index, tmp_path, study_yaml, selection="leave_one_domain_out", pretrain={"steps": 10})
    columns = [{"name": "bnm", "train": {"monitor": "loss"}}]
    with pytest.raises(ConfigError, match=r"selection snd and train\.monitor loss"):
        planned(index, tmp_path, study_yaml, selection="snd", algorithms=columns)


def test_the_oracle_is_another_run_but_the_same_training(index: pa.Table, tmp_path: Path, study_yaml: Any) -> None:
    plain = planned(index, tmp_path, study_yaml).runs[0]
    told = planned(index, tmp_path, study_yaml, oracle=True).runs[0]
    assert told.run_id != plain.run_id
    assert told.train_config == plain.train_config


def test_the_oracle_gap_is_what_choosing_on_test_would_hide() -> None:
    rows = [{"step": s, "eer": e, "oracle_eer": o, "oracle_loss": 1.0} for s, e, o in ((2, 0.1, 0.3), (4, 0.2, 0.25))]
    found = oracle_selection(Trained([], [], best_step=2, seconds=0.0, history=rows))["oracle_selection"]
    assert (found["step"], found["eer"], found["chosen_eer"]) == (4, 0.25, 0.3)
    assert found["gap"] == pytest.approx(0.05)
    assert oracle_selection(Trained([], [], best_step=2, seconds=0.0, history=[{"step": 2, "eer": 0.1}])) == {}
