"""Hair over the forehead of a photograph: what the classes leave open, the picture's own colours decide.

The network has seen few fringes and calls part of one skin, by a ragged line. How this person's skin and hair look is
known from where the classes are sure of both; what lies above the brows is told apart by that, and made coherent: hair
hangs together with the hair around the face, bare forehead with the face.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from spooflab.generators.face import PARSING
from spooflab.generators.face_net.colour_model import features, grown, halved, log_density, mean, model, shrunk
from spooflab.generators.face_net.flood import flood

_SKIN, _NOSE, _BROWS, _HAIR, _BACKGROUND = (PARSING.index(n) for n in ("skin", "nose", "brows", "hair", "background"))
_FINE, _CLEAN, _ERODED, _GAP = 0.03, 0.03, 0.06, 0.14
"""In distances between the eyes: radii over which colours are averaged, of the least lock and of the rim of what is
sure; width of gaps between locks that are closed."""
_LOWEST, _CROWN = 0.2, 1.2
"""Height over the eyes above which classes are in doubt, and above which hair is the head's."""
_BROW, _NO_BROW = 0.1, 0.16
"""Distance from the brows' landmarks within which no gap is closed, and beyond which there is no brow."""
_MOST, _PRIOR = 6.0, 1.0
"""Bounds of the colours' log-likelihood ratio, and what the network's own class adds to it."""
_LEAST_APART = 0.6
"""Bhattacharyya distance of both models under which colours decide nothing."""
_ISLAND = 0.12
"""Area under which skin that hair surrounds is hair: between strands, or a highlight on them."""


@dataclass(frozen=True)
class _Places:
    """Where things are: distance between the eyes in pixels, and in that unit (h, w) heights and distances."""

    unit: float
    over_eyes: Tensor
    over_mouth: Tensor
    from_brows: Tensor


def with_fringe(labels: Tensor, radiance: Tensor, landmarks: Tensor) -> Tensor:
    """Return classes (H, W) with a coherent line between hair and forehead.

    Only skin, brows and hair above the eyes change, and only into one another. The network's brow points may lie on
    the edge of a fringe, so they protect nothing: a brow is what does not hang together with the hair.

    Args:
        labels: (H, W) uint8 classes of `PARSING`.
        radiance: (3, H, W) linear light.
        landmarks: (68, 2) pixels.
    """
    few = labels[::2, ::2]
    half = _hair(few, halved(radiance), landmarks / 2)
    far = (few == _BROWS) & (_places(landmarks / 2, few.shape).from_brows > _NO_BROW)
    lost = ~half & ((few == _HAIR) | far)
    size = (2 * few.shape[0], 2 * few.shape[1])
    both = torch.stack([half, lost]).float()
    smooth = F.interpolate(both[None], size, mode="bilinear", align_corners=False)[0, :, : labels.shape[0]]
    hair, bare = smooth[0, :, : labels.shape[1]] > 0.5, smooth[1, :, : labels.shape[1]] > 0
    zone = _zone(labels, _places(landmarks, labels.shape))
    return labels.masked_fill(zone & bare & ~hair, _SKIN).masked_fill(zone & hair, _HAIR)


def _hair(labels: Tensor, radiance: Tensor, landmarks: Tensor) -> Tensor:
    """Return (h, w) bool: hair, as the classes have it outside of the zone and as the colours have it within."""
    places = _places(landmarks, labels.shape)
    zone, hair = _zone(labels, places), labels == _HAIR
    score = _likeness(labels, radiance, places)
    if score is not None:
        prior = torch.where(hair, _PRIOR, -_PRIOR)
        weighed = mean((score + prior)[None], max(1, round(_FINE * places.unit)))[0]
        hair = torch.where(zone, weighed > 0, hair)
    return _coherent(hair, zone, labels, places)


def _zone(labels: Tensor, places: _Places) -> Tensor:
    """Return (h, w) bool: where hair may be taken for skin or skin for hair."""
    open_to_doubt = (labels == _SKIN) | (labels == _BROWS) | (labels == _HAIR)
    return open_to_doubt & (places.over_eyes > _LOWEST)


