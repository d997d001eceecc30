"""A decoded photograph and its landmarks become a face: framed like every other, and turned back into scene light."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from spooflab.augment.color import luminance
from spooflab.augment.tone import inverse_tone_curve, srgb_decode
from spooflab.errors import SkipSample
from spooflab.generators.face import Face
from spooflab.generators.faces.landmarks import MEAN_HEAD, FacePoints, box_of, five_of

Edges = Literal["reflect", "replicate"]

FACE_SHARE = 0.58
"""Share of the picture's width that the face's box takes."""
MIN_EYES_PX = 40.0
_TIGHT_BOX = (0.08, 0.02, 0.84, 0.96)
"""Where a tight crop's face box is taken to lie: x, y, width, height as shares of the crop's square."""
_WHITE_PERCENTILE, _WHITE = 0.99, 0.85
_GAIN_LIMITS = (0.8, 1.6)
_BORDER = 8


@dataclass(frozen=True)
class PhotoSettings:
    """How photographs become faces.

    Attributes:
        size: side of the square picture, pixels.
        edges: what lies past the photograph's edge where the frame reaches over it.
        tone: strength of the camera's contrast curve that is undone, 0-1; see `to_radiance`.
        min_eyes_px: least distance between the eyes' centres, in pixels of the photograph.
    """

    size: int = 384
    edges: Edges = "reflect"
    tone: float = 0.5
    min_eyes_px: float = MIN_EYES_PX

    def __post_init__(self) -> None:
        if self.size < 32:
            raise ValueError(f"size is {self.size}, wanted at least 32 pixels")
        if self.edges not in ("reflect", "replicate"):
            raise ValueError(f"edges is {self.edges!r}, wanted 'reflect' or 'replicate'")
        if not 0 <= self.tone <= 1:
            raise ValueError(f"tone is {self.tone}, wanted 0...1")
        if not self.min_eyes_px > 0:
            raise ValueError(f"min_eyes_px is {self.min_eyes_px}, wanted above 0")


def face_from_photo(
    pixels: NDArray[np.uint8], seen: FacePoints | None, settings: PhotoSettings, *, subject_id: str, source_id: str
) -> Face:
    """Return a batch of one.

    Args:
        pixels: (H, W, 3) sRGB, upright.
        seen: five or 68 points; None for a crop that the face fills (`tight_points`).
        settings: framing and light.
        subject_id: who is seen.
        source_id: which photograph.

    Raises:
        SkipSample: `face_too_small`, or `face_out_of_frame` where under nine tenths of the box lie in the photograph.
    """
    height, width = pixels.shape[:2]
    points = tight_points(width, height) if seen is None else seen
    dense = points.dense()
    box = points.box or box_of(dense)
    five = five_of(dense)
    eyes = float(np.hypot(*(five[1] - five[0])))
    if eyes < settings.min_eyes_px:
        raise SkipSample("face_too_small", f"{eyes:.0f} px between the eyes, wanted {settings.min_eyes_px:.0f}")
    if _inside(box, width, height) < 0.9 or not (0 <= dense[30, 0] < width and 0 <= dense[30, 1] < height):
        raise SkipSample("face_out_of_frame", f"box {[round(v) for v in box]} in a photograph of {width} x {height}")
    side = min(width, height) if seen is None else box[2] / FACE_SHARE
    left, top = box[0] + box[2] / 2 - side / 2, box[1] + box[3] / 2 - side / 2
    if seen is None:
        left, top = (width - side) / 2, (height - side) / 2
    # Light is four times as large as code values: only what the frame needs of a big photograph is turned into it.
    x0, y0 = max(int(left) - _BORDER, 0), max(int(top) - _BORDER, 0)
    needed = pixels[y0 : int(top + side) + _BORDER, x0 : int(left + side) + _BORDER]
    radiance = crop_light(to_radiance(needed, settings.tone), left - x0, top - y0, side, settings)
    scale = settings.size / side
    return Face(
        radiance=radiance * exposure_gain(radiance)[:, None, None, None],
        landmarks=torch.tensor((dense - (left, top)) * scale, dtype=torch.float32)[None],
        box=torch.tensor([[(box[0] - left) * scale, (box[1] - top) * scale, box[2] * scale, box[3] * scale]]),
        subject_id=(subject_id,),
        source_id=(source_id,),
        synthetic=False,
    )


def tight_points(width: int, height: int) -> FacePoints:
    """Return the mean head placed in the centred square of a crop that the face fills, as detectors' crops do."""
    side = min(width, height)
    left, top = (width - side) / 2, (height - side) / 2
    x, y, w, h = (v * side for v in _TIGHT_BOX)
    flat = MEAN_HEAD[:, :2]
    x0, y0, w0, h0 = box_of(flat)
    dense = (flat - (x0, y0)) / (w0, h0) * (w, h) + (left + x, top + y)
    return FacePoints(dense, (left + x, top + y, w, h))


