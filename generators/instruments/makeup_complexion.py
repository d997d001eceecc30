"""Complexion: foundation, concealer, contour, blush, highlight and glitter, in canonical millimetres."""

import torch
from torch import Tensor

from spooflab.generators.instruments.kubelka_munk import over
from spooflab.generators.instruments.makeup_bank import Product
from spooflab.generators.instruments.makeup_hand import Hand, coarse, flakes_of, ridge, rise, spread, trimmed
from spooflab.generators.instruments.skin_canvas import SkinCanvas
from spooflab.generators.instruments.skin_colour import smooth
from spooflab.generators.masked import places

"""Complexion: foundation, concealer, contour, blush, highlight and glitter, in canonical millimetres."""


def complexion(
    canvas: SkinCanvas, product: Product, amount: float, shade: Tensor, hand: Hand, *, evening: bool = True
) -> None:
    """Lay foundation over the whole face; it ends at the jaw, gathers in creases and wears thin on shining places.

    Args:
        canvas: to paint on.
        product: of part `base`.
        amount: applications.
        shade: (3,) its masstone.
        hand: of the artist.
        evening: whether the layer also hides what is uneven in the skin; if not only its mean colour acts.
    """
    creases = (1 - 0.6 * canvas.colour.relief).clamp(0.5, 1.5)
    thickness = canvas.skin * creases * hand.uneven(canvas, 1, 0.10) * amount
    paint = product.pigment(shade)
    if evening:
        canvas.lay(paint, thickness)
    else:
        flat = smooth(canvas.albedo, canvas.skin + 1e-4, 6).clamp_(0.01, 0.95)
        ratio = canvas.albedo / flat
        canvas.albedo = flat
        canvas.lay(paint, thickness)
        canvas.albedo = canvas.albedo * ratio
    if product.matte > 0:
        canvas.powder(canvas.skin * min(product.matte * amount, 1.0))
    elif product.roughness < 0.4:
        canvas.add_shine(canvas.skin * (0.25 * min(amount, 1.0)), product.roughness, product.f0)


def conceal(canvas: SkinCanvas, product: Product, amount: float, shade: Tensor, hand: Hand) -> None:
    """Dab concealer under the eyes and on what is darker or redder than the skin around it."""
    x, y, _ = coarse(canvas)
    under = spread(canvas, torch.exp(-((x - 28) / 13).square() - ((y + 13) / 6).square()))
    dark = canvas.colour.albedo.mean(0) / canvas.colour.mean.mean()
    spots = ((0.92 - dark) * 5).clamp(0, 1)
    thickness = torch.maximum(under, 0.8 * spots) * canvas.skin * amount * hand.uneven(canvas, 2, 0.1)
    canvas.lay(product.pigment(shade), trimmed(thickness))


def contour(canvas: SkinCanvas, product: Product, amount: float, hand: Hand, *, nose: float, place: float) -> None:
    """Shade hollows of the cheeks, temples, jaw and sides of the nose; `place` shifts it in millimetres."""
    x, y, z = coarse(canvas)
    cheek = ridge(x, y, (70.0, -24.0 + place), (40.0, -50.0 + place), 8.0)
    jaw = torch.exp(-((y + 99 - 0.0085 * x * x - 0.25 * (-z - 10).clamp(min=0)) / 8).square()) * rise(x, 12, 34)
    temple = rise(x + 0.35 * (y - 30), 46, 66) * rise(y, 18, 34)
    side = ridge(x, y, (10.5, 0.0), (11.5, -32.0), 3.0)
    total = 0.9 * cheek + 0.6 * jaw + 0.5 * temple + nose * side
    _dust(canvas, product, spread(canvas, total * amount), hand, 3)


def blush(canvas: SkinCanvas, product: Product, amount: float, hand: Hand, *, lift: float) -> None:
    """Brush colour on the cheeks; `lift` from 0 (apples) to 1 (draped to the temples)."""
    x, y, _ = coarse(canvas)
    spot = ridge(x, y, (38.0, -36.0 + 4 * lift), (48.0 + 16 * lift, -30.0 + 20 * lift), 12.0)
    _dust(canvas, product, spread(canvas, spot * amount), hand, 4)


