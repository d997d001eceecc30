"""Where a photograph lies on its sheet, and the sheet before the camera."""

import dataclasses
from dataclasses import dataclass

import torch
from torch import Tensor

from spooflab.augment.view import View
from spooflab.generators.attacks.prints.params import PrintParams
from spooflab.generators.face import Face
from spooflab.generators.instruments.paper_bend import surface
from spooflab.generators.pose import Pose, framing

_MIN_DISTANCE_MM = 150.0


@dataclass(frozen=True)
class Placement:
    """Where the photograph is on the sheet and the sheet before the camera (one row).

    Attributes:
        mm_per_px: size of the photograph's pixels on the sheet.
        face_mm: (2,) sheet position of the face box's centre.
        face_px: (2,) the same in the photograph's pixels.
        view: the camera with its binning.
        pose: the sheet's.
        distance_mm: (1,) to the face's centre.
    """

    mm_per_px: float
    face_mm: Tensor
    face_px: Tensor
    view: View
    pose: Pose
    distance_mm: Tensor

    def to_sheet(self, points: Tensor) -> Tensor:
        """Map points of the photograph (..., 2), pixels, to the sheet, mm."""
        return (points - self.face_px) * self.mm_per_px + self.face_mm


def place(face: Face, view: View, params: PrintParams) -> Placement:
    """Lay the photograph on the sheet and hold the sheet so that its face is where the frame wants it."""
    mm_per_px = float(params.picture_mm) / face.size[1]
    box = face.box[0]
    face_px = box[:2] + box[2:] / 2
    sheet_width = params.sheet_mm[:, 0] - 2 * params.margin_mm
    width = torch.minimum(box[2:3] * mm_per_px, sheet_width)
    distance, binning = framing(view, width, params.share, params.reach_mm)
    distance = distance.clamp(min=_MIN_DISTANCE_MM)
    binned = view.with_binning(binning)
    per_px = binned.pixel_um / 1000 / binned.focal_mm
    aim = params.aim * torch.tensor([view.width, view.height]) * (per_px * distance)[:, None]
    pose = hold(params, params.offset_mm[0], torch.cat([aim, distance[:, None]], -1))
    return Placement(mm_per_px, params.offset_mm[0], face_px, binned, pose, distance)


def hold(params: PrintParams, point_mm: Tensor, at_mm: Tensor) -> Pose:
    """Return the pose that brings the sheet's point (2,), mm, to a place (1, 3), mm, in camera axes."""
    turned = Pose(torch.zeros(1, 3), params.yaw_deg, params.pitch_deg, params.roll_deg)
    axes = torch.stack(turned.axes(), -2)
    arm = (surface(params.bend, point_mm[None, None]) @ axes)[:, 0]
    return dataclasses.replace(turned, centre_mm=at_mm - arm)
