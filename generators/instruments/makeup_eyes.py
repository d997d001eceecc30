"""Cosmetics around the eyes: shadow, liner, lashes and brows, placed by the landmarks."""

from collections.abc import Sequence

import numpy as np
import torch

from spooflab.generators.instruments.kubelka_munk import Pigment
from spooflab.generators.instruments.makeup_bank import Product
from spooflab.generators.instruments.makeup_hand import Hand, flakes_of, flipped, masked, pen_for, picture_size, trimmed
from spooflab.generators.instruments.makeup_regions import EyeFrame, soft_step
from spooflab.generators.instruments.skin_canvas import SkinCanvas
from spooflab.generators.instruments.skin_chart import Array, Pen

_EYE_MM = 28.0
"""Width of a lids' opening: turns millimetres on the lids into eye widths."""


def eye_shadow(
    canvas: SkinCanvas, product: Product, amount: float, hand: Hand, *, kind: str, height: float, smudge: float
) -> None:
    """Shade the lids.

    Args:
        canvas: to paint on.
        product: of part `lid` or `crease`.
        amount: applications.
        hand: of the artist.
        kind: `lid`: from the lashes over the mobile lid; `crease`: along the crease and the outer corner.
        height: how far up it reaches, as a share of the way to the brow.
        smudge: how much of it goes below the lower lashes.
    """
    uneven = hand.uneven(canvas, 6, 0.18)
    paint = product.pigment()
    flakes = flakes_of(hand, product.pearl)
    for eye in canvas.eyes:
        if eye.window.empty:
            continue
        f = eye.fields
        ends = soft_step(f.s + 0.10, 0.10) * soft_step(1.28 - 0.25 * f.lid.clamp(0, 1) - f.s, 0.16)
        over_lid = soft_step(f.above + 0.01, 0.03)
        if kind == "lid":
            up = over_lid * soft_step(height - f.lid, 0.16)
        else:
            band = torch.exp(-((f.lid - 0.75 * height) / (0.32 * height)).square())
            outer = soft_step(f.s - 0.68, 0.22) * soft_step(1.15 * height - f.lid, 0.2)
            up = over_lid * torch.maximum(band * soft_step(f.s - 0.15, 0.25), outer)
        low = smudge * soft_step(-f.below + 0.01, 0.02) * torch.exp(-((f.below + 0.02) / 0.10).square())
        low = low * soft_step(f.s - 0.2, 0.25) * soft_step(1.1 - f.s, 0.1)
        skin = eye.part(canvas.skin)
        thickness = trimmed(torch.maximum(up, low) * ends * skin * amount * (eye.part(uneven) if uneven.dim() else 1.0))
        canvas.lay(paint, thickness, eye)
        if product.pearl > 0:
            share = (0.5 * thickness).clamp(max=0.8)
            bumps = None if flakes is None else eye.part(flakes)
            canvas.add_shine(share, product.roughness, product.f0, bumps, eye)
        else:
            canvas.powder((product.matte * thickness).clamp(max=1), eye)


def brow_powder(canvas: SkinCanvas, product: Product, amount: float, hand: Hand) -> None:
    """Fill the brows with powder; hairs are drawn afterwards by `brow_strokes`."""
    uneven = hand.uneven(canvas, 7, 0.25)
    for eye in canvas.eyes:
        if eye.window.empty:
            continue
        s, h = eye.fields.s, eye.fields.h
        narrow = soft_step(0.10 - 0.05 * s.clamp(0, 1.2) - (h - eye.brow_line + 0.045).abs(), 0.04)
        share = narrow * eye.brow * eye.part(canvas.clear) * (eye.part(uneven) if uneven.dim() else 1.0)
        canvas.lay(product.pigment(), trimmed(share * (0.7 * amount)), eye)


def brow_strokes(
    canvas: SkinCanvas,
    paint: Pigment,
    amount: float,
    generator: torch.Generator,
    *,
    like: Sequence[EyeFrame] = (),
) -> None:
    """Draw single hairs into the brows with a pencil; `like` names eyes whose brows give height and arch instead."""
    for eye, model in zip(canvas.eyes, like or [eye.frame for eye in canvas.eyes], strict=True):
        draws = torch.rand(46, 3, generator=generator).numpy()
        window = canvas.inner(eye.frame.window(picture_size(canvas), below=-0.1, beyond=0.4))
        if window.empty:
            continue
        pen = pen_for(window, 3)
        a, b, c = draws[:, 0], draws[:, 1], draws[:, 2]
        s = 0.05 + (float(model.tail[0]) - 0.05) * a
        lean = 0.05 + 0.25 * a
        root = model.brow(s) - 0.13 + 0.12 * b * (1 - 0.6 * a)
        across = np.stack([s, s + 0.5 * lean, s + lean], 1)
        up = np.stack([root, root + 0.07, root + 0.09 + 0.03 * (1 - a)], 1)
        width = (0.28 / canvas.mm_per_px * (0.6 + 0.5 * c))[:, None] * np.array([1.0, 0.8, 0.3])
        pen.strokes(flipped(eye.frame.pixels(across, up)), width, np.full(len(a), 0.8))
        canvas.paint(window, paint, masked(canvas, window, pen.plane() * (amount * 1.2)))


