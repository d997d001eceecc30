"""Train on some domains and test another, with nobody in both."""

from typing import Literal

import numpy as np
import pyarrow as pa

from spooflab.errors import DataError
from spooflab.experiments.index_columns import column
from spooflab.experiments.protocols.subject_split import SubjectSplit
from spooflab.experiments.scores import BoolArray, StrArray

People = Literal["all", "share"]


def across(
    index: pa.Table, domain: StrArray, tested: str, sources: BoolArray, people: People, split: SubjectSplit
) -> tuple[dict[str, BoolArray], str]:
    """Return the masks of train, dev and test, and a note on who had to be left out.

    Args:
        index: rows, sorted by key.
        domain: of each row.
        tested: the domain that is tested.
        sources: rows of the domains that train and choose.
        people: `all` tests every row of the domain, and no group that is in it trains; `share` cuts the groups as
            `split` says, whatever domain they are in.
        split: of the groups.

    Raises:
        DataError: too few groups are left.
    """
    here = domain == tested
    if people == "share":
        parts = split.parts(index)
        return {"train": parts["train"] & sources, "dev": parts["dev"] & sources, "test": parts["test"] & here}, ""
    groups = column(index, "subject_group")
    both = np.isin(groups, np.unique(groups[here]))
    left = sources & ~both
    if len(np.unique(groups[left])) < 2:
        raise DataError(
            f"{tested}: {len(np.unique(groups[left]))} subject groups are left to train and choose on without its own",
            wanted="2 or more",
            next_step="people: share, where the domains are of the same people",
        )
    dev = split.dev_of(groups, left, domain)
    shared = len(np.unique(groups[sources & both]))
    note = f"{shared} subject groups of the sources do not train: they are in {tested} as well" if shared else ""
    return {"train": left & ~dev, "dev": dev, "test": here}, note
