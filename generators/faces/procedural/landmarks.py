"""The 68 landmarks: fixed surface points inside the face, and a jaw that follows the visible contour."""

from functools import lru_cache

import torch
from torch import Tensor

from spooflab.generators.faces.procedural.attach import Attachment, attach, from_front, rest_normals
from spooflab.generators.faces.procedural.model import HeadModel, head_model

_BROW = ((10.5, 14.6), (20.0, 18.4), (30.0, 20.6), (40.0, 21.0), (51.0, 16.0))
_NOSE = ((0.0, 1.0), (0.0, -10.0), (0.0, -21.0), (0.0, -33.5))
_NOSTRILS = ((-12.5, -42.8), (-6.0, -44.6), (0.0, -47.3), (6.0, -44.6), (12.5, -42.8))
_LIP_TOP = ((-22.6, -68.3), (-13.0, -62.3), (-4.2, -59.6), (0.0, -60.7), (4.2, -59.6), (13.0, -62.3), (22.6, -68.3))
_LIP_LOW = ((13.5, -74.6), (5.5, -77.4), (0.0, -77.9), (-5.5, -77.4), (-13.5, -74.6))
_SEAM_TOP = ((-19.8, -67.0), (-9.0, -65.4), (0.0, -66.0), (9.0, -65.4), (19.8, -67.0))
_SEAM_LOW = ((9.0, -68.6), (0.0, -69.0), (-9.0, -68.6))
# A third of a millimetre outside the opening, so that the points lie on the lids and not in the socket.
_LID_TOP = (
    (16.2, -2.9),
    (19.0, -0.8),
    (21.0, 0.6),
    (24.0, 2.05),
    (27.0, 2.75),
    (30.0, 3.05),
    (33.0, 2.95),
    (36.0, 2.4),
    (39.0, 1.25),
    (41.2, -0.1),
    (42.2, -0.8),
)
_LID_LOW = (
    (16.2, -3.2),
    (19.0, -4.0),
    (21.0, -4.65),
    (24.0, -5.1),
    (27.0, -5.35),
    (31.0, -5.5),
    (34.0, -5.3),
    (37.0, -4.6),
    (39.6, -3.0),
    (41.4, -1.6),
    (42.2, -1.0),
)
_JAW_LEVELS = (-3.0, -21.0, -39.0, -56.0, -71.0, -84.0, -94.0, -101.5)
_JAW_BAND = 9


def landmark_points(pixels: Tensor) -> Tensor:
    """Return the (68, 2) landmarks of a posed mesh from the (V, 2) projection of its vertices."""
    fixed, jaw = attachments()
    inner = fixed.carry(pixels)
    bands = jaw.carry(pixels).reshape(2, len(_JAW_LEVELS), _JAW_BAND, 2)
    # The left band gives its leftmost point, the right one its rightmost: the contour as seen.
    left = bands[0].gather(1, bands[0, :, :, 0].argmin(1)[:, None, None].expand(-1, 1, 2))[:, 0]
    right = bands[1].gather(1, bands[1, :, :, 0].argmax(1)[:, None, None].expand(-1, 1, 2))[:, 0]
    return torch.cat([left, inner[:1], right.flip(0), inner[1:]])


@lru_cache(maxsize=1)
def attachments() -> tuple[Attachment, Attachment]:
    """Return the 52 fixed points (chin first, then landmarks 17 to 67) and the jaw's bands of candidates."""
    model = head_model()
    right = torch.tensor(_BROW)
    left = right.flip(0) * torch.tensor([-1.0, 1.0])
    chin = torch.tensor([[0.0, -104.5]])
    nose = torch.tensor(_NOSE + _NOSTRILS)
    mouth = torch.tensor(_LIP_TOP + _LIP_LOW + _SEAM_TOP + _SEAM_LOW)
    upper, lower = lid_margin()
    pick = torch.tensor([0.0, 0.3, 0.68, 1.0])
    lids_right = torch.cat([_along(upper, pick), _along(lower, torch.tensor([0.68, 0.3]))])
    mirror = torch.tensor([3, 2, 1, 0, 5, 4])
    lids_left = (lids_right * torch.tensor([-1.0, 1.0]))[mirror]
    fixed = from_front(model, torch.cat([chin, left, right, nose, lids_left, lids_right, mouth]))
    return fixed, _jaw_bands(model)


def lid_margin() -> tuple[Tensor, Tensor]:
    """Return (N, 2) the upper and the lower lid's edge of the eye at x > 0 in the rest front view, inner end first."""
    return torch.tensor(_LID_TOP), torch.tensor(_LID_LOW)


def _along(curve: Tensor, share: Tensor) -> Tensor:
    position = share * (len(curve) - 1)
    low = position.long().clamp(max=len(curve) - 2)
    return torch.lerp(curve[low], curve[low + 1], (position - low)[:, None])


def _jaw_bands(model: HeadModel) -> Attachment:
    """Attach, for each level of the jaw, candidates from the cheek back towards the ear, both sides."""
    normals = rest_normals(model)
    outer = (normals[:, 0].abs() > 0.15) & (model.rest[:, 2] > -62)
    index = []
    for side in (-1, 1):
        for k, level in enumerate(_JAW_LEVELS):
            deepest = (-52.0, -52.0, -50.0, -46.0, -36.0, -22.0, -8.0, 2.0)[k]
            depth = torch.linspace(deepest, deepest + 34, _JAW_BAND)
            drop = 0.25 * torch.linspace(0, -1, _JAW_BAND) * (k > 3) * 20
            for z, dy in zip(depth, drop, strict=True):
                target = torch.tensor([level + float(dy), float(z)])
                score = (model.rest[:, 1:] - target).square().sum(1)
                score = torch.where(outer & (model.rest[:, 0] * side > 8), score, torch.inf)
                index.append(int(score.argmin()))
    corners = torch.tensor(index)[:, None].expand(-1, 3)
    return attach(model, corners, torch.tensor([1.0, 0.0, 0.0]).expand(len(index), 3))
