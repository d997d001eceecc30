"""Lipstick, gloss and liner."""

import numpy as np
import torch

from spooflab.generators.geometry import specular
from spooflab.generators.instruments.kubelka_munk import Pigment, hiding_pigment
from spooflab.generators.instruments.makeup_bank import Product
from spooflab.generators.instruments.makeup_hand import Hand, flipped, masked, pen_for, picture_size
from spooflab.generators.instruments.makeup_regions import Window
from spooflab.generators.instruments.skin_canvas import SkinCanvas, tilted
from spooflab.generators.instruments.skin_chart import Array, smooth_line
from spooflab.generators.instruments.skin_texture import GRAIN, texture


def lips(
    canvas: SkinCanvas,
    product: Product,
    amount: float,
    hand: Hand,
    *,
    over_mm: tuple[float, float, float],
    softness_mm: float,
    outline: Array | None = None,
    paint: Pigment | None = None,
) -> None:
    """Paint the lips.

    Args:
        canvas: to paint on.
        product: of part `lips` or `lip_gloss`.
        amount: applications.
        hand: of the artist.
        over_mm: how far beyond the vermilion border: upper lip, lower lip, corners; negative stays within.
        softness_mm: of the edge.
        outline: (N, 2) pixels of another outline to fill.
        paint: another colour than the product's.
    """
    mouth, mm = canvas.lips, canvas.mm_per_px
    shape = mouth.outlined(*(value / mm for value in over_mm)) if outline is None else outline
    window = canvas.inner(Window.around(shape, 3 + softness_mm / mm, picture_size(canvas)))
    if window.empty:
        return
    cover = mouth.cover(shape, window, max(softness_mm / mm, 0.6)) * canvas.full(canvas.clear, window)
    cover = cover * canvas.not_teeth(window)
    uv = canvas.full(canvas.uv, window)
    grooves = texture(uv, (9.0, 60.0), hand.seed + 8, GRAIN) if hand.strokes else torch.zeros_like(cover)
    thickness = (cover * (amount * (1 + 0.22 * hand.strokes * grooves))).clamp_(min=0)
    canvas.paint(window, product.pigment() if paint is None else paint, thickness)
    if not canvas.with_gloss:
        return
    light, share = canvas.window_light(window), cover * min(amount, 1.0)
    if product.matte > 0:
        shine = canvas.full(canvas.colour.relief[None], window)[0]
        shine = (shine - (shine * cover).sum() / cover.sum().clamp(min=1)).clamp_(min=0)
        light.mul_(torch.exp(-0.8 * product.matte * shine * share))
    normals = canvas.full(canvas.normals, window)
    bumps = torch.stack([0.16 * grooves, 0.05 * grooves])
    fresh = specular(canvas.geometry.light, tilted(normals, bumps), product.roughness, product.f0)
    light.add_(fresh * share * (1 - product.matte))


def lip_liner(canvas: SkinCanvas, product: Product, amount: float, *, over_mm: tuple[float, float, float]) -> None:
    """Draw a pencil line of about a millimetre along the outline of the lips, a shade darker than the lipstick."""
    paint = hiding_pigment(product.pigment().masstone * 0.6, 0.7)
    mm = canvas.mm_per_px
    shape = canvas.lips.outlined(*(value / mm for value in over_mm))
    window = canvas.inner(Window.around(shape, 4, picture_size(canvas)))
    if window.empty:
        return
    pen = pen_for(window, 3)
    closed = smooth_line(shape, 1, closed=True)
    pen.stroke(flipped(np.concatenate([closed, closed[:2]])), 1.1 / mm)
    canvas.paint(window, paint, masked(canvas, window, pen.plane() * amount))
