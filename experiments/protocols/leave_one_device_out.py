"""Leave one capture device out, by profile or unit."""

from typing import Literal

import pyarrow as pa
from pydantic import Field

from spooflab.config import Config
from spooflab.experiments.fold import Fold
from spooflab.experiments.index_columns import by_key, column
from spooflab.experiments.protocols.protocol import chosen, fold_of
from spooflab.experiments.protocols.subject_split import SubjectSplit


class LeaveOneDeviceOut(Config):
    """Leave one capture device out: each device profile (or unit) is tested by detectors that never saw its photos.

    Test: the test subjects as the held-out device photographs them, bona fide and every attack. Train and dev: other
    subjects on the other devices.
    """

    name: Literal["leave_one_device_out"] = "leave_one_device_out"
    by: Literal["device_profile", "device_id"] = "device_profile"
    only: tuple[str, ...] = Field(default=(), description="values to hold out; empty takes every one present")
    split: SubjectSplit = SubjectSplit()

    def folds(self, index: pa.Table) -> list[Fold]:
        """Return one fold per device profile (or unit) of the index."""
        index, order = by_key(index)
        devices = column(index, self.by)
        parts = self.split.parts(index)
        folds = []
        for value in chosen(devices, self.only, self.by):
            here = devices == value
            masks = {part: mask & (here if part == "test" else ~here) for part, mask in parts.items()}
            folds.append(fold_of(value, order, masks, column=self.by, held_out=(value,)))
        return folds
