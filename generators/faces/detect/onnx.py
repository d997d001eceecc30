"""Any landmark model in ONNX, from a file that the user has: our network finds the face, it places the points."""

from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field

from spooflab.config import Config
from spooflab.errors import ConfigError
from spooflab.generators.face_net.find import find_face, reduced, to_codes
from spooflab.generators.face_net.frame import Frame, crop, extent
from spooflab.generators.face_net.predict import FaceNet
from spooflab.generators.faces.detect.model_file import read_model
from spooflab.generators.faces.landmarks import FacePoints, quantised
from spooflab.generators.onnx_model import open_session, ports

IBUG_OF_WFLW = (
    *range(0, 33, 2), *range(33, 38), *range(42, 47), *range(51, 60),
    60, 61, 63, 64, 65, 67, 68, 69, 71, 72, 73, 75, *range(76, 96),
)  # fmt: skip
"""Point of WFLW's 98 (Wu et al. 2018, "Look at boundary") for each of the 68."""


class OnnxSettings(Config):
    """What an ONNX landmark model takes and gives; no file says it of itself.

    Attributes:
        input_px: side of the square crop it takes.
        points: how many points it gives: 68 (iBUG order), 98 (WFLW) or 5 (eyes, nose, mouth corners).
        margin: how far the crop reaches past the face's landmarks on every side, in shares of the face.
        mean, std: per channel, applied to codes in [0, 1].
        channels: order of the colours.
        layout: order of the axes.
        unit: points in shares of the crop (0-1), in pixels of the crop, or in -1...1.
        output: name of the output that holds the points; the only one by default.
    """

    input_px: int = Field(ge=16, le=2048)
    points: Literal[5, 68, 98] = 68
    margin: float = Field(default=0.2, ge=0, le=2)
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)
    channels: Literal["rgb", "bgr"] = "rgb"
    layout: Literal["nchw", "nhwc"] = "nchw"
    unit: Literal["share", "pixel", "centred"] = "share"
    output: str | None = None


class OnnxDetector:
    """Places the points of a face with a model of the user's own (`pip install 'spooflab[detect]'`).

    Args:
        model: the ONNX file.
        options: what it takes and gives.
        net: finds the face that the crop is cut round.
        min_eyes_px: a face with less between the eyes is `face_too_small`.
        sha256: refuse a file with another digest.

    Raises:
        ConfigError: onnxruntime is missing, the file is, is no ONNX model, or takes or gives something else.
    """

    name = "onnx"

    def __init__(
        self,
        model: Path | str | None,
        options: OnnxSettings | None,
        net: FaceNet,
        *,
        min_eyes_px: float = 0.0,
        sha256: str | None = None,
    ) -> None:
        path, self.sha256 = read_model(model, "a landmark model", ".onnx", sha256)
        if options is None:
            raise ConfigError("detector onnx: no `onnx` options", wanted="at least `onnx: {input_px: …}`")
        self.options, self.net, self.min_eyes_px, self.path = options, net, min_eyes_px, path
        self._session = open_session(
            str(path),
            name=str(path),
            missing="detector onnx: the `onnxruntime` package is missing",
            wanted="an ONNX landmark model",
        )
        self._input, self._output = ports(
            self._session,
            side=options.input_px,
            layout=options.layout,
            output=options.output,
            name=str(path),
            prefix="onnx.",
            gives="points",
        )

    def find(self, pixels: NDArray[np.uint8]) -> FacePoints:
        """Return 68 or five points of the largest face; see `Detector.find`."""
        small, step = reduced(pixels)
        seen = find_face(self.net, small, min_eyes_px=self.min_eyes_px / step).reading
        middle = (seen.points.amax(0) + seen.points.amin(0)) / 2
        side = float(extent(seen.points)) * (1 + 2 * self.options.margin)
        frame = Frame(float(middle[0]), float(middle[1]), side)
        share = self._run(crop(to_codes(small), frame, self.options.input_px)[0].numpy())
        return FacePoints(quantised(frame.to_picture(torch.from_numpy(share)).numpy() * step))

    def settings(self) -> dict[str, Any]:
        """Return the digests of the model and of the network that finds the face."""
        return {"model_sha256": self.sha256, "weights_sha256": self.net.sha256}

    def _run(self, codes: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the points (68 or 5, 2) in shares of the crop (3, s, s)."""
        o = self.options
        ordered = codes if o.channels == "rgb" else codes[::-1]
        mean, std = (np.array(v, np.float32)[:, None, None] for v in (o.mean, o.std))
        fed = ((ordered - mean) / std)[None]
        fed = fed if o.layout == "nchw" else fed.transpose(0, 2, 3, 1)
        raw = np.asarray(self._session.run([self._output], {self._input: np.ascontiguousarray(fed)})[0])
        if raw.size != 2 * o.points or not np.isfinite(raw).all():
            raise ConfigError(
                f"model {self.path}: {self._output} has the shape {raw.shape}",
                wanted=f"{o.points} finite points, {2 * o.points} numbers",
                next_step="set `onnx.points` and `onnx.output` to what the model gives",
            )
        points: NDArray[np.float32] = raw.reshape(-1, 2).astype(np.float32)
        if o.unit == "pixel":
            points = (points / np.float32(o.input_px)).astype(np.float32)
        elif o.unit == "centred":
            points = ((points + 1) / 2).astype(np.float32)
        if np.abs(points - 0.5).max() > 2:
            raise ConfigError(
                f"model {self.path}: points from {points.min():.1f} to {points.max():.1f} sides of the crop",
                wanted="points in or near the crop",
                next_step="set `onnx.unit` to what the model gives",
            )
        return points[list(IBUG_OF_WFLW)] if o.points == 98 else points
