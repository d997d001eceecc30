"""Where the panel stands before the camera, and where the photograph lies on the panel."""

from dataclasses import dataclass

import torch
from torch import Tensor

from spooflab.augment.view import View
from spooflab.generators.attacks.replays.params import ReplayParams
from spooflab.generators.constant import constant
from spooflab.generators.face import Face
from spooflab.generators.instruments.panel_figures import PanelFigures
from spooflab.generators.pose import Pose, framing

_MARGIN = 0.94
"""Largest share of the active area's side that the face's box may take."""


@dataclass(frozen=True)
class Placement:
    """The geometry of one shot. The plane's origin is the centre of the device's body.

    Attributes:
        view: the camera, with the binning that the distance asks for.
        pose: of the body.
        active_centre: (B, 2) millimetres.
        photo_centre: (B, 2) millimetres.
        photo_mm: (B, 2) width and height of the shown photograph.
        distance_mm: (B,) of the face's centre.
        mm_per_px: (B,) on a plane that faces the camera at that distance.
    """

    view: View
    pose: Pose
    active_centre: Tensor
    photo_centre: Tensor
    photo_mm: Tensor
    distance_mm: Tensor
    mm_per_px: Tensor

    def to_plane(self, pixels: Tensor, size: tuple[int, int]) -> Tensor:
        """Map photograph pixels (B, N, 2) to millimetres on the plane; `size` is height and width of the photograph."""
        share = pixels / constant((size[1], size[0]), pixels.device) - 0.5
        return share * self.photo_mm[:, None] + self.photo_centre[:, None]


def place(face: Face, view: View, params: ReplayParams, panel: PanelFigures) -> Placement:
    """Solve for the pose that shows the face at its share of the frame.

    Args:
        face: the photograph to be shown.
        view: the camera; its binning is replaced.
        params: what was drawn.
        panel: the figures of each row's panel, as it stands.
    """
    height, width = face.size
    texels = constant((width, height), face.box.device)
    box_share = face.box[:, 2:] / texels
    scale = params.zoom * panel.active.amin(1) / texels.amin()  # millimetres per texel
    fits = (_MARGIN * panel.active / (box_share * texels)).amin(1)
    photo = torch.minimum(scale, fits)[:, None] * texels
    face_at = ((face.box[:, :2] + face.box[:, 2:] / 2) / texels - 0.5) * photo
    half_face = box_share * photo / 2
    room = (panel.active / 2 - half_face).clamp(min=0)
    slid = params.slide * (photo - panel.active).abs() / 2
    slid = torch.maximum(torch.minimum(slid + face_at, room), -room) - face_at  # the face stays on the panel
    photo_centre = panel.active_centre + slid
    wanted, binning = framing(view, 2 * half_face[:, 0], params.share, params.farthest_mm)
    distance = torch.maximum(wanted, params.nearest_mm)  # a camera too wide for that share sees the face smaller
    framed = view.with_binning(binning)
    pose = _aimed(framed, params, distance, photo_centre + face_at)
    return Placement(
        view=framed,
        pose=pose,
        active_centre=panel.active_centre,
        photo_centre=photo_centre,
        photo_mm=photo,
        distance_mm=distance,
        mm_per_px=distance * framed.pixel_um / 1000 / framed.focal_mm,
    )


def _aimed(view: View, params: ReplayParams, distance: Tensor, target: Tensor) -> Pose:
    """Return the pose that puts plane point `target` (B, 2) on the drawn aim, at `distance`."""
    turned = Pose(torch.zeros_like(params.tint), params.yaw_deg, params.pitch_deg, params.roll_deg)
    u_axis, v_axis, _ = turned.axes()
    frame = constant((view.width, view.height), distance.device)
    tangent = params.aim * frame * (view.pixel_um / 1000 / view.focal_mm)[:, None]
    point = distance[:, None] * torch.cat([tangent, torch.ones_like(tangent[:, :1])], 1)
    centre = point - target[:, :1] * u_axis - target[:, 1:] * v_axis
    return Pose(centre, params.yaw_deg, params.pitch_deg, params.roll_deg)
