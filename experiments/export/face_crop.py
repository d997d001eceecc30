"""The face of a loose picture, framed as the training set's were: cut by the shipped network's box."""

import hashlib
from functools import cached_property

import numpy as np

from spooflab.errors import ConfigError
from spooflab.experiments.export.runtime import Pictures
from spooflab.experiments.ingest.crop import face_square
from spooflab.generators.faces.detect.reader import PhotoReader

_FOREHEAD = 0.15
_LEAST_FACE_PX = 24.0


class FaceCrop:
    """Cuts a square around the face, as `spooflab ingest --crop face --faces network` does.

    Args:
        margin: of the square around the face's box, on each side, in parts of the box's longer side.
        stored_px: side to which the square is scaled, that of the training set's pictures.
    """

    def __init__(self, margin: float, stored_px: int) -> None:
        self.margin, self.stored_px = margin, stored_px

    @cached_property
    def network(self) -> PhotoReader:
        """The shipped network, loaded when the first face is looked for."""
        return PhotoReader("network", geometry="none")

    def __call__(self, pixels: Pictures) -> Pictures:
        """Return (P, P, 3) uint8 around the face of (H, W, 3).

        Raises:
            SkipSample: no face, or one that is too small or mostly outside.
        """
        digest = hashlib.sha256(pixels.tobytes()).hexdigest()
        found = self.network.points(pixels, None, digest)
        assert found is not None  # only the template detector finds nothing without a reason
        low, high = found.points.min(0), found.points.max(0)
        top = low[1] - _FOREHEAD * (high[1] - low[1])
        box = (float(low[0]), float(top), float(high[0] - low[0]), float(high[1] - top))
        cut = face_square(pixels, box, size=self.stored_px, margin=self.margin, min_face_px=_LEAST_FACE_PX)
        return np.ascontiguousarray(cut.pixels)


def margin_of(face_share: float | None) -> float:
    """Return the margin under which a face takes this share of the square.

    >>> margin_of(0.5)
    0.5

    Raises:
        ConfigError: the share is not known.
    """
    if face_share is None:
        raise ConfigError(
            "--crop face: the model's training set tells no boxes of faces",
            wanted="the margin that its pictures were cut with",
            next_step="give --margin (spooflab ingest cuts with 0.3)",
        )
    return max(0.0, (1 / face_share - 1) / 2)
