"""Run one cell of a study: train, score, measure, keep the worst errors, and finish the folder."""

import hashlib
import os
import time
import traceback
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from spooflab.errors import SpooflabError
from spooflab.experiments.at_test_time import adapt_and_score
from spooflab.experiments.executors.ending import Died, Raised, RemoteTrace
from spooflab.experiments.metrics import evaluate
from spooflab.experiments.protocols import column
from spooflab.experiments.run_folder import Busy, RunFolder
from spooflab.experiments.run_spec import RunSpec
from spooflab.experiments.scores import FloatArray, ScoreSet
from spooflab.experiments.training import Trained, Trainer, train_and_score
from spooflab.experiments.worst_errors import Pictures, worst_table

SCORES = pa.schema(
    [
        ("key", pa.string()),
        ("score", pa.float64()),
        ("label", pa.string()),
        ("species", pa.string()),
        ("device", pa.string()),
        ("device_id", pa.string()),
        ("subject", pa.string()),
        ("split", pa.string()),
    ]
)


def execute(
    spec: RunSpec, folder: RunFolder, *, index: pa.Table, pictures: Pictures, trainer: Trainer, wait: bool = False
) -> None:
    """Do the run and write its folder; a finished one is left as it is.

    Args:
        spec: what to do.
        folder: the run's.
        index: rows of the data set.
        pictures: image files by key, for the worst errors.
        trainer: trains and scores.
        wait: for another process that is at it, instead of raising.

    Raises:
        Busy: another process is at it.
        Exception: whatever the training raises; nothing is marked as done.
    """
    with folder.lease(wait=wait):
        if folder.done:
            return
        started = time.perf_counter()
        trained = trainer(spec, folder.path / "training")
        table = score_table(spec, trained, index)
        dev, test = (score_set(table, part) for part in ("dev", "test"))
        metrics = evaluate(test, dev=dev)
        threshold = np.nan if metrics.threshold is None else metrics.threshold
        folder.write_table("scores.parquet", table)
        folder.write_table("worst.parquet", worst_table(test, threshold, index, pictures))
        record = _record(spec, trained) | {"metrics": metrics.to_json()}
        folder.write_json("run.json", record | {"cell_seconds": time.perf_counter() - started})
        folder.finish()


def score_table(spec: RunSpec, trained: Trained, index: pa.Table) -> pa.Table:
    """Join the scores with what the index says of each row: a table of `SCORES`, dev first.

    Raises:
        ValueError: the trainer returned a number of scores that is not the number of rows.
    """
    place = {key: row for row, key in enumerate(column(index, "key").tolist())}
    parts = []
    for part, keys, scores in (("dev", spec.dev, trained.dev), ("test", spec.test, trained.test)):
        if np.shape(scores) != (len(keys),):
            raise ValueError(f"{spec.name}: {np.shape(scores)} {part} scores for {len(keys)} rows")
        rows = index.take(pa.array([place[key] for key in keys], type=pa.int64()))
        columns = {
            "key": list(keys),
            "score": np.asarray(scores, dtype=np.float64),
            "label": column(rows, "label").tolist(),
            "species": column(rows, "species").tolist(),
            "device": column(rows, "device_profile").tolist(),
            "device_id": column(rows, "device_id").tolist(),
            "subject": column(rows, "subject_id").tolist(),
            "split": [part] * len(keys),
        }
        parts.append(pa.table(columns, schema=SCORES))
    return pa.concat_tables(parts)


def score_set(table: pa.Table, part: str) -> ScoreSet:
    """Return the rows of one part of a table of `SCORES`, ready to be counted."""
    rows = table.filter(pa.array(column(table, "split") == part))
    score: FloatArray = rows.column("score").to_numpy(zero_copy_only=False).astype(np.float64)
    return ScoreSet.build(
        score,
        column(rows, "label") == "attack",
        species=column(rows, "species"),
        subject=column(rows, "subject"),
        key=column(rows, "key"),
    )


