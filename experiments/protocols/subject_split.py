"""Subjects are split once, by groups among which donors are drawn, with a seed that knows nothing of algorithms."""

import numpy as np
import pyarrow as pa
from pydantic import Field, model_validator

from spooflab.config import Config
from spooflab.errors import DataError
from spooflab.experiments.index_columns import column
from spooflab.experiments.scores import BoolArray, StrArray
from spooflab.seeds import seed


class SubjectSplit(Config):
    """Shares of the subject groups that go to test and dev; the rest trains."""

    test: float = Field(default=0.3, gt=0, lt=1)
    dev: float = Field(default=0.2, gt=0, lt=1)
    seed: int = 0

    @model_validator(mode="after")
    def _leaves_training(self) -> "SubjectSplit":
        if self.test + self.dev >= 1:
            raise ValueError(f"test {self.test} + dev {self.dev} leave nothing to train on")
        return self

    def order(self, groups: StrArray) -> list[str]:
        """Return the distinct groups by a hash of their name and the seed: neither row order nor numbers count."""
        return sorted(np.unique(groups).tolist(), key=lambda name: seed(self.seed, "subject split", name))

    def parts(self, index: pa.Table, *, turn: int = 0) -> dict[str, BoolArray]:
        """Return masks of the train, dev and test rows; a subject group is never divided.

        Args:
            index: rows, in any order.
            turn: how many test shares the hashed order is turned by: another turn tests other subjects.

        Raises:
            DataError: fewer than three subject groups.
        """
        groups = column(index, "subject_group")
        names = self.order(groups)
        if len(names) < 3:
            raise DataError(
                f"{len(names)} subject groups", wanted="3 or more: one each to train, choose and test", next_step=_MORE
            )
        test = self.tested(len(names))
        dev = min(max(1, round(self.dev * len(names))), len(names) - test - 1)
        names = names[turn * test :] + names[: turn * test]
        cuts = {"test": names[:test], "dev": names[test : test + dev], "train": names[test + dev :]}
        return {part: np.isin(groups, cut) for part, cut in cuts.items()}

    def tested(self, groups: int) -> int:
        """Return how many of so many groups are tested."""
        return min(max(1, round(self.test * groups)), groups - 2)

    def dev_of(self, groups: StrArray, sources: BoolArray, strata: StrArray) -> BoolArray:
        """Cut the share `dev` of the source rows' groups off for dev, in every stratum that has two groups or more.

        Args:
            groups: of all rows.
            sources: rows that train and choose.
            strata: domain of each row; a group of several domains counts in the first of them.

        Raises:
            DataError: the sources are one group, or none.
        """
        first: dict[str, str] = {}
        for name, stratum in zip(groups[sources].tolist(), strata[sources].tolist(), strict=True):
            first[name] = min(stratum, first.get(name, stratum))
        if len(first) < 2:
            raise DataError(f"{len(first)} subject groups to train and choose on", wanted="2 or more", next_step=_MORE)
        cut: list[str] = []
        for stratum in sorted(set(first.values())):
            names = self.order(np.asarray([n for n, s in first.items() if s == stratum], dtype=np.str_))
            if len(names) > 1:
                cut += names[: min(max(1, round(self.dev * len(names))), len(names) - 1)]
        if not cut:
            cut = self.order(np.asarray(list(first), dtype=np.str_))[:1]
        return sources & np.isin(groups, cut)


_MORE = "generate more subjects (spooflab generate --n …), so that several groups of donors exist"
