"""What a replay shows: a photograph that a first camera took and compressed, within an application's own graphics."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from spooflab.augment.codec import jpeg
from spooflab.augment.tone import srgb_encode, tone_curve
from spooflab.generators.face import Face
from spooflab.params import Params, choice, uniform
from spooflab.seeds import generator as named_generator

_LUMINANCE = torch.tensor([0.2126, 0.7152, 0.0722])
_STEPS = 4095
_PHONE_UI = (256, 552)
_DESK_UI = (640, 360)


@dataclass(frozen=True)
class FirstCamera(Params):
    """The earlier photograph that is shown; every field is batched.

    Attributes:
        exposure: (B,) mean luminance that its metering aimed at, linear.
        metering: (B,) power of the gain towards that aim, 0-1.
        balance: (B, 3) remaining white-balance error, linear gains.
        saturation: (B,) chroma gain.
        contrast: (B,) share of the smoothstep in its tone curve.
        quality: (B,) int64 JPEG quality.
        subsampling: (B,) int64, 0 4:4:4, 2 4:2:0.
    """

    exposure: Tensor
    metering: Tensor
    balance: Tensor
    saturation: Tensor
    contrast: Tensor
    quality: Tensor
    subsampling: Tensor

    @classmethod
    def sample(cls, batch_size: int, generator: torch.Generator) -> "FirstCamera":
        """Draw photographs of good to poor quality."""
        n = batch_size
        balance = torch.exp(0.06 * torch.randn(n, 3, generator=generator))
        return cls(
            exposure=uniform(n, 0.16, 0.32, generator),
            metering=uniform(n, 0.4, 0.9, generator),
            balance=balance / balance[:, 1:2],
            saturation=uniform(n, 0.85, 1.3, generator),
            contrast=uniform(n, 0.0, 0.6, generator),
            quality=55 + choice(n, 43, generator),
            subsampling=2 * choice(n, 2, generator),
        )


def first_photograph(face: Face, camera: FirstCamera) -> Tensor:
    """Return uint8 (B, 3, H, W): the face as metered, balanced, toned, quantised and JPEG-coded by the first camera."""
    light = face.radiance.flatten(2)
    luminance = (light.mean(2) @ _LUMINANCE).clamp(min=1e-3)
    gain = ((camera.exposure / luminance) ** camera.metering).clamp(0.3, 4.0)
    grey = _LUMINANCE.expand(3, 3)
    saturate = torch.eye(3) * camera.saturation[:, None, None] + grey * (1 - camera.saturation[:, None, None])
    matrix = saturate * (camera.balance * gain[:, None])[:, None, :]
    # A table over the square root of light: 0.06 levels fine at white, finer below, and no transcendental per pixel.
    steps = torch.linspace(0, 1, _STEPS + 1).square()[None, None, None].expand(len(gain), 1, 1, -1)
    toned = tone_curve(srgb_encode(steps), tone=camera.contrast, gamma=torch.ones_like(gain))[:, 0, 0]
    table = (toned * 255).round_().clamp_(0, 255).to(torch.uint8)
    place = torch.bmm(matrix, light).clamp_(0, 1).sqrt_().mul_(_STEPS).add_(0.5).long()
    codes = torch.gather(table, 1, place.flatten(1)).reshape(face.radiance.shape)
    return jpeg(codes, quality=camera.quality, subsampling=camera.subsampling)


def show(codes: Tensor, table: Tensor) -> Tensor:
    """Return (B, 3, H, W) panel light of code values (B, 3, H, W) uint8 by each row's transfer table (B, 256)."""
    return torch.gather(table, 1, codes.flatten(1).long()).reshape(codes.shape)


def soften(light: Tensor, variance: Tensor) -> Tensor:
    """Blur (B, C, H, W) by a Gaussian of `variance` (B,) texels squared, 0 for none: minification without aliasing."""
    if not bool((variance > 0).any()):
        return light
    reach = 6
    offset = torch.arange(-reach, reach + 1)
    kernel = torch.exp(-(offset**2) / (2 * variance.clamp(1e-4, 6)[:, None]))
    kernel = (kernel / kernel.sum(1, keepdim=True))[:, :, None, None, None]
    padded = F.pad(light, (reach, reach, reach, reach), mode="replicate")
    for axis in (-2, -1):  # shifted sums of whole rows: `conv2d` takes three times as long
        count = light.shape[axis]
        total = padded.narrow(axis, reach, count) * kernel[:, reach]
        for step in range(1, reach + 1):
            pair = padded.narrow(axis, reach - step, count) + padded.narrow(axis, reach + step, count)
            total.addcmul_(pair, kernel[:, reach + step])
        padded = total
    return padded


