"""Stop a training at the first number that is none, and say which batch it came from."""

import math
from collections.abc import Sequence

from torch import Tensor

from spooflab.adapters.batch import Batch
from spooflab.errors import DataError


class NotFiniteError(DataError):
    """A loss or a gradient norm of a training that is infinite or not a number."""


def not_finite(
    step: int, losses: Sequence[Tensor], norm: float, micro: Sequence[Batch], target_keys: Sequence[str] | None
) -> NotFiniteError:
    """Return the error that names the step, what is not finite, and the images it came from.

    Args:
        step: optimiser steps done.
        losses: of the micro-batches so far, in order.
        norm: of the gradient.
        micro: the step's micro-batches.
        target_keys: names of the target set's images, where there is one.
    """
    bad = [i for i, loss in enumerate(losses) if not math.isfinite(float(loss))]
    what = f"loss is {float(losses[bad[0]])}" if bad else f"gradient norm is {norm}"
    chosen = micro[bad[0] : bad[0] + 1] if bad and bad[0] < len(micro) else micro
    keys = [key for batch in chosen for key in batch.keys]
    seen = f"step {step}: {what}; batch keys: {', '.join(keys)}"
    if target_keys is not None:
        rows = [row for batch in chosen if batch.target_rows is not None for row in batch.target_rows.tolist()]
        seen += f"; target keys: {', '.join(target_keys[row] for row in rows)}"
    return NotFiniteError(
        seen, wanted="finite numbers", next_step="look at these images; else lower lr, or set precision: 'no'"
    )
