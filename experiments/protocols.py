"""Protocols: how an index is cut into folds so that each test asks about something that training never saw.

Subjects are split once, by groups among which donors are drawn, with a seed that knows nothing of algorithms: every
algorithm and every fold judges the same test subjects.
"""

import json
from typing import Annotated, Literal, Protocol, runtime_checkable

import numpy as np
import pyarrow as pa
from pydantic import Field, model_validator

from spooflab.config import Config
from spooflab.errors import ConfigError, DataError
from spooflab.experiments.fold import Fold, chain_parts
from spooflab.experiments.scores import BoolArray, IntArray, StrArray
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

    def parts(self, index: pa.Table) -> dict[str, BoolArray]:
        """Return masks of the train, dev and test rows; a subject group is never divided.

        Groups are ordered by a hash of their name, so the cut depends on neither row order nor anything but the seed.

        Raises:
            DataError: fewer than three subject groups.
        """
        groups = column(index, "subject_group")
        names = sorted(np.unique(groups).tolist(), key=lambda name: seed(self.seed, "subject split", name))
        if len(names) < 3:
            raise DataError(
                f"{len(names)} subject groups", wanted="3 or more: one each to train, choose and test", next_step=_MORE
            )
        test = min(max(1, round(self.test * len(names))), len(names) - 2)
        dev = min(max(1, round(self.dev * len(names))), len(names) - test - 1)
        cuts = {"test": names[:test], "dev": names[test : test + dev], "train": names[test + dev :]}
        return {part: np.isin(groups, cut) for part, cut in cuts.items()}


_MORE = "generate more subjects (spooflab generate --n …), so that several groups of donors exist"


@runtime_checkable
class StudyProtocol(Protocol):
    """What every protocol is: a strict configuration that cuts an index into folds."""

    def folds(self, index: pa.Table) -> list[Fold]:
        """Return the folds in order of name."""
        ...


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
        values = _chosen(sorted(np.unique(groups[attack]).tolist()), self.only, self.by, least=2)
        parts = self.split.parts(index)
        folds = []
        for value in values:
            held = tuple(sorted(np.unique(species[attack & (groups == value)]).tolist()))
            tested = attack & np.isin(species, held)
            banned = attack & _contains(species, held)
            notes = sorted(np.unique(species[banned & ~tested]).tolist())
            note = f"left out of every part, because made of what is held out: {', '.join(notes)}" if notes else ""
            folds.append(
                Fold(
                    value,
                    order[np.flatnonzero(parts["train"] & ~banned)],
                    order[np.flatnonzero(parts["dev"] & ~banned)],
                    order[np.flatnonzero(parts["test"] & (~attack | tested))],
                    held,
                    "species",
                    note,
                )
            )
        return folds


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
        values = _chosen(sorted(np.unique(devices).tolist()), self.only, self.by, least=2)
        parts = self.split.parts(index)
        return [
            Fold(
                value,
                order[np.flatnonzero(parts["train"] & (devices != value))],
                order[np.flatnonzero(parts["dev"] & (devices != value))],
                order[np.flatnonzero(parts["test"] & (devices == value))],
                (value,),
                self.by,
            )
            for value in values
        ]


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
        parts = [_splits(text) for text in column(index, "params").tolist()]
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
            groups = column(index, "subject_group")
            present = np.unique(groups[train]).tolist()
            if len(present) < 2:
                raise DataError(f"{name}: {len(present)} training groups and no dev part", wanted="2 groups or more")
            names = sorted(present, key=lambda group: seed(self.split.seed, "subject split", group))
            cut = names[: min(max(1, round(self.split.dev * len(names))), len(names) - 1)]
            dev = train & np.isin(groups, cut)
            train = train & ~dev
            note = f"the protocol has no dev part: {len(cut)} of {len(names)} training groups serve as one"
        rows = [order[np.flatnonzero(mask)] for mask in (train, dev, told == "test")]
        return Fold(name, rows[0], rows[1], rows[2], (), "species", note)


def _splits(params: str) -> dict[str, str]:
    """Return the official parts in a picture's record; a generated picture has none."""
    splits = json.loads(params or "{}").get("splits", {})
    return splits if isinstance(splits, dict) else {}


AnyProtocol = Annotated[LeaveOneAttackOut | LeaveOneDeviceOut | Official, Field(discriminator="name")]
PROTOCOLS: dict[str, type[LeaveOneAttackOut] | type[LeaveOneDeviceOut] | type[Official]] = {
    "leave_one_attack_out": LeaveOneAttackOut,
    "leave_one_device_out": LeaveOneDeviceOut,
    "official": Official,
}


def column(index: pa.Table, name: str) -> StrArray:
    """Return an index column as strings, missing values empty.

    Raises:
        DataError: the index has no such column.
    """
    if name not in index.column_names:
        raise DataError(f"index without column {name!r}", wanted=f"{name} among {', '.join(index.column_names)}")
    values = ["" if value is None else str(value) for value in index.column(name).to_pylist()]
    return np.asarray(values, dtype=np.str_)


def by_key(index: pa.Table) -> tuple[pa.Table, IntArray]:
    """Sort an index by key, so that the order of its shards means nothing; also return each row's old position."""
    order = np.argsort(column(index, "key"), kind="stable").astype(np.int64)
    return index.take(pa.array(order)), order


def _contains(species: StrArray, held: tuple[str, ...]) -> BoolArray:
    """Rows whose species is held out, or is a chain with a part that is."""
    names = np.unique(species).tolist()
    return np.isin(species, [name for name in names if {name, *chain_parts(name)} & set(held)])


def _chosen(present: list[str], only: tuple[str, ...], by: str, *, least: int) -> list[str]:
    if len(present) < least:
        raise DataError(f"{len(present)} values of {by}: {present}", wanted=f"{least} or more, to hold one out")
    unknown = sorted(set(only) - set(present))
    if unknown:
        raise ConfigError(
            f"protocol.only: {', '.join(unknown)} not in the data", wanted=f"some of {', '.join(present)}"
        )
    return [value for value in present if not only or value in only]
