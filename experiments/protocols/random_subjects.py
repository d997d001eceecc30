"""The baseline within the data: other people, everything else known."""

from typing import Literal

import pyarrow as pa
from pydantic import Field, PositiveInt

from spooflab.config import Config
from spooflab.errors import ConfigError
from spooflab.experiments.fold import Fold
from spooflab.experiments.index_columns import by_key, column
from spooflab.experiments.protocols.protocol import fold_of
from spooflab.experiments.protocols.subject_split import SubjectSplit


class RandomSubjects(Config):
    """Other people alone: attacks, devices and instruments are known. What a protocol that holds more out is held to.

    Test: all rows of the test subjects. Several `repeats` test other subjects each time, without overlap.
    """

    name: Literal["random_subjects"] = "random_subjects"
    repeats: PositiveInt = Field(default=1, description="folds, whose test subjects are disjoint")
    split: SubjectSplit = SubjectSplit()

    def folds(self, index: pa.Table) -> list[Fold]:
        """Return `repeats` folds.

        Raises:
            ConfigError: there are too few subject groups for so many.
        """
        index, order = by_key(index)
        groups = len(set(column(index, "subject_group").tolist()))
        if self.repeats > 1 and groups >= 3 and self.repeats * self.split.tested(groups) > groups:
            raise ConfigError(
                f"protocol.repeats {self.repeats}: each tests {self.split.tested(groups)} of {groups} subject groups",
                wanted=f"at most {groups // self.split.tested(groups)} repeats, or a smaller split.test",
            )
        names = [f"subjects {turn + 1:02d}" for turn in range(self.repeats)]
        return [
            fold_of(name, order, self.split.parts(index, turn=turn), column="species")
            for turn, name in enumerate(names)
        ]
