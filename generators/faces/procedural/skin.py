"""Skin: pigment maps, fine relief and gloss as functions of the rest coordinates."""

from dataclasses import dataclass

import torch
from torch import Tensor

from spooflab.generators.faces.procedural.noise import hashed, look_up
from spooflab.generators.faces.procedural.params import IdentityParams
from spooflab.generators.faces.procedural.skinoptics import albedo_planes

_MOLE_CELL_MM, _MOLE_CELLS = 4.0, 160


@dataclass(frozen=True)
class Skin:
    """Surface of N skin samples.

    Attributes:
        albedo: (3, N) diffuse reflectance.
        slope: (2, N) relief: tangent of the tilt along x and along y.
        roughness: (N,) GGX roughness (alpha is its square).
        lips: (N,) share of vermilion.
        mouth: (N,) 1 inside the mouth.
    """

    albedo: Tensor
    slope: Tensor
    roughness: Tensor
    lips: Tensor
    mouth: Tensor


def step(x: Tensor, low: float, high: float) -> Tensor:
    """Return a smooth step from 0 at `low` to 1 at `high` (either order)."""
    t = ((x - low) * (1 / (high - low))).clamp_(0, 1)
    # A tensor first in each product: Python's reflected operators cost more than the arithmetic.
    return t * t * (t * -2.0 + 3.0)


def bump(x: Tensor, y: Tensor, cx: float, cy: float, rx: float, ry: float) -> Tensor:
    """Return a Gaussian spot."""
    return torch.exp(-((x - cx) / rx).square() - ((y - cy) / ry).square())


def lips_mask(rest: Tensor) -> Tensor:
    """Return (N,) the share of vermilion: the border follows the rest mesh's lips in its front view."""
    x, y, z = rest[:, 0].abs(), rest[:, 1], rest[:, 2]
    t = (x / 22.8).clamp(0, 1)
    bow = 1.1 * torch.exp(-((x - 4.4) / 3.6).square()) - 0.35 * torch.exp(-(x / 2.0).square())
    top = -68.4 + 7.9 * (1 - t**1.7) ** 0.9 + bow * 0.75
    low = -68.9 - 8.9 * (1 - t**2.2) ** 0.75
    inside = torch.minimum(top - y, y - low)
    return step(inside, -0.5, 0.7) * step(x, 23.6, 22.2) * step(z, 6.0, 12.0)


def inner_mouth(rest: Tensor) -> Tensor:
    """Return (N,) 1 behind the lips, 0 on their outside."""
    x, y, z = rest.unbind(1)
    x = x.abs()
    front = 31 - 0.016 * x * x
    return step(front - z, 9.0, 11.5) * step(x, 26, 24.5) * step(y, -95, -88) * step(y, -52, -56) * step(z, -60, -50)


