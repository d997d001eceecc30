"""Curate: measure all samples, choose a diverse subset, write it as a store of its own, and say how well it covers."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from spooflab.atomic import disk_errors, write_over
from spooflab.errors import ConfigError, DataError
from spooflab.experiments.data_sets.curation.coverage import Coverage, coverage, nearest, random_rows
from spooflab.experiments.data_sets.curation.embedding import FACE_NET, Embedding, embedded, load_embedding
from spooflab.experiments.data_sets.curation.parameters import Cube, cubes, parameter_space
from spooflab.experiments.data_sets.curation.select import farthest_first, quotas, rows_by
from spooflab.experiments.data_sets.curation.space import Space, joined
from spooflab.experiments.data_sets.curation.write import write_rows
from spooflab.experiments.data_sets.priors import DRAWS, priors_of
from spooflab.provenance import code_facts
from spooflab.records import content_sha256
from spooflab.shard_runs import ShardDone, Summary
from spooflab.store import Store, iter_rows

By = Literal["embedding", "parameters", "both"]
STRATA = {
    "label": "label",
    "species": "species",
    "device": "device_profile",
    "instrument": "instrument_id",
    "source": "face_source",
}
"""Names for `stratify`, and the columns that they stand for."""
RANDOMS = 3
"""Random subsets that a selection is compared with."""
REPORT = "curation.json"
_SCALED_BY = 1024
Strata = Mapping[tuple[str, ...], NDArray[np.int64]]


@dataclass(frozen=True)
class Wish:
    """What is asked for.

    Attributes:
        count: pictures of the subset.
        by: distances of what the pictures look like, of what they were drawn with, or of both.
        stratify: names of `STRATA` of which the subset has as many as possible of each alike.
        embedding: `face-net`, or a local folder of a transformers vision model.
        seed: chooses where each stratum's selection begins, and the random subsets.
        per_shard: rows of a shard of the new store.

    Raises:
        ConfigError: numbers below 1, or a name that is none of `STRATA`.
    """

    count: int
    by: By = "both"
    stratify: tuple[str, ...] = ()
    embedding: str = FACE_NET
    seed: int = 0
    per_shard: int = 64

    def __post_init__(self) -> None:
        if self.count < 1 or self.per_shard < 1:
            raise ConfigError(f"n {self.count}, per-shard {self.per_shard}", wanted="numbers >= 1")
        if strange := [name for name in self.stratify if name not in STRATA]:
            raise ConfigError(f"stratify: {', '.join(strange)}", wanted=f"some of {', '.join(STRATA)}")


@dataclass(frozen=True)
class Curated:
    """What a curation left behind.

    Attributes:
        summary: of the new store.
        of: pictures of the data set.
        strata: how many of each were taken, and of how many.
        selected: coverage by the subset.
        random: coverage by `RANDOMS` random subsets with the same strata.
    """

    summary: Summary
    of: int
    strata: dict[str, tuple[int, int]]
    selected: Coverage
    random: tuple[Coverage, ...]

    def to_json(self) -> dict[str, Any]:
        """Return everything as JSON-ready values."""
        return asdict(self)


def curate(
    root: Path,
    out: Path,
    wish: Wish,
    *,
    draws: int = DRAWS,
    resume: bool = False,
    progress: Callable[[ShardDone], None] | None = None,
) -> Curated:
    """Choose and write a subset.

    Time: one look at each picture (`embedding`, `both`), then `count` passes over the distances of each stratum.
    Memory: a byte for each number of the embedding (240 of `face-net`) and each parameter, and about 100 bytes for the
    names, per picture.

    Args:
        root: folder of a finished store.
        out: folder of the new one; absent or empty, unless `resume`.
        wish: what is asked for.
        draws: of each prior.
        resume: go on with an interrupted run of the same wish.
        progress: called after each commit.

    Raises:
        ConfigError: an embedding that is not there.
        DataError: a store that is not finished, damage, too few pictures, no parameters, or an `out` that is taken.
    """
    source = Store.open(root)
    keys, columns = _names(root, wish.stratify)
    if len(keys) < 2:
        raise DataError(f"{root}: {len(keys)} pictures", wanted="two or more to choose among")
    embedding = None if wish.by == "parameters" else load_embedding(wish.embedding)
    space, held = _space(root, source, keys, wish, embedding, draws)
    strata = rows_by(columns, len(keys))
    shares = quotas({name: len(rows) for name, rows in strata.items()}, wish.count)
    chosen, squared = _choose(space, strata, shares, keys, wish.seed)
    plan = _plan(source, wish, embedding, [keys[row] for row in chosen], draws)
    summary = write_rows(source, chosen, out, plan, per_shard=wish.per_shard, resume=resume, progress=progress)
    randoms = [random_rows(strata, shares, keys, wish.seed + number) for number in range(RANDOMS)]
    found = Curated(
        summary,
        len(keys),
        {" / ".join(name) or "all": (shares[name], len(rows)) for name, rows in strata.items()},
        coverage(squared, held, chosen),
        tuple(coverage(nearest(space, strata, rows), held, rows) for rows in randoms),
    )
    with disk_errors(f"{out}: the report cannot be written"):
        write_over(out / REPORT, json.dumps(found.to_json(), indent=1, ensure_ascii=False).encode() + b"\n")
    return found


def _names(root: Path, stratify: Sequence[str]) -> tuple[list[str], list[list[str]]]:
    keys: list[str] = []
    columns: list[list[str]] = [[] for _ in stratify]
    for table in iter_rows(root, ("key", *(STRATA[name] for name in stratify))):
        keys += table.column("key").to_pylist()
        for place, values in enumerate(columns):
            values += table.column(1 + place).to_pylist()
    return keys, columns


def _space(
    root: Path, source: Store, keys: Sequence[str], wish: Wish, embedding: Embedding | None, draws: int
) -> tuple[Space, tuple[Cube, ...]]:
    """Return distances, and the parameters where they are known: coverage is told of them in any case."""
    held: tuple[Cube, ...] = ()
    try:
        held = cubes(root, len(keys), priors_of(source.plan, draws=draws))
    except DataError:
        if wish.by != "embedding":
            raise
    spaces = [] if embedding is None else [embedded(root, len(keys), embedding)]
    if wish.by != "embedding":
        spaces.append(parameter_space(*held))
    ranked = sorted(range(len(keys)), key=lambda row: _rank("scale", wish.seed, keys[row]))
    return joined(spaces, np.array(sorted(ranked[:_SCALED_BY]))), held


def _choose(
    space: Space, strata: Strata, shares: Mapping[tuple[str, ...], int], keys: Sequence[str], seed: int
) -> tuple[list[int], NDArray[np.float64]]:
    """Choose in each stratum by itself, ties by key; return rows in the data set's order, and all squared distances."""
    chosen, squared = list[int](), np.zeros(len(keys))
    for name, unordered in strata.items():
        rows = np.array(sorted(unordered.tolist(), key=keys.__getitem__), dtype=np.int64)
        part = space.part(rows)
        first = min(range(len(rows)), key=[_rank("first", seed, keys[row]) for row in rows].__getitem__)
        places, near = farthest_first(shares[name], part.from_row, first=first, size=len(rows))
        chosen += rows[places].tolist()
        squared[rows] = near
    return sorted(chosen), squared


def _rank(what: str, seed: int, key: str) -> bytes:
    return hashlib.sha256(f"{what}/{seed}/{key}".encode()).digest()


def _plan(source: Store, wish: Wish, embedding: Embedding | None, keys: Sequence[str], draws: int) -> dict[str, Any]:
    """Return the new store's plan: the source's whole plan and content, the wish, and what was chosen."""
    records = source.committed()
    told = {
        "fingerprint": source.fingerprint,
        "rows": sum(record.rows for record in records),
        "content_sha256": content_sha256(records),
        "plan": source.plan,
    }
    selection: dict[str, Any] = {
        "n": wish.count,
        "by": wish.by,
        "stratify": list(wish.stratify),
        "seed": wish.seed,
        "algorithm": "farthest first (Gonzalez 1985)",
        "embedding": None if embedding is None else {"name": embedding.name, "sha256": embedding.sha256},
        "prior_draws": draws,
        "keys_sha256": hashlib.sha256("\n".join(keys).encode()).hexdigest(),
    }
    return {
        "kind": "curate", "source": told, "selection": selection, "per_shard": wish.per_shard, "code": code_facts()
    }  # fmt: skip
