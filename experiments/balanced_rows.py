"""A fixed order of training rows of which any beginning is balanced: smaller choices are parts of larger ones."""

import numpy as np
import pyarrow as pa

from spooflab.experiments.index_columns import column
from spooflab.experiments.scores import IntArray
from spooflab.seeds import seed


def balanced_rows(index: pa.Table, rows: IntArray, size: int, root: int = 0) -> IntArray:
    """Return `size` of `rows`: half bona fide, species in turn, in a fixed hashed order of keys.

    A larger size contains the smaller one's rows.
    """
    key, species = column(index, "key")[rows], column(index, "species")[rows]
    attack = column(index, "label")[rows] == "attack"
    rank = np.array([seed(root, "training rows", name) for name in key.tolist()], dtype=np.int64)
    turns = {name: np.flatnonzero(species == name) for name in sorted(np.unique(species).tolist())}
    place = np.empty(len(key), dtype=np.float64)
    kinds = max(1, len(np.unique(species[attack])))
    for found in turns.values():
        # The n-th attack of each species comes with the n × kinds-th bona fide, so both labels fill evenly.
        spacing = kinds if attack[found[0]] else 1
        place[found[np.argsort(rank[found])]] = np.arange(len(found)) * spacing
    return np.sort(rows[np.lexsort((rank, place))[:size]])
