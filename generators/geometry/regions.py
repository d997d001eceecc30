"""Places of a face as soft masks in rest coordinates, and the openings of eyes and mouth from landmarks."""

import torch
from torch import Tensor

from spooflab.generators.geometry.head_maps import HeadMaps
from spooflab.generators.geometry.polygon import polygon_cover

REGIONS = ("face", "forehead", "left_cheek", "right_cheek", "nose", "chin", "upper_lip", "nostrils")
"""Names that `region` knows; left and right are the subject's."""


def _step(value: Tensor, low: float, high: float) -> Tensor:
    """Return a smoothstep from 0 at `low` to 1 at `high`, either order."""
    t = ((value - low) / (high - low)).clamp(0, 1)
    return t * t * (3 - 2 * t)


def _spot(x: Tensor, y: Tensor, ellipse: tuple[float, float, float, float]) -> Tensor:
    """Return the mask of an ellipse (middle, then radii): 1 up to seven tenths of the way out, 0 from 1.15 on."""
    middle_x, middle_y, wide, high = ellipse
    far = ((x - middle_x) / wide).square() + ((y - middle_y) / high).square()
    return _step(far, 1.15**2, 0.7**2)


def face_area(maps: HeadMaps) -> Tensor:
    """Return (H, W): `region(maps, "face")`, from hairline to jaw and ear to ear; eyes and mouth are not cut out."""
    return region(maps, "face")


def region(maps: HeadMaps, name: str) -> Tensor:
    """Return (H, W) in [0, 1]: a part of the face's surface, soft-edged over a few millimetres, 0 off the head.

    Args:
        maps: of the head.
        name: one of `REGIONS`.

    Raises:
        KeyError: another name.
    """
    return rest_region(maps.rest_mm, name) * (maps.cover > 0)


def rest_region(rest_mm: Tensor, name: str) -> Tensor:
    """Return (…) in [0, 1] for (3, …) rest coordinates: see `region`. Means nothing off the head.

    Raises:
        KeyError: `name` is not one of `REGIONS`.
    """
    x, y, z = rest_mm
    if name == "face":
        # The jaw's line falls from the ear's lobe to the chin.
        jaw = 0.0085 * x.square() - 106 + 0.25 * (-10 - z).clamp(min=0)
        return _step(y - jaw, -3, 5) * _step(y, 62, 48) * _step(z, -52, -38)
    across = x.abs()
    if name == "forehead":
        return _step(y, 22, 32) * _step(y, 64, 52) * _step(across, 60, 48)
    if name == "nose":
        # The bridge is 16 mm wide, the wings 34.
        wide = 8 + 9 * _step(y, -8, -38)
        return _step(across - wide, 3, -2) * _step(y, -50, -46) * _step(y, 8, 0) * _step(across, 19, 15)
    if name == "upper_lip":
        return _step(across, 22, 16) * _step(y, -47, -51) * _step(y, -63, -60)
    spots = {
        "left_cheek": (44.0, -42.0, 22.0, 26.0),
        "right_cheek": (-44.0, -42.0, 22.0, 26.0),
        "chin": (0.0, -95.0, 20.0, 14.0),
    }
    if name == "nostrils":
        return torch.maximum(_spot(x, y, (6.2, -46.0, 4.0, 3.0)), _spot(x, y, (-6.2, -46.0, 4.0, 3.0)))
    return _spot(x, y, spots[name])


def eye_openings(landmarks: Tensor, size: tuple[int, int], *, feather_px: float = 1.0) -> Tensor:
    """Return (H, W) cover of both eyes between the lids, from (68, 2) landmarks."""
    both = [polygon_cover(landmarks[k : k + 6], size, feather_px=feather_px) for k in (36, 42)]
    return torch.maximum(both[0], both[1])


def lips(landmarks: Tensor, size: tuple[int, int], *, feather_px: float = 1.0) -> Tensor:
    """Return (H, W) cover of the lips without the mouth's opening, from (68, 2) landmarks."""
    whole = polygon_cover(landmarks[48:60], size, feather_px=feather_px)
    return whole * (1 - mouth_opening(landmarks, size, feather_px=feather_px))


def mouth_opening(landmarks: Tensor, size: tuple[int, int], *, feather_px: float = 1.0) -> Tensor:
    """Return (H, W) cover of the opening between the lips, from (68, 2) landmarks; none where it is closed."""
    inner = landmarks[60:68]
    gap = float((inner[1:4] - inner[5:8].flip(0)).norm(dim=1).mean())
    if gap < feather_px:
        return torch.zeros(size)
    return polygon_cover(inner, size, feather_px=feather_px)
