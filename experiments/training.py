"""From a run's specification to scores: load the fold's images, fit, and score dev and test once each."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from spooflab.experiments.run_spec import RunSpec
from spooflab.experiments.scores import FloatArray


@dataclass(frozen=True)
class Trained:
    """What a training returns to the study.

    Attributes:
        dev, test: bona fide likelihoods in the order of the specification's keys; NaN is a failure to acquire.
        best_step: step whose weights the dev rows chose.
        seconds: wall time of the fit.
        history: dev figures over the steps.
    """

    dev: FloatArray
    test: FloatArray
    best_step: int
    seconds: float
    history: list[dict[str, Any]] = field(default_factory=list)


Trainer = Callable[[RunSpec, Path], Trained]
"""Trains one run inside a folder of its own and scores its dev and test rows."""


def train_and_score(spec: RunSpec, out: Path) -> Trained:
    """Train with `spooflab.adapters`. Test images are scored once, after the weights are chosen on dev rows.

    An algorithm of setting `adaptation` trains on the fold's test images as well, without their labels (transductive
    adaptation, as its papers report it); all others never see them.
    """
    from spooflab.adapters import ALGORITHMS, TrainConfig, fit, predict_scores

    config = TrainConfig.model_validate(spec.train_config)
    keys = (*spec.train, *spec.dev, *spec.test)
    images = _images(spec.data, keys, config.size, config.domain_by, config.pixel.needs_maps)
    ends = np.cumsum([len(spec.train), len(spec.dev), len(spec.test)])
    train, dev, test = (images.subset(list(range(end - n, end))) for end, n in zip(ends, _lengths(spec), strict=True))
    adapts = ALGORITHMS[config.algorithm].setting == "adaptation"
    result = fit(config, train=train, dev=dev, seed=spec.seed, out=out, target=test if adapts else None)
    return Trained(
        dev=np.asarray(predict_scores(result.model, dev, config.eval_batch_size), dtype=np.float64),
        test=np.asarray(predict_scores(result.model, test, config.eval_batch_size), dtype=np.float64),
        best_step=int(result.best_step),
        seconds=float(result.seconds),
        history=[dict(entry) for entry in result.dev_history],
    )


def _lengths(spec: RunSpec) -> tuple[int, int, int]:
    return len(spec.train), len(spec.dev), len(spec.test)


@lru_cache(maxsize=1)
def _images(data: Path, keys: tuple[str, ...], size: int, domain_by: tuple[str, ...], maps: bool) -> Any:
    """Load one fold's images; runs come fold by fold, so the next run of this process often finds them here."""
    from spooflab.adapters import ImageSet

    return ImageSet.load(data, keys, size, domain_by=domain_by, maps=maps)
