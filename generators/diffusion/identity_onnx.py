"""Identity as a face recognition model of the user's own tells it, from an ONNX file."""

import hashlib
import math
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, field_validator
from torch import Tensor

from spooflab.config import Config
from spooflab.errors import ConfigError, DataError
from spooflab.generators.diffusion.identity import check_faces
from spooflab.generators.face_net.frame import Frame, crop
from spooflab.generators.faces.landmarks import Points, five_of, similarity
from spooflab.generators.onnx_model import open_session, ports

TEMPLATE = np.array(
    [(38.2946, 51.6963), (73.5318, 51.5014), (56.0252, 71.7366), (41.5493, 92.3655), (70.7299, 92.2041)]
)
"""Where the eyes, the nose and the corners of the mouth lie in the 112 x 112 crops that ArcFace (Deng et al. 2019,
sec. 3.1) and most open embedders after it are trained on: the five points of InsightFace's `face_align`, which are
those of SphereFace's 112 x 96 crops (Liu et al. 2017) moved to the right by 8. There the first pixel's centre is 0."""


class EmbedderSettings(Config):
    """What an ONNX face embedder takes and gives; no file says it of itself.

    Attributes:
        input_px: side of the square crop it takes: a multiple of 112, or of 128, where the template keeps its scale
            of 112 and has 8 more on either side and 16 below, as InsightFace aligns such models.
        mean, std: per channel, applied to codes in [0, 1]; InsightFace's own models want 0.5 and 0.5, or 0 and 1/255
            where the graph begins with the scaling.
        channels: order of the colours.
        layout: order of the axes.
        output: name of the output that holds the vector; the only one by default.
    """

    input_px: int = Field(default=112, ge=112, le=1024)
    mean: tuple[float, float, float] = (0.5, 0.5, 0.5)
    std: tuple[float, float, float] = (0.5, 0.5, 0.5)
    channels: Literal["rgb", "bgr"] = "rgb"
    layout: Literal["nchw", "nhwc"] = "nchw"
    output: str | None = None

    @field_validator("input_px")
    @classmethod
    def _aligned(cls, value: int) -> int:
        if value % 112 and value % 128:
            raise ValueError("wanted a multiple of 112 or of 128")
        return value

    @field_validator("std")
    @classmethod
    def _divides(cls, value: tuple[float, float, float]) -> tuple[float, float, float]:
        if min(map(abs, value)) == 0:
            raise ValueError("wanted no 0: codes are divided by it")
        return value


class OnnxIdentity:
    """An `IdentityEncoder`: the vector of a face recognition model, of length 1 (`pip install 'spooflab[detect]'`).

    The face is aligned on five points by the least-squares similarity (Umeyama 1991), as such models are trained; past
    the picture's edges it is mirrored, where others put black. Weights of public embedders are often for research
    alone, whatever the licence of the code beside them: read it.

    Args:
        path: the ONNX file; one that keeps weights in files beside it is refused, for its digest would not tell them.
        settings: what it takes and gives.
        sha256: refuse a file with another digest.

    Attributes:
        model: the file with its digest: for records.
        width: numbers in a vector.

    Raises:
        ConfigError: onnxruntime is missing, the file is, is no ONNX model, or takes or gives something else.
    """

    def __init__(
        self, path: Path | str, settings: EmbedderSettings | None = None, *, sha256: str | None = None
    ) -> None:
        self.path, self.settings = Path(path), settings or EmbedderSettings()
        content = _read(self.path)
        digest = hashlib.sha256(content).hexdigest()
        if sha256 is not None and digest != sha256:
            raise ConfigError(f"model {path}: SHA-256 {digest[:12]}…", wanted=f"the file {sha256[:12]}… of the record")
        self.model = f"{self.path} sha256:{digest}"
        self._session = open_session(
            content,
            name=str(self.path),
            missing="an ONNX face embedder needs the `onnxruntime` package",
            wanted="an ONNX face embedder",
        )
        self._input, self._output = ports(
            self._session,
            side=self.settings.input_px,
            layout=self.settings.layout,
            output=self.settings.output,
            name=str(self.path),
            prefix="",
            gives="embedding",
        )
        self.width = len(self._run(np.zeros((3, self.settings.input_px, self.settings.input_px), np.float32)))

    def embed(self, pictures: Tensor, landmarks: Tensor) -> Tensor:
        """Return (B, width), each of length 1; see `IdentityEncoder.embed`. Faces are run one by one: same bytes."""
        check_faces(pictures, landmarks)
        five = five_of(landmarks.double().numpy())
        rows = [self._vector(pictures[i : i + 1], five[i]) for i in range(len(pictures))]
        return torch.stack(rows)

    def _vector(self, picture: Tensor, five: Points) -> Tensor:
        side = self.settings.input_px
        vector = torch.from_numpy(self._run(crop(picture, template_frame(five, side), side)[0].numpy()))
        length = float(vector.norm())
        if not math.isfinite(length) or length < 1e-12:
            raise DataError(f"model {self.path}: a vector of length {length}", wanted="finite, not 0")
        return vector / length

    def _run(self, face: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the vector (width,) of a crop (3, s, s) of codes in [0, 1]."""
        o = self.settings
        ordered = face if o.channels == "rgb" else face[::-1]
        mean, std = (np.array(v, np.float32)[:, None, None] for v in (o.mean, o.std))
        fed = ((ordered - mean) / std)[None]
        fed = fed if o.layout == "nchw" else fed.transpose(0, 2, 3, 1)
        try:
            raw = np.asarray(self._session.run([self._output], {self._input: np.ascontiguousarray(fed)})[0])
        except Exception as error:  # onnxruntime's own errors share no public base
            raise ConfigError(f"model {self.path}: onnxruntime cannot run it: {error}") from error
        if raw.ndim < 1 or raw.shape[0] != 1 or raw.size < 2 or not np.issubdtype(raw.dtype, np.floating):
            raise ConfigError(
                f"model {self.path}: {self._output} has the shape {raw.shape} of {raw.dtype}",
                wanted="(1, width) numbers, one vector",
                next_step="set `output` to the embedding",
            )
        return raw.reshape(-1).astype(np.float32)


def template_frame(five: Points, side_px: int) -> Frame:
    """Return the square in a picture that the template's crop of `side_px` pixels covers, for five points (5, 2)."""
    scale = side_px / 112 if side_px % 112 == 0 else side_px / 128
    shift = (0.0, 0.0) if side_px % 112 == 0 else (8.0, 0.0)
    target = (TEMPLATE + shift) * scale + 0.5  # half a pixel: our first pixel's centre is 0.5
    matrix, offset = similarity(five, target)
    x, y = np.linalg.solve(matrix, side_px / 2 - offset)
    size = math.hypot(matrix[0, 0], matrix[1, 0])
    return Frame(float(x), float(y), side_px / size, -math.atan2(matrix[1, 0], matrix[0, 0]))


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"model {path}: {error.strerror or error}", wanted="a face embedder (.onnx)") from error
