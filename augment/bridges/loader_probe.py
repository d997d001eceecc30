"""Run somebody's data loader with other workers and batch sizes, and name what came out for each index."""

import copy
import random
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset, get_worker_info

from spooflab.augment.bridges.random_use import random_sources
from spooflab.augment.bridges.sample_digest import digest
from spooflab.errors import ConfigError

_SEED = 20_240_229
_DEPTH, _BREADTH = 5, 256
"""How far `set_epoch` is looked for: attributes of attributes, and entries of a container."""


@dataclass(frozen=True)
class Row:
    """One sample as it was delivered.

    Attributes:
        index: in the data set.
        worker: number of the worker that made it; 0 without workers.
        sample: digest of what the data set returned.
        batch: digest of the collated batch that it was part of.
    """

    index: int
    worker: int
    sample: str
    batch: str

    @property
    def both(self) -> tuple[str, str]:
        """The sample and its batch: what must be equal where the batches are the same."""
        return self.sample, self.batch


class LoaderProbe:
    """Rebuilds a loader over chosen indices. Its sampler is replaced: which samples come when is not judged.

    Args:
        build: returns the loader to examine, new or as it was at first.
    """

    def __init__(self, build: Callable[[], DataLoader[Any]]) -> None:
        self._build = build
        self.first = build()
        _check(self.first)
        self.batch_size = self.first.batch_size or getattr(self.first.batch_sampler, "batch_size", None) or 1

    def run(
        self, indices: Sequence[int], *, workers: int, batch_size: int, epochs: int = 1, seed: int = _SEED
    ) -> list[list[Row]]:
        """Return the rows of each epoch, in the order of `indices`, after seeding every global random state alike."""
        loader = self._build()
        with _seeded(seed), warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="This DataLoader will create")
            probed = _rebuild(loader, indices, workers, batch_size)
            seen = []
            for epoch in range(epochs):
                set_epoch_everywhere(loader, epoch)
                seen.append([row for rows in probed for row in rows])
            del probed  # workers that outlive an epoch end here
        return seen

    def random_sources(self, indices: Sequence[int]) -> list[str]:
        """Return what random sources making and collating these samples uses in this process."""
        loader = self._build()
        samples = _Reporting(loader.dataset, indices)
        name = _Naming(loader.collate_fn, single=_is_unbatched(loader))
        with _seeded(_SEED):
            return random_sources(lambda: name(samples.__getitems__(list(range(len(samples))))))


def set_epoch_everywhere(loader: DataLoader[Any], epoch: int) -> None:
    """Call `set_epoch` of data set, sampler and collate function, and of what they hold: transforms in transforms."""
    todo: list[tuple[Any, int]] = [(part, 0) for part in (loader.dataset, loader.sampler, loader.batch_sampler)]
    todo += [(loader.collate_fn, 0), (getattr(loader.collate_fn, "__self__", None), 0)]
    seen: set[int] = set()
    while todo:
        value, depth = todo.pop()
        if id(value) in seen or isinstance(value, torch.Tensor | np.ndarray | str | bytes | int | float | type):
            continue
        seen.add(id(value))
        setter = getattr(value, "set_epoch", None)
        if callable(setter):
            setter(epoch)
        if depth < _DEPTH:
            todo += [(part, depth + 1) for part in _parts(value)]


def _parts(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())[:_BREADTH]
    if isinstance(value, list | tuple):
        return list(value)[:_BREADTH]
    return list(getattr(value, "__dict__", {}).values())[:_BREADTH]


def _check(loader: Any) -> None:
    if not isinstance(loader, DataLoader):
        raise ConfigError(f"a loader of type {type(loader).__name__}", wanted="a torch.utils.data.DataLoader")
    if isinstance(loader.dataset, IterableDataset) or not hasattr(loader.dataset, "__len__"):
        raise ConfigError(
            f"a loader over the {type(loader.dataset).__name__}, which has no indices",
            wanted="a map-style data set: samples are compared index by index",
        )
    if len(loader.dataset) < 2:
        raise ConfigError(f"a data set of {len(loader.dataset)} samples", wanted="two at least")


def copies_of(loader: DataLoader[Any]) -> tuple[Callable[[], DataLoader[Any]], str | None]:
    """Return what gives the loader with its data set as it is now, and a note where it cannot be copied."""
    try:
        copy.deepcopy((loader.dataset, loader.collate_fn))
    except Exception as error:  # whatever a stranger's data set raises
        return lambda: loader, f"the data set cannot be copied ({type(error).__name__}): runs share its state"

    def build() -> DataLoader[Any]:
        twin = copy.copy(loader)
        dataset, collate = copy.deepcopy((loader.dataset, loader.collate_fn))
        twin.__dict__ |= {"dataset": dataset, "collate_fn": collate}
        return twin

    return build, None


def _rebuild(loader: DataLoader[Any], indices: Sequence[int], workers: int, batch_size: int) -> DataLoader[Any]:
    generator = None
    if loader.generator is not None:
        generator = torch.Generator().set_state(loader.generator.get_state())
    return DataLoader(
        _Reporting(loader.dataset, indices),
        batch_size=batch_size,
        num_workers=workers,
        collate_fn=_Naming(loader.collate_fn, single=_is_unbatched(loader)),
        worker_init_fn=_Init(loader.worker_init_fn),
        generator=generator,
        timeout=loader.timeout if workers else 0,
        multiprocessing_context=loader.multiprocessing_context if workers else None,
        persistent_workers=loader.persistent_workers and workers > 0,
    )


def _is_unbatched(loader: DataLoader[Any]) -> bool:
    return loader.batch_size is None and loader.batch_sampler is None


class _Reporting(Dataset[Any]):
    """The data set by position in `indices`; each sample comes with its index."""

    def __init__(self, dataset: Any, indices: Sequence[int]) -> None:
        self.dataset, self.indices = dataset, list(indices)

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, position: int) -> tuple[int, Any]:
        return self.__getitems__([position])[0]

    def __getitems__(self, positions: list[int]) -> list[tuple[int, Any]]:
        asked = [self.indices[p] for p in positions]
        many = getattr(self.dataset, "__getitems__", None)  # what torch itself asks for first
        samples = many(asked) if callable(many) else [self.dataset[i] for i in asked]
        return list(zip(asked, samples, strict=True))


class _Naming:
    """The loader's own collate function, and then names instead of a batch."""

    def __init__(self, collate: Callable[[Any], Any], *, single: bool) -> None:
        self.collate, self.single = collate, single

    def __call__(self, reported: list[tuple[int, Any]]) -> list[Row]:
        names = [digest(sample) for _, sample in reported]  # before collating, which may change samples
        samples = [sample for _, sample in reported]
        batch = digest([self.collate(s) for s in samples] if self.single else self.collate(samples))
        info = get_worker_info()
        worker = 0 if info is None else info.id
        return [Row(index, worker, name, batch) for (index, _), name in zip(reported, names, strict=True)]


class _Init:
    """The loader's own `worker_init_fn`, which finds the data set that it knows in `get_worker_info()`."""

    def __init__(self, init: Callable[[int], None] | None) -> None:
        self.init = init

    def __call__(self, worker: int) -> None:
        info = get_worker_info()
        if info is not None and isinstance(info.dataset, _Reporting):
            object.__setattr__(info, "dataset", info.dataset.dataset)  # the class forbids it to its users
        if self.init is not None:
            self.init(worker)


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Seed the global random states that other people's code draws from, and put them back."""
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002  # their state, not ours
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        random.seed(seed)
        np.random.seed(seed % 2**32)  # noqa: NPY002
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy)  # noqa: NPY002
