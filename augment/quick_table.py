"""What the quick camera needs of a shot, worked out once for a batch on the CPU: no picture is read."""

import math
from dataclasses import dataclass, replace
from functools import lru_cache

import torch
from torch import Tensor

from spooflab.augment.bayer import demosaic
from spooflab.augment.color import LUMINANCE
from spooflab.augment.device_params import DeviceParams
from spooflab.augment.noise_bank import BankWindow, bank_window
from spooflab.augment.prnu import prnu
from spooflab.augment.tone import inverse_tone_curve, srgb_decode
from spooflab.augment.view import View
from spooflab.augment.vignette import vignette
from spooflab.params import Params

TAPS = 7
"""Side of the point spread function, pixels; the picture is seen three pixels past the window for its sake."""
_FREQUENCIES = 16
_RAY_TERMS = 5
_SMEAR_TERMS = 4
_LIGHT_GAIN, _TEXTURE = 4.0, 2e-4  # as `smear` has them
_ONCE = 1.2
"""Factor on the variance that is sought: `smear` averages its coefficients once more. Set on flat fields, 5 devices."""
_CHROMA_LEFT = 0.66
"""Share of chroma noise that `smear` takes away at full strength, by the fourth root of it below. Set likewise."""


@dataclass(frozen=True)
class QuickTable(Params):
    """One row per shot.

    Attributes:
        source_tone, source_gamma: (B,) curve to undo.
        metering, target, highlight, error_ev, corner_gain: (B,) as in `DeviceParams`, for `meter`.
        rays: (B, 5) powers of the squared radius by which the lens moves a ray, enlargement included; see `quick_rays`.
        shear: (B,) horizontal displacement per row of the rolling shutter.
        spread: (B, 7, 7) point spread function of defocus, diffraction and motion; sums to one.
        response: (B, 3, 3) linear sRGB to balanced sensor colours, before exposure and auto-white-balance.
        balance, balance_error: (B, 3), awb_strength: (B,) as in `DeviceParams`.
        ccm: (B, 3, 3) balanced sensor colours to linear sRGB.
        gain: (U, 3, H, W) shading and photo response of the units that occur; `gain_row` (B,) int64 tells which.
        slope, floor: (B, 3) noise variance slope x + floor of balanced, interpolated colours.
        row_std: (B, 3) standard deviation of row noise, likewise.
        noise_mix: (B, 3, 3) on the noise: how much of its chroma `smear` leaves.
        bank: where each row's noise lies.
        tone, gamma: (B,) curve to apply.
        smear: (B, 4) powers of encoded luma: variance below which detail counts as noise; 0 where nothing is smeared.
        beautify, halo, halo_radius_px: (B,).
        quality, subsampling: (B,) int64.
    """

    source_tone: Tensor
    source_gamma: Tensor
    metering: Tensor
    target: Tensor
    highlight: Tensor
    error_ev: Tensor
    corner_gain: Tensor
    rays: Tensor
    shear: Tensor
    spread: Tensor
    response: Tensor
    balance: Tensor
    balance_error: Tensor
    awb_strength: Tensor
    ccm: Tensor
    gain: Tensor
    gain_row: Tensor
    slope: Tensor
    floor: Tensor
    row_std: Tensor
    noise_mix: Tensor
    bank: BankWindow
    tone: Tensor
    gamma: Tensor
    smear: Tensor
    beautify: Tensor
    halo: Tensor
    halo_radius_px: Tensor
    quality: Tensor
    subsampling: Tensor

    def rows(self, rows: slice) -> "QuickTable":
        """Return some rows; the units' gains stay whole."""
        return replace(self._map(lambda value: value[rows]), gain=self.gain)