def to_radiance(pixels: NDArray[np.uint8], tone: float) -> NDArray[np.float32]:
    """Return (H, W, 3) linear light: undo the contrast curve on the code values, then the sRGB transfer.

    After "unprocessing" (Brooks et al. 2019, sec. 3.1), whose curve is the full smoothstep; the simulated devices apply
    one of strength 0.2-0.9, so half of it is undone by default and a bona fide photograph keeps its contrast. White
    balance and colour matrix are left to the device, which starts from sRGB primaries. A byte has 256 values: a table.
    """
    codes = torch.arange(256, dtype=torch.float32).reshape(1, 1, 16, 16) / 255
    strength, gamma = torch.tensor([tone]), torch.ones(1)
    table = srgb_decode(inverse_tone_curve(codes, tone=strength, gamma=gamma)).flatten().numpy()
    return np.asarray(table[pixels], dtype=np.float32)


def crop_light(light: NDArray[np.float32], left: float, top: float, side: float, settings: PhotoSettings) -> Tensor:
    """Return (1, 3, size, size): the square at `left`, `top` (may reach over the edge), resampled in linear light.

    Lanczos, widened when it shrinks (no aliasing); values below 0 from its negative lobes are cut.
    """
    height, width = light.shape[:2]
    x0, y0 = int(np.floor(left)) - 4, int(np.floor(top)) - 4
    x1, y1 = int(np.ceil(left + side)) + 4, int(np.ceil(top + side)) + 4
    inner = light[max(y0, 0) : min(y1, height), max(x0, 0) : min(x1, width)]
    over = ((max(-y0, 0), max(y1 - height, 0)), (max(-x0, 0), max(x1 - width, 0)), (0, 0))
    padded = np.pad(inner, over, mode="reflect" if settings.edges == "reflect" else "edge") if np.any(over) else inner
    area = (left - x0, top - y0, left - x0 + side, top - y0 + side)
    planes = [
        np.asarray(
            Image.fromarray(np.ascontiguousarray(padded[..., c])).resize(
                (settings.size, settings.size), Image.Resampling.LANCZOS, box=area
            )
        )
        for c in range(3)
    ]
    return torch.from_numpy(np.stack(planes)[None].astype(np.float32)).clamp(min=0)


def exposure_gain(radiance: Tensor) -> Tensor:
    """Return the (B,) gain that brings the 99th percentile of luminance to 0.85, held within 0.8-1.6.

    Photographers' exposures differ by less than skin does: the limits keep a dark face dark.
    """
    light = luminance(radiance).flatten(1)
    bright = torch.quantile(light[:, ::7], _WHITE_PERCENTILE, dim=1)
    return (_WHITE / bright.clamp(min=1e-3)).clamp(*_GAIN_LIMITS)


def _inside(box: tuple[float, float, float, float], width: int, height: int) -> float:
    x, y, w, h = box
    shown_w = max(0.0, min(x + w, width) - max(x, 0.0))
    return shown_w * max(0.0, min(y + h, height) - max(y, 0.0)) / (w * h)
