"""Clips: a unit films. What belongs to the unit stays from frame to frame; noise, exposure, hand and light move on."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from spooflab.augment.camera_codec import clip_codec, without_codec
from spooflab.augment.clip_params import ClipParams
from spooflab.augment.develop import develop
from spooflab.augment.device_params import DeviceParams
from spooflab.augment.exposure import meter
from spooflab.augment.flicker import lamp_flicker
from spooflab.augment.lateral_colour import lateral_colour
from spooflab.augment.lens import resample, window_rays
from spooflab.augment.photograph import check_window
from spooflab.augment.ranges import between, log_between
from spooflab.augment.shake import draw_shake
from spooflab.augment.tone import inverse_tone_curve, srgb_decode
from spooflab.augment.vignette import vignette
from spooflab.errors import DataError
from spooflab.seeds import generator as named_generator

if TYPE_CHECKING:
    from spooflab.augment.capture import CaptureDevice

_START_EV = 0.7
"""Standard deviation of the first frame's error of exposure, stops (estimate: cameras start from a guess)."""
_SETTLE_MS = (100.0, 600.0)
"""Time constant of auto-exposure: cameras settle within 3 to 20 frames (estimate)."""
_LAMP_HZ = (100.0, 120.0)
"""Lamps pulse at twice the frequency of the mains."""
_LAMP_DEPTH = (0.0, 0.35)
"""Depth: 0 for daylight and good drivers, to .35 for fluorescent tubes on magnetic ballasts (IEEE 1789-2015)."""
_LIT_SHARE = 0.5
"""Share of clips whose light pulses at all (estimate)."""


def sample_clip(
    device: CaptureDevice,
    batch_size: int,
    *,
    frames: int,
    fps: float = 30.0,
    generator: torch.Generator,
    size: tuple[int, int] = (512, 512),
) -> ClipParams:
    """Draw `batch_size` clips of one unit on the CPU; row i depends neither on the batch size nor on `frames`.

    The hand's speed is the one that the shot was drawn with.

    Args:
        device: the unit.
        batch_size: number of clips, >= 1.
        frames: number of frames, >= 1.
        fps: frames per second, > 0.
        generator: CPU generator.
        size: height and width of the sensor window, pixels.
    """
    if frames < 1 or not 0 < fps < math.inf:
        raise DataError(f"sample_clip: frames {frames}, fps {fps}", wanted="frames >= 1, fps > 0")
    shot = device.sample(batch_size, generator, size=size)
    return ClipParams.stack([_draw_clip(shot.row(i), frames, fps) for i in range(batch_size)])


def _draw_clip(shot: DeviceParams, frames: int, fps: float) -> ClipParams:
    """Draw what one clip adds to its shot, from seeds that the shot's own noise seed names."""
    root = int(shot.noise_seed)
    share = torch.rand(5, 1, generator=named_generator(root, "clip"))
    normal = torch.special.ndtri(share[0].clamp(0.006, 0.994))
    speed = float(shot.view.motion_px.norm() / shot.view.exposure_ms)
    lit = share[3] < _LIT_SHARE
    return ClipParams(
        shot=shot,
        fps=torch.tensor([float(fps)]),
        noise_seed=torch.randint(0, 2**48, (1, frames), generator=named_generator(root, "frames")),
        start_ev=_START_EV * normal,
        settle_ms=log_between(_SETTLE_MS, share[1]),
        shake=draw_shake(speed, named_generator(root, "shake")),
        lamp_hz=torch.where(share[2] < 0.5, *_LAMP_HZ),
        lamp_depth=torch.where(lit, between(_LAMP_DEPTH, share[4] ** 2), 0.0),
    )


