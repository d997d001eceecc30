"""Limits of a run: no shard is begun that would probably end beyond them."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from spooflab.errors import ConfigError
from spooflab.shard_runs import ShardDone

GB = 1e9


@dataclass
class Budget:
    """Hours and gigabytes that a run may take; it stops between shards, and a later run goes on.

    A shard is begun while the time so far plus a shard's mean time is within `max_hours`, and the bytes so far plus a
    shard's mean size for every one under way within `max_gb`. Before the first shard has ended nothing is known of
    either, and as many are begun as there are processes.

    Attributes:
        max_hours: from the start of this run; None is no limit.
        max_gb: of the store's shards, earlier runs' among them, in 10^9 bytes; None is no limit.
        stored: bytes in the store when the run began.
        clock: seconds that only grow.
    """

    max_hours: float | None = None
    max_gb: float | None = None
    stored: int = 0
    clock: Callable[[], float] = time.monotonic
    _done: int = field(default=0, init=False)
    _seconds: float = field(default=0.0, init=False)
    _size: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        for name in ("max_hours", "max_gb"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ConfigError(f"{name.replace('_', '-')}: {value}", wanted="a number above 0")
        self._began = self.clock()

    def spend(self, done: ShardDone) -> None:
        """Count a committed shard."""
        self._done, self._seconds, self._size = self._done + 1, self._seconds + done.seconds, self._size + done.size

    def refusal(self, under_way: int) -> str:
        """Say why no further shard may be begun while `under_way` are being made; "" where one may."""
        seconds, size = self._means()
        hours = (self.clock() - self._began + seconds) / 3600
        if self.max_hours is not None and hours > self.max_hours:
            return f"--max-hours {self.max_hours:g}: another shard would end after {hours:.2g} h"
        held = (self.stored + self._size + size * (under_way + 1)) / GB
        if self.max_gb is not None and held > self.max_gb:
            return f"--max-gb {self.max_gb:g}: another shard would bring the store to {held:.3g} GB"
        return ""

    def _means(self) -> tuple[float, float]:
        count = max(1, self._done)
        return self._seconds / count, self._size / count
