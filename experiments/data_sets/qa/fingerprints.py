"""What is kept of every picture while duplicates are looked for: hashes in memory, a small luma in a temporary file."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from spooflab.experiments.near_duplicates import small_luma
from spooflab.experiments.phash import SIDE, phash
from spooflab.images import decode_own_png
from spooflab.store import iter_images


@dataclass(frozen=True)
class Names:
    """Rows of a data set in its order, about 60 bytes each.

    Attributes:
        keys: their keys, as Arrow text.
        group: (N,) number of each one's subject group.
        sha: (N, 16) first bytes of each picture's SHA-256.
    """

    keys: pa.Array
    group: NDArray[np.int32]
    sha: NDArray[np.uint8]

    def key(self, row: int) -> str:
        """Return one row's key."""
        return str(self.keys[row].as_py())


@dataclass(frozen=True)
class Fingerprints:
    """Of N pictures.

    Attributes:
        phash: (N,) perceptual hashes.
        luma: (N, 1024) luma at 32 x 32 pixels; a file that is mapped into memory.
    """

    phash: NDArray[np.uint64]
    luma: NDArray[np.uint8]


@contextmanager
def fingerprints(root: Path, rows: int) -> Iterator[Fingerprints]:
    """Read every picture once; the file of small lumas (1 KB for each picture) is gone afterwards.

    Args:
        root: folder of the store.
        rows: pictures in its committed shards.

    Raises:
        DataError: damage.
    """
    with tempfile.TemporaryDirectory(prefix="spooflab-qa-") as folder:
        hashes = np.zeros(rows, dtype=np.uint64)
        luma: Any = np.zeros((0, SIDE * SIDE), dtype=np.uint8)
        if rows:
            luma = np.memmap(Path(folder) / "luma", dtype=np.uint8, mode="w+", shape=(rows, SIDE * SIDE))
        for row, (_, png) in enumerate(iter_images(root, partial=True)):
            pixels = decode_own_png(png)
            hashes[row] = phash(pixels)
            luma[row] = small_luma(pixels).reshape(-1)
        yield Fingerprints(hashes, luma)
        del luma
