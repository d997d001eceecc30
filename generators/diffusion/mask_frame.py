"""Which square of a picture holds a worn mask."""

import torch

from spooflab.errors import SkipSample
from spooflab.generators.diffusion.face_frame import Frame, eye_angle, frame_round
from spooflab.generators.face import Face

REGION = 0.5
"""Share of a pixel that a mask must cover, or its light that a mask must take, for the pixel to be painted."""


def mask_frame(face: Face, margin: float) -> Frame:
    """Return the frame round a worn mask and the face behind it.

    Raises:
        SkipSample: the mask cannot be seen.
    """
    assert face.spoof_mask is not None
    seen = torch.nonzero(face.spoof_mask[0, 0] > 0.5).flip(1) + 0.5
    if len(seen) == 0:
        raise SkipSample("mask_unseen", "the mask lies outside the picture")
    return frame_round(torch.cat([seen, face.landmarks[0]]), eye_angle(face.landmarks[0]), margin)
