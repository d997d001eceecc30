"""Paired timing: ours and the peer in turn, medians of several rounds."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

ROUNDS = 7


@dataclass(frozen=True)
class Row:
    """One case: rates in items per second, the ratio as the median over paired rounds."""

    name: str
    ours_per_s: float
    peer: str
    peer_per_s: float | None
    ratio: float | None

    def to_json(self) -> dict[str, str | float | None]:
        """Return JSON-ready values."""
        return dict(self.__dict__)


def paired(
    name: str,
    ours: Callable[[], object],
    *,
    items: int,
    peer_name: str = "",
    peer: Callable[[], object] | None = None,
    peer_items: int | None = None,
    rounds: int = ROUNDS,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, str | float | None]:
    """Time `ours` and `peer` in turn, after one warm-up of each.

    The machine's speed drifts, so the ratio is taken round by round and its median reported.

    Args:
        name: case name.
        ours: one call handles `items` items.
        items: see `ours`.
        peer_name: library and method of the peer.
        peer: one call handles `peer_items` (default `items`) items.
        peer_items: see `peer`.
        rounds: number of paired rounds.
        clock: seconds; `time.process_time` leaves out what other processes take, and is right for one thread alone.
    """
    ours()
    if peer is not None:
        peer()
    own, other = [], []
    for _ in range(rounds):
        own.append(items / _seconds(ours, clock))
        if peer is not None:
            other.append((peer_items or items) / _seconds(peer, clock))
    ratio = statistics.median(a / b for a, b in zip(own, other, strict=True)) if other else None
    return Row(name, statistics.median(own), peer_name, statistics.median(other) if other else None, ratio).to_json()


def _seconds(call: Callable[[], object], clock: Callable[[], float]) -> float:
    start = clock()
    call()
    return clock() - start
