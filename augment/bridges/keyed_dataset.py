"""A data set whose samples say which they are."""

from collections.abc import Mapping, Sized
from typing import Any, cast

from torch.utils.data import Dataset

from spooflab.errors import DataError


class KeyedDataset(Dataset[Any]):
    """Adds to each sample its index in the data set, as the key that its camera shot follows from.

    Args:
        dataset: a map-style data set.
        key: where the index goes in samples that are dictionaries; a tuple gets it as its last entry, anything else
            becomes the tuple (sample, index).
    """

    def __init__(self, dataset: Dataset[Any], *, key: str = "key") -> None:
        if not hasattr(dataset, "__len__") or not hasattr(dataset, "__getitem__"):
            raise DataError(
                f"a data set of type {type(dataset).__name__}", wanted="a map-style data set: its index is the key"
            )
        self.dataset, self.key = dataset, key

    def __len__(self) -> int:
        return len(cast(Sized, self.dataset))

    def __getitem__(self, index: int) -> Any:
        sample = self.dataset[index]
        if isinstance(sample, Mapping):
            if self.key in sample:
                raise DataError(f"samples have an entry {self.key!r} already", wanted="KeyedDataset(dataset, key=...)")
            return {**sample, self.key: index}
        return (*sample, index) if isinstance(sample, tuple) else (sample, index)

    def set_epoch(self, epoch: int) -> None:
        """Pass the epoch on to a data set that takes it."""
        if hasattr(self.dataset, "set_epoch"):
            self.dataset.set_epoch(epoch)
