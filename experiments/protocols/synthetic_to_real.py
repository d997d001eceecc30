"""Synthetic to real: what made-up pictures are worth in place of real ones."""

from typing import Annotated, Literal

import numpy as np
import pyarrow as pa
from pydantic import Field, PositiveInt, field_validator

from spooflab.config import Config
from spooflab.errors import DataError
from spooflab.experiments.balanced_rows import balanced_rows
from spooflab.experiments.fold import Fold
from spooflab.experiments.index_columns import by_key, column
from spooflab.experiments.protocols.subject_split import SubjectSplit
from spooflab.experiments.scores import BoolArray, IntArray

Share = Annotated[float, Field(ge=0, le=1)]


class SyntheticToReal(Config):
    """Train on synthetic pictures and test on real ones; with several `ratios`, a curve of the synthetic share.

    Test: the real pictures of the test subjects, the same at every ratio. Train and dev have the same number of rows at
    every ratio, of which the ratio is synthetic: a balanced order of each kind is fixed by a hash of its keys, and a
    ratio takes its beginning, so neighbours on the curve share all rows that they can. Dev follows the ratio as well:
    at 1, no real picture trains or chooses.
    """

    name: Literal["synthetic_to_real"] = "synthetic_to_real"
    ratios: tuple[Share, ...] = Field(default=(1.0,), min_length=1, description="synthetic shares, one fold each")
    size: PositiveInt | None = Field(
        default=None, description="training rows at every ratio; None takes as many as all ratios can have"
    )
    split: SubjectSplit = Field(
        default=SubjectSplit(), description="of the real people; of the synthetic ones its `dev` share chooses"
    )

    @field_validator("ratios")
    @classmethod
    def _differ(cls, ratios: tuple[float, ...]) -> tuple[float, ...]:
        if len({f"{ratio:.4f}" for ratio in ratios}) < len(ratios):
            raise ValueError(f"ratios {list(ratios)} repeat (in four digits)")
        return ratios

    def folds(self, index: pa.Table) -> list[Fold]:
        """Return one fold per ratio.

        Raises:
            DataError: no synthetic or no real rows, or too few for `size`.
        """
        index, order = by_key(index)
        kinds = self._kinds(index)
        sizes = {part: self._most(kinds[part], part) for part in ("train", "dev")}
        if self.size is not None:
            if self.size > sizes["train"]:
                raise DataError(
                    f"protocol.size {self.size}: at ratios {_told(self.ratios)} the data give {sizes['train']}",
                    wanted="a smaller size, fewer ratios, or more data",
                )
            sizes["train"] = self.size
        test = order[kinds["test"]["real"]]
        folds = []
        for ratio in sorted(self.ratios):
            rows = {part: self._mixed(index, kinds[part], sizes[part], ratio) for part in ("train", "dev")}
            note = f"{_synthetic(ratio, sizes['train'])} of {sizes['train']} training rows are synthetic"
            name = f"synthetic {ratio:.4f}".rstrip("0").rstrip(".")
            folds.append(Fold(name, order[rows["train"]], order[rows["dev"]], test, (), "species", note))
        return folds

    def _kinds(self, index: pa.Table) -> dict[str, dict[str, IntArray]]:
        """Return the rows of each part that are synthetic and real. Nobody who is tested is in train or dev."""
        synthetic: BoolArray = column(index, "synthetic") == "True"
        counts = {"synthetic": int(synthetic.sum()), "real": int((~synthetic).sum())}
        lacking = [name for name, count in counts.items() if not count]
        if lacking:
            raise DataError(
                f"no row is {lacking[0]} (column `synthetic`)",
                wanted="both in one store",
                next_step="spooflab merge synthetic=FOLDER real=FOLDER --out FOLDER",
            )
        groups = column(index, "subject_group")
        real = index.take(pa.array(np.flatnonzero(~synthetic)))
        cut = {part: np.unique(column(real, "subject_group")[mask]) for part, mask in self.split.parts(real).items()}
        sources = synthetic & ~np.isin(groups, [*cut["test"], *cut["dev"], *cut["train"]])
        shared = {part: synthetic & np.isin(groups, cut[part]) for part in ("train", "dev")}
        everywhere = np.zeros(len(groups), dtype=np.str_)
        dev = self.split.dev_of(groups, sources, everywhere) if sources.any() else sources
        made = {"train": (sources & ~dev) | shared["train"], "dev": dev | shared["dev"]}
        return {
            part: {
                "real": np.flatnonzero(~synthetic & np.isin(groups, cut[part])),
                "synthetic": np.flatnonzero(made.get(part, np.zeros_like(synthetic))),
            }
            for part in ("train", "dev", "test")
        }

    def _most(self, kinds: dict[str, IntArray], part: str) -> int:
        """Return the most rows that every ratio can have."""
        most = []
        for ratio in self.ratios:
            size = len(kinds["synthetic"]) + len(kinds["real"])
            while size and (
                _synthetic(ratio, size) > len(kinds["synthetic"]) or size - _synthetic(ratio, size) > len(kinds["real"])
            ):
                size -= 1
            most.append(size)
        if min(most) < 2:
            raise DataError(
                f"{len(kinds['synthetic'])} synthetic and {len(kinds['real'])} real {part} rows at ratios "
                f"{_told(self.ratios)}",
                wanted="rows of both kinds in train and dev",
            )
        return min(most)

    def _mixed(self, index: pa.Table, kinds: dict[str, IntArray], size: int, ratio: float) -> IntArray:
        made = _synthetic(ratio, size)
        rows = [
            balanced_rows(index, kinds["synthetic"], made, self.split.seed),
            balanced_rows(index, kinds["real"], size - made, self.split.seed),
        ]
        return np.sort(np.concatenate(rows))


def _synthetic(ratio: float, size: int) -> int:
    return round(ratio * size)


def _told(ratios: tuple[float, ...]) -> str:
    return ", ".join(f"{ratio:g}" for ratio in ratios)