def quick_table(params: DeviceParams) -> QuickTable:
    """Return the table of `params`, which lie on the CPU."""
    p, view = params, params.view
    height, width = view.height, view.width
    gains = p.balance * p.balance_error
    slope, floor = _noise(p, gains)
    gain, gain_row = _unit_gains(p, height, width)
    return QuickTable(
        source_tone=p.source_tone,
        source_gamma=p.source_gamma,
        metering=p.metering,
        target=p.target,
        highlight=p.highlight,
        error_ev=p.error_ev,
        corner_gain=p.corner_gain,
        rays=ray_terms(view),
        shear=view.skew,
        spread=spread_function(view),
        response=p.balance_error[:, :, None] * p.sensor_matrix,
        balance=p.balance,
        balance_error=p.balance_error,
        awb_strength=torch.zeros(len(p.unit)) if p.awb_strength is None else p.awb_strength,
        ccm=p.ccm,
        gain=gain,
        gain_row=gain_row,
        slope=slope,
        floor=floor,
        row_std=p.row_std[:, None] * gains,
        noise_mix=_noise_mix(p),
        bank=bank_window(p.noise_seed, p.cfa, height, width),
        tone=p.tone,
        gamma=p.gamma,
        smear=_smear_terms(p),
        beautify=p.beautify,
        halo=p.halo,
        halo_radius_px=p.halo_radius_px,
        quality=p.quality,
        subsampling=p.subsampling,
    )


def ray_terms(view: View) -> Tensor:
    """Return (B, 5): powers of t = r^2 / R^2, r the sheared distance from the centre, R the half-diagonal.

    A polynomial through the lens's exact inverse at 20 radii, divided by the enlargement that `window_rays` would
    choose, so that every ray of the window meets the picture.
    """
    squared, fit = _ray_fit()
    radius = squared.sqrt().expand(view.batch_size, -1)
    gain = view._ideal_radius(radius) / radius
    terms = gain @ fit
    height, width = view.height, view.width
    edge = torch.linspace(-1, 1, 33)
    one = torch.ones(33)
    x = torch.cat([edge, edge, one, -one]) * (width - 1) / 2
    y = torch.cat([one, -one, edge, edge]) * (height - 1) / 2
    across = x - y * view.skew[:, None]
    t = (across * across + y * y) * (4 / (height**2 + width**2))
    factor = horner(terms[:, :, None], t)
    reach = torch.maximum((across * factor).abs() * (2 / width), (y * factor).abs() * (2 / height))
    return terms / reach.amax(1, keepdim=True).clamp(min=1.0)


def horner(terms: Tensor, t: Tensor) -> Tensor:
    """Evaluate the polynomial whose coefficients lie along axis 1 of `terms`, lowest power first, at `t`."""
    total = terms[:, -1]
    for k in range(terms.shape[1] - 2, -1, -1):
        total = total * t + terms[:, k]
    return total


