"""One thing that an audit found."""

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Severity = Literal["error", "warning", "note"]
Kind = Literal[
    "leak",
    "instrument reuse",
    "empty fold",
    "person under two names",
    "near-duplicate",
    "label",
    "shortcut",
    "statistic",
    "not told",
]


@dataclass(frozen=True)
class Finding:
    """One thing that an audit found.

    Attributes:
        kind: what it is: a `leak` between a study's parts, an `instrument reuse` that nothing forbids, an `empty fold`
            that lacks a class, a `person under two names`, a `near-duplicate` under two
            people's names, a `label` that contradicts record or picture, a `shortcut` (encoding or provenance tells
            the class), an image `statistic` that tells it, or what is `not told`, and so not proven.
        severity: an `error` makes results wrong; a `warning` is to be looked at; a `note` is no fault.
        told: one sentence.
        keys: samples concerned, sorted, all of them.
        figures: what was measured.
    """

    kind: Kind
    severity: Severity
    told: str
    keys: tuple[str, ...] = ()
    figures: dict[str, float] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return the finding as JSON-ready values."""
        return asdict(self)
