"""Edits of the skin's reflectance: age, tone, beautifying, beard."""

import torch
from torch import Tensor
from torch.nn import functional as F

from spooflab.augment.tone import srgb_decode, srgb_encode
from spooflab.generators.attacks.digital.attribute_scene import EditScene
from spooflab.generators.attacks.digital.morph_retouch import blur, soften
from spooflab.generators.enlarge import enlarge
from spooflab.generators.faces.procedural.facehair import beard_density
from spooflab.generators.faces.procedural.skinoptics import reflectance
from spooflab.generators.geometry.regions import rest_region
from spooflab.seeds import generator

_TILE, _TILE_MM = 192, 160.0
_SPOT = (0.80, 0.66, 0.52)
_GAINS = (0.3, 3.0)


def tone(scene: EditScene, radiance: Tensor, strength: float, melanin: float) -> Tensor:
    """Return (3, H, W) with the skin's mean albedo moved towards that of a melanin fraction; shading stays.

    The ratio of both albedos multiplies the light, as a skin-tone slider does; hair, eyes and clothes keep theirs.
    """
    target = reflectance(torch.tensor([melanin]), torch.tensor([0.05]))[0]
    gain = (target / scene.skin_albedo).clamp(*_GAINS) ** strength
    if scene.parsing is not None:
        area = scene.classes("skin", "nose", "ears", "neck", "lips")
    else:
        area = torch.maximum(scene.skin, _face(scene) * _skin_like(scene))
    weight = scene.careless(area)
    return radiance * torch.exp(weight * gain.log()[:, None, None])


def age(scene: EditScene, radiance: Tensor, strength: float, seed: int) -> Tensor:
    """Return (3, H, W) with wrinkles where faces fold, and spots of pigment."""
    rest, on = scene.maps.rest_half, scene.maps.on_half
    relief = torch.zeros_like(on).flatten()
    face = (rest_region(rest, "face") * on).flatten().nonzero()[:, 0]
    places = rest.flatten(1).index_select(1, face)
    relief[face] = _wrinkles(places, seed, max(1.3, 2.2 * scene.fit.mm_per_px))
    spots = _spots(rest, seed) * on
    full = enlarge(torch.stack([relief.reshape(on.shape), spots]), 2)[:, : radiance.shape[1], : radiance.shape[2]]
    bare = scene.careless(scene.skin)
    pigment = torch.tensor(_SPOT).log()[:, None, None] * full[1]
    return radiance * torch.exp((pigment + 0.55 * full[0]) * (strength * bare))


def beautify(scene: EditScene, radiance: Tensor, strength: float) -> Tensor:
    """Return (3, H, W) with the skin smoothed, blemishes gone and a little brightened, as beauty filters do."""
    codes = srgb_encode(radiance)
    weight = (scene.careless(scene.skin) * strength)[None, None]
    radius = max(1.5, 2.6 / scene.fit.mm_per_px)
    smooth = soften(codes[None], weight, radius_px=radius, threshold=0.10)
    smooth = smooth + weight * 0.06 * smooth * (1 - smooth) * 4 * 0.5
    return torch.where(weight[0] > 0, srgb_decode(smooth[0].clamp_(0, 1)).clamp_(min=0), radiance)


def beard(scene: EditScene, radiance: Tensor, strength: float, style: int, colour: Tensor, seed: int) -> Tensor:
    """Return (3, H, W) with a beard of (3,) albedo: `procedural.params.BEARDS[style]`, hairs as streaks of noise.

    Stubble darkens the skin in specks; the others cover it, brighter and darker along the hairs, under its shading.
    """
    rest, on = scene.maps.rest_half, scene.maps.on_half
    dense = beard_density(rest.flatten(1).T, style).reshape(on.shape) * on
    height, width = radiance.shape[1:]
    dense = enlarge(dense[None], 2)[0, :height, :width] * _beard_area(scene)
    weight = scene.careless(dense)
    noise = torch.randn(1, height, width, generator=generator(seed, "beard"))
    if style == 1:
        speck = blur(noise[None], 0.8)[0].mul_(2.0).sigmoid_()
        cover = weight * strength * (0.15 + 0.75 * speck)
        return radiance * torch.exp(cover * (0.25 + 0.75 * colour[:, None, None]).log())
    streak = _along(noise, max(2, round(3 / scene.fit.mm_per_px)))
    hairs = colour[:, None, None] * scene.light[:, None, None] * scene.shade * (0.9 + 0.45 * streak).clamp(min=0.15)
    cover = (weight * strength * (1.15 + 0.35 * streak)).clamp(0, 0.97)
    return torch.lerp(radiance, hairs, cover)


