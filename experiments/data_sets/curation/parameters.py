"""Samples as points of their priors' unit cube: each drawn parameter by its prior's distribution function.

A uniform cube makes equal steps equally probable: micrometres, degrees and lux weigh alike, and a skewed range is not
judged by its tail. Two species have different parameters and are one edge of the cube apart; so are two device models.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from spooflab.errors import DataError
from spooflab.experiments.data_sets.curation.space import MOST, Block, Space
from spooflab.experiments.data_sets.priors import Draws, Priors, cdf, varying
from spooflab.experiments.data_sets.ranges import physical_numbers
from spooflab.store import iter_rows

MISSING = -128
"""Code of a parameter that a sample does not have; in distances it stands in the middle of its range."""


@dataclass(frozen=True, eq=False)
class Cube:
    """One kind of parameters of all samples.

    Attributes:
        kinds: species, or device models.
        names: of each kind's parameters, in order.
        kind: (N,) place of each sample's kind.
        codes: (N, D) int8: -127 … 127 for 0 … 1 of the prior's distribution function, `MISSING` where there is none.
    """

    kinds: tuple[str, ...]
    names: tuple[tuple[str, ...], ...]
    kind: NDArray[np.int32]
    codes: NDArray[np.int8]

    def block(self) -> Block:
        """Return distances: the root of the mean squared difference of a kind's parameters, at most 1."""
        scale = np.array([1 / ((2 * MOST) ** 2 * max(1, len(names))) for names in self.names])
        return Block(np.where(self.codes == MISSING, 0, self.codes).astype(np.int8), self.kind, scale)


def cubes(root: Path, rows: int, priors: Priors) -> tuple[Cube, Cube]:
    """Read the parameters of attacks and of devices; about a byte of memory for each parameter of each sample.

    Args:
        root: folder of the store.
        rows: its samples.
        priors: of its plan.

    Raises:
        DataError: no sample has parameters of a known prior, or damage.
    """
    attack, device = _Filling(rows, priors.attack), _Filling(rows, priors.device)
    start = 0
    for table in iter_rows(root, ("species", "device_profile", "params")):
        held = [json.loads(text) for text in table.column("params").to_pylist()]
        attack.add(start, table.column("species"), [physical_numbers(p.get("attack", {})) for p in held])
        device.add(start, table.column("device_profile"), [physical_numbers(p.get("device", {})) for p in held])
        start += table.num_rows
    if not attack.known and not device.known:
        raise DataError(
            f"{root}: no sample has parameters of a known prior ({'; '.join(priors.unknown) or 'none recorded'})",
            wanted="a data set of `spooflab generate`",
            next_step="choose --by embedding",
        )
    return attack.cube(), device.cube()


def parameter_space(attack: Cube, device: Cube) -> Space:
    """Return distances by attack's and device's parameters together."""
    return Space((attack.block(), device.block()), (1.0, 1.0))


class _Filling:
    def __init__(self, rows: int, priors: dict[str, Draws]) -> None:
        self._priors = {group: varying(columns) for group, columns in priors.items()}
        self._place = {group: place for place, group in enumerate(priors)}
        width = max((len(columns) for columns in self._priors.values()), default=0)
        self._kind = np.zeros(rows, dtype=np.int32)
        self._codes = np.full((rows, max(1, width)), MISSING, dtype=np.int8)
        self.known = False

    def add(self, start: int, groups: pa.ChunkedArray, values: list[dict[str, float]]) -> None:
        by_group: dict[str, list[int]] = {}
        for row, group in enumerate(groups.to_pylist()):
            by_group.setdefault(group, []).append(row)
        for group, rows in by_group.items():
            places = start + np.array(rows)
            self._kind[places] = self._place.setdefault(group, len(self._place))
            for column, (name, draws) in enumerate(self._priors.get(group, {}).items()):
                having = [row for row in rows if name in values[row]]
                if having:
                    self.known = True
                    at = cdf(draws, np.array([values[row][name] for row in having]))
                    self._codes[start + np.array(having), column] = np.rint((2 * at - 1) * MOST).astype(np.int8)

    def cube(self) -> Cube:
        kinds = tuple(self._place)
        return Cube(kinds, tuple(tuple(self._priors.get(kind, ())) for kind in kinds), self._kind, self._codes)
