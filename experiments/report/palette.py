"""Colours that stay apart for colour-blind readers and on paper: lightness carries the meaning, dashes repeat it."""

from dataclasses import dataclass
from itertools import pairwise

OKABE_ITO = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#7A6A00", "#56B4E9", "#111111", "#E69F00")
_DASHES = ("", "7 3", "2 2.5", "9 3 2 3", "4 2", "1.5 3", "12 3", "6 2 1 2")
HEAT = (
    (0.0, 0xF8F7F3),
    (0.05, 0xFCE6C6),
    (0.1, 0xF9CF9C),
    (0.2, 0xF0A268),
    (0.3, 0xDD7145),
    (0.5, 0xA6322B),
    (1.0, 0x4F0D1F),
)
"""Stops of the heat scale: error rate and colour; closest together where detectors differ."""
BONAFIDE, ATTACK = "#0B7A75", "#C4541A"


@dataclass(frozen=True)
class Ink:
    """How one algorithm's line is drawn."""

    colour: str
    dash: str


def inks(names: list[str]) -> dict[str, Ink]:
    """Give each algorithm a colour and a dash pattern, in order; beyond eight they repeat."""
    return {n: Ink(OKABE_ITO[i % len(OKABE_ITO)], _DASHES[i % len(_DASHES)]) for i, n in enumerate(names)}


def heat(value: float) -> tuple[str, str]:
    """Return (background, text) colour of an error rate: light is good, dark is bad, ever darker on the way."""
    value = min(max(value, 0.0), 1.0)
    for (low, first), (high, second) in pairwise(HEAT):
        if value <= high:
            share = (value - low) / (high - low)
            parts = [round(_part(first, s) + share * (_part(second, s) - _part(first, s))) for s in (16, 8, 0)]
            light = 0.299 * parts[0] + 0.587 * parts[1] + 0.114 * parts[2]
            return "#{:02x}{:02x}{:02x}".format(*parts), "#1d1d1f" if light > 140 else "#ffffff"
    raise AssertionError(value)


def heat_stops() -> list[tuple[float, str]]:
    """Return the scale's stops for its legend."""
    return [(rate, f"#{colour:06x}") for rate, colour in HEAT]


def _part(colour: int, shift: int) -> int:
    return colour >> shift & 0xFF
