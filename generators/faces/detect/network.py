"""The package's own network as a detector."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from spooflab.generators.face_net.find import find_face
from spooflab.generators.face_net.predict import FaceNet
from spooflab.generators.faces.landmarks import FacePoints, quantised


class NetworkDetector:
    """Finds a face and its 68 points with `FaceNet`.

    Args:
        net: the network with its weights.
        min_eyes_px: a face with less between the eyes is `face_too_small`.
    """

    name = "network"

    def __init__(self, net: FaceNet, *, min_eyes_px: float = 0.0) -> None:
        self.net, self.min_eyes_px = net, min_eyes_px

    def find(self, pixels: NDArray[np.uint8]) -> FacePoints:
        """Return 68 points; see `Detector.find` and `find_face`."""
        found = find_face(self.net, pixels, min_eyes_px=self.min_eyes_px)
        return FacePoints(quantised(found.reading.points.numpy()))

    def settings(self) -> dict[str, Any]:
        """Return the digest of the weights."""
        return {"weights_sha256": self.net.sha256}
