"""The number of the epoch, kept where worker processes that are already running can read it."""

from typing import Any

import torch

from spooflab.errors import ConfigError


class SharedEpoch:
    """An epoch number in shared memory.

    Workers that outlive an epoch (`persistent_workers=True`) hold copies of the data set that they were started with.
    Those copies, and deep copies within the process, read the same number.

    >>> epoch = SharedEpoch()
    >>> epoch.set(3)
    >>> epoch.get()
    3
    """

    def __init__(self) -> None:
        self.__setstate__({"_value": torch.zeros((), dtype=torch.int64)})

    def get(self) -> int:
        """Return the epoch, 0 until it is set."""
        return int(self._value)

    def set(self, epoch: int) -> None:
        """Set the epoch, >= 0, here and in every worker."""
        if epoch < 0:
            raise ConfigError(f"epoch {epoch}", wanted="an epoch >= 0")
        self._value.fill_(epoch)

    def __setstate__(self, state: dict[str, torch.Tensor]) -> None:
        self._value = state["_value"]
        self._value.share_memory_()  # type: ignore[no-untyped-call]  # a plain pickle brings the number alone

    def __deepcopy__(self, memo: dict[int, Any]) -> "SharedEpoch":
        return self
