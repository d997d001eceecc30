"""`spooflab doctor-loader`: is a data loader's randomness sound."""

import contextlib
import dataclasses
import importlib
import json as json_module
import sys
from collections.abc import Callable
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import tyro

from spooflab.errors import ConfigError, DataError, SpooflabError

if TYPE_CHECKING:
    from spooflab.augment.bridges.loader_check import LoaderReport
    from spooflab.augment.bridges.loader_probe import LoaderProbe

_MARKS = {"pass": "pass", "fail": "FAIL", "none": "-   "}
_TITLES = {
    "distinct": "distinct across workers",
    "epochs": "changes between epochs",
    "workers": "same for any worker count",
    "batch_size": "same for any batch size",
}


def doctor_loader(
    target: tyro.conf.Positional[str],
    /,
    *,
    samples: int = 16,
    workers: tuple[int, ...] = (0, 1, 2, 4),
    json: bool = False,
) -> int:
    """Prove that a DataLoader's augmentations are distinct, change between epochs, and depend on nothing else.

    The loader is run over the same indices with several numbers of workers, batch sizes and epochs. `set_epoch` is
    called wherever the data set, its transforms, the sampler or the collate function have it. The exit status is 1
    where a property fails.

    Args:
        target: module:name of a torch DataLoader, or of a function without arguments that returns one (the better
            choice where the data set has a state); imported from the current folder.
        samples: how many indices to compare.
        workers: numbers of worker processes to compare.
        json: print the findings as JSON.
    """
    if samples < 2 or len(set(workers)) < 2 or min(workers) < 0:
        raise ConfigError(f"samples {samples}, workers {list(workers)}", wanted="2 samples, 2 numbers of workers >= 0")
    with contextlib.redirect_stdout(sys.stderr):  # what a stranger's code prints is no finding
        probe, notes = _probe(target)
        report = _examine(target, probe, samples, workers)
    if json:
        verdicts = [dataclasses.asdict(verdict) for verdict in report.verdicts]
        found = {"ok": report.ok, "random": report.random, "sources": report.sources, "notes": notes}
        sys.stdout.write(json_module.dumps(found | {"properties": verdicts}) + "\n")
        return 0 if report.ok else 1
    for verdict in report.verdicts:
        sys.stdout.write(f"{_MARKS[verdict.status]} {_TITLES[verdict.name]}: {verdict.detail}\n")
    for note in ([f"random sources seen: {', '.join(report.sources)}"] if report.sources else []) + notes:
        sys.stdout.write(f"     {note}\n")
    return 0 if report.ok else 1


def _examine(target: str, probe: "LoaderProbe", samples: int, workers: tuple[int, ...]) -> "LoaderReport":
    from spooflab.augment.bridges.loader_check import check_loader

    try:
        return check_loader(probe, samples=samples, workers=sorted(set(workers)))
    except SpooflabError:
        raise
    except (Exception, SystemExit) as error:  # whatever a stranger's loader raises
        raise DataError(f"{target}: the loader raised {type(error).__name__}: {error}") from error


def _probe(target: str) -> "tuple[LoaderProbe, list[str]]":
    from torch.utils.data import DataLoader

    from spooflab.augment.bridges.loader_probe import LoaderProbe, copies_of

    value: Any = _imported(target)
    if isinstance(value, DataLoader):
        build, note = copies_of(value)
        return LoaderProbe(build), [] if note is None else [note]
    if not callable(value):
        raise ConfigError(
            f"{target} is a {type(value).__name__}",
            wanted="a DataLoader, or a function without arguments that returns one",
        )
    try:
        build = cast(Callable[[], Any], value)
        return LoaderProbe(build), []
    except SpooflabError:
        raise
    except (Exception, SystemExit) as error:  # whatever a stranger's function raises
        raise ConfigError(f"{target}() raised {type(error).__name__}: {error}") from error


def _imported(target: str) -> Any:
    module, colon, name = target.partition(":")
    if not (module and colon and name):
        raise ConfigError(f"target {target!r}", wanted="module:name, such as train:make_loader")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        found = importlib.import_module(module)
    except (Exception, SystemExit) as error:  # whatever a stranger's module raises
        raise ConfigError(
            f"cannot import {module!r} from {here}: {type(error).__name__}: {error}",
            wanted="a module of this folder that can be imported: scripts keep their work under __main__",
        ) from error
    try:
        return reduce(getattr, name.split("."), found)
    except AttributeError as error:
        raise ConfigError(
            f"{target}: {error}", wanted="the name of a DataLoader or of a function that makes one"
        ) from error