def surface(rest: Tensor, zone: Tensor, identity: IdentityParams, smile: float, mm_per_px: float) -> Skin:
    """Return the skin at (3, N) rest points in their (6, N) `zones`, for a batch of one.

    Relief finer than `mm_per_px` fades out.
    """
    x, y, z = rest
    ax = x.abs()
    uv = torch.stack([torch.atan2(x, z + 95) * 100, y], 1)
    seed = int(identity.skin_seed[0])
    shift = hashed(torch.arange(16) + (seed & 0xFFFFFF), seed >> 40).reshape(8, 2)
    cloudy, blotch = look_up(uv, 190.0, shift[0], slice(0, 2))
    mid, fine, _, slope_x, slope_y = look_up(uv, 74.0, shift[2], slice(1, 6))
    red, age, own = float(identity.redness[0]), float(identity.wrinkles[0]), float(identity.melanin[0])
    around = ((ax < 26.5) & (y < -50) & (y > -96)).nonzero()[:, 0]
    mouth_rest = rest.index_select(1, around).T
    lips_near = lips_mask(mouth_rest)
    lips, mouth = torch.zeros_like(x), torch.zeros_like(x)
    lips.index_copy_(0, around, lips_near)
    mouth.index_copy_(0, around, inner_mouth(mouth_rest))
    flush, under_eye, sun, freckle_zone, tzone, lash_line = zone
    patchy = (blotch * (0.05 + 0.05 * red)).add_(mid, alpha=0.035).add_(cloudy, alpha=0.07).add_(flush, alpha=0.8 * red)
    blood = patchy.exp_().mul_(float(identity.blood[0]))
    change = torch.add(sun, cloudy, alpha=0.06).add_(blotch, alpha=0.02).add_(mid, alpha=0.015).add_(fine, alpha=0.02)
    change.add_(under_eye, alpha=0.10 + 0.25 * age)
    if float(identity.freckles[0]) > 0.03:
        speck = look_up(uv, 61.0, shift[3], slice(2, 3))[0]
        change.addcmul_(step(speck, 1.0, 2.0), freckle_zone, value=1.4 * float(identity.freckles[0]))
    if age > 0.3:
        change.add_(step(blotch + 0.5 * fine, 1.9, 2.7), alpha=age * 0.28)
    melanin = _add_moles(change.exp_().mul_(own), uv, identity, seed)
    deep = float(identity.lip_colour[0])
    full = torch.exp(0.12 * mid.index_select(0, around)) * (float(identity.blood[0]) * (1.9 + 1.8 * deep))
    dark_lips = torch.tensor(own * (0.75 + 0.3 * deep + min(own * 1.6, 0.4)) + 0.008)
    blood.index_copy_(0, around, torch.lerp(blood.index_select(0, around), full, lips_near))
    melanin.index_copy_(0, around, torch.lerp(melanin.index_select(0, around), dark_lips, lips_near))
    colour = albedo_planes(melanin, blood)
    inner = step((y.index_select(0, around) + 67.6).abs(), 3.2, 0.2) * lips_near
    crease_x, crease_y, dark = _lines(rest, age, smile)
    closed = (0.62 * lash_line).index_add_(0, around, inner, alpha=0.35)
    tint = torch.tensor([[-0.75], [-0.95], [-1.0]])
    colour *= torch.addcmul(1 - closed, tint, dark).clamp_(min=0.1)
    keep = min(max(1.55 - mm_per_px, 0.25), 1.0)
    relief = (lips * -0.55 + 1).mul_((0.04 + 0.07 * float(identity.pores[0])) * keep)
    folds = torch.sin(ax.index_select(0, around) * 4.2 + 2.0 * fine.index_select(0, around)) * lips_near * (0.10 * keep)
    slope = torch.empty(2, len(x))
    torch.addcmul(x.sign() * crease_x, slope_x, relief, out=slope[0])
    slope[0].index_add_(0, around, folds)
    torch.addcmul(crease_y, slope_y, relief, out=slope[1])
    oil = float(identity.oiliness[0])
    roughness = (tzone * -(0.10 + 0.13 * oil)).add_(mid, alpha=0.03).add_(0.60 - 0.03 * oil)
    roughness += (0.40 - roughness) * lips
    return Skin(colour, slope, roughness.clamp_(0.3, 0.75), lips, mouth)


def zones(rest: Tensor) -> Tensor:
    """Return (N, 6) smooth zones of the face: flush, under the eyes, sun, freckles, oily T-zone, lash line.

    Blood shows on cheeks, nose, ears and bony points; the nose and forehead are oily; lashes darken the lid's edge.
    """
    x, y, z = rest.unbind(1)
    ax = x.abs()
    cheeks = bump(ax, y, 42, -32, 18, 17)
    nose = bump(ax, y, 0, -36, 13, 9) + 0.8 * bump(ax, y, 15, -40, 5, 6)
    ears = step(ax, 70, 76) * step(z, -40, -52)
    lids = bump(ax, y, 30, -10, 15, 5) * 0.7 + bump(ax, y, 31, 5, 14, 4) * 0.5
    chin = bump(ax, y, 0, -92, 13, 9)
    flush = cheeks + 1.1 * nose + ears + 0.45 * chin + 0.3 * lids + 1.5 * bump(ax, y, 17.0, -3.0, 2.2, 2.0)
    under_eye = bump(ax, y, 26, -12, 13, 4.5)
    sun = 0.10 * bump(ax, y, 0, 40, 60, 26) + 0.07 * cheeks
    freckle_zone = bump(ax, y, 22, -24, 34, 20) + 0.3
    tzone = bump(ax, y, 0, 38, 26, 20) + bump(ax, y, 0, -28, 10, 18) + 0.5 * chin + 0.5 * bump(ax, y, 34, -20, 12, 8)
    t = ((ax - 29.5) / 13.5).clamp(-1, 1)
    upper = 3.0 - 5.2 * t.square() + 1.2 * t
    lash = torch.exp(-((y - upper - 0.5) / 1.1).square()) * step(ax, 15, 20) * step(ax, 46, 42) * step(z, -5, 2)
    return torch.stack([flush, under_eye, sun, freckle_zone, tzone.clamp(0, 1), lash], 1)


