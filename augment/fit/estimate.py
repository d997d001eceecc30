"""One fitted quantity: its range, where it comes from, and how sure that is."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Estimate:
    """A row of the result.

    Attributes:
        group, key: where it goes in the profile (`noise`, `a`).
        value: best value.
        low, high: range that is written to the profile.
        std: standard error of `value`, same unit; infinite where nothing was learnt.
        fitted: from the photographs (else from the prior).
        how: what it was fitted from and how its error was found, or why it is not identifiable.
    """

    group: str
    key: str
    value: float
    low: float
    high: float
    std: float
    fitted: bool
    how: str

    @property
    def confidence(self) -> str:
        """`high` within 10 % of the value, `medium` within 30 %, `low` beyond; `none` for the prior."""
        if not self.fitted:
            return "none"
        share = self.std / max(abs(self.value), 1e-12)
        return "high" if share <= 0.1 else "medium" if share <= 0.3 else "low"
