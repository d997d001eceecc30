"""What a person sees of a run that fills a store: a line for each shard, and a bar with rate and remaining time."""

from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from spooflab.shard_runs import ShardDone
from spooflab.spoken import duration


class ShardLines:
    """Plain lines on stderr, above a bar where that is a terminal; a context manager.

    Args:
        console: where to write.
    """

    def __init__(self, console: Console) -> None:
        columns = (
            TextColumn("shards"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[told]}"),
        )
        self._console = console
        self._bar = Progress(*columns, console=console, disable=not console.is_terminal, transient=True)
        self._task = self._bar.add_task("", total=None, told="")
        self._shards, self._committed = 0, 0

    def begin(self, headline: str, *, shards: int, committed: int) -> None:
        """Say what is to be made, and how many shards of it are committed already."""
        self._shards, self._committed = shards, committed
        self._bar.update(self._task, total=shards, completed=committed)
        self._say(headline)

    def count(self, done: ShardDone, figures: Mapping[str, Any]) -> None:
        """Say that a shard is committed; `figures` are `RunMetrics.count`'s."""
        self._committed += 1
        skipped = f", {done.skips} skipped" if done.skips else ""
        pace = f"{figures['rows_per_s'] or 0:.3g} rows/s, {duration(figures['eta_s'] or 0)} left"
        self._bar.update(self._task, completed=self._committed, told=pace)
        self._say(
            f"shard {self._committed}/{self._shards} ✓ {done.rows} rows{skipped}  sha256 {done.sha256[:12]}  {pace}"
        )

    def stopped(self, following: str, *, shards: int, left: int) -> None:
        """Say that the run was interrupted with `left` of its shards not committed, and how it goes on.

        Both are the store's: a shard that was committed in the moment of the interruption was not counted here.
        """
        self._say(f"stopped safely: {shards - left}/{shards} committed. Continue: {following}")

    def _say(self, text: str) -> None:
        self._console.print(text, highlight=False, markup=False)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()


def planned(counts: Mapping[str, int]) -> str:
    """Say how many samples of what are planned; attacks that are equally many are told together.

    >>> planned({"bonafide": 60, "print_a4": 20, "replay_phone": 20})
    '60 bona fide + 2 attacks × 20'
    >>> planned({"bonafide": 0, "print_a4": 3, "replay_phone": 2})
    '2 attacks × 2-3'
    """
    attacks = [count for species, count in counts.items() if species != "bonafide"]
    told = [f"{counts['bonafide']} bona fide"] if counts["bonafide"] else []
    if attacks:
        each = str(attacks[0]) if len(set(attacks)) == 1 else f"{min(attacks)}-{max(attacks)}"
        told.append(f"{len(attacks)} attack{'s' * (len(attacks) > 1)} × {each}")
    return " + ".join(told)
