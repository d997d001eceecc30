"""One of several launchers' share of a run's shards, for the arrays of a cluster."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from spooflab.errors import ConfigError


@dataclass(frozen=True)
class Part:
    """The `number`-th of `count` launchers, counted from 1: it makes every `count`-th shard.

    >>> Part.parse("2/3").of([0, 1, 2, 3, 4])
    [1, 4]
    """

    number: int = 1
    count: int = 1

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `i/n`.

        Raises:
            ConfigError: another form, or i outside of 1 … n.
        """
        match = re.fullmatch(r"(\d{1,6})/(\d{1,6})", text)
        if match is None or not 1 <= int(match[1]) <= int(match[2]):
            raise ConfigError(f"--shard {text!r}", wanted="i/n with 1 ≤ i ≤ n, such as 3/16")
        return cls(int(match[1]), int(match[2]))

    def of(self, shards: Sequence[int]) -> list[int]:
        """Return this launcher's shards, in order. What belongs to whom depends on a shard's number alone."""
        return [shard for shard in shards if shard % self.count == self.number - 1]
