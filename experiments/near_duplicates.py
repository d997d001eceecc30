"""The same picture under the names of different people: hashes find candidates, and their pixels confirm them."""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import combinations, product
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from PIL import Image

from spooflab.experiments.index_columns import column, texts
from spooflab.experiments.phash import LUMA, SIDE, near_pairs, phash
from spooflab.experiments.run_folder import write_atomic
from spooflab.images import decode_image
from spooflab.store import iter_images

NEAR_BITS = 4
"""Bits of 64 in which the hashes of one picture, encoded twice, may differ."""
ALIKE = 0.98
"""Correlation of the two pictures' luma at 32 x 32 pixels from which they are one picture. On 2398 generated pictures
of 60 people, the most alike pair of different groups has 0.90."""
_FLAT = 2.0
_PHASH = re.compile(r'"phash":\s*"([0-9a-f]{16})"')
_HASHES = pa.schema([("image_sha256", pa.string()), ("phash", pa.string())])


@dataclass(frozen=True, order=True)
class NearPair:
    """Two pictures that are one, of different subject groups.

    Attributes:
        left, right: their keys, in order.
        bits: in which their hashes differ.
        correlation: of their luma at 32 x 32 pixels.
    """

    left: str
    right: str
    bits: int
    correlation: float


def near_duplicates(
    index: pa.Table, data: Path, *, cache: Path | None = None, alike: float = ALIKE
) -> list[NearPair] | None:
    """Return the pairs of near-duplicates in different subject groups, in order; None where the store is not there.

    Pictures of one group are alike by nature (frames of a clip, an attack and the face that it copies), and no protocol
    parts them.

    Args:
        index: rows of the data set.
        data: its folder, from which pictures are read whose records have no hash.
        cache: file that keeps the hashes; None computes them anew.
        alike: correlation from which two candidates are one picture.
    """
    if not (data / "plan.json").is_file():
        return None
    hashes = picture_hashes(index, data, cache)
    by_hash: dict[int, dict[str, str]] = defaultdict(dict)
    for key, group in sorted(zip(column(index, "key").tolist(), column(index, "subject_group").tolist(), strict=True)):
        # One of a group's pictures of one hash stands for all: frames of a clip, or thousands of black pictures.
        by_hash[hashes[key]].setdefault(group, key)
    return list(_confirmed(sorted(set(_candidates(by_hash))), hashes, data, alike))


def picture_hashes(index: pa.Table, data: Path, cache: Path | None) -> dict[str, int]:
    """Return key → perceptual hash: from the records of ingested data, from `cache`, else from the pictures."""
    rows = zip(*(texts(index, name) for name in ("key", "image_sha256", "params")), strict=True)
    known = _cached(cache)
    found: dict[str, int] = {}
    wanted: dict[str, str] = {}
    for key, sha, params in rows:
        value = _recorded(params) or known.get(sha)
        if value is None:
            wanted[key] = sha
        else:
            found[key] = int(value, 16)
    if wanted:
        for key, png in iter_images(data, wanted):
            found[key] = phash(decode_image(png))
            known[wanted[key]] = f"{found[key]:016x}"
        if cache is not None:
            table = pa.table({"image_sha256": sorted(known), "phash": [known[s] for s in sorted(known)]}, _HASHES)
            sink = pa.BufferOutputStream()
            pq.write_table(table, sink)
            cache.parent.mkdir(parents=True, exist_ok=True)
            write_atomic(cache, sink.getvalue().to_pybytes())
    return found


def _recorded(params: str) -> str | None:
    """Return the hash that `spooflab ingest` wrote into a record."""
    found = _PHASH.search(params)
    return found[1] if found else None


def _cached(cache: Path | None) -> dict[str, str]:
    if cache is None or not cache.is_file():
        return {}
    try:
        table = pq.read_table(cache, schema=_HASHES)
    except (pa.ArrowException, OSError):
        return {}  # torn or foreign: made anew
    return dict(zip(table.column("image_sha256").to_pylist(), table.column("phash").to_pylist(), strict=True))


def _candidates(by_hash: dict[int, dict[str, str]]) -> Iterator[tuple[str, str]]:
    """Yield the pairs of keys in two groups whose hashes are near, lower key first; `by_hash` holds keys by group."""
    distinct = sorted(by_hash)
    for keys in by_hash.values():
        yield from combinations(sorted(keys.values()), 2)
    for left, right in near_pairs(distinct, NEAR_BITS):
        for (group, key), (other_group, other) in product(
            by_hash[distinct[left]].items(), by_hash[distinct[right]].items()
        ):
            if group != other_group:
                yield (key, other) if key < other else (other, key)


def _confirmed(
    candidates: Iterable[tuple[str, str]], hashes: dict[str, int], data: Path, alike: float
) -> Iterator[NearPair]:
    keys = {key for pair in candidates for key in pair}
    faces = {key: small_luma(decode_image(png)) for key, png in iter_images(data, keys)} if keys else {}
    for left, right in candidates:
        value = correlation(faces[left], faces[right])
        if value >= alike:
            yield NearPair(left, right, (hashes[left] ^ hashes[right]).bit_count(), round(value, 4))


def small_luma(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the luma of an (H, W, 3) picture at 32 x 32 pixels, each the mean of its area: one kilobyte."""
    luma = Image.fromarray((pixels.astype(np.float64) @ LUMA).round().astype(np.uint8))
    return np.asarray(luma.resize((SIDE, SIDE), Image.Resampling.BOX))


def correlation(left: NDArray[Any], right: NDArray[Any]) -> float:
    """Return Pearson's correlation of two pictures, 0 where one is flat (its standard deviation below 2 levels)."""
    return float(correlations(left.reshape(1, -1), right.reshape(1, -1))[0])


def correlations(left: NDArray[Any], right: NDArray[Any]) -> NDArray[np.float64]:
    """Return Pearson's correlation of each of N pictures (N, P) with its partner, 0 where one of the two is flat."""
    a, b = (values - values.mean(1, keepdims=True) for values in (left.astype(np.float64), right.astype(np.float64)))
    spread = np.sqrt(np.square(a).mean(1)), np.sqrt(np.square(b).mean(1))
    flat = np.minimum(*spread) < _FLAT
    return np.where(flat, 0.0, (a * b).mean(1) / np.where(flat, 1.0, spread[0] * spread[1]))
