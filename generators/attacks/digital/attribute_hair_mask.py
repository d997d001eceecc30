"""Where a photograph that nobody parsed shows the hair of the head."""

import torch
from torch import Tensor
from torch.nn import functional as F

from spooflab.generators.attacks.digital.morph_retouch import blur
from spooflab.generators.enlarge import enlarge
from spooflab.generators.face import Face
from spooflab.generators.geometry.head_maps import HeadMaps
from spooflab.generators.geometry.regions import rest_region

_FEWEST, _MOST = 60, 1500
_REACH_MM = 11.0
_SURE, _ALIKE, _GROWTH = 3.0, 0.12, 10


def hair_by_colour(face: Face, skin: Tensor, maps: HeadMaps, mm_per_px: float) -> Tensor | None:
    """Return (H, W) in [0, 1]: what is coloured like the scalp, not like skin or rim, about the scalp or joined to it.

    Gaussian models over log-luminance and chromaticity, one for each part of the rim; at half the resolution.

    Args:
        face: a batch of one.
        skin: (H, W) bare skin.
        maps: of the head.
        mm_per_px: scale at the face.

    Returns:
        None where the scalp is bald or out of view.
    """
    rest, on = maps.rest_half, maps.on_half > 0
    small = face.radiance[0, :, ::2, ::2].clamp(min=1e-3)
    total = small.sum(0)
    features = torch.stack([total.log() * 0.5, small[0] / total * 6, small[2] / total * 6])
    scalp, bare = on & (rest[1] > 72), skin[::2, ::2] > 0.6
    if int(scalp.sum()) < _FEWEST or int(bare.sum()) < _FEWEST:
        return None
    reach, head = _REACH_MM / mm_per_px / 2, on.float()[None, None]
    near, rim = blur(head, reach)[0, 0] > 0.16, blur(head, 2 * reach)[0, 0] < 0.02
    locks, other = _likeness(features, scalp), _likeness(features, bare)
    if float((locks - other)[scalp].median()) < 1.0:  # bald: the scalp looks like skin
        return None
    for part in _blocks(rim):
        other = torch.maximum(other, _likeness(features, part))
    lead = locks - other
    ears = float(face.landmarks[0, [0, 16, 29], 1].mean()) / 2
    area = torch.where(on, (rest[1] > 38) | ((rest[2] < -48) & (rest[1] > -30)), near)
    area &= on | (torch.arange(on.shape[0])[:, None] < ears)
    if int(rim.sum()) > _FEWEST and float((lead[rim] > 0).float().mean()) < _ALIKE:
        area |= _joined(area, (lead > _SURE) & ~(on & (rest_region(rest, "face") > 0)))
    soft = blur((torch.sigmoid(lead) * area)[None, None], 1.0)
    return enlarge(((soft - 0.35) / 0.3).clamp(0, 1), 2)[0, 0, : face.size[0], : face.size[1]]


def _joined(area: Tensor, sure: Tensor) -> Tensor:
    """Return what is surely hair and hangs together with such hair in the area: locks that reach further down."""
    within = F.max_pool2d(sure.float()[None], 2, ceil_mode=True)
    grown = F.max_pool2d((area & sure).float()[None], 2, ceil_mode=True)
    for _ in range(_GROWTH):
        grown = F.max_pool2d(grown, 5, 1, 2) * within
    full = grown[0].repeat_interleave(2, 0).repeat_interleave(2, 1)
    return (full[: area.shape[0], : area.shape[1]] > 0) & sure


def _blocks(rim: Tensor) -> list[Tensor]:
    """Return the parts (H, W) of the rim in two columns and three rows that are large enough to tell a colour."""
    height, width = rim.shape
    parts = []
    for k in range(6):
        part = torch.zeros_like(rim)
        rows = slice(k // 2 * height // 3, (k // 2 + 1) * height // 3)
        columns = slice(k % 2 * width // 2, (k % 2 + 1) * width // 2)
        part[rows, columns] = rim[rows, columns]
        if int(part.sum()) > 2 * _FEWEST:
            parts.append(part)
    return parts


def _likeness(features: Tensor, where: Tensor) -> Tensor:
    """Return the log density (H, W) of features (3, H, W) under a Gaussian with independent axes, fitted robustly."""
    index = where.flatten().nonzero()[:, 0]
    values = features.flatten(1).index_select(1, index[:: max(len(index) // _MOST, 1)])
    middle = values.median(1).values
    spread = (values - middle[:, None]).abs().median(1).values.mul(1.48).clamp(min=0.08)
    gap = (features - middle[:, None, None]) / spread[:, None, None]
    return -0.5 * gap.square().sum(0) - spread.log().sum()
