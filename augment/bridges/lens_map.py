"""Where a shot's lens takes what a photograph shows: points, boxes and masks that follow the picture.

Points are continuous pixels, the first pixel's centre at (0.5, 0.5). Blur, motion and development move nothing.
"""

import torch
from torch import Tensor

from spooflab.augment.lens import window_rays
from spooflab.augment.view import View
from spooflab.errors import DataError

_STEPS = 16
"""Points along each side of a box: the bend between two of them is far below a pixel."""


def move_points(points: Tensor, view: View) -> Tensor:
    """Return where the points (B, ..., 2), as (x, y) of the photograph, lie in the new one.

    The lens's forward map, after the enlargement that keeps the frame filled. A point that the new frame no longer
    holds comes back outside it; nothing is clamped.
    """
    _check(points, view, "points (B, ..., 2)")
    _, zoom = window_rays(view)
    centre = torch.tensor([view.width / 2, view.height / 2], device=points.device)
    away = (points.float() - centre) * zoom.reshape(-1, *([1] * (points.ndim - 1)))
    return view.distort(away + centre).to(points.dtype if points.is_floating_point() else torch.float32)


def move_quads(corners: Tensor, view: View) -> Tensor:
    """Return the upright boxes (B, N, 4), as x1, y1, x2, y2, about what becomes of quadrilaterals (B, N, 4, 2).

    A lens bends straight sides: the extremes are taken over points along each side, not over the corners alone.
    """
    _check(corners, view, "corners (B, N, 4, 2)")
    share = torch.linspace(0, 1, _STEPS + 1, device=corners.device)[:-1, None]
    start, end = corners.float(), corners.float().roll(-1, dims=-2)
    outline = start[..., None, :] * (1 - share) + end[..., None, :] * share  # (B, N, 4, steps, 2)
    moved = move_points(outline.flatten(-3, -2), view)
    return torch.cat([moved.amin(-2), moved.amax(-2)], -1)


def move_boxes(boxes: Tensor, view: View) -> Tensor:
    """Return the upright boxes (B, N, 4) about what becomes of the boxes (B, N, 4), x1, y1, x2, y2, ends exclusive."""
    x1, y1, x2, y2 = boxes.unbind(-1)
    corners = torch.stack([x1, y1, x2, y1, x2, y2, x1, y2], -1).reshape(*boxes.shape, 2)
    return move_quads(corners, view)


def move_masks(masks: Tensor, view: View) -> Tensor:
    """Return the masks (B, C, H, W) of any type as the new photograph shows them: nearest pixel, labels untouched."""
    height, width = view.height, view.width
    if masks.ndim != 4 or masks.shape[0] != view.batch_size or masks.shape[-2:] != (height, width):
        raise DataError(f"masks {tuple(masks.shape)}", wanted=f"({view.batch_size}, C, {height}, {width})")
    rays, _ = window_rays(view)  # [-1, 1] over the window
    columns = ((rays[..., 0] + 1) * (width / 2)).floor().clamp_(0, width - 1).long()
    rows = ((rays[..., 1] + 1) * (height / 2)).floor().clamp_(0, height - 1).long()
    places = (rows * width + columns).flatten(1)[:, None].expand(-1, masks.shape[1], -1)
    return masks.flatten(2).gather(2, places.to(masks.device)).reshape(masks.shape)


def _check(points: Tensor, view: View, wanted: str) -> None:
    if points.ndim < 2 or points.shape[-1] != 2 or points.shape[0] != view.batch_size:
        raise DataError(f"{tuple(points.shape)}", wanted=f"{wanted}, B = {view.batch_size} as the view")
