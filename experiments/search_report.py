"""What a search leaves: the table of trials, the settings chosen, and the study that runs them at other seeds."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from spooflab.experiments.results import load_results
from spooflab.experiments.run_folder import write_atomic
from spooflab.experiments.search import Lane
from spooflab.experiments.search_config import SearchConfig
from spooflab.experiments.study import STUDY_FILE

TRIALS = pa.schema(
    [
        ("algorithm", pa.string()),
        ("setting", pa.string()),
        ("fold", pa.string()),
        ("trial", pa.int64()),
        ("status", pa.string()),
        ("chosen", pa.bool_()),
        ("figure", pa.float64()),
        ("loss", pa.float64()),
        ("params", pa.string()),
        ("runs", pa.list_(pa.string())),
        ("reason", pa.string()),
    ]
)


def write_search(config: SearchConfig, lanes: list[Lane], out: Path, command: str) -> dict[str, Any]:
    """Write trials.parquet, search.json and study.yaml, and return what search.json holds.

    Times are left out: the three files are the same for a search that was stopped and one that was not.
    """
    buffer = io.BytesIO()
    pq.write_table(trials_table(lanes), buffer, write_page_checksum=True)
    write_atomic(out / "trials.parquet", buffer.getvalue())
    write_atomic(out / "study.yaml", study_text(config, lanes).encode())
    summary = summarise_search(config, lanes)
    text = json.dumps(summary | {"command": command}, indent=1, allow_nan=False) + "\n"
    write_atomic(out / "search.json", text.encode())
    return summary


def trials_table(lanes: list[Lane]) -> pa.Table:
    """Return one row per trial as a table of `TRIALS`."""
    rows = [
        {
            "algorithm": lane.label,
            "setting": lane.setting,
            "fold": lane.fold,
            "trial": trial.number,
            "status": trial.status,
            "chosen": trial is best,
            "figure": trial.figure,
            "loss": trial.loss,
            "params": json.dumps(trial.params, sort_keys=True),
            "runs": [run.run_id for run in trial.runs],
            "reason": trial.reason,
        }
        for lane in lanes
        for best in (lane.best,)
        for trial in lane.trials
    ]
    return pa.Table.from_pylist(rows, schema=TRIALS)


def summarise_search(config: SearchConfig, lanes: list[Lane]) -> dict[str, Any]:
    """Return budgets, choices and what is missing as JSON-ready values, a plain sentence first."""
    open_ = [lane for lane in lanes if lane.problem]
    search = config.search
    each = len(lanes[0].specs) if lanes else 1
    trainings = f", each {each} trainings" if each > 1 else ""
    judged = (
        "equal error rate on source-dev"
        if search.selection == "dev"
        else f"mean {config.metric.upper()} on training domains, each left out in turn"
    )
    algorithms = list(dict.fromkeys(lane.label for lane in lanes))
    stopped = f" {len(open_)} of {len(lanes)} searches are not finished." if open_ else ""
    return {
        "answer": (
            f"{len(algorithms)} algorithms get {search.trials} trials each on every fold{trainings}, chosen by "
            f"{judged}; no test row is loaded.{stopped}"
        ),
        "search": search.model_dump(mode="json"),
        "metric": config.metric,
        "lanes": [_lane_summary(lane) for lane in lanes],
        "unfinished": [f"{lane.label} · {lane.fold}: {lane.problem}" for lane in open_],
    }


def _lane_summary(lane: Lane) -> dict[str, Any]:
    best = lane.best
    default = lane.trials[0].figure if lane.trials else None
    return {
        "algorithm": lane.label,
        "columns": list(lane.columns),
        "setting": lane.setting,
        "fold": lane.fold,
        "trials": {s: sum(t.status == s for t in lane.trials) for s in ("done", "failed", "missing")},
        "problem": lane.problem,
        "default_figure": default,
        "chosen": None
        if best is None or lane.problem
        else {"trial": best.number, "figure": best.figure, "loss": best.loss, "params": best.params},
    }


def study_text(config: SearchConfig, lanes: list[Lane]) -> str:
    """Return the YAML of the study that runs the chosen settings at the file's seeds, which the search did not use."""
    told = config.model_dump(mode="json")
    told.pop("search")
    for column in told["algorithms"]:
        title = column["label"] or (
            f"{column['name']} + {column['test_time']}" if column["test_time"] else column["name"]
        )
        own = [lane for lane in lanes if title in lane.columns and lane.best is not None and not lane.problem]
        column["by_fold"] = {lane.fold: _chosen(lane) for lane in own}
    head = (
        f"# Settings chosen by `spooflab search`: {config.search.trials} trials per algorithm and fold, selection "
        f"{config.search.selection}, seed {config.search.seed}.\n"
    )
    missing = [f"{lane.label} on {lane.fold}" for lane in lanes if lane.best is None or lane.problem]
    if missing:
        head += f"# At default settings, because their search has not finished: {'; '.join(missing)}.\n"
    return head + yaml.safe_dump(told, sort_keys=False, allow_unicode=True)


def _chosen(lane: Lane) -> dict[str, dict[str, float | int]]:
    best = lane.best
    assert best is not None
    if best.number == 0:
        return {"hparams": {}, "train": {}}
    out: dict[str, dict[str, float | int]] = {"hparams": {}, "train": {}}
    for name, value in best.params.items():
        own = name.startswith("hparams.")
        out["hparams" if own else "train"][name.removeprefix("hparams.")] = value
    return out


def source_to_test(summary: dict[str, Any], study: Path) -> list[dict[str, Any]]:
    """Put the figure that chose beside the test rows' metric of the finished study: what the choice was worth.

    Read from the study's folder, after it ran; nothing of it goes back into a search. Empty where there is no study.
    """
    if not (study / STUDY_FILE).is_file():
        return []
    results = load_results(study)
    rows = []
    for lane in summary["lanes"]:
        for label in lane["columns"] if lane["chosen"] else ():
            cells = [cell for cell in results.at(label, lane["fold"]) if cell.status == "done"]
            values = [v for cell in cells if (v := getattr(cell.metrics, summary["metric"])) is not None]
            if values:
                chosen, test = lane["chosen"]["figure"], float(np.mean(values))
                rows.append(
                    {
                        "algorithm": label,
                        "fold": lane["fold"],
                        "source": chosen,
                        "test": test,
                        "gap": test - chosen,
                        "seeds": [cell.seed for cell in cells],
                    }
                )
    return rows
