"""A look at all parts before anything is written: pictures that come twice, people who do, columns that are empty."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from spooflab.errors import DataError
from spooflab.experiments.data_sets.merging.parts import Part
from spooflab.store import iter_rows

_OPTIONAL = ("mask", "depth", "regions")
_SHOWN = 3


@dataclass
class Survey:
    """What was seen.

    Attributes:
        twice: merged keys of pictures that came before, with the merged key of the first.
        people: parts by subject, as the parts name them.
        groups: pairs of (part, group) by subject.
        without: pictures that lack an optional picture, by part and column.
        rows: pictures by part.
    """

    twice: dict[str, str] = field(default_factory=dict)
    people: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    groups: dict[str, set[tuple[str, str]]] = field(default_factory=lambda: defaultdict(set))
    without: dict[str, dict[str, int]] = field(default_factory=dict)
    rows: dict[str, int] = field(default_factory=dict)

    @property
    def shared(self) -> list[str]:
        """Subjects whom two parts name alike, sorted."""
        return sorted(subject for subject, parts in self.people.items() if len(parts) > 1)


def survey(parts: Sequence[Part]) -> Survey:
    """Read keys, labels, people and picture hashes of all parts, in order.

    Memory grows by a hash and a key for each picture (about 300 bytes); no picture is read.

    Raises:
        DataError: a part has missing shards or is damaged, or one picture is bona fide here and an attack there.
    """
    found, first = Survey(), dict[bytes, tuple[str, str]]()
    columns = ("key", "label", "subject_id", "subject_group", "image_sha256", *(f"{name}.path" for name in _OPTIONAL))
    for part in parts:
        found.rows[part.name], without = 0, dict.fromkeys(_OPTIONAL, 0)
        for table in iter_rows(part.store.root, columns):
            for row in table.to_pylist():
                found.rows[part.name] += 1
                found.people[row["subject_id"]].add(part.name)
                found.groups[row["subject_id"]].add((part.name, row["subject_group"]))
                for name in _OPTIONAL:
                    without[name] += row[name] is None
                key = part.key(row["key"])
                before, label = first.setdefault(bytes.fromhex(row["image_sha256"]), (key, row["label"]))
                if label != row["label"]:
                    raise DataError(
                        f"one picture is {label} as {before} and {row['label']} as {key}",
                        wanted="one label for one picture",
                        next_step="find out which is wrong, and leave that data set out",
                    )
                if before != key:
                    found.twice[key] = before
        found.without[part.name] = {name: count for name, count in without.items() if count}
    return found


def refuse_twice(found: Survey) -> None:
    """Refuse parts that share pictures.

    Raises:
        DataError: the first few are named.
    """
    if not found.twice:
        return
    some = "; ".join(f"{key} is {before}" for key, before in list(found.twice.items())[:_SHOWN])
    raise DataError(
        f"{len(found.twice)} pictures come twice: {some}{' …' if len(found.twice) > _SHOWN else ''}",
        wanted="each picture once",
        next_step="keep the first of each with --duplicates skip; the others are recorded as skipped",
    )
