"""The scores that one evaluation counts: bona fide likelihoods with label, species and subject, checked once."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spooflab.errors import DataError

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]
StrArray = NDArray[np.str_]


@dataclass(frozen=True)
class ScoreSet:
    """Scores to be counted, one row per unit (image or clip).

    A score is the likelihood of bona fide: a row is accepted iff score >= threshold. NaN is a failure to acquire; it
    counts as an error of the side that it hurts: a bona fide is rejected and an attack accepted at every threshold.

    Attributes:
        score: (N,) float64, finite or NaN.
        attack: (N,) True for attacks.
        species: (N,) species of each row; `bonafide` for the genuine ones.
        subject: (N,) the cluster that the bootstrap resamples.
        key: (N,) name of each row, for lists of failures.
        unit: what one row is, as reports state it.
    """

    score: FloatArray
    attack: BoolArray
    species: StrArray
    subject: StrArray
    key: StrArray
    unit: str = "image"
    _columns: tuple[str, ...] = field(default=("score", "attack", "species", "subject", "key"), repr=False)

    def __post_init__(self) -> None:
        lengths = {name: len(getattr(self, name)) for name in self._columns}
        if len(set(lengths.values())) != 1:
            raise DataError(f"columns of different lengths: {lengths}", wanted="one value per row in each")
        infinite = np.flatnonzero(np.isinf(self.score))
        if infinite.size:
            raise DataError(
                f"{infinite.size} infinite scores, first at row {infinite[0]} ({self.key[infinite[0]]})",
                wanted="finite scores, or NaN (an empty cell) for a failure to acquire",
            )

    @classmethod
    def build(
        cls,
        score: Sequence[float] | NDArray[Any],
        attack: Sequence[bool] | NDArray[Any],
        *,
        species: Sequence[str] | NDArray[Any] | None = None,
        subject: Sequence[str] | NDArray[Any] | None = None,
        key: Sequence[str] | NDArray[Any] | None = None,
        unit: str = "image",
    ) -> "ScoreSet":
        """Build from plain sequences; without species all attacks are one, without subjects each row is its own.

        >>> ScoreSet.build([0.9, 0.2], [False, True]).species.tolist()
        ['bonafide', 'attack']
        """
        is_attack = np.asarray(attack, dtype=np.bool_)
        rows = np.arange(len(is_attack)).astype(np.str_)
        names = np.where(is_attack, "attack", "bonafide") if species is None else np.asarray(species, dtype=np.str_)
        return cls(
            score=np.asarray(score, dtype=np.float64),
            attack=is_attack,
            species=names,
            subject=rows if subject is None else np.asarray(subject, dtype=np.str_),
            key=rows if key is None else np.asarray(key, dtype=np.str_),
            unit=unit,
        )

    def __len__(self) -> int:
        return len(self.score)

    def select(self, rows: BoolArray | IntArray) -> "ScoreSet":
        """Return the rows that a mask or index array names."""
        return ScoreSet(
            score=self.score[rows],
            attack=self.attack[rows],
            species=self.species[rows],
            subject=self.subject[rows],
            key=self.key[rows],
            unit=self.unit,
        )

    @cached_property
    def attack_species(self) -> tuple[str, ...]:
        """Names of the attack species present, sorted."""
        return tuple(np.unique(self.species[self.attack]).tolist())

    @property
    def failures(self) -> tuple[str, ...]:
        """Keys of the rows whose score is NaN, in row order."""
        return tuple(self.key[np.isnan(self.score)].tolist())


def pool_clips(frames: ScoreSet, clip: Sequence[str] | NDArray[Any]) -> ScoreSet:
    """Average the frames of each clip into one score, so that what is counted afterwards is clips.

    Frames that failed are left out of their clip's mean; a clip whose frames all failed is a failure.

    Args:
        frames: one row per frame.
        clip: (N,) clip of each frame.

    Returns:
        One row per clip in order of name, `unit="clip"`.

    Raises:
        DataError: a clip holds two labels, species or subjects.
    """
    names, first, member = np.unique(np.asarray(clip, dtype=np.str_), return_index=True, return_inverse=True)
    for column in ("attack", "species", "subject"):
        values = getattr(frames, column)
        mixed = np.flatnonzero(values != values[first][member])
        if mixed.size:
            raise DataError(
                f"clip {str(names[member[mixed[0]]])!r} holds two values of {column}",
                wanted="one per clip, the same in each",
            )
    seen = ~np.isnan(frames.score)
    count = np.bincount(member[seen], minlength=len(names))
    total = np.bincount(member[seen], weights=frames.score[seen], minlength=len(names))
    mean = np.divide(total, count, out=np.full(len(names), np.nan), where=count > 0)
    return ScoreSet(
        score=mean,
        attack=frames.attack[first],
        species=frames.species[first],
        subject=frames.subject[first],
        key=names,
        unit="clip",
    )
