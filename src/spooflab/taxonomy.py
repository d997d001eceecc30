"""The one list of species: what each is called, how it reaches the detector, what it is after.

Terms follow ISO/IEC 30107-1/-3 (presentation attacks) and CEN/TS 18099 (injection attacks).
"""

from dataclasses import dataclass
from typing import Literal

Label = Literal["bonafide", "attack"]
Channel = Literal["presentation", "injection"]
Goal = Literal["none", "impersonation", "concealment"]


@dataclass(frozen=True)
class Species:
    """One presentation-attack-instrument species (or `bonafide`), as every record names it."""

    name: str
    family: str
    channel: Channel
    goal: Goal
    summary: str

    @property
    def label(self) -> Label:
        """`bonafide` for the genuine presentation, else `attack`."""
        return "bonafide" if self.name == "bonafide" else "attack"


_ROWS = (
    Species("bonafide", "bonafide", "presentation", "none", "a live person before the camera"),
    Species("print_a4", "print", "presentation", "impersonation", "face printed on office paper, AM halftone"),
    Species("print_photo", "print", "presentation", "impersonation", "face on photo paper, continuous tone"),
    Species("print_cut", "print", "presentation", "impersonation", "print with eyes or mouth cut out"),
    Species("replay_phone", "replay", "presentation", "impersonation", "face shown on a phone"),
    Species("replay_monitor", "replay", "presentation", "impersonation", "face shown on a desktop monitor"),
    Species("swap_blend", "swap", "injection", "impersonation", "landmark-warped face blended onto another"),
    Species(
        "swap_blend+replay_phone",
        "replay",
        "presentation",
        "impersonation",
        "a blended swap shown on a phone",
    ),
)

SPECIES: dict[str, Species] = {row.name: row for row in _ROWS}
