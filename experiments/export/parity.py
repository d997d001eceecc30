"""Does the file say what PyTorch says? On pictures, on what no picture is, in batches of other sizes: else no file."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from spooflab.errors import DataError
from spooflab.experiments.export.runtime import Pictures, Runtime, in_batches

TOLERANCE = 1e-4
"""Largest difference of a score that an exported file may have."""

_BATCHES = (1, 7, 32)


@dataclass(frozen=True)
class Parity:
    """How far two runtimes are apart.

    Attributes:
        pictures: how many source-dev pictures were compared.
        synthetic: how many made-up ones: black, white, noise, stripes.
        score: largest difference of a likelihood.
        log_odds: largest difference of a log-odds, before the temperature.
        batches: sizes of the batches in which the file was run.
        tolerance: what `score` had to stay within.
    """

    pictures: int
    synthetic: int
    score: float
    log_odds: float
    batches: tuple[int, ...] = _BATCHES
    tolerance: float = TOLERANCE

    def to_json(self) -> dict[str, Any]:
        """Return the figures as JSON-ready values."""
        return asdict(self) | {"batches": list(self.batches)}


def made_up_pictures(size: int) -> Pictures:
    """Return (9, S, S, 3) that no camera took: flat, noise, and stripes of one pixel along both axes."""
    flat = [np.full((size, size, 3), level, np.uint8) for level in (0, 255, 128)]
    coloured = [np.broadcast_to(np.array(c, np.uint8), (size, size, 3)) for c in ((255, 0, 0), (0, 255, 255))]
    noise = [np.random.default_rng(seed).integers(0, 256, (size, size, 3), dtype=np.uint8) for seed in (0, 1)]
    stripe = np.where(np.arange(size) % 2, 255, 0).astype(np.uint8)
    across = np.broadcast_to(stripe[None, :, None], (size, size, 3))
    return np.stack([*flat, *coloured, *noise, across, across.swapaxes(0, 1)])


def measure_parity(reference: Runtime, exported: Runtime, pictures: Pictures, *, size: int) -> Parity:
    """Compare two runtimes on source-dev pictures (N, S, S, 3) and on `made_up_pictures`.

    Raises:
        DataError: a score differs by more than `TOLERANCE`, or is not finite on one side only.
    """
    made_up = made_up_pictures(size)
    shown = np.concatenate([pictures, made_up])
    wanted = in_batches(reference, shown)
    apart = [0.0, 0.0]
    for batch in _BATCHES:
        got = in_batches(exported, shown, batch)
        for place, (ours, theirs) in enumerate(zip(wanted[::-1], got[::-1], strict=True)):
            difference = np.where(ours == theirs, 0.0, np.abs(ours - theirs))
            apart[place] = max(apart[place], float(np.nan_to_num(difference, nan=np.inf).max()))
    parity = Parity(len(pictures), len(made_up), score=apart[0], log_odds=apart[1])
    if parity.score > TOLERANCE:
        raise DataError(
            f"parity: a score of the exported file differs by {parity.score:.2g} from PyTorch's",
            wanted=f"at most {TOLERANCE:g}; nothing was written",
        )
    return parity
