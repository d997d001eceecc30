"""Names of people, sessions and groups in a merged data set, so that no split cuts through a person."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from spooflab.experiments.data_sets.merging.parts import Part
from spooflab.experiments.data_sets.merging.survey import Survey
from spooflab.sample import Sample

People = Literal["apart", "same"]
_PERSONAL = ("subject_id", "source_id", "donor_id", "claimed_id", "attacker_id")


@dataclass(frozen=True)
class Names:
    """How people are renamed.

    Attributes:
        people: `apart`: a name means another person in every part. `same`: equal names mean one person, whose groups
            are joined.
        groups: name of the joined group by (part, group); only for `same`.
    """

    people: People
    groups: Mapping[tuple[str, str], str]

    def of(self, part: Part, sample: Sample) -> dict[str, Any]:
        """Return the fields of a sample that change, but its key."""
        changes = {name: self.person(part, getattr(sample, name)) for name in _PERSONAL}
        old = (part.name, sample.subject_group)
        return changes | {"subject_group": self.groups.get(old, "/".join(old))}

    def person(self, part: Part, name: str) -> str:
        """Return a person's or session's name in the merged data set; none stays none."""
        return name if self.people == "same" or not name else f"{part.name}/{name}"


def names_of(found: Survey, people: People) -> Names:
    """Decide the names; with `same`, groups that share a person become one (union-find over groups)."""
    if people == "apart":
        return Names(people, {})
    parent = {group: group for groups in found.groups.values() for group in groups}

    def root(group: tuple[str, str]) -> tuple[str, str]:
        while parent[group] != group:
            parent[group] = parent[parent[group]]
            group = parent[group]
        return group

    for groups in found.groups.values():
        first, *others = sorted(groups)
        for other in others:
            low, high = sorted((root(first), root(other)))
            parent[high] = low
    return Names(people, {group: "/".join(root(group)) for group in parent})
