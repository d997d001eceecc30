"""Annotation files that come with data sets: where the face is, by frame.

Forms, with the frames counted from 0 and boxes in pixels of the stored frame:

* `box_frame_xywh`: `frame x y width height`, spaces (Idiap Replay-Attack and Replay-Mobile; all zeros: no face seen).
* `box_frame_ltrb`: `frame,left,top,right,bottom,...`, commas; further columns are eye positions and are not used
  (MSU-MFSD).
* `box_ltrb`: `left top right bottom`, spaces, one line for each frame (SiW; all zeros: no face).
* `box_xywh`: `x y width height` in one line, for a picture.
* `box_celeba_spoof`: `x y width height score` in one line, in units of a picture of 224 x 224 (CelebA-Spoof).
* `eyes_frame`: `frame,x1,y1,x2,y2`, commas; the centres of both eyes (OULU-NPU). The box follows from a mean head.
"""

import math
from dataclasses import dataclass, replace
from pathlib import Path

from spooflab.errors import SkipSample
from spooflab.experiments.readers.item import FaceFile
from spooflab.experiments.readers.walk import read_text

Box = tuple[float, float, float, float]

MAX_GAP = 10
"""How many frames away an annotation may lie that is taken for a frame without one."""
_FARTHEST = 1e8
"""Pixels or frames; no picture is so wide, and what is computed from boxes stays finite."""
_HEAD = (-1.03, -0.60, 1.03, 1.67)
"""Left, top, right and bottom of a frontal head's face from between its eyes, in distances between the eyes: jaw and
chin of `spooflab.generators.faces.landmarks.MEAN_HEAD`, and half a forehead."""


@dataclass(frozen=True)
class FaceTrack:
    """Boxes of a clip.

    Attributes:
        boxes: x, y, width, height by frame.
        unit: 224 where boxes are in units of a picture of that size; 0 where they are pixels.
        everywhere: one box that holds for the one picture.
    """

    boxes: dict[int, Box]
    unit: int = 0
    everywhere: bool = False

    def at(self, frame: int, width: int, height: int) -> tuple[Box, int] | None:
        """Return the box of a frame, in its pixels, and the frame that it was told for; None if none is near."""
        if not self.boxes:
            return None
        near = 0 if self.everywhere else min(self.boxes, key=lambda told: (abs(told - frame), told))
        if not self.everywhere and abs(near - frame) > MAX_GAP:
            return None
        x, y, w, h = self.boxes[near]
        if self.unit:
            x, y, w, h = x * width / self.unit, y * height / self.unit, w * width / self.unit, h * height / self.unit
        return (x, y, w, h), near


def read_track(root: Path, face: FaceFile) -> FaceTrack:
    """Read an annotation file.

    Raises:
        SkipSample: `bad_face_file` for a line that is not of the form, or as `read_text`.
    """
    lines = [line for line in read_text(root, face.path).splitlines() if line.strip()]
    boxes: dict[int, Box] = {}
    for row, line in enumerate(lines):
        frame, box = _line(face, row, _numbers(face, row, line))
        if box is not None:
            boxes[frame] = box
        if face.form in ("box_xywh", "box_celeba_spoof"):
            break
    track = FaceTrack(boxes)
    if face.form == "box_celeba_spoof":
        return replace(track, unit=224, everywhere=True)
    return replace(track, everywhere=face.form == "box_xywh")


def sound_box(box: Box) -> bool:
    """Return whether x, y, width and height can be a box in a picture: finite, of some size, and not far outside."""
    return all(abs(value) <= _FARTHEST for value in box) and box[2] > 0 and box[3] > 0


def box_of_eyes(x1: float, y1: float, x2: float, y2: float) -> Box:
    """Return the box of a frontal upright face from the centres of its eyes, in either order."""
    apart = math.hypot(x2 - x1, y2 - y1)
    x, y = (x1 + x2) / 2, (y1 + y2) / 2
    left, top, right, bottom = (apart * side for side in _HEAD)
    return (x + left, y + top, right - left, bottom - top)


def _numbers(face: FaceFile, row: int, line: str) -> list[float]:
    try:
        found = [float(part) for part in line.replace(",", " ").split()]
    except ValueError as error:
        raise SkipSample("bad_face_file", f"{face.path} line {row + 1}: {line[:60]!r} are not numbers") from error
    if not all(abs(value) <= _FARTHEST for value in found):
        raise SkipSample("bad_face_file", f"{face.path} line {row + 1}: {line[:60]!r} are no pixels or frames")
    return found


def _line(face: FaceFile, row: int, values: list[float]) -> tuple[int, Box | None]:
    framed = face.form in ("box_frame_xywh", "box_frame_ltrb", "eyes_frame")
    if len(values) < 4 + framed:
        raise SkipSample("bad_face_file", f"{face.path} line {row + 1}: {len(values)} numbers, wanted {4 + framed}")
    frame, (a, b, c, d) = (int(values[0]), values[1:5]) if framed else (row, values[:4])
    if not any((a, b, c, d)):
        return frame, None
    if face.form == "eyes_frame":
        box = box_of_eyes(a, b, c, d)
    elif face.form in ("box_frame_ltrb", "box_ltrb"):
        box = (a, b, c - a, d - b)
    else:
        box = (a, b, c, d)
    if not sound_box(box):
        raise SkipSample("bad_face_file", f"{face.path} line {row + 1}: a box of {box[2]:g} x {box[3]:g}")
    return frame, box
