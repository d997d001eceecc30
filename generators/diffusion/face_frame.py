"""Which square of a picture a diffusion model paints: the crop, and the way back."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from spooflab.errors import DataError
from spooflab.generators.attacks.digital.swap_mask import hull
from spooflab.generators.face_net.frame import Frame, crop

__all__ = ["Frame", "crop", "face_frame", "frame_round", "on_crop", "outline", "paste"]

_RISE = 0.6
"""How far over the brows the frame reaches, in nose lengths: as high as any mask of a swap."""


def outline(landmarks: Tensor, rise: float = _RISE) -> Tensor:
    """Return the face's closed outline (27, 2) of landmarks (68, 2): the jaw, then the brows raised by `rise`."""
    return hull(landmarks[None], torch.tensor([rise]))[0]


def eye_angle(landmarks: Tensor) -> float:
    """Return the turn in radians, clockwise as seen, of the line through the eyes of landmarks (68, 2)."""
    line = landmarks[42:48].mean(0) - landmarks[36:42].mean(0)
    return math.atan2(float(line[1]), float(line[0]))


def frame_round(points: Tensor, angle_rad: float, margin: float) -> Frame:
    """Return the square turned by `angle_rad` whose side is `margin` times the longer span of points (N, 2).

    Raises:
        DataError: no points.
    """
    if len(points) == 0:
        raise DataError("a frame round no points", wanted="at least one")
    c, s = math.cos(angle_rad), math.sin(angle_rad)
    upright = points @ torch.tensor([[c, -s], [s, c]])
    low, high = upright.amin(0), upright.amax(0)
    x, y = (float(v) for v in (low + high) / 2)
    side = max(float((high - low).max()), 1.0) * margin
    return Frame(c * x - s * y, s * x + c * y, side, angle_rad)


def face_frame(landmarks: Tensor, margin: float) -> Frame:
    """Return the frame round a face's outline, upright in its eyes, for landmarks (68, 2)."""
    return frame_round(outline(landmarks), eye_angle(landmarks), margin)


def on_crop(points: Tensor, frame: Frame, size: int) -> Tensor:
    """Return points (..., 2) of the picture in the pixels of a crop of `size`."""
    return frame.from_picture(points) * size


def paste(crops: Tensor, frame: Frame, height: int, width: int) -> Tensor:
    """Return crops (1, C, S, S) laid into a picture, (1, C, height, width); 0 beside the frame.

    Crops smaller than their frame are enlarged bicubically, larger ones are averaged first.
    """
    size = crops.shape[-1]
    step = max(int(size / frame.side), 1)
    small = F.avg_pool2d(crops, step) if step > 1 else crops
    y, x = torch.arange(height) + 0.5, torch.arange(width) + 0.5
    at = frame.from_picture(torch.stack(torch.meshgrid(x, y, indexing="xy"), -1))
    inside = ((at >= 0) & (at <= 1)).all(-1)
    mode = "bicubic" if frame.side > small.shape[-1] else "bilinear"
    laid = F.grid_sample(small, (at * 2 - 1)[None], mode=mode, padding_mode="border", align_corners=False)
    return torch.where(inside, laid, 0.0)