def surroundings(seed: Tensor, dark: Tensor, *, desk: bool) -> Tensor:
    """Return uint8 (B, 3, rows, columns) covering the active area: what the application shows around the photograph.

    A gallery, chat or browser in plain shapes (bars, buttons, lines of text as blocks, thumbnails), drawn from each
    row's seed. `dark` (B,) bool is the theme; `desk` a desktop's window rather than a phone's screen.
    """
    draw = _desk if desk else _phone
    rows = [draw(named_generator(s, "screen"), d) for s, d in zip(seed.tolist(), dark.tolist(), strict=True)]
    return torch.stack(rows)


def _phone(generator: torch.Generator, dark: bool) -> Tensor:
    width, height = _PHONE_UI
    number = iter(torch.rand(64, generator=generator).tolist())
    ground, ink = ((8, 8, 10), (225, 225, 228)) if dark else ((248, 248, 250), (40, 40, 44))
    if next(number) < 0.35:
        ground, ink = (0, 0, 0), (235, 235, 235)
    picture = _plain(width, height, ground)
    _fill(picture, 16, 7, 38, 10, ink)  # clock
    for place in range(3):
        _fill(picture, 196 + 17 * place, 8, 11, 9, ink)
    _fill(picture, 88, 540, 80, 4, ink)  # home bar
    for line in range(int(3 * next(number))):
        _fill(picture, 18, 40 + 14 * line, int(60 + 130 * next(number)), 7, ink)
    if next(number) < 0.7:  # buttons
        count = 3 + int(3 * next(number))
        for place in range(count):
            _fill(picture, int((place + 0.5) * width / count) - 8, 500, 16, 16, ink)
    if next(number) < 0.4:  # thumbnails
        for place in range(9):
            rgb = tuple(int(40 + 190 * next(number)) for _ in range(3))
            _fill(picture, 4 + 28 * place, 452, 25, 30, (rgb[0], rgb[1], rgb[2]))
    if next(number) < 0.3:
        _fill(picture, 150, 430, 90, 14, (30, 120, 220))
    return picture


def _desk(generator: torch.Generator, dark: bool) -> Tensor:
    width, height = _DESK_UI
    number = iter(torch.rand(64, generator=generator).tolist())
    theme = (28, 28, 31) if dark else (240, 240, 243)
    ink = (210, 210, 214) if dark else (60, 60, 66)
    wall = [int(20 + 160 * next(number)) for _ in range(3)]
    ramp = torch.linspace(0.6, 1.25, height)[None, :, None]
    picture = (torch.tensor(wall)[:, None, None] * ramp).clamp(0, 255).expand(3, height, width).to(torch.uint8).clone()
    if next(number) < 0.75:  # a window that fills most of the desktop
        left, top = int(60 * next(number)), int(30 * next(number))
        wide, tall = int(width * (0.8 + 0.2 * next(number))) - left, height - 14 - top
        _fill(picture, left, top, wide, tall, theme)
        _fill(picture, left, top, wide, 9, tuple(int(c * 0.8) for c in theme))  # type: ignore[arg-type]  # 3 values
        _fill(picture, left + wide - 34, top + 3, 28, 3, ink)
        for line in range(14):
            _fill(picture, left + 8, top + 18 + 12 * line, int(20 + 70 * next(number)), 3, ink)
    _fill(picture, 0, height - 14, width, 14, (22, 24, 30))
    for place in range(9):
        rgb = tuple(int(60 + 190 * next(number)) for _ in range(3))
        _fill(picture, 8 + 16 * place, height - 11, 9, 9, (rgb[0], rgb[1], rgb[2]))
    return picture


def _plain(width: int, height: int, rgb: tuple[int, int, int]) -> Tensor:
    return torch.tensor(rgb, dtype=torch.uint8)[:, None, None].expand(3, height, width).clone()


def _fill(picture: Tensor, left: int, top: int, width: int, height: int, rgb: tuple[int, int, int]) -> None:
    picture[:, top : top + height, left : left + width] = torch.tensor(rgb, dtype=torch.uint8)[:, None, None]
