"""What the store writes besides shards: the plan, and one commit record for each shard, both proof against flips."""

import hashlib
import json
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

from spooflab.atomic import read_plain
from spooflab.errors import DataError, StoreUnreachable
from spooflab.json_text import json_object
from spooflab.location import Location
from spooflab.sample import SCHEMA_VERSION, Skip
from spooflab.store_files import StoreFiles

PLAN = "plan.json"
_RECORD = re.compile(r"shard-(\d{5,})\.json")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_RECORD_KINDS = {
    "shard": int,
    "plan_fingerprint": str,
    "sha256": str,
    "rows": int,
    "keys_sha256": str,
    "skips": list,
}


def canonical_json(value: Any) -> bytes:
    """Return the one spelling of a JSON value that hashes are taken of."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def keys_sha256(keys: Sequence[str]) -> str:
    """Hash the keys of a shard in their order."""
    return hashlib.sha256("\n".join(keys).encode()).hexdigest()


@dataclass(frozen=True)
class PlanFile:
    """`plan.json`: what the store will hold, fixed before the first shard.

    Attributes:
        shards: number of shards.
        plan: JSON-ready mapping of the maker; opaque to the store.
    """

    shards: int
    plan: dict[str, Any]

    @property
    def fingerprint(self) -> str:
        """Hash that every commit record repeats."""
        return hashlib.sha256(canonical_json(self._body())).hexdigest()

    def to_bytes(self) -> bytes:
        """Return the file's content."""
        return json.dumps({**self._body(), "fingerprint": self.fingerprint}, indent=1, sort_keys=True).encode() + b"\n"

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read and check `plan.json`.

        Raises:
            DataError: it is missing, damaged, or of another schema version.
        """
        if not path.exists():
            raise _no_plan(path.parent)
        return cls.parse(read_plain(path), path)

    @classmethod
    def of(cls, files: StoreFiles) -> Self:
        """Read and check a store's plan.

        Raises:
            DataError: it is missing, damaged, or of another schema version.
        """
        try:
            content = files.read(PLAN)
        except StoreUnreachable:
            raise
        except DataError as error:
            raise error if files.exists(PLAN) else _no_plan(files.place) from error
        return cls.parse(content, files.path(PLAN))

    @classmethod
    def parse(cls, content: bytes, path: Location) -> Self:
        """Check the content of a plan.json, which errors name `path`.

        Raises:
            DataError: it is damaged, or of another schema version.
        """
        data = json_object(content, path)
        try:
            _check_kinds(data, {"shards": int, "plan": dict})
            version, plan_file = data["schema_version"], cls(data["shards"], data["plan"])
            if version != SCHEMA_VERSION:
                raise DataError(
                    f"{path}: schema version {version}", wanted=f"{SCHEMA_VERSION}, which this version reads"
                )
            if data["fingerprint"] != plan_file.fingerprint:
                raise DataError(f"{path}: its fingerprint does not match its content", wanted="an unaltered plan.json")
            if plan_file.shards < 1:
                raise ValueError(f"{plan_file.shards} shards")
        except (KeyError, TypeError, ValueError, RecursionError) as error:
            raise DataError(f"{path}: not a plan: {error!r}", wanted="an unaltered plan.json") from error
        return plan_file

    def _body(self) -> dict[str, Any]:
        return {"schema_version": SCHEMA_VERSION, "shards": self.shards, "plan": self.plan}


@dataclass(frozen=True)
class CommitRecord:
    """`shard-00000.json`: the proof that a shard is finished.

    Attributes:
        shard: number of the shard.
        plan_fingerprint: of the plan it was made from.
        sha256: of the Parquet file.
        rows: samples in it.
        keys_sha256: `keys_sha256` of its keys, in order.
        skips: planned samples that could not be made.
    """

    shard: int
    plan_fingerprint: str
    sha256: str
    rows: int
    keys_sha256: str
    skips: tuple[Skip, ...] = field(default=())

    def to_bytes(self) -> bytes:
        """Return the file's content, with a hash of itself."""
        body = {**asdict(self), "schema_version": SCHEMA_VERSION}
        body["record_sha256"] = hashlib.sha256(canonical_json(body)).hexdigest()
        return json.dumps(body, indent=1, sort_keys=True).encode() + b"\n"

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read and check a commit record.

        Raises:
            DataError: it is missing or damaged.
        """
        return cls.parse(read_plain(path), path)

    @classmethod
    def parse(cls, content: bytes, path: Location) -> Self:
        """Check the content of a commit record, which errors name `path`.

        Raises:
            DataError: it is damaged.
        """
        data = json_object(content, path)
        claimed = data.pop("record_sha256", None)
        try:
            if claimed != hashlib.sha256(canonical_json(data)).hexdigest():
                raise DataError(f"{path}: its hash does not match its content", wanted="an unaltered commit record")
            data.pop("schema_version")
            _check_kinds(data, _RECORD_KINDS)
            # The hash becomes a part of a file's name.
            if min(data["shard"], data["rows"]) < 0 or not _SHA256.fullmatch(data["sha256"]):
                raise ValueError("a negative number, or a hash that is none")
            data["skips"] = tuple(_skip(skip, path) for skip in data["skips"])
            return cls(**data)
        except (KeyError, TypeError, ValueError, RecursionError) as error:
            raise DataError(f"{path}: not a commit record: {error!r}", wanted="an unaltered commit record") from error


def record_name(shard: int) -> str:
    """Return the name of a shard's commit record in its store."""
    return f"shards/shard-{shard:05d}.json"


