"""The line between neck and collar in a photograph: what the network calls neck but has no skin's colour is cloth."""

import torch
from torch import Tensor
from torch.nn import functional as F

from spooflab.generators.face import PARSING
from spooflab.generators.face_net.colour_model import features, halved, mean, model, shrunk

_SKIN, _NOSE, _NECK, _CLOTHES = (PARSING.index(name) for name in ("skin", "nose", "neck", "clothes"))
_FAR = 14.0
"""Squared Mahalanobis distance of chromaticity from the face's skin beyond which there is none (chi-square, 0.1 %)."""
_DARK = 1.8
"""How much darker (logarithm) than the face's mean a shadow may be before its colour tells nothing."""
_REACH = 0.05


def with_collar(labels: Tensor, radiance: Tensor, landmarks: Tensor) -> Tensor:
    """Return classes (H, W) in which cloth that was taken for neck is clothes.

    Args:
        labels: (H, W) uint8 classes of `PARSING`.
        radiance: (3, H, W) linear light.
        landmarks: (68, 2) pixels.
    """
    few, points = labels[::2, ::2], landmarks / 2
    neck = few == _NECK
    if not bool(neck.any()):
        return labels
    unit = max(float((points[42:48].mean(0) - points[36:42].mean(0)).norm()), 4.0)
    planes = features(halved(radiance), unit)
    sure = shrunk((few == _SKIN) | (few == _NOSE), max(1, round(_REACH * unit)))
    skin = model(planes, sure, unit)
    if skin is None:
        return labels
    middle, spread = skin
    away = planes[:2].flatten(1) - middle[:2, None]
    far = (away * torch.linalg.solve(spread[:2, :2], away)).sum(0).reshape(neck.shape)
    unlike = ((far > _FAR) & (planes[2] > middle[2] - _DARK)).float()
    share = mean(torch.stack([unlike * neck, neck.float()]), max(1, round(_REACH * unit)))
    cloth = (neck & (share[0] > 0.5 * share[1])).float()
    size = (2 * few.shape[0], 2 * few.shape[1])
    smooth = F.interpolate(cloth[None, None], size, mode="bilinear", align_corners=False)[0, 0]
    height, width = labels.shape
    return labels.masked_fill((labels == _NECK) & (smooth[:height, :width] > 0), _CLOTHES)
