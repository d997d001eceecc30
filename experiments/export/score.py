"""Score pictures with a detector: every one that was named gets a row, with a score or with the reason why not."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from spooflab.adapters.image_set import to_training_size
from spooflab.bounded_decoder import decode_untrusted
from spooflab.errors import SkipSample
from spooflab.experiments.export.facts_of_row import RowFacts
from spooflab.experiments.export.loaded_detector import LoadedDetector
from spooflab.experiments.export.pictures import Picture
from spooflab.experiments.export.runtime import BATCH, Pictures
from spooflab.images import decode_image

Crop = Callable[[Pictures], Pictures]


@dataclass(frozen=True)
class ScoredPicture:
    """One row of the result.

    Attributes:
        name: path of the file, or key in its data set.
        score: bona fide likelihood; NaN where there is none.
        log_odds: before the temperature; NaN where there is none.
        decision: `bonafide` or `attack` at the threshold; empty without a score or without a threshold.
        reason, detail: why there is no score; empty where there is.
        facts: truth, where it is known.
    """

    name: str
    score: float
    log_odds: float
    decision: str
    reason: str
    detail: str
    facts: RowFacts


def score_pictures(
    detector: LoadedDetector,
    pictures: Iterable[Picture],
    *,
    threshold: float | None,
    crop: Crop | None = None,
    batch: int = BATCH,
) -> Iterator[ScoredPicture]:
    """Yield one row for each picture, in order. One picture is decoded at a time, and one batch of small ones is held.

    Args:
        detector: what scores.
        pictures: files' contents.
        threshold: bona fide iff score ≥ it; None decides nothing.
        crop: what frames loose pictures; None takes them as they are. Rows of a data set are never cropped.
        batch: how many are scored at once.
    """
    held: list[tuple[Picture, Pictures | SkipSample]] = []
    for picture in pictures:
        held.append((picture, _small(picture, detector.size, crop)))
        if len(held) == batch:
            yield from _scored(detector, held, threshold)
            held = []
    yield from _scored(detector, held, threshold)


def _small(picture: Picture, size: int, crop: Crop | None) -> Pictures | SkipSample:
    """Return the picture as the network takes it, by the trainer's own code, or why not."""
    if isinstance(picture.data, SkipSample):
        return picture.data
    try:
        pixels = (decode_image if picture.stored else decode_untrusted)(picture.data)
        if crop is not None and not picture.stored:
            pixels = crop(pixels)
        return np.ascontiguousarray(to_training_size(pixels, size).permute(1, 2, 0).numpy())
    except SkipSample as skip:
        return skip
    except MemoryError:
        return SkipSample("out_of_memory", "decoding it takes more memory than there is")


def _scored(
    detector: LoadedDetector, held: list[tuple[Picture, Pictures | SkipSample]], threshold: float | None
) -> Iterator[ScoredPicture]:
    good = [small for _, small in held if not isinstance(small, SkipSample)]
    scores = detector.runtime(np.stack(good)) if good else None
    rows = iter(range(len(good)))
    for picture, small in held:
        if isinstance(small, SkipSample):
            yield _without(picture, small.reason, small.detail)
            continue
        assert scores is not None  # there is a good one
        row = next(rows)
        score, odds = float(scores.likelihood[row]), float(scores.log_odds[row])
        if not np.isfinite(score):
            yield _without(picture, "score_not_finite", f"the model gives {score}")
            continue
        decision = "" if threshold is None else "bonafide" if score >= threshold else "attack"
        yield ScoredPicture(picture.name, score, odds, decision, "", "", picture.facts)


def _without(picture: Picture, reason: str, detail: str) -> ScoredPicture:
    return ScoredPicture(picture.name, float("nan"), float("nan"), "", reason, detail, picture.facts)