def _record(spec: RunSpec, trained: Trained) -> dict[str, Any]:
    from spooflab.provenance import code_version

    return {
        "run": spec.run_id,
        "label": spec.label,
        "setting": spec.setting,
        "identity": spec.identity,
        "rows": {"train": len(spec.train), "dev": len(spec.dev), "test": len(spec.test)},
        "data": str(spec.data),
        "best_step": trained.best_step,
        "seconds": trained.seconds,
        "history": trained.history,
        **oracle_selection(trained),
        "code_version": f"{code_version()}+adapters.{_training_code()}",
        "machine": machine(),
    }


def oracle_selection(trained: Trained) -> dict[str, Any]:
    """Return what choosing the weights on test rows would have given, where their figures were noted: nothing else.

    `eer` is the lowest along the training, `chosen_eer` that of the weights that were chosen without them.
    """
    told = [row for row in trained.history if "oracle_eer" in row]
    if not told:
        return {}
    best = min(told, key=lambda row: (row["oracle_eer"], row["oracle_loss"], row["step"]))
    chosen = next((row["oracle_eer"] for row in told if row["step"] == trained.best_step), None)
    gap = None if chosen is None else chosen - best["oracle_eer"]
    return {
        "oracle_selection": {"step": int(best["step"]), "eer": best["oracle_eer"], "chosen_eer": chosen, "gap": gap}
    }


@lru_cache(maxsize=1)
def _training_code() -> str:
    """Hash the code that trains: the version of spooflab's pixels does not cover it."""
    import spooflab.adapters

    digest = hashlib.sha256()
    root = Path(spooflab.adapters.__file__).parent
    for path in sorted(root.rglob("*.py")):
        digest.update(f"{path.relative_to(root).as_posix()}\0".encode() + path.read_bytes())
    return digest.hexdigest()[:12]


def machine() -> dict[str, Any]:
    """Describe what a run's seconds depend on besides its settings."""
    import platform

    import torch

    device = torch.cuda.get_device_name(0) if torch.cuda.is_available() else "cpu"
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "device": device,
        "torch": torch.__version__,
    }


def run_cell(spec: RunSpec, out: Path) -> None:
    """Run one cell from the data set on disk: the task that worker processes get.

    A cell that adapts at test time takes the model of its base run, which is run first where it is not done: columns
    that differ in their test-time method alone train once.
    """
    train = partial(train_and_score, shared=out)
    if spec.test_time is None:
        _run(spec, out, train)
        return
    _run(spec.base, out, train, wait=True)
    base = RunFolder(out / "runs" / spec.base.run_id)
    _run(spec, out, lambda run, _: adapt_and_score(run, base, out))


def _run(spec: RunSpec, out: Path, trainer: Trainer, *, wait: bool = False) -> None:
    from spooflab.store import iter_images

    execute(
        spec,
        RunFolder(out / "runs" / spec.run_id),
        index=_index(spec.data),
        pictures=lambda keys: iter_images(spec.data, keys),
        trainer=trainer,
        wait=wait,
    )


@lru_cache(maxsize=1)
def _index(data: Path) -> pa.Table:
    from spooflab.store import read_index

    return read_index(data)


def failure_record(spec: RunSpec, error: BaseException, retry: str) -> dict[str, Any]:
    """Describe a failed run: what was raised, where, and the command that tries it again."""
    if isinstance(error, Busy):
        reason = "another process is running it"
    elif isinstance(error, SpooflabError):
        reason = f"{error.seen} (wanted: {error.wanted})" if error.wanted else error.seen
    elif isinstance(error, Raised | Died):
        reason = str(error)
    else:
        reason = f"{type(error).__name__}: {error}"
    if isinstance(error.__cause__, RemoteTrace):
        trace = str(error.__cause__).splitlines()
    else:
        trace = "".join(traceback.format_exception(error)).splitlines()
    return {
        "run": spec.run_id,
        "label": spec.label,
        "fold": spec.fold,
        "seed": spec.seed,
        "reason": reason,
        "traceback": trace[-12:],
        "retry": retry,
    }