def _add_moles(melanin: Tensor, uv: Tensor, identity: IdentityParams, seed: int) -> Tensor:
    """Add the extra melanin of the moles to (N,) `melanin` in place."""
    count = int(identity.moles[0])
    if count == 0:
        return melanin
    draws = hashed(torch.arange(count * 4) + (seed & 0xFFFFF), 77).reshape(count, 4)
    a, b, c, d = draws.unbind(1)
    centre = torch.stack([(a - 0.5) * 130, -95 + 150 * b], 1)
    radius, extra = 0.6 + 1.3 * c**3, 0.06 + 0.3 * d
    # A coarse map of cells within 3 mm of a mole picks the few samples that may lie on one.
    cells = (torch.arange(_MOLE_CELLS) + 0.5) * _MOLE_CELL_MM - _MOLE_CELLS * _MOLE_CELL_MM / 2
    close = (centre[..., None] - cells).abs() < 3 + _MOLE_CELL_MM / 2
    spotted = (close[:, 1, :, None] & close[:, 0, None, :]).any(0).reshape(-1)
    place = (uv * (1 / _MOLE_CELL_MM) + _MOLE_CELLS / 2).to(torch.int64).clamp_(0, _MOLE_CELLS - 1)
    near = spotted.index_select(0, place[:, 1] * _MOLE_CELLS + place[:, 0]).nonzero()[:, 0]
    away = uv.index_select(0, near)[:, None] - centre
    distance = torch.sqrt(away[..., 0].square() + away[..., 1].square())
    spot = ((radius * 1.35 - distance) / (radius * 0.75)).clamp_(0, 1)
    return melanin.index_add_(0, near, (spot * spot * (3 - 2 * spot) * extra).sum(1))


def _lines(rest: Tensor, age: float, smile: float) -> tuple[Tensor, Tensor, Tensor]:
    """Return the slopes along |x| and y, and the darkening, of wrinkles and folds at (3, N) rest points."""
    total = torch.zeros(3, rest.shape[1])
    x_all, y_all = rest[0], rest[1]
    ax_all = x_all.abs()

    def inside(left: float, right: float, low: float, high: float) -> tuple[Tensor, ...]:
        index = ((ax_all > left) & (ax_all < right) & (y_all > low) & (y_all < high)).nonzero()[:, 0]
        x = x_all.index_select(0, index)
        return index, x.abs(), y_all.index_select(0, index), x

    def groove(
        index: Tensor, distance: Tensor, window: Tensor, width: float, depth: float, along: tuple[float, float]
    ) -> None:
        shape = torch.exp((distance / width).square().neg_()).mul_(window).mul_(depth)
        tilt = (shape * distance).mul_(1.6 / width)
        for row, (value, scale) in enumerate(((tilt, along[0]), (tilt, along[1]), (shape, 0.35))):
            if scale:
                total[row].index_add_(0, index, value, alpha=scale)

    # Nasolabial fold: from the wing of the nose down past the corner of the mouth. Outside of each line's rectangle
    # its window is shut.
    index, ax, y, _ = inside(8, 52, -74, -34)
    down = -40 - y
    line = ax - 18.5 - down * (0.28 + 0.0035 * down)
    window = step(y, -74, -64) * step(y, -34, -42)
    groove(index, line, window, 2.6, 0.10 + 0.30 * age + 0.25 * smile, (0.95, 0.3))
    if age < 0.05 and smile < 0.05:
        return total[0], total[1], total[2]
    # Forehead lines, frown lines, crow's feet, marionette lines: with age.
    index, ax, y, x = inside(-1, 46, 22, 58)
    wobble = 1.5 * torch.sin(x * 0.11) - 0.0016 * x * x
    window = step(ax, 46, 26)
    for level in (33.0, 42.0, 51.0):
        groove(index, y - level - wobble, window, 1.3, 0.22 * age, (0.0, 1.0))
    index, ax, y, _ = inside(-1, 11, 4, 27)
    groove(index, ax - 5.5 - 0.05 * (y - 14), step(y, 4, 9) * step(y, 27, 20), 1.3, 0.24 * age, (1.0, 0.0))
    index, ax, y, _ = inside(45, 60, -12, 12)
    away = ax - 45
    window = step(away, 0, 3) * step(away, 15, 6)
    for tilt in (-0.45, -0.05, 0.4):
        groove(index, y - 0.5 - tilt * away, window, 1.0, 0.26 * age + 0.2 * smile, (0.0, 1.0))
    index, ax, y, _ = inside(15, 38, -95, -70)
    groove(index, ax - 25 - 0.15 * (-75 - y), step(y, -95, -88) * step(y, -70, -77), 2.0, 0.22 * age, (1.0, 0.2))
    return total[0], total[1], total[2].clamp_(0, 0.5)
