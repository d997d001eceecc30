"""Which pictures the ranges of 8-bit activations are read off: source-dev, or others that judge nothing."""

from pathlib import Path

import numpy as np

from spooflab.adapters import ImageSet
from spooflab.errors import DataError
from spooflab.experiments.export.runtime import Pictures, as_pictures
from spooflab.experiments.export.trained_run import TrainedRun
from spooflab.experiments.protocols import column
from spooflab.reader import read_index
from spooflab.seeds import seed


def calibration_pictures(run: TrainedRun, dev: Pictures, other: Path | None, count: int) -> tuple[Pictures, str]:
    """Return at most `count` pictures (N, S, S, 3), spread over the rows by a hash of their keys, and what they are.

    Args:
        run: whose held-out rows must not be among them.
        dev: pictures of its source-dev rows.
        other: folder of another data set to take them from.
        count: how many.

    Raises:
        DataError: `other` holds pictures that judge the model, or that it was told to leave out.
    """
    if other is None:
        chosen = _spread(list(run.dev), count)
        return dev[chosen], "source-dev rows of the run, of which the threshold was chosen, too"
    index = read_index(other)
    judging = set(column(run.rows(run.barred), "image_sha256").tolist())
    common = sum(digest in judging for digest in column(index, "image_sha256").tolist())
    if common:
        raise DataError(
            f"--calibration {other}: {common} of its pictures judge this model, or were left out of its training",
            wanted="pictures of its training or source-dev, or of neither",
            next_step="leave --calibration out: source-dev is the default",
        )
    keys = column(index, "key").tolist()
    chosen = _spread(keys, count)
    images = ImageSet.load(other, [keys[row] for row in chosen], run.config.size, run.config.domain_by)
    return as_pictures(images.images), "another data set, none of whose pictures judge the model"


def _spread(keys: list[str], count: int) -> list[int]:
    order = sorted(range(len(keys)), key=lambda row: (seed(0, "calibration pictures", keys[row]), keys[row]))
    return sorted(np.array(order[:count], dtype=np.int64).tolist())
