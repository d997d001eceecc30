"""What is known of a picture besides its pixels, as `spooflab evaluate` asks for it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self


@dataclass(frozen=True)
class RowFacts:
    """Truth of one picture; empty where nobody knows it.

    Attributes:
        label: `bonafide`, `attack`, or empty.
        species: of an attack.
        subject: whose face it is.
        device: that took it.
    """

    label: str = ""
    species: str = ""
    subject: str = ""
    device: str = ""

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Self:
        """Read the index row of a data set."""
        return cls(row["label"], row["species"], row["subject_id"], row["device_profile"])


NOTHING = RowFacts()
