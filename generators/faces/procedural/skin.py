"""Skin: pigment maps, fine relief and gloss as functions of the rest coordinates."""

from dataclasses import dataclass

import torch
from torch import Tensor

from spooflab.generators.faces.procedural.noise import hashed, look_up
from spooflab.generators.faces.procedural.params import IdentityParams
from spooflab.generators.faces.procedural.skinoptics import albedo


@dataclass(frozen=True)
class Skin:
    """Surface of N skin samples.

    Attributes:
        albedo: (N, 3) diffuse reflectance.
        slope: (N, 2) relief: tangent of the tilt along x and along y.
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


def surface(rest: Tensor, zone: Tensor, identity: IdentityParams, smile: Tensor, mm_per_px: float) -> Skin:
    """Return the skin at (N, 3) rest points in their (N, 6) `zones`, for a batch of one.

    Relief finer than `mm_per_px` fades out.
    """
    x, y, z = rest.unbind(1)
    ax = x.abs()
    uv = torch.stack([torch.atan2(x, z + 95) * 100, y], 1)
    seed = int(identity.skin_seed[0])
    shift = hashed(torch.arange(16) + (seed & 0xFFFFFF), seed >> 40).reshape(8, 2)
    cloudy, blotch = look_up(uv, 190.0, shift[0], slice(0, 2))
    mid, fine, _, slope_x, slope_y = look_up(uv, 74.0, shift[2], slice(1, 6))
    red, age = float(identity.redness[0]), float(identity.wrinkles[0])
    around = ((ax < 26.5) & (y < -50) & (y > -96)).nonzero()[:, 0]
    lips, mouth = torch.zeros_like(x), torch.zeros_like(x)
    lips[around], mouth[around] = lips_mask(rest[around]), inner_mouth(rest[around])
    flush, under_eye, sun, freckle_zone, tzone, lash_line = zone[:, :6].unbind(1)
    patchy = (0.05 + 0.05 * red) * blotch + 0.035 * mid + 0.07 * cloudy
    blood = identity.blood[0] * torch.exp(0.8 * red * flush + patchy)
    change = 0.06 * cloudy + 0.02 * blotch + 0.015 * mid + 0.02 * fine + sun + under_eye * (0.10 + 0.25 * age)
    if float(identity.freckles[0]) > 0.03:
        speck = look_up(uv, 61.0, shift[3], slice(2, 3))[0]
        change = change + step(speck, 1.0, 2.0) * freckle_zone * (1.4 * float(identity.freckles[0]))
    if age > 0.3:
        change = change + step(blotch + 0.5 * fine, 1.9, 2.7) * age * 0.28
    melanin = identity.melanin[0] * torch.exp(change) + _moles(uv, identity, seed)
    deep = float(identity.lip_colour[0])
    blood = torch.lerp(blood, identity.blood[0] * (1.9 + 1.8 * deep) * torch.exp(0.12 * mid), lips)
    own = identity.melanin[0]
    melanin = torch.lerp(melanin, own * (0.75 + 0.3 * deep + (own * 1.6).clamp(max=0.4)) + 0.008, lips)
    colour = albedo(melanin, blood)
    inner = step((y + 67.6).abs(), 3.2, 0.2) * lips
    # Outside of this part of the face every line's window is shut.
    lined = ((ax < 62) & (y < 62) & (y > -96)).nonzero()[:, 0]
    ax_in, y_in, x_in = (v.index_select(0, lined) for v in (ax, y, x))
    creases = _lines(ax_in, y_in, x_in, age, smile)
    crease_x, crease_y, dark = (torch.zeros_like(x).index_copy_(0, lined, v) for v in creases)
    shade = torch.stack([0.75 * dark, 0.95 * dark, dark], 1) + (0.35 * inner + 0.62 * lash_line)[:, None]
    colour = colour * (1 - shade).clamp(min=0.1)
    keep = min(max(1.55 - mm_per_px, 0.25), 1.0)
    relief = (0.04 + 0.07 * float(identity.pores[0])) * keep * (1 - 0.55 * lips)
    folds = torch.sin(ax * 4.2 + 2.0 * fine) * lips * 0.10 * keep
    slope = torch.stack([slope_x * relief + torch.sign(x) * crease_x + folds, slope_y * relief + crease_y], 1)
    oil = float(identity.oiliness[0])
    roughness = 0.60 - (0.10 + 0.13 * oil) * tzone - 0.03 * oil + 0.03 * mid
    roughness = torch.lerp(roughness, torch.full_like(roughness, 0.40), lips)
    return Skin(colour, slope, roughness.clamp(0.3, 0.75), lips, mouth)


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


def _moles(uv: Tensor, identity: IdentityParams, seed: int) -> Tensor:
    """Return (N,) extra melanin of the moles."""
    count = int(identity.moles[0])
    total = torch.zeros(len(uv))
    u = hashed(torch.arange(count * 4) + (seed & 0xFFFFF), 77).reshape(count, 4).tolist()
    across, up = uv[:, 0].contiguous(), uv[:, 1].contiguous()
    for a, b, c, d in u:
        centre_x, centre_y, radius = (a - 0.5) * 130, -95 + 150 * b, 0.6 + 1.3 * c**3
        near = (((across - centre_x).abs() < 3) & ((up - centre_y).abs() < 3)).nonzero()[:, 0]
        distance = (uv[near] - uv.new_tensor([centre_x, centre_y])).norm(dim=1)
        total[near] += step(distance, radius * 1.35, radius * 0.6) * (0.06 + 0.3 * d)
    return total


def _lines(ax: Tensor, y: Tensor, x: Tensor, age: float, smile: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the slopes along |x| and y, and the darkening, of wrinkles and folds."""
    fold = float(smile)
    total_x, total_y, dark = torch.zeros_like(y), torch.zeros_like(y), torch.zeros_like(y)

    def groove(distance: Tensor, window: Tensor, width: float, depth: float, along: tuple[float, float]) -> None:
        nonlocal total_x, total_y, dark
        shape = torch.exp(-(distance / width).square()) * window
        tilt = shape * distance / width * 1.6 * depth
        total_x = total_x + tilt * along[0]
        total_y = total_y + tilt * along[1]
        dark = dark + shape * depth * 0.35

    # Nasolabial fold: from the wing of the nose down past the corner of the mouth.
    line = ax - (18.5 + 0.28 * (-40 - y) + 0.0035 * (-40 - y) ** 2)
    window = step(y, -74, -64) * step(y, -34, -42)
    groove(line, window, 2.6, 0.10 + 0.30 * age + 0.25 * fold, (0.95, 0.3))
    if age < 0.05 and fold < 0.05:
        return total_x, total_y, dark
    # Forehead lines, frown lines, crow's feet, marionette lines: with age.
    wobble = 1.5 * torch.sin(x * 0.11) - 0.0016 * x * x
    for level in (33.0, 42.0, 51.0):
        groove(y - level - wobble, step(ax, 46, 26), 1.3, 0.22 * age, (0.0, 1.0))
    groove(ax - 5.5 - 0.05 * (y - 14), step(y, 4, 9) * step(y, 27, 20), 1.3, 0.24 * age, (1.0, 0.0))
    for tilt in (-0.45, -0.05, 0.4):
        away = ax - 45
        groove(y - 0.5 - tilt * away, step(away, 0, 3) * step(away, 15, 6), 1.0, 0.26 * age + 0.2 * fold, (0.0, 1.0))
    groove(ax - 25 - 0.15 * (-75 - y), step(y, -95, -88) * step(y, -70, -77), 2.0, 0.22 * age, (1.0, 0.2))
    return total_x, total_y, dark.clamp(0, 0.5)