def _along(noise: Tensor, reach: int) -> Tensor:
    """Return (1, H, W) noise of unit variance drawn out downwards over `reach` pixels, with a slight slant."""
    out = sum((noise.roll((k, k // 3), (1, 2)) for k in range(reach + 1)), torch.zeros_like(noise))
    return out / out.std()


def _beard_area(scene: EditScene) -> Tensor:
    if scene.parsing is not None:
        return 1 - scene.classes("lips", "mouth", "background", "clothes", "glasses", "hair")
    return (1 - _lips(scene)) * _skin_like(scene).sqrt()


def _lips(scene: EditScene) -> Tensor:
    from_lips = scene.landmarks[48:60]
    low, high = from_lips.amin(0), from_lips.amax(0)
    y, x = torch.meshgrid(torch.arange(scene.face.size[0]) + 0.5, torch.arange(scene.face.size[1]) + 0.5, indexing="ij")
    middle, half = (low + high) / 2, (high - low).clamp(min=1.0) / 2
    return (1.6 - ((x - middle[0]) / half[0]).square() - ((y - middle[1]) / half[1]).square()).clamp(0, 1)


def _face(scene: EditScene) -> Tensor:
    """Return (H, W) the head's visible skin: face, ears and neck."""
    rest = scene.maps.rest_half
    below = (rest[1] < 50).float() * scene.maps.on_half
    full = enlarge(torch.maximum(below, rest_region(rest, "face") * scene.maps.on_half)[None], 2)
    return full[0, : scene.face.size[0], : scene.face.size[1]]


def _skin_like(scene: EditScene) -> Tensor:
    """Return (H, W) how much a pixel's chromaticity and brightness are those of the face's skin."""
    light = scene.face.radiance[0].clamp(min=1e-3)
    total, mean = light.sum(0), scene.skin_colour
    red = light[0] / total - mean[0] / mean.sum()
    blue = light[2] / total - mean[2] / mean.sum()
    level = (total / mean.sum()).log()
    return torch.exp(-((red / 0.06).square() + (blue / 0.06).square() + (level / 1.2).square()))


def _wrinkles(rest: Tensor, seed: int, wide_mm: float) -> Tensor:
    """Return (N,) relief at (3, N) rest coordinates: below 0 in a furrow, above 0 beside it.

    Lines of the forehead, between the brows, beside and under the eyes, and from nose to mouth.
    """
    draw = torch.rand(24, generator=generator(seed, "wrinkles")).tolist()
    x, y = rest[0], rest[1]
    across = x.abs()
    out = torch.zeros_like(x)

    def add(distance: Tensor, reach: Tensor, depth: float) -> None:
        t = (distance / wide_mm).square()
        out.add_(reach * depth * (0.5 * torch.exp(-t / 6) - torch.exp(-t)))

    brow = _bump(across, 0.0, 40.0)
    for k in range(4):
        wave = 2.0 * torch.sin(x / (13 + 6 * draw[k]) + 6.3 * draw[k + 4]) + 0.0035 * x.square() * (draw[k + 8] - 0.7)
        add(y - (29 + 7.0 * k + 2.5 * draw[k + 12]) - wave, brow * (0.6 + 0.4 * draw[k + 16]), 0.8)
    for side in (-1, 1):
        add(x - side * (4.0 + 2 * draw[20]) - 0.04 * (y - 12) * side, _bump(y, 13.0, 8.0), 0.7)
    dx, dy = across - 46, y + 2
    angle, radius = torch.atan2(dy, dx), torch.hypot(dx, dy)
    for k, turn in enumerate((-0.55, -0.15, 0.25, 0.6)):
        add((angle - turn - 0.1 * draw[k]) * radius, _bump(radius, 10.0, 9.0) * (dx > 0), 0.7)
    for k in range(2):
        curve = -10.0 - 5 * k - 2.5 * draw[21] + 0.018 * (across - 28).square()
        add(y - curve, _bump(across, 28.0, 14.0), 0.55)
    fold = 15.0 + 13.0 * ((-36 - y) / 34).clamp(0, 1.3)
    add((across - fold) * 0.93, _bump(y, -54.0, 17.0), 1.1)
    return out


def _bump(value: Tensor, middle: float, half: float) -> Tensor:
    t = (1 - ((value - middle) / half).square()).clamp(min=0)
    return t.sqrt() * t.clamp(max=1)


def _spots(rest: Tensor, seed: int) -> Tensor:
    """Return (h, w) in [0, 1]: pigment spots of 1-5 mm, laid over the face from the front."""
    gen = generator(seed, "spots")
    tile = torch.zeros(1, 1, _TILE, _TILE)
    for count, size in ((60, 0.8), (26, 1.4), (10, 2.3)):
        at = torch.randint(4, _TILE - 4, (2, count), generator=gen)
        dots = torch.zeros(1, 1, _TILE, _TILE)
        dots[0, 0, at[0], at[1]] = 0.4 + 0.6 * torch.rand(count, generator=gen)
        soft = blur(dots, size)
        tile += soft / (soft.amax() / 1.4)
    grid = torch.stack([rest[0], -rest[1] - 20], -1)[None] * (2 / _TILE_MM)
    return F.grid_sample(tile.clamp(0, 1), grid, padding_mode="zeros", align_corners=False)[0, 0]
