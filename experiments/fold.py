"""One fold of a protocol: which rows train, choose (dev) and judge (test), and what none of the first two has seen."""

from dataclasses import dataclass

import pyarrow as pa

from spooflab.experiments.scores import IntArray


@dataclass(frozen=True, eq=False)
class Fold:
    """Rows of an index by their part; positions are those of the table that the protocol was given.

    Attributes:
        name: unique within the protocol, fit for a file name.
        train, dev, test: row positions, in order of key. Dev rows come from the training sources alone.
        held_out: values that occur in the test rows only (a species, the species of a family, a device).
        column: index column that `held_out` names values of.
        note: what was left out and why, for the report.
    """

    name: str
    train: IntArray
    dev: IntArray
    test: IntArray
    held_out: tuple[str, ...]
    column: str
    note: str = ""

    @property
    def parts(self) -> dict[str, IntArray]:
        """The three parts by name."""
        return {"train": self.train, "dev": self.dev, "test": self.test}

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
