"""A data set's own protocol, as its owners publish it."""

import json
from typing import Literal

import numpy as np
import pyarrow as pa
from pydantic import Field

from spooflab.config import Config
from spooflab.errors import DataError
from spooflab.experiments.fold import Fold
from spooflab.experiments.index_columns import by_key, column, texts
from spooflab.experiments.protocols.protocol import fold_of
from spooflab.experiments.protocols.subject_split import SubjectSplit
from spooflab.experiments.scores import IntArray


class Official(Config):
    """A data set's own protocol: the parts that its lists or names give each picture, as `spooflab ingest` recorded.

    `oulu_p3` takes the folds `oulu_p3.1` to `oulu_p3.6`, `oulu_p3.2` that one alone. Where the protocol has no dev
    part, a share of the training people is cut off for it, by groups and hash as in `SubjectSplit`: thresholds are
    never chosen on test.
    """

    name: Literal["official"] = "official"
    protocol: str = Field(min_length=1, description="name in the records' `splits`, with or without a sub-fold")
    split: SubjectSplit = Field(
        default=SubjectSplit(), description="share `dev` and seed, where no dev part is given; `test` is the protocol's"
    )

    def folds(self, index: pa.Table) -> list[Fold]:
        """Return the protocol's folds in order of name.

        Raises:
            DataError: no picture's record has the protocol, or training has one group and no dev part is given.
        """
        index, order = by_key(index)
        parts = [_splits(text) for text in texts(index, "params")]
        known = sorted({name for row in parts for name in row})
        names = [name for name in known if name == self.protocol or name.startswith(f"{self.protocol}.")]
        if not names:
            raise DataError(
                f"no picture is in protocol {self.protocol!r}",
                wanted=f"one of {', '.join(known) or 'none is recorded'}",
            )
        return [self._fold(name, index, order, parts) for name in names]

    def _fold(self, name: str, index: pa.Table, order: IntArray, parts: list[dict[str, str]]) -> Fold:
        told = np.asarray([row.get(name, "") for row in parts], dtype=np.str_)
        train, dev, note = told == "train", told == "dev", ""
        if not dev.any():
            names = self.split.order(column(index, "subject_group")[train])
            if len(names) < 2:
                raise DataError(f"{name}: {len(names)} training groups and no dev part", wanted="2 groups or more")
            cut = names[: min(max(1, round(self.split.dev * len(names))), len(names) - 1)]
            dev = train & np.isin(column(index, "subject_group"), cut)
            train = train & ~dev
            note = f"the protocol has no dev part: {len(cut)} of {len(names)} training groups serve as one"
        return fold_of(name, order, {"train": train, "dev": dev, "test": told == "test"}, column="species", note=note)


def _splits(params: str) -> dict[str, str]:
    """Return the official parts in a picture's record; a generated picture has none."""
    splits = json.loads(params or "{}").get("splits", {})
    return splits if isinstance(splits, dict) else {}
