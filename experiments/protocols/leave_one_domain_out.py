"""Leave one domain out: a data set, a device, a light, or a combination of them."""

from typing import Literal

import pyarrow as pa
from pydantic import Field

from spooflab.config import Config
from spooflab.experiments.fold import Fold
from spooflab.experiments.index_columns import DATA_SET, by_key, domains
from spooflab.experiments.protocols.across import across
from spooflab.experiments.protocols.protocol import chosen, fold_of
from spooflab.experiments.protocols.subject_split import SubjectSplit


class LeaveOneDomainOut(Config):
    """Leave one domain out: each data set (or any other domain) is tested by detectors trained on the others.

    A domain is a value of `by`; with several columns, each combination that occurs. With `people: all`, as data sets of
    different people are compared, every row of the held-out domain is tested, whoever is in it does not train, and a
    share of each other domain's people chooses. With `people: share`, for domains of the same people, only the test
    subjects of one split are tested.
    """

    name: Literal["leave_one_domain_out"] = "leave_one_domain_out"
    by: tuple[str, ...] = Field(
        default=(DATA_SET,), min_length=1, description="columns of the index; data_set is that of a merged store"
    )
    only: tuple[str, ...] = Field(default=(), description="domains to hold out; empty takes every one present")
    people: Literal["all", "share"] = Field(
        default="all", description="test all of the held-out domain, or the split's test subjects in it"
    )
    split: SubjectSplit = Field(default=SubjectSplit(), description="with people: all, its `test` is not used")

    def folds(self, index: pa.Table) -> list[Fold]:
        """Return one fold per domain; rows that lack a value of `by` are in none, and take no part."""
        index, order = by_key(index)
        domain = domains(index, self.by)
        by = " x ".join(self.by)
        folds = []
        for value in chosen(domain, self.only, by):
            masks, note = across(index, domain, value, (domain != value) & (domain != ""), self.people, self.split)
            folds.append(fold_of(value, order, masks, column=by, held_out=(value,), note=note))
        return folds
