"""Is the face still found in a finished picture, and where the record says?"""

import numpy as np
import torch
from numpy.typing import NDArray

from spooflab.generators.face_net.frame import frame_of
from spooflab.generators.face_net.predict import FaceNet


def landmark_error(image: NDArray[np.uint8], landmarks: NDArray[np.float32]) -> float:
    """Return how far the shipped network's landmarks lie from the recorded ones.

    The network reads a crop about the recorded place, so a picture without a face there gives points that fit nothing.

    Args:
        image: (H, W, 3) uint8 sRGB.
        landmarks: (68, 2) recorded points, pixels.

    Returns:
        Mean distance over the points in distances between the eyes' centres; infinite where the network sees no face.
    """
    points = torch.from_numpy(np.ascontiguousarray(landmarks, dtype=np.float32))
    picture = torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)[None].float() / 255
    reading = FaceNet.load().read(picture, frame_of(points))
    eyes = float((points[36:42].mean(0) - points[42:48].mean(0)).norm())
    if reading.presence < 0.5:
        return float("inf")
    return float((reading.points - points).norm(dim=-1).mean()) / max(eyes, 1e-6)
