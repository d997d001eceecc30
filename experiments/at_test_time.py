"""A trained model adapted to the images that it is judged on, as a column of a study: test time, without labels."""

import dataclasses
import time
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import TypeAdapter, ValidationError

from spooflab.errors import ConfigError, DataError
from spooflab.experiments.run_folder import RunFolder
from spooflab.experiments.run_spec import RunSpec
from spooflab.experiments.scores import FloatArray
from spooflab.experiments.training import PIXELS, Trained
from spooflab.seeds import seed as named_seed


def method_settings(name: str, hparams: dict[str, Any], *, origin: str) -> dict[str, Any]:
    """Return a test-time method's name with every hyper-parameter, defaults filled in and checked.

    Raises:
        ConfigError: the method or a hyper-parameter is unknown, or a value is out of its range.
    """
    from spooflab.adapters import TEST_TIME

    if name not in TEST_TIME:
        raise ConfigError(f"{origin}: test_time {name!r} is unknown", wanted=f"one of {', '.join(TEST_TIME)}")
    method: Any = TEST_TIME[name]
    known = {field.name: field.default for field in dataclasses.fields(method)}
    unknown = sorted(set(hparams) - set(known))
    if unknown:
        raise ConfigError(f"{origin}: {name} has no test_time_hparams {unknown}", wanted=f"some of {', '.join(known)}")
    try:
        return {"name": name, "hparams": dataclasses.asdict(TypeAdapter(method).validate_python(hparams))}
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(map(str, e['loc']))}: {e['msg']} (seen {e['input']!r})" for e in error.errors()
        )
        raise ConfigError(f"{origin}: test_time_hparams {problems}", wanted=f"values as {known}") from error


def adapt_and_score(spec: RunSpec, base: RunFolder, shared: Path) -> Trained:
    """Score dev and test rows of a test-time run with the model of its base run, which is done.

    Dev rows and test rows are two sets that the method is given one after the other, each to a fresh copy of the
    trained model: what it learns from one never reaches the other. So the threshold is read from dev scores that went
    through the same method (T3A's have another scale than the model's own), and from source images alone.
    """
    from spooflab.adapters import TEST_TIME, TrainConfig, load_model

    assert spec.test_time is not None
    started = time.perf_counter()
    config = TrainConfig.model_validate(spec.train_config)
    try:
        model = load_model(base.path / "training").to(_device(config.device))
    except DataError as error:
        raise DataError(
            f"{spec.name}: the model to adapt is gone: {error.seen}",
            wanted=f"the model of run {base.path.name}",
            next_step=f"delete {base.path} and repeat the study's command to train it again",
        ) from error
    method: Any = TEST_TIME[spec.test_time["name"]]
    adapted = method(**spec.test_time["hparams"])

    def scores(keys: tuple[str, ...]) -> FloatArray:
        order = stream(keys)
        out = np.empty(len(keys))
        out[order] = adapted.scores(model, _images(spec.data, tuple(keys[row] for row in order), config.size, shared))
        return out

    dev, test = scores(spec.dev), scores(spec.test)
    record, _, _ = base.read()
    return Trained(dev, test, int(record["best_step"]), time.perf_counter() - started, record["history"])


def stream(keys: tuple[str, ...]) -> list[int]:
    """Return the positions of `keys` in the order in which a test-time method meets their images.

    The order of a hash of the key: whatever keys are called, classes come mixed; the same for every algorithm and
    training seed, so that comparisons stay paired.

    >>> [("a", "b", "c")[i] for i in stream(("a", "b", "c"))] == [("c", "b", "a")[i] for i in stream(("c", "b", "a"))]
    True
    """
    return sorted(range(len(keys)), key=lambda row: (named_seed(0, "test-time order", keys[row]), keys[row]))


@lru_cache(maxsize=2)
def _images(data: Path, keys: tuple[str, ...], size: int, shared: Path) -> Any:
    """Load one part of a fold without labels, domains and species; the fold's next column finds it here."""
    from spooflab.adapters import ImageSet

    loaded = ImageSet.load(data, keys, size, kept=shared / PIXELS)
    blank = loaded.labels.new_zeros(len(keys))
    return ImageSet(loaded.images, blank, blank, loaded.keys, [""] * len(keys))


def _device(wish: str) -> str:
    import torch

    return "cuda" if wish == "auto" and torch.cuda.is_available() else "cpu"
