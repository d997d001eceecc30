"""Where a swapped face replaces the other: the hull of its landmarks, deformed, shrunk and feathered."""

import torch
from torch import Tensor
from torch.nn import functional as F

from spooflab.generators.attacks.digital.swap_warp import forehead
from spooflab.generators.enlarge import enlarge
from spooflab.seeds import generator as named_generator

_STEP, _MARGIN = 4, 4
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
    ax, ay = outline[..., 0, None], outline[..., 1, None]  # (B, N, 1): every edge against every point
    ex, ey = (outline.roll(-1, 1) - outline)[..., None].unbind(2)
    px, py = points[:, None, :, 0], points[:, None, :, 1]
    wx, wy = px - ax, py - ay
    per = 1 / (ex * ex + ey * ey).clamp(min=1e-12)
    share = (wx * (ex * per)).addcmul_(wy, ey * per).clamp_(0, 1)
    below = wy < 0
    crosses = below != (py < ay + ey)
    left = (wy * ex).addcmul_(wx, ey, value=-1) * torch.sign(ey) < 0
    inside = (crosses & left).sum(1) % 2 == 1
    square = wx.addcmul_(share, ex, value=-1).square_()
    nearest = square.add_(wy.addcmul_(share, ey, value=-1).square_()).amin(1)
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
    field = elastic_field(seed, len(y), len(x)) * elastic[:, None, None, None]
    mask = torch.zeros(len(outline), 1, height, width)
    reach = float(field.abs().amax() - inset.amin().clamp(max=0)) + 2 * _STEP
    (left, top), (right, bottom) = _cells(outline, reach, len(x), len(y))
    if left >= right or top >= bottom:
        return mask
    bent = (grid + field)[:, top:bottom, left:right]
    depth = depth_inside(outline, bent.flatten(1, 2)).reshape(len(outline), 1, *bent.shape[1:3])
    full = enlarge(depth, _STEP)
    rise = ((full - inset[:, None, None, None]) / feather.clamp(min=1e-3)[:, None, None, None]).clamp_(0, 1)
    window = mask[:, :, top * _STEP : bottom * _STEP, left * _STEP : right * _STEP]
    window.copy_((rise * rise * (3 - 2 * rise))[..., : window.shape[-2], : window.shape[-1]])
    return mask


def mask_window(mask: Tensor) -> tuple[slice, slice] | None:
    """Return the rows and columns that hold a mask (H, W), with a margin; None where it is empty."""
    spans = []
    for axis, size in ((1, mask.shape[0]), (0, mask.shape[1])):
        used = torch.nonzero(mask.amax(axis) > 0)[:, 0]
        if len(used) == 0:
            return None
        spans.append(slice(max(int(used[0]) - _MARGIN, 0), min(int(used[-1]) + 1 + _MARGIN, size)))
    return spans[0], spans[1]


def _cells(outline: Tensor, reach: float, columns: int, rows: int) -> tuple[list[int], list[int]]:
    """Return the first and the past-the-last cell (x, y) within `reach` pixels of the outlines' bounds."""
    corners = torch.stack([outline.amin((0, 1)) - reach, outline.amax((0, 1)) + reach]) / _STEP
    limit = torch.tensor([columns, rows])
    low, high = corners[0].floor().long(), corners[1].ceil().long()
    return torch.minimum(low.clamp(min=0), limit).tolist(), torch.minimum(high.clamp(min=0), limit).tolist()


def elastic_field(seed: Tensor, rows: int, columns: int) -> Tensor:
    """Return (B, rows, columns, 2): smooth displacements of about unit variance, a few waves across the picture."""
    noise = torch.stack(
        [torch.randn(2, _WAVES, _WAVES, generator=named_generator(int(s), "elastic")) for s in seed.tolist()]
    )
    smooth = F.interpolate(noise, size=(rows, columns), mode="bicubic", align_corners=True)
    return smooth.permute(0, 2, 3, 1) * 1.25
