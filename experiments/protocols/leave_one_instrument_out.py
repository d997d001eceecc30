"""Leave one instrument out: one printer and paper, one panel, one mask."""

from typing import Literal

import pyarrow as pa
from pydantic import Field, PositiveInt

from spooflab.config import Config
from spooflab.errors import DataError
from spooflab.experiments.fold import Fold
from spooflab.experiments.index_columns import by_key, column
from spooflab.experiments.protocols.protocol import chosen, fold_of
from spooflab.experiments.protocols.subject_split import SubjectSplit


class LeaveOneInstrumentOut(Config):
    """Leave one instrument out: each panel, paper or mask is tested by detectors that know its species by others.

    Test: the test subjects' bona fide and their attacks with the held-out instrument. Train and dev: other subjects,
    all attacks with other instruments, and those without one. Instruments with too few attacks to be tested are named.
    """

    name: Literal["leave_one_instrument_out"] = "leave_one_instrument_out"
    by: Literal["instrument_id"] = "instrument_id"
    only: tuple[str, ...] = Field(default=(), description="instruments to hold out; empty takes every one present")
    least: PositiveInt = Field(default=1, description="attacks of test subjects that an instrument needs for a fold")
    split: SubjectSplit = SubjectSplit()

    def folds(self, index: pa.Table) -> list[Fold]:
        """Return one fold per instrument with `least` attacks or more.

        Raises:
            DataError: no instrument has so many, or fewer than two are recorded.
        """
        index, order = by_key(index)
        attack, instruments = column(index, "label") == "attack", column(index, self.by)
        names = chosen(instruments[attack], self.only, self.by)
        parts = self.split.parts(index)
        counts = {name: int((parts["test"] & attack & (instruments == name)).sum()) for name in names}
        few = [name for name in names if counts[name] < self.least]
        if len(few) == len(names):
            raise DataError(
                f"no instrument has {self.least} attacks of test subjects (the most is {max(counts.values())})",
                wanted="more data, a larger split.test, or a smaller protocol.least",
            )
        note = f"not tested, with fewer than {self.least} attacks: {', '.join(few)}" if few else ""
        folds = []
        for name in sorted(set(names) - set(few)):
            here = attack & (instruments == name)
            masks = {part: mask & ~here for part, mask in parts.items()}
            masks["test"] = parts["test"] & (~attack | here)
            folds.append(fold_of(name, order, masks, column=self.by, held_out=(name,), note=note))
            note = ""
        return folds