def liner(
    canvas: SkinCanvas,
    product: Product,
    amount: float,
    *,
    thick_mm: float,
    wing_mm: float,
    wing_up: float,
    lower: float,
) -> None:
    """Draw a line along the upper lashes, with a wing, and along the outer lower ones.

    Args:
        canvas: to paint on.
        product: of part `liner`.
        amount: applications.
        thick_mm: thickness at the middle of the lid.
        wing_mm: length beyond the outer corner, 0 for none.
        wing_up: slope of the wing.
        lower: amount below the eye relative to above.
    """
    for eye in canvas.eyes:
        window = canvas.inner(eye.frame.window(picture_size(canvas), below=0.4, above=-0.1))
        if window.empty:
            continue
        frame, pen = eye.frame, pen_for(window, 3)
        s = np.linspace(0.04, 1.0, 22)
        thick = thick_mm / _EYE_MM * (0.35 + 0.75 * s**1.3)
        base, tip = frame.upper(s), wing_mm / _EYE_MM
        top = np.concatenate([np.stack([s, base + thick], 1), [[1 + tip, base[-1] + wing_up * tip + 0.01]]])
        low = np.stack([s, base - 0.012], 1)[::-1]
        outline = np.concatenate([top, low])
        pen.polygon(flipped(frame.pixels(outline[:, 0], outline[:, 1])))
        if lower > 0:
            t = np.linspace(0.30, 1.0, 14)
            curve = frame.pixels(t, frame.lower(t) - 0.012)
            pen.stroke(flipped(curve), (0.35 + 0.5 * t) * 0.8 * thick_mm / canvas.mm_per_px, min(lower, 1.0))
        canvas.paint(window, product.pigment(), masked(canvas, window, pen.plane() * (2 * amount)))


def lashes(canvas: SkinCanvas, product: Product, amount: float, generator: torch.Generator) -> None:
    """Draw mascara or false lashes: tapered, curled fibres that fan out from the lids' edges."""
    ink = product.pigment().masstone[:, None, None]
    for eye in canvas.eyes:
        draws = torch.rand(74, 3, generator=generator).numpy()
        window = canvas.inner(eye.frame.window(picture_size(canvas), below=0.5, above=-0.05))
        if window.empty:
            continue
        pen = pen_for(window, 3)
        _draw_lashes(pen, eye.frame, canvas.mm_per_px, amount, draws)
        cover = masked(canvas, window, pen.plane())
        if canvas.with_pigment:
            light = canvas.window_light(window)
            light.lerp_(ink * canvas.lit(window), cover)
        canvas.mark(window, cover)


def _draw_lashes(pen: Pen, frame: EyeFrame, mm: float, amount: float, draws: Array) -> None:
    """Draw upper lashes, more the more mascara, and eighteen lower ones; `draws` (N, 3) are uniform."""
    count = int(26 + 22 * min(amount, 1.6))
    for upper, part in ((True, draws[:count]), (False, draws[count : count + 18])):
        a, b, c = part[:, 0], part[:, 1], part[:, 2]
        at = (np.arange(len(part)) + a) / len(part) if upper else 0.3 + 0.7 * a
        s = 0.06 + 0.96 * at
        edge = frame.upper(s) + 0.004 if upper else frame.lower(s) - 0.012
        # Seen from the front a lash is foreshortened, least at the outer corner.
        length = (5.5 + 3.5 * at) * (0.7 + 0.3 * b) * (0.55 + 0.35 * amount) / _EYE_MM * (1.0 if upper else 0.55)
        fan, rise = (s - 0.42) * 0.95 + 0.12 * (c - 0.5), 0.62 if upper else -0.36
        t = np.array([0.0, 0.35, 0.7, 1.0])
        across = s[:, None] + (fan * length)[:, None] * t
        up = edge[:, None] + (rise * length)[:, None] * (t**1.6 if upper else t)
        width = (0.16 + 0.12 * amount) / mm * (1 - 0.8 * t)
        pen.strokes(flipped(frame.pixels(across, up)), np.broadcast_to(width, across.shape), np.full(len(part), 0.85))
