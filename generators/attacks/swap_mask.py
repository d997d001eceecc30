"""Where a swapped face replaces the other: the hull of its landmarks, deformed, shrunk and feathered."""

import torch
from torch import Tensor
from torch.nn import functional as F

from spooflab.generators.attacks.swap_warp import forehead
from spooflab.generators.enlarge import enlarge
from spooflab.seeds import generator as named_generator

_STEP = 4
_WAVES = 6


def hull(landmarks: Tensor, rise: Tensor) -> Tensor:
    """Return the closed outline (B, 27, 2): the jaw, then the brows, raised by `rise` (B,) nose lengths."""
    return torch.cat([landmarks[:, :17], forehead(landmarks, rise).flip(1)], 1)


def face_width(landmarks: Tensor) -> Tensor:
    """Return (B,) pixels: the distance across the jaw's ends, or the jaw's height where the head is turned away."""
    across = (landmarks[:, 16] - landmarks[:, 0]).norm(dim=-1)
    return torch.maximum(across, (landmarks[:, 8] - landmarks[:, 27]).norm(dim=-1))


def depth_inside(outline: Tensor, points: Tensor) -> Tensor:
    """Return (B, M): distance of points (B, M, 2) to a polygon's outline (B, N, 2), positive inside.

    Inside by the even-odd rule. Distances after Quilez, "distance to a polygon".
    """
    start, end = outline, outline.roll(-1, 1)
    nearest = torch.full_like(points[..., 0], torch.inf)
    inside = torch.zeros_like(points[..., 0], dtype=torch.bool)
    px, py = points[..., 0], points[..., 1]
    for index in range(outline.shape[1]):
        ax, ay = start[:, index, 0, None], start[:, index, 1, None]
        ex, ey = end[:, index, 0, None] - ax, end[:, index, 1, None] - ay
        wx, wy = px - ax, py - ay
        share = ((wx * ex + wy * ey) / (ex * ex + ey * ey).clamp(min=1e-12)).clamp(0, 1)
        nearest = torch.minimum(nearest, (wx - share * ex).square() + (wy - share * ey).square())
        crosses = (ay > py) != (ay + ey > py)
        inside ^= crosses & ((ex * wy - ey * wx) * torch.sign(ey) < 0)
    return torch.where(inside, 1.0, -1.0) * nearest.sqrt()


def soft_mask(
    outline: Tensor, inset: Tensor, feather: Tensor, elastic: Tensor, seed: Tensor, height: int, width: int
) -> Tensor:
    """Return (B, 1, height, width) in [0, 1]: 0 outside the deformed outline less `inset`, 1 `feather` further in.

    Args:
        outline: (B, N, 2) pixels.
        inset: (B,) pixels by which the region shrinks (negative grows).
        feather: (B,) pixels over which it rises, as a smoothstep.
        elastic: (B,) pixels, standard deviation of a smooth random displacement of the outline.
        seed: (B,) int64, names that displacement.
        height, width: of the picture.
    """
    y = (torch.arange(-(-height // _STEP)) + 0.5) * _STEP
    x = (torch.arange(-(-width // _STEP)) + 0.5) * _STEP
    grid = torch.stack(torch.meshgrid(x, y, indexing="xy"), -1)
    bent = grid + elastic_field(seed, len(y), len(x)) * elastic[:, None, None, None]
    depth = depth_inside(outline, bent.flatten(1, 2)).reshape(len(outline), 1, len(y), len(x))
    full = enlarge(depth, _STEP)[..., :height, :width]
    rise = ((full - inset[:, None, None, None]) / feather.clamp(min=1e-3)[:, None, None, None]).clamp(0, 1)
    return rise * rise * (3 - 2 * rise)


def elastic_field(seed: Tensor, rows: int, columns: int) -> Tensor:
    """Return (B, rows, columns, 2): smooth displacements of about unit variance, a few waves across the picture."""
    noise = torch.stack(
        [torch.randn(2, _WAVES, _WAVES, generator=named_generator(int(s), "elastic")) for s in seed.tolist()]
    )
    smooth = F.interpolate(noise, size=(rows, columns), mode="bicubic", align_corners=True)
    return smooth.permute(0, 2, 3, 1) * 1.25
