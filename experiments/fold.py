"""One fold of a protocol: which rows train, choose (dev) and judge (test), and what none of the first two has seen."""

from dataclasses import dataclass

import pyarrow as pa

from spooflab.experiments.scores import IntArray

Held = tuple[tuple[str, ...], tuple[str, ...]]
"""Columns, and values of theirs (joined by ` x ` where there are several columns)."""


@dataclass(frozen=True, eq=False)
class Fold:
    """Rows of an index by their part; positions are those of the table that the protocol was given.

    Attributes:
        name: unique within the protocol.
        train, dev, test: row positions, in order of key. Dev rows come from the training sources alone.
        held_out: values that occur in the test rows only (a species, the species of a family, a device).
        column: index column that `held_out` names values of; several are joined by ` x `, as the values are.
        note: what was left out and why, for the report.
        also: what else is held out, where a fold holds out values of several columns at once, each by itself.
    """

    name: str
    train: IntArray
    dev: IntArray
    test: IntArray
    held_out: tuple[str, ...]
    column: str
    note: str = ""
    also: tuple[Held, ...] = ()

    @property
    def parts(self) -> dict[str, IntArray]:
        """The three parts by name."""
        return {"train": self.train, "dev": self.dev, "test": self.test}

    @property
    def holds_out(self) -> tuple[Held, ...]:
        """All that the fold holds out, by columns."""
        first: tuple[Held, ...] = ((tuple(self.column.split(" x ")), self.held_out),) if self.held_out else ()
        return (*first, *self.also)

    @property
    def unseen(self) -> tuple[str, ...]:
        """All held-out values, those of `column` first."""
        return tuple(value for _, values in self.holds_out for value in values)

    def problem(self, index: pa.Table) -> str | None:
        """Say why this fold cannot be run (a part with one class only), or None."""
        labels = index.column("label").to_numpy(zero_copy_only=False)
        for part, rows in self.parts.items():
            missing = {"bonafide", "attack"} - set(labels[rows])
            if missing:
                return f"fold {self.name}: {len(rows)} {part} rows hold no {' and no '.join(sorted(missing))}"
        return None


def chain_parts(species: str) -> tuple[str, ...]:
    """Return what a species is made of: `swap_blend+replay_phone` is a swap and a replay.

    >>> chain_parts("swap_blend+replay_phone")
    ('swap_blend', 'replay_phone')
    """
    return tuple(species.split("+"))
