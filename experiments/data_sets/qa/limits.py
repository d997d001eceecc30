"""What a data set may have and still pass."""

from dataclasses import dataclass

from spooflab.errors import ConfigError


@dataclass(frozen=True)
class Limits:
    """Most of each that passes; what is above fails.

    Attributes:
        duplicates: pictures that equal an earlier one to the byte.
        near: pairs of near-duplicates in two subject groups.
        rejects: share of the planned samples of any species that quality control refused, 0 … 1.
        drift: Kolmogorov-Smirnov distance of a parameter from its prior, where it is no chance (p < 0.01, corrected).
        holes: parts of parameters' ranges that are empty where 20 samples or more were to be expected.
        spoilt: share of pictures with any issue of cleanvision, 0 … 1; None does not judge it.
        warnings: warnings of balance; None does not judge them.

    Raises:
        ConfigError: a limit below 0, or a share above 1.
    """

    duplicates: int = 0
    near: int = 0
    rejects: float = 0.2
    drift: float = 0.1
    holes: int = 0
    spoilt: float | None = None
    warnings: int | None = None

    def __post_init__(self) -> None:
        for name in ("duplicates", "near", "rejects", "drift", "holes", "spoilt", "warnings"):
            value, share = getattr(self, name), name in ("rejects", "drift", "spoilt")
            if value is not None and not 0 <= value <= (1 if share else float("inf")):
                raise ConfigError(f"limit {name}: {value}", wanted="a share of 0 … 1" if share else "a number >= 0")
