"""MediaPipe's Face Landmarker, from a task file that the user has."""

import zipfile
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spooflab.errors import ConfigError, SkipSample
from spooflab.generators.faces.detect.model_file import read_model
from spooflab.generators.faces.landmarks import FacePoints, quantised

IBUG_OF_MESH = (
    162, 234, 93, 58, 172, 136, 149, 148, 152, 377, 378, 365, 397, 288, 323, 454, 389,
    71, 63, 105, 66, 107, 336, 296, 334, 293, 301,
    168, 197, 5, 4, 75, 97, 2, 326, 305,
    33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380,
    61, 39, 37, 0, 267, 269, 291, 405, 314, 17, 84, 181, 78, 82, 13, 312, 308, 317, 14, 87,
)  # fmt: skip
"""Vertex of the face mesh for each of the 68 points: the correspondences in common use. The mesh's outline is
that of the face in three dimensions: its jaw lies a little inside a turned face's visible edge."""
_POINTS = (468, 478)
_MEMBER = "face_landmarks_detector.tflite"
_MOST_FACES = 10


class MediaPipeDetector:
    """Finds a face with MediaPipe (`pip install mediapipe`).

    Args:
        model: `face_landmarker.task`, as Google publishes it.
        sha256: refuse a file with another digest.

    Raises:
        ConfigError: MediaPipe is missing, the file is, or it is no Face Landmarker task.
    """

    name = "mediapipe"

    def __init__(self, model: Path | str | None, *, sha256: str | None = None) -> None:
        path, self.sha256 = read_model(model, "MediaPipe's Face Landmarker", ".task", sha256)
        _check_task(path)
        try:
            root: Any = import_module("mediapipe")
            python: Any = import_module("mediapipe.tasks.python")
        except ImportError as error:
            raise ConfigError(
                "detector mediapipe: the `mediapipe` package is missing", next_step="pip install mediapipe"
            ) from error
        vision = python.vision
        options = vision.FaceLandmarkerOptions(
            base_options=python.BaseOptions(model_asset_path=str(path)),
            running_mode=vision.RunningMode.IMAGE,
            num_faces=_MOST_FACES,
        )
        self._image = root
        try:
            self._landmarker: Any = vision.FaceLandmarker.create_from_options(options)
        except (OSError, RuntimeError, ValueError) as error:
            raise ConfigError(
                f"model {path}: MediaPipe refuses it: {error}", wanted="a Face Landmarker task file"
            ) from error

    def find(self, pixels: NDArray[np.uint8]) -> FacePoints:
        """Return 68 points of the largest face; see `Detector.find`."""
        height, width = pixels.shape[:2]
        image = self._image.Image(image_format=self._image.ImageFormat.SRGB, data=np.ascontiguousarray(pixels))
        faces = self._landmarker.detect(image).face_landmarks
        if not faces:
            raise SkipSample("no_face", f"MediaPipe finds no face in {width} x {height} pixels")
        found = [np.array([[p.x * width, p.y * height] for p in face], dtype=np.float64) for face in faces]
        largest = max(found, key=lambda points: float(np.prod(np.ptp(points, axis=0))))
        if len(largest) not in _POINTS:
            raise ConfigError(f"detector mediapipe: {len(largest)} points", wanted="468 or 478")
        return FacePoints(quantised(largest[list(IBUG_OF_MESH)]))

    def settings(self) -> dict[str, Any]:
        """Return the digest of the model."""
        return {"model_sha256": self.sha256}


def _check_task(path: Path) -> None:
    wanted = f"a Face Landmarker task file (a zip archive that holds {_MEMBER})"
    if not zipfile.is_zipfile(path):
        raise ConfigError(f"model {path}: no task file", wanted=wanted)
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
    if _MEMBER not in names:
        raise ConfigError(f"model {path}: a task file with {', '.join(names[:5]) or 'nothing'}", wanted=wanted)
