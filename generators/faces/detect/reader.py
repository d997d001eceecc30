"""From the pixels of a photograph to the points of its face: sidecar, detector and network put together."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray

from spooflab.config import parse_config
from spooflab.errors import ConfigError, SkipSample
from spooflab.generators.face import Face
from spooflab.generators.face_net.find import is_face, look
from spooflab.generators.face_net.geometry import with_geometry
from spooflab.generators.face_net.predict import FaceNet
from spooflab.generators.faces.detect.detector import Detector
from spooflab.generators.faces.detect.mediapipe import MediaPipeDetector
from spooflab.generators.faces.detect.network import NetworkDetector
from spooflab.generators.faces.detect.onnx import OnnxDetector, OnnxSettings
from spooflab.generators.faces.landmarks import FacePoints, five_of, quantised

DetectorName = Literal["sidecar", "network", "mediapipe", "onnx", "template"]
Geometry = Literal["network", "none"]
Dense = Literal["network", "mean_head"]
MOST_DISAGREEMENT = 0.3
"""How far the network's five points may lie from the given ones, on average, in distances between the eyes."""
_KEPT = 20_000


class PhotoReader:
    """Finds the points of faces in photographs and reads their geometry.

    Args:
        detector: who finds the face where no points are given: `sidecar` (nobody: it is skipped), `network`,
            `mediapipe`, `onnx`, `template` (a mean head laid on a tight crop), or a `Detector` of one's own.
        model: file of a `mediapipe` or `onnx` detector.
        onnx: what an ONNX model takes and gives, see `OnnxSettings`.
        dense: who makes 68 points of five: the `network` looks at the photograph, the `mean_head` does not.
        geometry: `network` fills classes, depth and normals, `none` leaves them unknown.
        weights: file of the network's weights, None for the shipped ones.
        min_eyes_px: least distance between the eyes in pixels of the photograph.
        sha256: digests `weights_sha256`, `model_sha256` of a record; another file is refused.

    Raises:
        ConfigError: an unknown name, a model file that is missing or of another kind, a package that is.
    """

    def __init__(
        self,
        detector: DetectorName | Detector,
        *,
        model: Path | str | None = None,
        onnx: OnnxSettings | Mapping[str, Any] | None = None,
        dense: Dense = "network",
        geometry: Geometry = "network",
        weights: Path | str | None = None,
        min_eyes_px: float = 0.0,
        sha256: Mapping[str, str] | None = None,
    ) -> None:
        for key, value, known in (("dense", dense, Dense), ("geometry", geometry, Geometry)):
            if value not in get_args(known):
                raise ConfigError(f"faces: {key} is {value!r}", wanted=f"one of {', '.join(get_args(known))}")
        self.kind = detector if isinstance(detector, str) else detector.name
        self.dense, self.geometry = dense, geometry
        self.model = None if model is None else Path(model)
        self.weights = None if weights is None else Path(weights)
        self.onnx = _onnx_settings(onnx)
        wanted = dict(sha256 or {})
        used = "network" in (dense, geometry) or self.kind in ("network", "onnx")
        self._net = FaceNet.load(self.weights, sha256=wanted.get("weights_sha256")) if used else None
        self._detector = self._build(detector, min_eyes_px, wanted.get("model_sha256"))
        self._found: dict[str, FacePoints] = {}

    @property
    def template(self) -> bool:
        """Whether a photograph without points gets the mean head of a tight crop."""
        return self.kind == "template"

    def points(self, pixels: NDArray[np.uint8], given: FacePoints | None, digest: str) -> FacePoints | None:
        """Return 68 points of a photograph's face; None for a tight crop's mean head.

        Args:
            pixels: (H, W, 3) sRGB, upright.
            given: what a sidecar says.
            digest: names the pixels, for a face that is loaded again.

        Raises:
            SkipSample: `no_landmarks`, or a reason of the detector.
        """
        if given is None and self._detector is None:
            if self.template:
                return None
            raise SkipSample("no_landmarks", "no points are given, and the detector is `sidecar`")
        key = f"{digest}:{None if given is None else given.to_record()}"
        if key not in self._found:
            if len(self._found) >= _KEPT:
                self._found.clear()
            seen = given
            if seen is None:
                assert self._detector is not None
                seen = self._detector.find(pixels)
            self._found[key] = self._densified(pixels, seen)
        return self._found[key]

    def read(self, face: Face) -> Face:
        """Return the face with its geometry, as configured."""
        if self.geometry == "none" or self._net is None:
            return face
        return with_geometry(face, self._net)

    def settings(self) -> dict[str, Any]:
        """Return what rebuilds this reader, and the digests of the files that its results depend on."""
        digests = {} if self._detector is None else dict(self._detector.settings())
        if self._net is not None:
            digests["weights_sha256"] = self._net.sha256
        return {
            "detector": self.kind,
            "model": None if self.model is None else str(self.model),
            "onnx": None if self.onnx is None else self.onnx.model_dump(mode="json"),
            "dense": self.dense,
            "geometry": self.geometry,
            "weights": None if self.weights is None else str(self.weights),
            "sha256": digests,
        }

    def _build(self, detector: DetectorName | Detector, least_px: float, model_sha256: str | None) -> Detector | None:
        if not isinstance(detector, str):
            return detector
        if self.model is not None and detector not in ("mediapipe", "onnx"):
            raise ConfigError(f"faces: a model file for detector {detector!r}", wanted="mediapipe or onnx")
        match detector:
            case "sidecar" | "template":
                return None
            case "network":
                assert self._net is not None
                return NetworkDetector(self._net, min_eyes_px=least_px)
            case "mediapipe":
                return MediaPipeDetector(self.model, sha256=model_sha256)
            case "onnx":
                assert self._net is not None
                return OnnxDetector(self.model, self.onnx, self._net, min_eyes_px=least_px, sha256=model_sha256)
        raise ConfigError(f"faces: detector is {detector!r}", wanted=f"one of {', '.join(get_args(DetectorName))}")

    def _densified(self, pixels: NDArray[np.uint8], seen: FacePoints) -> FacePoints:
        """Return 68 points: its own, the network's, or the mean head's where the network sees another face or none."""
        if len(seen.points) == 68:
            return seen
        rough = seen.dense()
        if self.dense == "network" and self._net is not None:
            reading = look(self._net, pixels, torch.from_numpy(rough).float())
            five = five_of(reading.points.double().numpy())
            eyes = np.hypot(*(seen.points[1] - seen.points[0]))
            away = np.linalg.norm(five - seen.points, axis=1).mean() / max(float(eyes), 1e-6)
            if is_face(reading) and away < MOST_DISAGREEMENT:
                return FacePoints(quantised(reading.points.numpy()), seen.box)
        return FacePoints(rough, seen.box)


def _onnx_settings(onnx: OnnxSettings | Mapping[str, Any] | None) -> OnnxSettings | None:
    if onnx is None or isinstance(onnx, OnnxSettings):
        return onnx
    return parse_config(dict(onnx), OnnxSettings, origin="faces: onnx")
