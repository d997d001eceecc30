"""Matching of content: which simulated pictures show what the real ones show, as far as both records tell.

An attack changes the colour of the skin that it shows and the camera the brightness: matched on, they would hide what
is looked for. So colour is the subject's own, from bona fide pictures; pose and size of the face are the picture's.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from spooflab.augment.fit.chart import to_lab
from spooflab.experiments.realism.crops import face_px
from spooflab.experiments.realism.sides import BONAFIDE, Pixels, Row
from spooflab.experiments.scores import FloatArray, IntArray

CONTENT = ("skin L*", "skin a*", "skin b*", "face size, log2", "turn of the head", "nod of the head")
CALIPER = 0.8
"""Pairs further apart than this are not used: root mean square over the features, pooled standard deviations."""
FAR_APART = 0.25
"""Standardised mean difference beyond which a feature is not balanced (Austin 2009)."""
_KNOWN = 0.8
_JAW_RIGHT, _JAW_LEFT, _CHIN, _BRIDGE, _TIP = 0, 16, 8, 27, 30


@dataclass(frozen=True)
class Matched:
    """Rows that show alike content.

    Attributes:
        synthetic, real: (n,) and (m,) positions in the two samples.
        ratio: simulated pictures that each real one may have.
        features: names of what was matched on.
        unknown: names of what either store does not tell.
        apart: standardised mean difference of each feature before and after.
    """

    synthetic: IntArray
    real: IntArray
    ratio: int
    features: tuple[str, ...]
    unknown: tuple[str, ...]
    apart: dict[str, tuple[float, float]]

    @property
    def unbalanced(self) -> list[str]:
        """Features that differ after matching."""
        return [name for name, (_, after) in self.apart.items() if abs(after) > FAR_APART]


def skin_by_subject(rows: Sequence[Row], pixels: Mapping[str, Pixels]) -> dict[str, FloatArray]:
    """Return L*, a*, b* of the middle of each subject's face, mean over the bona fide pictures that were read."""
    found: dict[str, list[FloatArray]] = defaultdict(list)
    for row in rows:
        if row.species == BONAFIDE and row.key in pixels:
            x, y, width, height = row.box
            image = pixels[row.key]
            top, bottom = (int(np.clip(y + height * s, 0, image.shape[0] - 1)) for s in (0.3, 0.7))
            left, right = (int(np.clip(x + width * s, 0, image.shape[1] - 1)) for s in (0.3, 0.7))
            patch = image[top : bottom + 1, left : right + 1].reshape(-1, 3) / 255
            found[row.subject].append(to_lab(np.median(patch, axis=0)))
    return {subject: np.mean(values, axis=0) for subject, values in found.items()}


def content_of(rows: Sequence[Row], skin: Mapping[str, FloatArray], factor: float) -> FloatArray:
    """Return (N, len(CONTENT)) content features, NaN where the record does not tell.

    Turn and nod are the tip of the nose between the ends of the jaw, and between bridge and chin (68 iBUG landmarks).
    """
    out = np.full((len(rows), len(CONTENT)), np.nan)
    for place, row in enumerate(rows):
        if row.subject in skin:
            out[place, :3] = skin[row.subject]
        out[place, 3] = np.log2(face_px(row) * factor)
        if len(row.landmarks) == 68:
            p = row.landmarks
            out[place, 4] = (p[_TIP, 0] - p[_JAW_RIGHT, 0]) / max(p[_JAW_LEFT, 0] - p[_JAW_RIGHT, 0], 1.0)
            out[place, 5] = (p[_TIP, 1] - p[_BRIDGE, 1]) / max(p[_CHIN, 1] - p[_BRIDGE, 1], 1.0)
    return out


def match(synthetic: FloatArray, real: FloatArray) -> Matched:
    """Pair pictures of like content: least total distance (Kuhn 1955), within `CALIPER`.

    Up to three simulated pictures are taken for each real one where there are that many.

    Args:
        synthetic, real: (n, F) and (m, F) content features of the two samples.
    """
    from scipy.optimize import linear_sum_assignment

    known = [
        min(np.isfinite(side[:, f]).mean() for side in (synthetic, real)) >= _KNOWN for f in range(synthetic.shape[1])
    ]
    names = tuple(name for name, told in zip(CONTENT, known, strict=True) if told)
    unknown = tuple(name for name, told in zip(CONTENT, known, strict=True) if not told)
    here, there = (_filled(side[:, known]) for side in (synthetic, real))
    spread = np.sqrt((here.var(0) + there.var(0)) / 2).clip(1e-9)
    ratio = int(np.clip(len(here) // max(1, len(there)), 1, 3))
    places = np.tile(np.arange(len(there)), ratio)
    distance = np.sqrt((((here[:, None] - there[None, places]) / spread) ** 2).mean(-1))
    rows, columns = linear_sum_assignment(distance)
    near = distance[rows, columns] <= CALIPER
    kept, partners = np.sort(rows[near]), np.unique(places[columns[near]])
    apart = {
        name: (_apart(here[:, f], there[:, f]), _apart(here[kept, f], there[partners, f]))
        for f, name in enumerate(names)
    }
    return Matched(kept, partners, ratio, names, unknown, apart)


def _filled(values: FloatArray) -> FloatArray:
    """Put a column's median where a few values are unknown."""
    return np.where(np.isnan(values), np.nanmedian(values, axis=0), values)


def _apart(here: FloatArray, there: FloatArray) -> float:
    """Standardised mean difference, synthetic less real; NaN of an empty side."""
    if not len(here) or not len(there):
        return float("nan")
    return float((here.mean() - there.mean()) / max(float(np.sqrt((here.var() + there.var()) / 2)), 1e-9))
