"""What a detector could learn in place of the attack: classes that are rare, and columns that tell the label."""

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

LEAST_CLASS_SHARE = 0.2
LEAST_OF_MEAN = 0.25
MOST_ASSOCIATION = 0.1
FEWEST_SUBJECTS = 10


@dataclass(frozen=True)
class Imbalance:
    """One thing to know before training.

    Attributes:
        code: `no_class`, `rare_class`, `rare_species`, `one_class_only`, `tells_the_label` or `few_subjects`.
        column: where it was seen.
        detail: one sentence with the figures.
    """

    code: str
    column: str
    detail: str


def balance_warnings(
    labels: Mapping[str, int],
    attacks: Mapping[str, int],
    by_label: Mapping[str, Mapping[tuple[str, str], int]],
    subjects: int,
) -> tuple[Imbalance, ...]:
    """Return what is out of balance.

    Args:
        labels: pictures of each label.
        attacks: pictures of each attack species.
        by_label: for columns that should tell nothing of the label, pictures by (value, label).
        subjects: number of people.
    """
    found = [*_classes(labels), *_species(attacks)]
    if len(labels) > 1:
        for column, counts in by_label.items():
            found += _told(column, counts)
    if 0 < subjects < FEWEST_SUBJECTS:
        detail = f"{subjects} people; figures by subject will scatter, and a split by subject has little to hold out"
        found.append(Imbalance("few_subjects", "subject_id", detail))
    return tuple(found)


def association(counts: Mapping[tuple[str, str], int]) -> float:
    """Return Cramér's V of a table of counts, 0 (independent) … 1, with Bergsma's correction of its bias.

    Source: Bergsma, A bias-correction for Cramér's V and Tschuprow's T, J. Korean Stat. Soc. 42 (2013), eqs. 5-8.
    """
    rows, columns = sorted({r for r, _ in counts}), sorted({c for _, c in counts})
    seen = np.array([[counts.get((r, c), 0) for c in columns] for r in rows], dtype=np.float64)
    n = seen.sum()
    if min(seen.shape) < 2 or n < 2:
        return 0.0
    expected = seen.sum(1, keepdims=True) * seen.sum(0, keepdims=True) / n
    r, c = seen.shape
    phi2 = float((np.square(seen - expected) / expected).sum() / n)
    corrected = max(0.0, phi2 - (r - 1) * (c - 1) / (n - 1))
    most = min(r - (r - 1) ** 2 / (n - 1), c - (c - 1) ** 2 / (n - 1)) - 1
    return math.sqrt(corrected / most) if most > 0 else 0.0


def _classes(labels: Mapping[str, int]) -> Iterator[Imbalance]:
    total = sum(labels.values())
    for label in ("bonafide", "attack"):
        count = labels.get(label, 0)
        if not count:
            yield Imbalance("no_class", "label", f"no picture is {label}")
        elif count < LEAST_CLASS_SHARE * total:
            yield Imbalance("rare_class", "label", f"{count} of {total} pictures are {label} ({count / total:.1%})")


def _species(attacks: Mapping[str, int]) -> Iterator[Imbalance]:
    mean = sum(attacks.values()) / max(1, len(attacks))
    for name, count in sorted(attacks.items()):
        if count < LEAST_OF_MEAN * mean:
            yield Imbalance("rare_species", "species", f"{name} has {count} pictures, the mean attack {mean:.0f}")


def _told(column: str, counts: Mapping[tuple[str, str], int]) -> Iterator[Imbalance]:
    held: dict[str, Counter[str]] = defaultdict(Counter)
    for (value, label), count in counts.items():
        held[value][label] += count
    single = sorted(value for value, by in held.items() if len(by) == 1)
    if len(held) > 1:
        for value in single[:5]:
            label, count = next(iter(held[value].items()))
            yield Imbalance("one_class_only", column, f"all {count} pictures of {value} are {label}")
        if len(single) > 5:
            yield Imbalance("one_class_only", column, f"so it is for {len(single) - 5} more values")
    if (v := association(counts)) > MOST_ASSOCIATION:
        yield Imbalance(
            "tells_the_label", column, f"Cramér's V with the label is {v:.2f}; 0 tells nothing, 1 everything"
        )
