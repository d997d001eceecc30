"""Loose fibres glued to the face: strands splatted over the picture and shaded along their length."""

import torch
from torch import Tensor

from spooflab.generators.instruments.makeup_regions import Window
from spooflab.generators.instruments.skin_canvas import SkinCanvas

_POINTS = 12


def lay_fibres(
    canvas: SkinCanvas, area: Tensor, colour: Tensor, generator: torch.Generator, *, length_mm: float, count: int
) -> None:
    """Draw a beard of crepe wool.

    Args:
        canvas: in its full-resolution phase.
        area: (h, w) half-resolution share of the skin that the beard covers.
        colour: (3,) albedo of the fibres.
        generator: of where they lie and how they bend.
        length_mm: usual length.
        count: of fibres.
    """
    window = canvas.window
    cells = (area * canvas.skin > 0.35).reshape(-1).nonzero()[:, 0]
    if len(cells) == 0 or not canvas.with_pigment:
        canvas.mark(window, canvas.full(area * canvas.skin, window))
        return
    draws = torch.rand(7, count, generator=generator)
    cell = cells[(draws[0] * len(cells)).long().clamp(max=len(cells) - 1)]
    wide = area.shape[1]
    x = (cell % wide + draws[1]) * 2
    y = (torch.div(cell, wide, rounding_mode="floor") + draws[2]) * 2
    outward = canvas.normals.reshape(3, -1).index_select(1, cell)
    # Hair is combed down and a little outwards; each fibre has its own bend, locks share one.
    lock = torch.sin(x * 0.13 + 5) + torch.sin(y * 0.11 + x * 0.05)
    angle = 0.35 * lock + 0.9 * (draws[3] - 0.5)
    long = length_mm * (0.4 + 0.8 * draws[4]) / canvas.mm_per_px
    t = torch.linspace(0, 1, _POINTS)[:, None]
    turn = angle + t * (draws[5] - 0.5) * 2.4
    step_x = torch.sin(turn) + 0.6 * outward[0]
    step_y = 0.75 * torch.cos(turn) + 0.5 * outward[1].clamp(min=-0.2)
    px = x + (step_x * long / _POINTS).cumsum(0)
    py = y + (step_y * long / _POINTS).cumsum(0)
    tint = (0.55 + 0.75 * draws[6]) * (0.75 + 0.5 * t)
    # Kajiya-Kay: a fibre shines where it runs across the light.
    light = canvas.geometry.light.key_direction
    size = (step_x.square() + step_y.square() + 0.3).sqrt()
    sine = (1 - ((step_x * light[0] + step_y * light[1]) / size).square()).clamp(min=0)
    tint = tint * (0.55 + 0.6 * sine)
    shine = 0.05 * sine**24
    cover, shade, gloss = _splat(window, px, py, 0.30 * (1 - 0.75 * t).expand_as(px), tint, shine)
    cover = 1 - torch.exp(-1.4 * cover)
    lit = canvas.lit(window)
    fibre = colour[:, None, None] * shade * lit + (gloss * lit if canvas.with_gloss else 0.0)
    canvas.window_light(window).lerp_(fibre, cover)
    canvas.mark(window, torch.maximum(cover, canvas.full(area * canvas.skin, window)))


def _splat(
    window: Window, px: Tensor, py: Tensor, weight: Tensor, tint: Tensor, shine: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Return (h, w) summed weights, and the means of two values, of dots at window pixels."""
    height, width = window.shape
    x, y = px.reshape(-1) - 0.5, py.reshape(-1) - 0.5
    w = weight.reshape(-1) * ((x > 0) & (y > 0) & (x < width - 2) & (y < height - 2))
    x, y = x.clamp(0, width - 2.001), y.clamp(0, height - 2.001)
    x0, y0 = x.floor(), y.floor()
    fx, fy = x - x0, y - y0
    cell = (y0 * width + x0).long()
    rows = torch.stack([torch.ones_like(w), tint.reshape(-1), shine.reshape(-1)])
    total = torch.zeros(3, height * width)
    for dx, dy, part in ((0, 0, (1 - fx) * (1 - fy)), (1, 0, fx * (1 - fy)), (0, 1, (1 - fx) * fy), (1, 1, fx * fy)):
        total.index_add_(1, cell + dy * width + dx, rows * (part * w))
    cover = total[0].clamp(min=1e-6)
    return (
        total[0].reshape(height, width),
        (total[1] / cover).reshape(height, width),
        (total[2] / cover).reshape(height, width),
    )
