"""The camera behind the lens: from light on the sensor to the photo, as one pure function."""

import torch
from torch import Tensor

from spooflab.augment.auto_balance import adapt
from spooflab.augment.bayer import demosaic, mosaic
from spooflab.augment.beautify import beautify
from spooflab.augment.camera_codec import still_codec
from spooflab.augment.color import mix, sensor_response, white_balance
from spooflab.augment.defects import defects
from spooflab.augment.denoise import smear
from spooflab.augment.device_params import DeviceParams
from spooflab.augment.exposure import meter
from spooflab.augment.field_blur import field_blur
from spooflab.augment.lateral_colour import lateral_colour
from spooflab.augment.noise import convert, sensor_noise
from spooflab.augment.prnu import prnu
from spooflab.augment.sharpen import sharpen
from spooflab.augment.tone import srgb_encode, tone_curve
from spooflab.augment.unused import unused
from spooflab.augment.vignette import vignette
from spooflab.errors import DataError


def develop(irradiance: Tensor, params: DeviceParams) -> Tensor:
    """Turn linear irradiance (B, 3, H, W) into the camera's photo: sRGB float32 on the grid of 1/255, same size.

    Raises:
        DataError: not the shape that `params` were drawn for, not float32, or not finite.
    """
    with torch.autocast(irradiance.device.type, enabled=False):
        _check_irradiance(irradiance, params)
        if bool(params.cfa.any()) and not bool(params.cfa.all()):  # mosaics and full planes draw different noise
            return torch.cat([develop(irradiance[i : i + 1], params.row(i)) for i in range(params.batch_size)])
        planes = interpolate(expose(irradiance, params))
        linear = correct_colour(planes, params)
        encoded = finish(linear, params)
        return still_codec(quantise(encoded), params).float() / 255


def expose(irradiance: Tensor, params: DeviceParams) -> Tensor:
    """Return the raw signal: (B, 1, H, W) mosaic, or (B, 3, H, W) without colour filters (one kind per batch)."""
    p = params
    height, width = irradiance.shape[-2:]
    if p.corner_blur_px is not None:
        irradiance = field_blur(irradiance.clamp(min=0), corner_blur_px=p.corner_blur_px)
    landed = lateral_colour(irradiance, red=p.red_scale, blue=p.blue_scale)
    lit = landed.clamp(min=0) * vignette(height, width, p.corner_gain)
    exposure = meter(lit, metering=p.metering, target=p.target, highlight=p.highlight, error_ev=p.error_ev)
    response = sensor_response(p.sensor_matrix, p.balance) * exposure[:, None, None]
    signal = mix(lit, response)
    if bool(p.cfa.all()):
        signal = mosaic(signal)
    if bool((p.prnu_std > 0).any()):
        signal = signal * prnu(height, width, p.prnu_seed, p.prnu_std)
    noisy = sensor_noise(signal, a=p.noise_a, b=p.noise_b, row_std=p.row_std, seeds=p.noise_seed)
    if p.defect_seed is not None and p.defect_share is not None and p.defect_left is not None:
        noisy = defects(noisy, seeds=p.defect_seed, share=p.defect_share, left=p.defect_left)
    return convert(noisy, bits=p.bits, black_level=p.black_level)


def interpolate(raw: Tensor) -> Tensor:
    """Return three full planes from the raw signal of `expose`."""
    return demosaic(raw) if raw.shape[1] == 1 else raw


def correct_colour(planes: Tensor, params: DeviceParams) -> Tensor:
    """Balance, correct and denoise: sensor colours to linear sRGB."""
    gains = params.balance * params.balance_error
    if params.awb_strength is not None and not unused(params.awb_strength > 0):
        gains = gains * adapt(planes, params.balance, params.awb_strength)
    balanced = white_balance(planes, gains)
    linear = mix(balanced, params.ccm)
    return smear(linear, strength=params.smear, a=params.noise_a, b=params.noise_b)


def finish(linear: Tensor, params: DeviceParams) -> Tensor:
    """Encode, apply the tone curve, smooth skin and sharpen: linear sRGB to code values in [0, 1]."""
    encoded = tone_curve(srgb_encode(linear), tone=params.tone, gamma=params.gamma)
    smooth = beautify(encoded, strength=params.beautify)
    return sharpen(smooth, gain=params.halo, radius_px=params.halo_radius_px)


def quantise(encoded: Tensor) -> Tensor:
    """Round code values in [0, 1] to uint8."""
    return (encoded * 255).round_().clamp_(0, 255).to(torch.uint8)


def _check_irradiance(irradiance: Tensor, params: DeviceParams) -> None:
    wanted = (params.batch_size, 3, params.view.height, params.view.width)
    if tuple(irradiance.shape) != wanted or irradiance.dtype != torch.float32:
        raise DataError(
            f"irradiance {tuple(irradiance.shape)} {irradiance.dtype}",
            wanted=f"{wanted} torch.float32, as the parameters were drawn for",
            next_step="draw the parameters with sample(B, generator, size=(H, W))",
        )
    if not bool(torch.isfinite(irradiance).all()):
        raise DataError("irradiance holds NaN or infinity", wanted="finite linear light")
