"""One value a row against whole planes."""

from torch import Tensor


def wide(value: Tensor) -> Tensor:
    """Reshape (B,) to (B, 1, 1, 1)."""
    return value[:, None, None, None]
