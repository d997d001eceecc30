"""What an identity encoder sees of a face: its inner part, upright, on grey; no hair, ears, clothes or room."""

import torch
from torch import Tensor

from spooflab.generators.attacks.digital.swap_mask import face_width, soft_mask
from spooflab.generators.diffusion.face_frame import Frame, crop, face_frame, on_crop, outline

SIDE = 64
"""Pixels."""
GREY = 0.5
_MARGIN = 1.06
_RISE = 0.45
_FEATHER = 0.05


def identity_crop(picture: Tensor, landmarks: Tensor) -> Tensor:
    """Return (1, 3, `SIDE`, `SIDE`): the face of a picture (1, 3, H, W), sRGB in [0, 1], for landmarks (1, 68, 2)."""
    frame = identity_frame(landmarks[0])
    face = crop(picture, frame, SIDE)
    return torch.lerp(torch.full_like(face, GREY), face, inner_face(landmarks, frame))


def identity_frame(landmarks: Tensor) -> Frame:
    """Return the square that is seen, for landmarks (68, 2)."""
    return face_frame(landmarks, _MARGIN)


def inner_face(landmarks: Tensor, frame: Frame) -> Tensor:
    """Return (1, 1, `SIDE`, `SIDE`) weights of what is seen within the frame, for landmarks (1, 68, 2)."""
    edge = on_crop(outline(landmarks[0], _RISE), frame, SIDE)[None]
    wide = face_width(on_crop(landmarks, frame, SIDE))
    none = torch.zeros(1)
    return soft_mask(edge, none, _FEATHER * wide, none, torch.zeros(1, dtype=torch.int64), SIDE, SIDE)