def develop_clip(irradiance: Tensor, params: ClipParams) -> Tensor:
    """Turn linear irradiance (B, T, 3, H, W) into the clip: sRGB float32 on the grid of 1/255, same size.

    The frames are what the sensor receives, lens, hand and light already applied: an attack renders frame t through
    `params.frame(t).view`; `film` moves a photograph. Exposure settles, noise is each frame's own, the unit's pattern
    stays, and the codec sees the frames as one stream (a unit whose codec is JPEG stores each frame by itself).

    Raises:
        DataError: not the shape that `params` were drawn for, not float32, or not finite.
        ConfigError: a stream that needs PyAV without it.
    """
    with torch.autocast(irradiance.device.type, enabled=False):
        view = params.shot.view
        wanted = (params.batch_size, params.frames, 3, view.height, view.width)
        if tuple(irradiance.shape) != wanted or irradiance.dtype != torch.float32:
            raise DataError(
                f"irradiance {tuple(irradiance.shape)} {irradiance.dtype}",
                wanted=f"{wanted} torch.float32, as the parameters were drawn for",
                next_step="draw the parameters with sample_clip(device, B, frames=T, ..., size=(H, W))",
            )
        exposures = settle(metered_ev(irradiance, params.shot), params)
        frames = []
        for t in range(params.frames):
            shot = params.frame(t)
            fixed = dataclasses.replace(
                without_codec(shot), metering=torch.zeros_like(shot.metering), error_ev=exposures[:, t] + shot.error_ev
            )
            frames.append(develop(irradiance[:, t], fixed))
        codes = (torch.stack(frames, 1) * 255).round_().to(torch.uint8)
        return clip_codec(codes, params.shot, params.fps).float() / 255


def metered_ev(irradiance: Tensor, shot: DeviceParams) -> Tensor:
    """Return (B, T) stops that the camera would give each frame of (B, T, 3, H, W) by itself."""
    shade = vignette(irradiance.shape[-2], irradiance.shape[-1], shot.corner_gain)
    stops = []
    for frame in irradiance.unbind(1):
        lit = lateral_colour(frame, red=shot.red_scale, blue=shot.blue_scale).clamp(min=0) * shade
        gain = meter(
            lit,
            metering=shot.metering,
            target=shot.target,
            highlight=shot.highlight,
            error_ev=torch.zeros_like(shot.error_ev),
        )
        stops.append(gain.log2())
    return torch.stack(stops, 1)


def settle(wished_ev: Tensor, params: ClipParams) -> Tensor:
    """Return (B, T) stops of a camera that follows `wished_ev` (B, T) as a first-order system.

    The first frame is off by `start_ev`; each later one keeps exp(-1 / (fps settle)) of the error of the one before, so
    before an unchanging scene the error is start_ev exp(-t / settle).
    """
    keep = torch.exp(-1000 / (params.fps * params.settle_ms))
    out = [wished_ev[:, 0] + params.start_ev]
    for wish in wished_ev.unbind(1)[1:]:
        out.append(wish + (out[-1] - wish) * keep)
    return torch.stack(out, 1)


def film(photo: Tensor, params: ClipParams) -> Tensor:
    """Return the clip (B, T, 3, H, W) of a photograph that is held before the camera by an unsteady hand.

    Args:
        photo: (B, 3, H, W) float32 sRGB in [0, 1]; its own camera's curve is undone first, as in `rephotograph`.
        params: what `sample_clip` drew, for the same B, H, W.

    Raises:
        DataError: another type, shape or range, or not the shape that `params` were drawn for.
        ConfigError: a stream that needs PyAV without it.
    """
    with torch.autocast(photo.device.type, enabled=False):
        shot = params.shot
        check_window(photo, shot.view)
        light = srgb_decode(inverse_tone_curve(photo, tone=shot.source_tone, gamma=shot.source_gamma))
        return develop_clip(moving_light(light, params), params)


def moving_light(light: Tensor, params: ClipParams) -> Tensor:
    """Return what the sensor receives, (B, T, 3, H, W), of linear (B, 3, H, W) that fills the first frame's window.

    Each row sees the picture where the hand has carried it by the middle of that row's exposure; the picture is
    enlarged just so far that no frame looks past its edge. A pulsing lamp lights it.
    """
    still = dataclasses.replace(params.shot.view, skew=torch.zeros_like(params.shot.view.skew))
    rays, zoom = window_rays(still)
    unit = torch.tensor([2 / still.width, 2 / still.height], device=light.device)
    moves = [params.row_offsets(t)[:, :, None] * unit / zoom[:, None, None, None] for t in range(params.frames)]
    reach = torch.stack([(rays - move).abs().amax((1, 2, 3)) for move in moves]).amax(0).clamp(min=1.0)
    frames = []
    for t, move in enumerate(moves):
        view = params.frame(t).view
        seen = resample(light, (rays - move) / reach[:, None, None, None])
        frames.append(view.blur(seen) * lamp_flicker(view, hz=params.lamp_hz, depth=params.lamp_depth))
    return torch.stack(frames, 1)
