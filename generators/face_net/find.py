"""Find the largest face in a photograph of any size: a pyramid of places, then the few best looked at closely."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from spooflab.errors import SkipSample
from spooflab.generators.face_net.frame import Frame, extent, frame_of
from spooflab.generators.face_net.network import INPUT, SHARE, STRIDE
from spooflab.generators.face_net.predict import FaceNet, FaceReading

LEVELS_PX = (112, 224, 448)
"""Longer side of the photograph on each level that is searched."""
FINER_PX = 896
"""Longer side of the level that is searched when the others show no face."""
WORKING_PX = 2048
"""Longer side to which a larger photograph is reduced: the network looks at faces with 64 pixels."""
MOST_ENLARGED = 1.5
"""A level that enlarges the photograph by more is not searched, but for the first."""
MARGIN_PX = 16
"""Border round a level, so that a face at the photograph's edge has a middle inside."""
MAYBE, SURE = 0.3, 0.5
"""Least presence of a place that is looked at, and of a face once it is framed."""
MOST_SPREAD = 0.05
"""Largest mean spread of a face's landmarks, in shares of its frame's side."""
CLOSE_LOOKS = 6
MUCH_SMALLER = 0.7
"""Share of the largest face's size under which another is only counted."""
PROFILE_DEG = 50.0
"""Turn of a head beyond which one of its eyes is hidden."""


@dataclass(frozen=True)
class Found:
    """The face that was taken.

    Attributes:
        reading: its landmarks and maps.
        count: how many faces were seen; the largest was taken.
    """

    reading: FaceReading
    count: int

    @property
    def eyes_px(self) -> float:
        """Distance between the eyes' centres in pixels of the photograph."""
        points = self.reading.points
        return float((points[36:42].mean(0) - points[42:48].mean(0)).norm())


@dataclass(frozen=True)
class _Place:
    """Where a face may be: its middle and extent in pixels of the photograph, and how sure."""

    x: float
    y: float
    size: float
    presence: float


def reduced(pixels: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], int]:
    """Return a photograph no larger than `WORKING_PX`, by averaging whole blocks, and the blocks' side."""
    step = math.ceil(max(pixels.shape[:2]) / WORKING_PX)
    return (pixels, 1) if step == 1 else (np.asarray(Image.fromarray(pixels).reduce(step)), step)


def look(net: FaceNet, pixels: NDArray[np.uint8], points: Tensor) -> FaceReading:
    """Return the reading of the face whose landmarks lie near `points` (68, 2) in a photograph."""
    small, step = reduced(pixels)
    return net.refine(to_codes(small), frame_of(points / step)).scaled(step)


def to_codes(pixels: NDArray[np.uint8]) -> Tensor:
    """Return (1, 3, H, W) codes in [0, 1] of an (H, W, 3) photograph."""
    return torch.tensor(pixels).permute(2, 0, 1)[None].float() / 255


def find_face(net: FaceNet, pixels: NDArray[np.uint8], *, min_eyes_px: float = 0.0) -> Found:
    """Return the largest face of a photograph.

    Args:
        net: the network.
        pixels: (H, W, 3) sRGB, upright.
        min_eyes_px: least distance between the eyes.

    Raises:
        SkipSample: `no_face`, `face_too_small`, `profile_face`.
    """
    small, step = reduced(pixels)
    picture = to_codes(small)
    best = 0.0
    faces: list[FaceReading] = []
    longer = max(small.shape[:2])
    fit = tuple(px for px in LEVELS_PX if px <= MOST_ENLARGED * longer) or LEVELS_PX[:1]
    finer = (FINER_PX,) if longer > LEVELS_PX[-1] else ()
    for levels in (fit, finer):
        places = _apart(place for level in levels for place in _search(net, picture, level))
        best = max([best, *(place.presence for place in places)])
        faces = _framed(net, picture, places)
        if faces:
            break
    height, width = pixels.shape[:2]
    if not faces:
        raise SkipSample("no_face", f"no face in {width} x {height} pixels; the likeliest place has {best:.2f}")
    largest = max(faces, key=lambda face: float(extent(face.points)))
    found = Found(largest.scaled(step), len(faces))
    if abs(largest.yaw_deg) > PROFILE_DEG:
        raise SkipSample("profile_face", f"the head is turned by {largest.yaw_deg:.0f} degrees")
    if found.eyes_px < min_eyes_px:
        raise SkipSample("face_too_small", f"{found.eyes_px:.0f} px between the eyes, wanted {min_eyes_px:.0f}")
    return found


