"""From a run's specification to scores: load the fold's images, fit, and score dev and test once each."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from spooflab.experiments.run_spec import RunSpec
from spooflab.experiments.scores import FloatArray
from spooflab.experiments.step_by_domains import step_by_domains


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


PIXELS = "pixels"
"""Folder, in a study's, of images as the networks see them: decoded once for all folds and processes."""

Trainer = Callable[[RunSpec, Path], Trained]
"""Trains one run inside a folder of its own and scores its dev and test rows."""


def train_and_score(spec: RunSpec, out: Path, shared: Path | None = None) -> Trained:
    """Train with `spooflab.adapters`. Test images are scored once, after the weights are chosen on dev rows.

    An algorithm of setting `adaptation` trains on the fold's test images as well, without their labels (transductive
    adaptation, as its papers report it); all others never see them.

    With `spec.oracle`, test figures are noted at each evaluation; `fit` chooses nothing by them.

    Args:
        spec: what to train on what.
        out: folder of this training.
        shared: folder of what runs have in common: images, warm starts, cached features; None takes `out`.
    """
    from spooflab.adapters import ALGORITHMS, FeatureCache, ImageSet, TrainConfig, fit, predict_scores
    from spooflab.experiments.warm_start import warm_start

    config = TrainConfig.model_validate(spec.train_config)
    shared = shared or out
    train, dev, test = _parts(spec, shared)
    adapts = ALGORITHMS[config.algorithm].setting == "adaptation"
    start = warm_start(spec, shared, train=train, dev=dev)
    frozen = config.backbone.tuning == "frozen" or config.backbone.frozen_stages
    cache = shared / "features" if spec.cache and frozen else None
    target = test if adapts else None
    keep = None
    if spec.selection == "leave_one_domain_out":
        keep, _ = step_by_domains(config, train, dev, seed=spec.seed, out=out / "selection", cache=cache)
    result = fit(
        config,
        train=train,
        dev=dev,
        seed=spec.seed,
        out=out,
        target=target,
        cache=cache,
        start=start,
        keep=keep,
        oracle=test if spec.oracle else None,
        tracked=_tracked(spec, shared),
    )
    features = None if cache is None or config.pixel.on else FeatureCache(cache, result.model.backbone)

    def scores(images: ImageSet) -> FloatArray:
        maps = None if features is None else features.plain(images)
        return np.asarray(predict_scores(result.model, images, config.eval_batch_size, maps=maps), dtype=np.float64)

    return Trained(
        dev=scores(dev),
        test=scores(test),
        best_step=int(result.best_step),
        seconds=float(result.seconds),
        history=[dict(entry) for entry in result.dev_history],
    )


def _tracked(spec: RunSpec, shared: Path) -> Any:
    from spooflab.adapters.lent_accelerator import Tracked

    if spec.tracker == "none":
        return None
    name = "/".join(part.replace("/", "-") for part in (spec.label, spec.fold, f"seed-{spec.seed}"))
    return Tracked(spec.tracker, shared.absolute() / "trackers", name)


def make_start(spec: RunSpec, shared: Path) -> None:
    """Make what `spec` and all cells of its fold and seed start from: a task for worker processes, as `run_cell` is."""
    from spooflab.experiments.warm_start import warm_start

    train, dev, _ = _parts(spec, shared)
    warm_start(spec, shared, train=train, dev=dev)


def drop_images(shared: Path) -> None:
    """Delete the images that runs had in common; whoever wants them again decodes them anew."""
    shutil.rmtree(shared / PIXELS, ignore_errors=True)


def _parts(spec: RunSpec, shared: Path) -> Any:
    """Return the images of the train, dev and test rows."""
    from spooflab.adapters import TrainConfig

    config = TrainConfig.model_validate(spec.train_config)
    keys = (*spec.train, *spec.dev, *spec.test)
    images = _images(spec.data, keys, config.size, config.domain_by, config.pixel.needs_maps, shared / PIXELS)
    ends = np.cumsum([len(spec.train), len(spec.dev), len(spec.test)])
    return [images.subset(list(range(end - n, end))) for end, n in zip(ends, _lengths(spec), strict=True)]


def _lengths(spec: RunSpec) -> tuple[int, int, int]:
    return len(spec.train), len(spec.dev), len(spec.test)


@lru_cache(maxsize=1)
def _images(data: Path, keys: tuple[str, ...], size: int, domain_by: tuple[str, ...], maps: bool, kept: Path) -> Any:
    """Load one fold's images; runs come fold by fold, so the next run of this process often finds them here."""
    from spooflab.adapters import ImageSet

    return ImageSet.load(data, keys, size, domain_by=domain_by, maps=maps, kept=kept)