def plain_parquet_name(shard: int) -> str:
    """Return the name of a shard's file in a folder."""
    return f"shards/shard-{shard:05d}.parquet"


def own_parquet_name(shard: int, sha256: str) -> str:
    """Return the name of a shard's file in an object store, where two writers must never meet under one name."""
    return f"shards/shard-{shard:05d}.{sha256[:16]}.parquet"


def parquet_name(record: CommitRecord, present: Collection[str]) -> str:
    """Return the name of the file that a record speaks of; both kinds are read in any place, so copies may be.

    Args:
        record: a commit record.
        present: names in the folder `shards`.
    """
    own = own_parquet_name(record.shard, record.sha256)
    return own if own.partition("/")[2] in present else plain_parquet_name(record.shard)


def recorded_shards(present: Collection[str]) -> list[int]:
    """Return the shards that have a commit record, in order, from the names in the folder `shards`."""
    matches = ((name, _RECORD.fullmatch(name)) for name in present)
    found = ((name, int(match[1])) for name, match in matches if match)
    return sorted(number for name, number in found if record_name(number).endswith(f"/{name}"))


def content_sha256(records: Iterable[CommitRecord]) -> str:
    """Return one hash of all that shards hold, in their order: of the SHA-256 of their files."""
    return hashlib.sha256("\n".join(record.sha256 for record in records).encode()).hexdigest()


def changed_keys(stored: Mapping[str, Any], now: Mapping[str, Any], prefix: str = "") -> list[str]:
    """List where two JSON mappings differ, as `key.subkey: stored 1, now 2`."""
    changes = []
    for key in sorted(stored.keys() | now.keys()):
        name = f"{prefix}{key}"
        old, new = stored.get(key, "nothing"), now.get(key, "nothing")
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            changes += changed_keys(old, new, f"{name}.")
        elif old != new:
            changes.append(f"{name}: stored {_short(old)}, now {_short(new)}")
    return changes


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 80 else text[:77] + "..."


def _no_plan(place: Location) -> DataError:
    return DataError(f"{place} holds no plan.json", wanted="a folder that spooflab wrote", next_step="check the path")


def _skip(told: Mapping[str, Any], path: Location) -> Skip:
    _check_kinds(told, dict.fromkeys(told, str))
    try:
        return Skip(**told)
    except DataError as error:
        raise DataError(f"{path}: skipped {error.seen}", wanted=error.wanted) from error


def _check_kinds(data: Mapping[str, Any], kinds: Mapping[str, type]) -> None:
    for key, kind in kinds.items():
        if type(data[key]) is not kind:
            raise TypeError(f"{key} is {data[key]!r:.40}, no {kind.__name__}")
