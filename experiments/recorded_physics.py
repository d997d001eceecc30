"""The physics that a sample's record holds, as plain numbers under dotted names; seeds are left out."""

from typing import Any

from spooflab.adapters.mining import numbers

_LARGEST_CODE = 2**24
"""A whole number beyond this is a seed under another name (`mask`, `body_colour`); float32 figures hold no such."""


def recorded_physics(**parts: Any) -> dict[str, float]:
    """Return every drawn number and every derived figure of the named parts; seeds are left out.

    >>> recorded_physics(facts={"distance_mm": 310.0, "lens_seed": 7}, attack={"mask": 2**40})
    {'facts.distance_mm': 310.0}
    """
    found = numbers({name: value for name, value in parts.items() if value})
    return {name: value for name, value in found.items() if not _is_seed(name, value)}


def _is_seed(name: str, value: float) -> bool:
    return name.rstrip(".0123456789").endswith("seed") or (abs(value) >= _LARGEST_CODE and value.is_integer())
