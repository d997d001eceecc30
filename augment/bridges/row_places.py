"""Keys for samples that came without one: their place in the epoch."""

import os

from torch import distributed
from torch.utils.data import get_worker_info

from spooflab.errors import ConfigError


class RowPlaces:
    """Counts samples through an epoch, within one process: the rank of a distributed one is in the key."""

    def __init__(self) -> None:
        self._seen = 0

    def restart(self) -> None:
        """Begin a new epoch."""
        self._seen = 0

    def take(self, count: int) -> list[str]:
        """Return the keys of the next `count` samples.

        Raises:
            ConfigError: in a data loader's worker, where every worker would count alike and repeat the others' shots.
        """
        if get_worker_info() is not None:
            raise ConfigError(
                f"samples without keys in the data loader's worker {os.getpid()}",
                wanted="keys, because each worker counts its own samples",
                next_step="wrap the data set in KeyedDataset and pass the keys, or use the device in the main process",
            )
        rank = distributed.get_rank() if distributed.is_available() and distributed.is_initialized() else 0
        first, self._seen = self._seen, self._seen + count
        return [f"rank {rank} row {first + i}" for i in range(count)]
