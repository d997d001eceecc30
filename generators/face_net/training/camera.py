"""Light, lens, sensor and codec at random: radiance becomes the codes of some photograph."""

from io import BytesIO

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from spooflab.augment.tone import srgb_encode
from spooflab.params import log_uniform, uniform

_TAPS = 13


def shoot(light: Tensor, gen: torch.Generator) -> Tensor:
    """Return codes (B, 3, H, W) in [0, 1] of radiance: relit, blurred, noisy, toned, sharpened and compressed."""
    lit = _relight(light, gen)
    seen = _noisy(_blurred(lit, gen), gen)
    return _compressed(_sharpened(_toned(seen, gen), gen).clamp(0, 1), gen)


def _some(batch: int, share: float, gen: torch.Generator) -> Tensor:
    return (torch.rand(batch, generator=gen) < share)[:, None, None, None]


def _relight(light: Tensor, gen: torch.Generator) -> Tensor:
    """Gain and cast of colour, a smooth field of light, and hard shadows."""
    batch, size = len(light), light.shape[-1]
    gain = log_uniform(batch, 0.45, 2.2, gen)[:, None, None, None]
    cast = torch.exp(0.12 * torch.randn(batch, 3, 1, 1, generator=gen))
    cast = torch.where(_some(batch, 0.1, gen), cast**3, cast)
    field = torch.randn(batch, 3, 4, 4, generator=gen) * 0.12 + torch.randn(batch, 1, 4, 4, generator=gen) * 0.3
    smooth = F.interpolate(field, size=(32, 32), mode="bicubic", align_corners=False).exp()
    smooth = F.interpolate(smooth, size=(size, size), mode="bilinear", align_corners=False)
    smooth = torch.where(_some(batch, 0.5, gen), smooth, torch.ones(1))
    axis = torch.linspace(-1, 1, size)
    angle, at = uniform(batch, 0, 6.2832, gen), uniform(batch, -0.6, 0.6, gen)
    line = angle.cos()[:, None, None] * axis + angle.sin()[:, None, None] * axis[:, None] - at[:, None, None]
    soft = log_uniform(batch, 0.01, 0.6, gen)[:, None, None]
    depth = uniform(batch, 0.15, 0.9, gen)[:, None, None]
    shadow = (1 - depth * torch.sigmoid(line / soft))[:, None]
    shadow = torch.where(_some(batch, 0.3, gen), shadow, torch.ones(1))
    return light * gain * cast * smooth * shadow


def _blurred(light: Tensor, gen: torch.Generator) -> Tensor:
    """Blur with Gaussians that differ across and down, none for about a third."""
    batch = len(light)
    sigma = log_uniform(2 * batch, 0.3, 2.0, gen).reshape(2, batch)
    sigma = torch.where(torch.rand(batch, generator=gen) < 0.8, sigma[:1], sigma)
    sigma = torch.where(torch.rand(batch, generator=gen) < 0.4, 0.05, sigma)
    taps = torch.arange(_TAPS) - _TAPS // 2
    kernel = torch.exp(-0.5 * (taps / sigma[..., None]) ** 2)
    kernel = (kernel / kernel.sum(-1, keepdim=True)).repeat_interleave(3, 1)
    half = _TAPS // 2
    planes = F.pad(light, (half,) * 4, mode="replicate").reshape(1, batch * 3, light.shape[-2] + 2 * half, -1)
    planes = F.conv2d(planes, kernel[0][:, None, None, :], groups=batch * 3)
    planes = F.conv2d(planes, kernel[1][:, None, :, None], groups=batch * 3)
    return planes.reshape_as(light)


def _noisy(light: Tensor, gen: torch.Generator) -> Tensor:
    """Add noise that grows with the light, fine or in grains of two pixels."""
    batch, size = len(light), light.shape[-1]
    fine = torch.randn(light.shape, generator=gen)
    grain = F.interpolate(
        torch.randn(batch, 3, size // 2, size // 2, generator=gen), size=(size, size), mode="bilinear"
    )
    noise = torch.where(_some(batch, 0.4, gen), grain * 1.5, fine)
    level = log_uniform(batch, 0.001, 0.035, gen)[:, None, None, None]
    return light + noise * level * (0.15 + light.clamp(0, 2)).sqrt()


def _toned(light: Tensor, gen: torch.Generator) -> Tensor:
    """Clip, encode, and bend contrast, gamma and saturation; a tenth turns grey."""
    batch = len(light)
    codes = srgb_encode(light.clamp(0, 1))
    grey = (codes * torch.tensor([0.299, 0.587, 0.114])[:, None, None]).sum(1, keepdim=True)
    full = uniform(batch, 0.5, 1.35, gen)[:, None, None, None]
    full = torch.where(_some(batch, 0.1, gen), torch.zeros(1), full)
    codes = (grey + (codes - grey) * full).clamp(0, 1)
    bend = uniform(batch, -0.4, 1.0, gen)[:, None, None, None]
    codes = codes + bend * (codes * codes * (3 - 2 * codes) - codes)
    gamma = torch.exp(0.25 * torch.randn(batch, generator=gen)).clamp(0.55, 1.8)[:, None, None, None]
    codes = codes.clamp(1e-4, 1) ** gamma
    low, high = (
        uniform(batch, -0.05, 0.12, gen)[:, None, None, None],
        uniform(batch, 0.8, 1.05, gen)[:, None, None, None],
    )
    faded = low.clamp(min=0) + codes * (high - low.clamp(min=0))
    return torch.where(_some(batch, 0.4, gen), faded, codes)


def _sharpened(codes: Tensor, gen: torch.Generator) -> Tensor:
    """Add what a small blur takes away, as cameras do, in a third."""
    soft = box_blur(codes)
    amount = torch.where(_some(len(codes), 0.35, gen), uniform(len(codes), 0.2, 1.5, gen)[:, None, None, None], 0.0)
    return codes + amount * (codes - soft)


def box_blur(planes: Tensor) -> Tensor:
    """Return the mean of each pixel of (B, C, H, W) and its eight neighbours."""
    count = planes.shape[1]
    padded = F.pad(planes, (1,) * 4, mode="replicate")
    return F.conv2d(padded, torch.full((count, 1, 3, 3), 1 / 9), groups=count)


def _compressed(codes: Tensor, gen: torch.Generator) -> Tensor:
    """Round to bytes; compress four in ten as JPEG of quality 15 to 90."""
    batch = len(codes)
    chosen = torch.rand(batch, generator=gen) < 0.4
    quality = torch.randint(15, 91, (batch,), generator=gen)
    small = (codes * 255).round().to(torch.uint8)
    for i in chosen.nonzero()[:, 0].tolist():
        held = BytesIO()
        Image.fromarray(small[i].permute(1, 2, 0).numpy()).save(held, "JPEG", quality=int(quality[i]))
        with Image.open(held) as picture:
            small[i] = torch.from_numpy(np.array(picture)).permute(2, 0, 1)
    return small.float() / 255