def _search(net: FaceNet, picture: Tensor, level_px: int) -> Iterator[_Place]:
    """Yield the places of one level whose presence no neighbour exceeds."""
    height, width = picture.shape[-2:]
    scale = level_px / max(height, width)
    small = (max(round(height * scale), STRIDE), max(round(width * scale), STRIDE))
    level = F.interpolate(picture, size=small, mode="bilinear", antialias=True, align_corners=False)
    rows, columns = (math.ceil((side + 2 * MARGIN_PX) / STRIDE) * STRIDE for side in small)
    border = (MARGIN_PX, columns - small[1] - MARGIN_PX, MARGIN_PX, rows - small[0] - MARGIN_PX)
    seen = net.places(F.pad(level, border, value=0.5))
    presence = torch.sigmoid(seen.logit)[0]
    peak = F.max_pool2d(presence[None], 3, 1, 1)[0]
    for i, j in ((presence == peak) & (presence > MAYBE)).nonzero().tolist():
        x = ((j + 0.5 + float(seen.offset[0, 0, i, j])) * STRIDE - MARGIN_PX) * width / small[1]
        y = ((i + 0.5 + float(seen.offset[0, 1, i, j])) * STRIDE - MARGIN_PX) * height / small[0]
        size = 2 ** float(seen.log2_size[0, i, j].clamp(-1, 1)) * SHARE * INPUT / scale
        yield _Place(x, y, size, float(presence[i, j]))


def _apart(places: Iterator[_Place]) -> list[_Place]:
    """Return the surest places, none within half a face of a surer one; of the smaller face, for a large place that is
    none may hold a small one that is.
    """
    kept: list[_Place] = []
    for place in sorted(places, key=lambda p: (-p.presence, p.y, p.x, p.size)):
        if all(math.hypot(place.x - k.x, place.y - k.y) > 0.5 * min(place.size, k.size) for k in kept):
            kept.append(place)
    return kept[:CLOSE_LOOKS]


def _framed(net: FaceNet, picture: Tensor, places: list[_Place]) -> list[FaceReading]:
    """Return the faces that the places turn out to be, each once; those much smaller than another after one look."""
    faces: list[FaceReading] = []
    largest = 0.0
    for place in sorted(places, key=lambda p: (-p.size, p.y, p.x)):
        seen = net.read(picture, Frame(place.x, place.y, place.size / SHARE), mirrored=False)
        if seen.presence < MAYBE:
            continue
        if place.size > MUCH_SMALLER * largest:
            seen = net.refine(picture, frame_of(seen.points), rounds=1)
        if not is_face(seen):
            continue
        middle, size = seen.points.mean(0), float(extent(seen.points))
        if all(float((middle - other.points.mean(0)).norm()) > 0.4 * size for other in faces):
            faces.append(seen)
            largest = max(largest, size)
    return faces


def is_face(seen: FaceReading) -> bool:
    """Whether what was framed is a face: it says so, it is sure of its landmarks, and the eyes are above the mouth."""
    share = seen.frame.from_picture(seen.points)
    upright = float(share[36:48, 1].mean()) < float(share[48:, 1].mean())
    ordered = float(share[36:42, 0].mean()) < float(share[42:48, 0].mean())
    sure = float(seen.spread.mean()) / seen.frame.side < MOST_SPREAD
    return seen.presence > SURE and sure and upright and ordered
