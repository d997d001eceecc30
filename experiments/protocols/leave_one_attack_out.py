"""Leave one attack out, by species or family."""

from typing import Literal

import numpy as np
import pyarrow as pa
from pydantic import Field

from spooflab.config import Config
from spooflab.experiments.fold import Fold
from spooflab.experiments.index_columns import by_key, column
from spooflab.experiments.protocols.protocol import chosen, contains, fold_of
from spooflab.experiments.protocols.subject_split import SubjectSplit
from spooflab.experiments.scores import BoolArray, StrArray


class LeaveOneAttackOut(Config):
    """Leave one attack out: each species (or family) is tested by detectors that never saw it.

    Test: the test subjects' bona fide and their held-out attacks. Train and dev: other subjects, without the held-out
    attacks. A chain counts as its parts: with `replay_phone` held out, `swap_blend+replay_phone` neither trains nor
    chooses, nor is it tested, since it would blur what the fold measures; it is tested in a fold of its own, whose
    detectors know the parts and not their combination.
    """

    name: Literal["leave_one_attack_out"] = "leave_one_attack_out"
    by: Literal["species", "family"] = "species"
    only: tuple[str, ...] = Field(default=(), description="values to hold out; empty takes every one present")
    split: SubjectSplit = SubjectSplit()

    def folds(self, index: pa.Table) -> list[Fold]:
        """Return one fold per species (or family) of the index."""
        index, order = by_key(index)
        attack, species = column(index, "label") == "attack", column(index, "species")
        groups = column(index, self.by)
        parts = self.split.parts(index)
        folds = []
        for value in chosen(groups[attack], self.only, self.by):
            held, tested, banned, note = without_attack(attack, species, groups == value)
            masks = {
                "train": parts["train"] & ~banned,
                "dev": parts["dev"] & ~banned,
                "test": parts["test"] & (~attack | tested),
            }
            folds.append(fold_of(value, order, masks, column="species", held_out=held, note=note))
        return folds


def without_attack(
    attack: BoolArray, species: StrArray, rows: BoolArray
) -> tuple[tuple[str, ...], BoolArray, BoolArray, str]:
    """Return the species of `rows`, the attacks of these, all attacks made of them, and a note on what is only made so.

    Args:
        attack: which rows are attacks.
        species: of each row.
        rows: what is held out.
    """
    held = tuple(sorted(np.unique(species[attack & rows]).tolist()))
    tested = attack & np.isin(species, held)
    banned = attack & contains(species, held)
    names = sorted(np.unique(species[banned & ~tested]).tolist())
    note = f"left out of every part, because made of what is held out: {', '.join(names)}" if names else ""
    return held, tested, banned, note
