"""A synthetic-to-real study ends with a curve over its ratios, on the same real rows."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from spooflab.config import parse_config
from spooflab.experiments.report import write_report
from spooflab.experiments.run import execute
from spooflab.experiments.run_folder import RunFolder
from spooflab.experiments.run_spec import RunSpec
from spooflab.experiments.study import plan_study, run_study
from spooflab.experiments.study_config import StudyConfig
from spooflab.experiments.training import Trained


@pytest.fixture
def mixed(indexed: Callable[..., pa.Table]) -> pa.Table:
    index = indexed(subjects=24, species=("bonafide", "print_a4"))
    synthetic = [int(group[1:]) < 2 for group in index.column("subject_group").to_pylist()]
    return index.set_column(index.column_names.index("synthetic"), "synthetic", [synthetic])


def test_the_curve_has_a_point_for_each_ratio(mixed: pa.Table, tmp_path: Path, study_yaml: dict[str, Any]) -> None:
    genuine = {row["key"]: row["label"] == "bonafide" for row in mixed.select(["key", "label"]).to_pylist()}

    def trainer(spec: RunSpec, _: Path) -> Trained:
        """Every third row is wrong at ratio 0, none at 1."""
        wrong = {"synthetic 0": 3, "synthetic 0.5": 6}.get(spec.fold, 10**6)
        scores = [
            [float(genuine[k]) if (n + 1) % wrong else 0.5 for n, k in enumerate(part)]
            for part in (spec.dev, spec.test)
        ]
        return Trained(*scores, best_step=1, seconds=0.1)

    def task(spec: RunSpec, out: Path) -> None:
        execute(spec, RunFolder(out / "runs" / spec.run_id), index=mixed, pictures=lambda _: [], trainer=trainer)

    protocol = {"name": "synthetic_to_real", "ratios": [0, 0.5, 1]}
    config = parse_config(study_yaml | {"protocol": protocol, "bootstrap": 100}, StudyConfig, origin="x")
    plan = plan_study(config, data=tmp_path, index=mixed)
    assert {run.test for run in plan.runs} == {plan.runs[0].test}
    assert run_study(plan, tmp_path / "out", command="x", task=task).exit_code == 0
    write_report(tmp_path / "out")
    page = (tmp_path / "out" / "report.html").read_text()
    section = page[page.index('<section id="ratio">') :]
    section = section[: section.index("</section>")]
    assert section.count("<polyline") == 2  # ERM and DANN
    assert section.count("<circle") == 6
    assert "0.0 % at 100 % synthetic" in section
    assert 'href="#ratio"' in page