def highlight(canvas: SkinCanvas, product: Product, amount: float, hand: Hand) -> None:
    """Put pearl on cheekbones, bridge of the nose, brow bones, cupid's bow."""
    x, y, _ = coarse(canvas)
    bone = ridge(x, y, (40.0, -21.0), (60.0, -8.0), 6.0)
    nose = ridge(x, y, (0.0, -4.0), (0.0, -29.0), 2.6)
    rest = torch.exp(-(x / 5).square() - ((y + 56.5) / 2).square()) + ridge(x, y, (34.0, 11.0), (46.0, 11.0), 3.0)
    zone = spread(canvas, (bone + 0.7 * nose + 0.5 * rest) * amount)
    share = trimmed(zone * canvas.skin * hand.uneven(canvas, 5, 0.15))
    canvas.lay(product.pigment(), share)
    canvas.add_shine((0.6 * share).clamp(max=1), product.roughness, product.f0, flakes_of(hand, product.pearl))


def glitter(canvas: SkinCanvas, product: Product, amount: float, generator: torch.Generator) -> None:
    """Scatter cut film over cheekbones and lids: each flake is a small mirror, a few of which flash.

    Call it after `bring_to_full`.
    """
    x, y, _ = coarse(canvas)
    zone = ridge(x, y, (34.0, -18.0), (62.0, -2.0), 9.0) + 0.8 * ridge(x, y, (20.0, 9.0), (44.0, 9.0), 5.0)
    window = canvas.window
    density = canvas.full(trimmed(spread(canvas, zone) * canvas.skin * amount), window)
    cells = places(density > 0)
    spots = torch.rand(3, len(cells), generator=generator)
    # A flake covers about a third of a square millimetre; there are up to two to the square millimetre.
    here = spots[0] < density.reshape(-1).index_select(0, cells) * (0.30 * canvas.mm_per_px**2)
    cells, spots = cells[here], spots[:, here]
    flash = ((-(spots[1].clamp(min=1e-6)).log()).square() * 0.8 + 0.1).clamp(max=8)
    tint = product.pigment().masstone[:, None]
    if product.pearl >= 1:
        tint = tint * (0.6 + 0.8 * torch.stack([spots[2], 1 - spots[2], (2 * spots[2]) % 1]))
    if canvas.with_gloss:
        lit = canvas.geometry.light.key_irradiance[:, None] + 0.3 * canvas.lit(window).reshape(3, -1)[:, cells]
        glow = torch.zeros(3, density.numel()).index_copy_(1, cells, flash * lit * tint * (product.f0 * 1.6))
        canvas.window_light(window).add_(glow.reshape(3, *window.shape))
    flakes = torch.zeros(density.numel()).index_fill_(0, cells, 1.0).reshape(window.shape)
    canvas.mark(window, torch.maximum(flakes, 0.3 * (density > 0.02)))


def shade_of(canvas: SkinCanvas, lighter: float, warmer: float) -> Tensor:
    """Return (3,) a shade near the wearer's skin: relative lightness, and red against blue."""
    tint = torch.tensor([1 + warmer, 1.0, 1 - warmer])
    return (canvas.colour.mean * (1 + lighter) * tint).clamp(0.02, 0.92)


def reflects(product: Product, amount: float, skin: Tensor) -> Tensor:
    """Return (3,) what `amount` of a product over a skin (3,) reflects; for records and tests."""
    return over(product.pigment(skin), torch.full((1, 1), amount), skin[:, None, None])[:, 0, 0]


def _dust(canvas: SkinCanvas, product: Product, amount: Tensor, hand: Hand, salt: int) -> None:
    thickness = trimmed(amount * canvas.skin * hand.uneven(canvas, salt, 0.16))
    canvas.lay(product.pigment(), thickness)
    if product.matte > 0:
        canvas.powder((product.matte * thickness).clamp(max=1))
