"""The product of leave one attack out and leave one device out: both are unseen at once."""

from typing import Literal

import numpy as np
import pyarrow as pa
from pydantic import Field

from spooflab.config import Config
from spooflab.errors import DataError
from spooflab.experiments.fold import Fold
from spooflab.experiments.index_columns import by_key, column
from spooflab.experiments.protocols.leave_one_attack_out import without_attack
from spooflab.experiments.protocols.protocol import chosen, fold_of
from spooflab.experiments.protocols.subject_split import SubjectSplit


class LeaveOneAttackAndDeviceOut(Config):
    """Leave one attack and one device out: each pair is tested by detectors that saw neither.

    Test: the test subjects on the held-out device, bona fide and the held-out attack. Train and dev: other subjects on
    the other devices, without the held-out attack and without chains made of it.
    """

    name: Literal["leave_one_attack_and_device_out"] = "leave_one_attack_and_device_out"
    attack: Literal["species", "family"] = "species"
    device: Literal["device_profile", "device_id"] = "device_profile"
    only_attacks: tuple[str, ...] = Field(default=(), description="attacks to hold out; empty takes every one present")
    only_devices: tuple[str, ...] = Field(default=(), description="devices to hold out; empty takes every one present")
    split: SubjectSplit = SubjectSplit()

    def folds(self, index: pa.Table) -> list[Fold]:
        """Return one fold per pair of attack and device whose attack the device took.

        Raises:
            DataError: no such pair.
        """
        index, order = by_key(index)
        attack, species = column(index, "label") == "attack", column(index, "species")
        kinds, devices = column(index, self.attack), column(index, self.device)
        parts = self.split.parts(index)
        folds = []
        for kind in chosen(kinds[attack], self.only_attacks, self.attack, key="only_attacks"):
            held, tested, banned, note = without_attack(attack, species, kinds == kind)
            for device in chosen(devices, self.only_devices, self.device, key="only_devices"):
                here = devices == device
                if not np.any(tested & here):
                    continue
                masks = {
                    "train": parts["train"] & ~banned & ~here,
                    "dev": parts["dev"] & ~banned & ~here,
                    "test": parts["test"] & here & (~attack | tested),
                }
                also = (((self.device,), (device,)),)
                name = f"{kind} x {device}"
                folds.append(fold_of(name, order, masks, column="species", held_out=held, note=note, also=also))
        if not folds:
            raise DataError("no device took any of these attacks", wanted="a pair of attack and device to hold out")
        return folds
