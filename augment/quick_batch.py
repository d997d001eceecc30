"""The quick camera on whole tensors: the plain version of `quick_chunks`, and the one that accelerators run.

No value is read back, no loop runs over the batch, and one graph holds all of it (`torch.compile(fullgraph=True)`).
"""

from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional as F

from spooflab.augment.auto_balance import adapt_cells
from spooflab.augment.beautify import beautify
from spooflab.augment.box import box_mean
from spooflab.augment.color import luma, mix
from spooflab.augment.exposure import meter
from spooflab.augment.jpeg_tensor import tensor_jpeg
from spooflab.augment.noise_bank import BankWindow
from spooflab.augment.quick_table import TAPS, QuickTable, horner
from spooflab.augment.sharpen import gaussian_blur
from spooflab.augment.tone import inverse_tone_curve, srgb_decode, srgb_encode, tone_curve
from spooflab.augment.vignette import vignette

_MARGIN = TAPS // 2
_CELLS = 32


def quick_codes(photo: Tensor, table: QuickTable, noise: Tensor, rows: Tensor) -> Tensor:
    """Return what the camera hands to its codec: uint8 (B, 3, H, W).

    Args:
        photo: (B, 3, H, W) float32 sRGB in [0, 1].
        table: of the same B, H, W, where `photo` lies.
        noise: (2, 3, S, S) banks of white and of interpolated noise, where `photo` lies.
        rows: (N,) bank of row noise.
    """
    height, width = photo.shape[-2:]
    t = table
    light = srgb_decode(inverse_tone_curve(photo, tone=t.source_tone, gamma=t.source_gamma))
    t = with_frame(t, light[..., :: stride(height), :: stride(width)])
    seen = F.grid_sample(light, quick_rays(t, height, width), padding_mode="border", align_corners=False)
    signal = mix(seen, t.response)
    signal = _spread(signal, t.spread).clamp(min=0) * t.gain[t.gain_row]
    signal = signal + _noise(signal, t, noise, rows)
    linear = mix(signal.clamp(max=1), t.ccm)
    encoded = tone_curve(srgb_encode(linear), tone=t.tone, gamma=t.gamma)
    encoded = beautify(encoded, strength=t.beautify)
    return (finish_luma(encoded, t) * 255).round().clamp(0, 255).to(torch.uint8)


def quick_tensors(photo: Tensor, table: QuickTable, noise: Tensor, rows: Tensor) -> Tensor:
    """Return the photograph, uint8 (B, 3, H, W): `quick_codes` through the codec, H and W at least 8."""
    codes = quick_codes(photo, table, noise, rows)
    return tensor_jpeg(codes, quality=table.quality, subsampling=table.subsampling)


def with_frame(table: QuickTable, light: Tensor) -> QuickTable:
    """Return the table with exposure and white balance set for linear (B, 3, h, w), a picture that was thinned out."""
    t = table
    shaded = light * vignette(light.shape[-2], light.shape[-1], t.corner_gain)
    exposure = meter(shaded, metering=t.metering, target=t.target, highlight=t.highlight, error_ev=t.error_ev)
    response = t.response * exposure[:, None, None]
    raw = mix(shaded, response / (t.balance * t.balance_error)[:, :, None])
    factor = adapt_cells(raw.clamp(0, 1), t.balance, t.awb_strength)
    return replace(
        t,
        response=response * factor[:, :, None],
        slope=t.slope * factor,
        floor=t.floor * factor * factor,
        row_std=t.row_std * factor,
    )


def quick_rays(table: QuickTable, height: int, width: int) -> Tensor:
    """Return rays (B, H + 6, W + 6, 2) in `grid_sample`'s unit: where the window's pixels, and 3 beyond it, look."""
    device = table.rays.device
    x = torch.arange(-_MARGIN, width + _MARGIN, device=device) + (0.5 - width / 2)
    y = (torch.arange(-_MARGIN, height + _MARGIN, device=device) + (0.5 - height / 2))[:, None]
    across = x - y * table.shear[:, None, None]
    t = (across * across + y * y) * (4 / (height**2 + width**2))
    factor = horner(table.rays[:, :, None, None], t)
    return torch.stack([across * factor * (2 / width), y * factor * (2 / height)], -1)


def finish_luma(encoded: Tensor, table: QuickTable) -> Tensor:
    """Smear and sharpen encoded (B, 3, H, W) on the same detail: what a Gaussian blur removes from luma.

    Where the local variance v of the detail is small against the noise's, s, the share v / (v + s) of it stays (Lee
    1980); sharpening then adds `halo` times what stayed.
    """
    plane = luma(encoded)
    calm = gaussian_blur(plane, table.halo_radius_px)
    detail = plane - calm
    power = box_mean(detail * detail, 1)
    sought = horner(table.smear[:, :, None, None, None], calm).clamp(min=0)
    kept = (power + 1e-9) / (power + 1e-9 + sought)
    return encoded + detail * (kept * (1 + table.halo[:, None, None, None]) - 1)


def _spread(signal: Tensor, spread: Tensor) -> Tensor:
    batch, channels, height, width = signal.shape
    weight = spread[:, None, None].expand(-1, channels, 1, -1, -1).reshape(batch * channels, 1, TAPS, TAPS)
    blurred = F.conv2d(signal.reshape(1, batch * channels, height, width), weight, groups=batch * channels)
    return blurred.reshape(batch, channels, height - 2 * _MARGIN, width - 2 * _MARGIN)


def _noise(signal: Tensor, table: QuickTable, noise: Tensor, rows: Tensor) -> Tensor:
    """Return noise of variance slope x + floor, and of the sensor's rows."""
    height, width = signal.shape[-2:]
    bank: BankWindow = table.bank
    extent = noise.shape[-1]
    y = torch.arange(height, device=signal.device)
    x = torch.arange(width, device=signal.device)
    place = (bank.top[:, None, None] + y[:, None]) * extent + bank.left[:, None, None] + x
    plane = bank.mosaic.to(torch.int64)[:, None] * 3 + torch.arange(3, device=signal.device)
    unit = noise.reshape(-1)[plane[:, :, None, None] * extent**2 + place[:, None]] * bank.sign[:, None, None, None]
    deviation = torch.sqrt(signal * table.slope[:, :, None, None] + table.floor[:, :, None, None])
    grain = mix(unit * deviation, table.noise_mix)
    row = rows[bank.line[:, None] + y]
    return grain + row[:, None, :, None] * table.row_std[:, :, None, None]


def stride(extent: int) -> int:
    """Return every how many pixels the exposure meter reads."""
    return max(1, extent // _CELLS)
