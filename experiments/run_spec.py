"""One cell of a study: everything that decides its scores, hashed into the name of its folder."""

import hashlib
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa

import spooflab
from spooflab.experiments.balanced_rows import balanced_rows
from spooflab.experiments.fold import Fold
from spooflab.experiments.index_columns import column
from spooflab.experiments.scores import IntArray

FORMAT = 1
"""Raised when the content of a run folder changes its meaning, so that old folders are run again."""


@dataclass(frozen=True)
class RunSpec:
    """One training with the rows it may see and is judged on.

    Attributes:
        label: heading of the algorithm in the study (not part of the identity: renaming repeats nothing).
        train_config: every training setting, algorithm and hyper-parameters included.
        seed: of the training.
        fold, held_out: name of the fold and what its training rows never held.
        train, dev, test: keys, in order.
        data: folder of the data set (not part of the identity: moving it changes nothing).
        fingerprint: hash of the data set's keys and images.
        pretrain: training settings of the run whose backbone is this one's start; None starts afresh.
        cache: whether what is frozen of the backbone is run once (not part of the identity: it changes no more than
            rounding does).
        selection: what chooses the step whose weights are kept, where it is not a figure that the training watches.
        oracle: whether figures of the test rows are noted along the training; they choose nothing.
        tracker: which of accelerate's trackers the training tells its figures (not part of the identity).
        test_time: method and hyper-parameters by which the trained model adapts to the images it is judged on.
    """

    label: str
    train_config: dict[str, Any]
    seed: int
    fold: str
    held_out: tuple[str, ...]
    train: tuple[str, ...]
    dev: tuple[str, ...]
    test: tuple[str, ...]
    data: Path
    fingerprint: str
    pretrain: dict[str, Any] | None = None
    cache: bool = False
    test_time: dict[str, Any] | None = None
    selection: str = ""
    oracle: bool = False
    tracker: str = "none"

    @property
    def base(self) -> "RunSpec":
        """The run that trains the model: of all test-time columns of one training the same, and a column itself."""
        return replace(self, test_time=None, label=f"{self.label}, not adapted")

    @property
    def setting(self) -> str:
        """What the run may see, as `spooflab.adapters.algorithm.Setting` names it."""
        from spooflab.adapters import ALGORITHMS

        return "test_time" if self.test_time else ALGORITHMS[self.train_config["algorithm"]].setting

    @property
    def identity(self) -> dict[str, Any]:
        """What the run's result is a function of."""
        facts = {
            "format": FORMAT,
            "spooflab": spooflab.__version__,
            "train_config": self.train_config,
            "seed": self.seed,
            "fold": self.fold,
            "held_out": list(self.held_out),
            "rows": {part: digest(list(getattr(self, part))) for part in ("train", "dev", "test")},
            "data": self.fingerprint,
            **({"test_time": self.test_time} if self.test_time else {}),
            **({"selection": self.selection} if self.selection else {}),
            **({"oracle": True} if self.oracle else {}),
        }
        return facts if self.pretrain is None else {**facts, "pretrain": self.pretrain}

    @property
    def run_id(self) -> str:
        """First 16 hexadecimal digits of the identity's SHA-256: the name of the run's folder."""
        return digest(self.identity)[:16]

    @property
    def name(self) -> str:
        """How messages call the run."""
        return f"{self.label} · {self.fold} · seed {self.seed}"


def data_fingerprint(index: pa.Table) -> str:
    """Hash the sorted (key, image hash) pairs: the same samples in other shards are the same data."""
    pairs = sorted(zip(column(index, "key").tolist(), column(index, "image_sha256").tolist(), strict=True))
    return digest(pairs)


def training_rows(index: pa.Table, fold: Fold, size: int | None, root: int = 0) -> IntArray:
    """Return the fold's training rows, or `size` of them: half bona fide, species in turn, in a fixed hashed order.

    A larger size contains the smaller one's rows, and the choice knows neither algorithm nor training seed.
    """
    if size is None or size >= len(fold.train):
        return fold.train
    return balanced_rows(index, fold.train, size, root)


def digest(value: Any) -> str:
    """Hash JSON-ready values: SHA-256, hexadecimal, of sorted keys."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()
