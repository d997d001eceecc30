"""What a detector of faces is."""

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from spooflab.generators.faces.landmarks import FacePoints


class Detector(Protocol):
    """Finds the largest face of a photograph; a pure function of its settings and the pixels.

    A detector of one's own is handed to a source as an object. Its samples can be made again from their records
    only by a source that is given the same object again.
    """

    name: str

    def find(self, pixels: NDArray[np.uint8]) -> FacePoints:
        """Return 68 points, or the five of `FIVE`, of the largest face of (H, W, 3) upright sRGB pixels.

        Raises:
            spooflab.errors.SkipSample: `no_face`, or another reason not to use the photograph.
        """
        ...

    def settings(self) -> dict[str, Any]:
        """Return the JSON-ready figures on which its points depend, such as the SHA-256 of its model."""
        ...
