"""Cross-dataset: train on one data set (or several), test on another."""

from typing import Literal

import numpy as np
import pyarrow as pa
from pydantic import Field, model_validator

from spooflab.config import Config
from spooflab.experiments.fold import Fold
from spooflab.experiments.index_columns import DATA_SET, by_key, domains
from spooflab.experiments.protocols.across import across
from spooflab.experiments.protocols.protocol import chosen, fold_of
from spooflab.experiments.protocols.subject_split import SubjectSplit
from spooflab.experiments.scores import BoolArray


class CrossDataset(Config):
    """Train on one data set, test on another: `train_on` all at once, `test_on` one a fold, or every ordered pair.

    Test: the whole of the tested data set. Train: the people of the training data sets who are not in it; a share of
    them chooses. With neither `train_on` nor `test_on`, each data set by itself trains for each other one.
    """

    name: Literal["cross_dataset"] = "cross_dataset"
    by: tuple[str, ...] = Field(default=(DATA_SET,), min_length=1, description="columns that tell the data set")
    train_on: tuple[str, ...] = Field(default=(), description="data sets that train together; empty: each by itself")
    test_on: tuple[str, ...] = Field(default=(), description="data sets that are tested; empty: all the others")
    people: Literal["all", "share"] = Field(
        default="all", description="test all of a data set, or the split's test subjects in it"
    )
    split: SubjectSplit = Field(default=SubjectSplit(), description="with people: all, its `test` is not used")

    @model_validator(mode="after")
    def _apart(self) -> "CrossDataset":
        both = sorted(set(self.train_on) & set(self.test_on))
        if both:
            raise ValueError(f"train_on and test_on both name {both}")
        return self

    def folds(self, index: pa.Table) -> list[Fold]:
        """Return one fold per pair of training data (all of `train_on`, or one data set) and tested data set."""
        index, order = by_key(index)
        domain = domains(index, self.by)
        by = " x ".join(self.by)
        every = chosen(domain, (), by)
        trained = chosen(domain, self.train_on, by, key="train_on")
        tested = chosen(domain, self.test_on, by, key="test_on")
        sources = [tuple(trained)] if self.train_on else [(name,) for name in every]
        folds = []
        for source in sources:
            rows: BoolArray = np.isin(domain, source)
            for value in tested:
                if value in source:
                    continue
                masks, note = across(index, domain, value, rows, self.people, self.split)
                name = f"{' + '.join(source)} to {value}"
                folds.append(fold_of(name, order, masks, column=by, held_out=(value,), note=note))
        return sorted(folds, key=lambda fold: fold.name)