def _places(landmarks: Tensor, shape: torch.Size) -> _Places:
    """Return heights along the face's own axis."""
    eyes, mouth = landmarks[36:48].mean(0), landmarks[48:60].mean(0)
    down = mouth - eyes
    apart = float((landmarks[42:48].mean(0) - landmarks[36:42].mean(0)).norm())
    # A turned head's eyes lie closer together; its height does not shrink.
    unit = max(apart, 0.9 * float(down.norm()), 8.0)
    down = down / down.norm().clamp(min=1e-3)
    y, x = torch.meshgrid(torch.arange(shape[0]) + 0.5, torch.arange(shape[1]) + 0.5, indexing="ij")

    def over(point: Tensor) -> Tensor:
        height: Tensor = ((point[0] - x) * down[0] + (point[1] - y) * down[1]) / unit
        return height

    brows = torch.cat([landmarks[17:27], (landmarks[17:26] + landmarks[18:27])[[0, 1, 2, 3, 5, 6, 7, 8]] / 2])
    away = torch.full(tuple(shape), torch.inf)
    for point in brows:
        away = torch.minimum(away, (x - point[0]).square() + (y - point[1]).square())
    return _Places(unit, over(eyes), over(mouth), away.sqrt() / unit)


def _likeness(labels: Tensor, radiance: Tensor, places: _Places) -> Tensor | None:
    """Return (h, w) the bounded log-likelihood ratio of hair to skin, None where the picture cannot tell them apart."""
    planes = features(radiance, places.unit)
    sure = round(_ERODED * places.unit)
    skin = ((labels == _SKIN) | (labels == _NOSE)) & (places.over_eyes < -0.2) & (places.over_mouth > -0.5)
    hair = (labels == _HAIR) & (places.over_eyes > 0)
    models = [model(planes, shrunk(where, sure), places.unit) for where in (hair, skin)]
    if models[0] is None or models[1] is None:
        return None
    (hair_mean, hair_spread), (skin_mean, skin_spread) = models[0], models[1]
    gap, both = hair_mean - skin_mean, (hair_spread + skin_spread) / 2
    apart = float(gap @ torch.linalg.solve(both, gap)) / 8
    apart += 0.5 * float(torch.logdet(both) - 0.5 * (torch.logdet(hair_spread) + torch.logdet(skin_spread)))
    if apart < _LEAST_APART:
        return None
    ratio = log_density(planes, hair_mean, hair_spread) - log_density(planes, skin_mean, skin_spread)
    return ratio.clamp(-_MOST, _MOST)


def _coherent(hair: Tensor, zone: Tensor, labels: Tensor, places: _Places) -> Tensor:
    """Return hair (h, w) without islands of it on the forehead and without small holes, by locks no thinner than some.

    Hair of the zone must hang together with hair around it; forehead with the face's skin below, or be large.
    """
    radius = max(1, round(_CLEAN * places.unit))
    outside = (labels == _HAIR) & ~zone
    around = outside | (hair & (places.over_eyes > _CROWN))
    wide = max(1, round(_GAP * places.unit / 2))
    hair = hair | (zone & (places.from_brows > _BROW) & shrunk(grown(hair, wide), wide))
    opened = grown(shrunk(hair, radius), radius) & hair
    kept = flood(around & hair, opened | outside)
    bare = zone & ~kept & (labels != _BROWS)
    face = (~zone & (labels != _HAIR) & (labels != _BACKGROUND)) | bare
    solid = shrunk(face, radius) | (face & ~zone)
    joined = grown(flood(face & ~zone & (places.over_eyes < _LOWEST), solid), radius + 1) & bare
    left = bare & ~joined
    return (kept | _small(left, places.unit)) & (zone | hair)


def _small(islands: Tensor, unit: float) -> Tensor:
    """Return the islands (h, w) that no square of `_ISLAND` squared distances between the eyes fits into."""
    half = max(1, round(_ISLAND**0.5 * unit / 4))
    return islands & ~flood(shrunk(islands, half), islands)