def spread_function(view: View) -> Tensor:
    """Return (B, 7, 7) whose transfer is the nearest to `lens_mtf` in the least squares, and 1 for flat light.

    The nearest 49 values are those of the inverse transform; what they lack in sum is dealt out equally, which is the
    least-squares answer under that constraint and stands for the tail that the window cuts off.
    """
    fy = torch.fft.fftfreq(_FREQUENCIES)[None, :, None]
    fx = torch.fft.rfftfreq(_FREQUENCIES)[None, None, :]
    transfer = view.lens_mtf(fx.expand(view.batch_size, _FREQUENCIES, -1), fy.expand(view.batch_size, -1, fx.shape[-1]))
    whole = torch.fft.irfft2(transfer, s=(_FREQUENCIES, _FREQUENCIES)).roll((TAPS // 2, TAPS // 2), (1, 2))
    kernel = whole[:, :TAPS, :TAPS]
    spread: Tensor = kernel + (1 - kernel.sum((1, 2), keepdim=True)) / TAPS**2
    return spread.contiguous()


def _noise(p: DeviceParams, gains: Tensor) -> tuple[Tensor, Tensor]:
    """Return slope and floor of the variance after interpolation and balance, for light near grey.

    Interpolation adds squared shares of the three colours' raw noise; grey light x has raw signal x / gain.
    """
    top = torch.exp2(p.bits.float()) - 1
    step = torch.where(p.bits > 0, 1 / (top * (1 - p.black_level)), 0.0)
    b = p.noise_b + step * step / 12
    shares = torch.where(p.cfa[:, None, None], interpolation_shares(), torch.eye(3))
    slope = p.noise_a[:, None] * (shares / gains[:, None, :]).sum(2) * gains**2
    floor = b[:, None] * shares.sum(2) * gains**2
    return slope, floor


def _noise_mix(p: DeviceParams) -> Tensor:
    """Return (B, 3, 3): in linear sRGB chroma of the noise is scaled and luminance kept; carried over to the sensor."""
    left = (1 - _CHROMA_LEFT * p.smear.sqrt().sqrt())[:, None, None]
    scale = left * torch.eye(3) + (1 - left) * torch.tensor(LUMINANCE).expand(3, 3)
    mix: Tensor = torch.linalg.inv(p.ccm) @ scale @ p.ccm
    return mix


@lru_cache(maxsize=1)
def interpolation_shares() -> Tensor:
    """Return (3, 3): variance of an interpolated colour (row) per raw variance of each photosite colour (column).

    Averaged over the four sites of a cell, from the impulse responses of `demosaic`.
    """
    shares = torch.zeros(3, 3)
    for row in (0, 1):
        for column in (0, 1):
            raw = torch.zeros(1, 1, 20, 20)
            raw[0, 0, 10 + row, 10 + column] = 1
            shares[:, row + column] += demosaic(raw)[0].square().sum((1, 2)) / 4
    return shares


def _unit_gains(p: DeviceParams, height: int, width: int) -> tuple[Tensor, Tensor]:
    keys = list(zip(p.prnu_seed.tolist(), p.prnu_std.tolist(), p.corner_gain.tolist(), p.cfa.tolist(), strict=True))
    units = {key: place for place, key in enumerate(dict.fromkeys(keys))}
    gain = (
        torch.stack([_unit_gain(*key, height, width) for key in units])
        if len(units) > 1
        else _unit_gain(*keys[0], height, width)[None]
    )
    return gain, torch.tensor([units[key] for key in keys])


@lru_cache(maxsize=64)
def _unit_gain(seed: int, std: float, corner: float, cfa: bool, height: int, width: int) -> Tensor:
    """Return (3, H, W): shading times the photo response as interpolation spreads it over the colours."""
    pattern = prnu(height, width, torch.tensor([seed]), torch.tensor([std]))
    response = demosaic(pattern) if cfa else pattern.expand(1, 3, height, width)
    return (response * vignette(height, width, torch.tensor([corner])))[0].contiguous()


def _smear_terms(p: DeviceParams) -> Tensor:
    """Return (B, 4): variance of the noise that `smear` looks for, as a polynomial of encoded luma.

    It is asked for in linear light behind 24 levels of luma and carried over by the slope of the tone curve there.
    """
    levels, fit = _smear_fit()
    step = 0.01
    near = torch.stack([levels - step, levels + step], 0).flatten().expand(p.batch_size, 1, 1, -1)
    light = srgb_decode(inverse_tone_curve(near, tone=p.tone, gamma=p.gamma)).reshape(p.batch_size, 2, -1)
    middle, slope = light.mean(1), 2 * step / (light[:, 1] - light[:, 0]).clamp(min=1e-6)
    wanted = _LIGHT_GAIN * (p.noise_a[:, None] * middle + p.noise_b[:, None]) + _TEXTURE * middle
    return (_ONCE * p.smear[:, None] * wanted * slope * slope) @ fit


@lru_cache(maxsize=1)
def _smear_fit() -> tuple[Tensor, Tensor]:
    """Return levels (24,) of luma and the matrix (24, 4) from values there to coefficients."""
    levels = torch.linspace(0.03, 0.97, 24, dtype=torch.float64)
    powers = levels[:, None] ** torch.arange(_SMEAR_TERMS)
    return levels.float(), torch.linalg.pinv(powers).T.float().contiguous()


@lru_cache(maxsize=1)
def _ray_fit() -> tuple[Tensor, Tensor]:
    """Return squared radii (20,) in (0, 1.05] and the matrix (20, 5) from values there to coefficients."""
    nodes = (torch.cos((torch.arange(20, dtype=torch.float64) + 0.5) * math.pi / 20) + 1) * 0.525
    powers = nodes[:, None] ** torch.arange(_RAY_TERMS)
    return nodes.float(), torch.linalg.pinv(powers).T.float().contiguous()
