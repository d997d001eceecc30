"""The codec at the end of a camera: JPEG for a still, or a video stream that the still or the clip is part of."""

import dataclasses

import torch
from torch import Tensor

from spooflab.augment.codec import jpeg
from spooflab.augment.device_params import DeviceParams
from spooflab.augment.video import STREAMS, VideoParams, video, video_still
from spooflab.augment.video_stream import pyav

_FPS = 30.0
_LEAD_FRAMES = 4
_DRIFT_LIMIT_PX = 4.0
_GREY, _GREY_SLOPE = 0.18, 1.2
"""Light of a mid grey, and how much the sRGB code (0-1) changes there with the light."""
_SMEARED = 0.8
"""Share of the noise's standard deviation that full noise reduction removes (estimate)."""


def stream_code(kind: str) -> int:
    """Return `DeviceParams.stream` of a profile's codec: 0 where each frame is a picture of its own.

    Raises:
        ConfigError: H.264 or H.265 without PyAV.
    """
    code = STREAMS.get(kind, 0)
    if code:
        pyav()
    return code


def still_codec(photo: Tensor, params: DeviceParams) -> Tensor:
    """Code and decode uint8 photographs (B, 3, H, W) as their cameras store or send them.

    A frame out of a stream is a key frame or one of the next three, which are predicted from frames like it.
    """
    if params.stream is None or not bool(params.stream.any()):
        return jpeg(photo, quality=params.quality, subsampling=params.subsampling)
    return video_still(photo, stream_params(params, torch.full_like(params.lux, _FPS)))


def clip_codec(clip: Tensor, params: DeviceParams, fps: Tensor) -> Tensor:
    """Code and decode uint8 clips (B, T, 3, H, W), each as one stream."""
    return video(clip, stream_params(params, fps))


def stream_params(params: DeviceParams, fps: Tensor) -> VideoParams:
    """Return how the shots' streams are coded, `fps` (B,) frames per second.

    Motion between frames continues the shot's own; their noise is the sensor's at mid grey, in code values.
    """
    zeros = torch.zeros_like(params.quality)
    gop = zeros + 1 if params.gop is None else params.gop
    deviation = torch.sqrt(params.noise_a * _GREY + params.noise_b) * _GREY_SLOPE * 255
    drift = params.view.motion_px * (1000 / (fps * params.view.exposure_ms))[:, None]
    return VideoParams(
        stream=zeros if params.stream is None else params.stream,
        quality=params.quality,
        subsampling=params.subsampling,
        crf=zeros if params.crf is None else params.crf,
        gop=gop,
        fps=fps,
        lead_frames=torch.minimum(params.noise_seed % _LEAD_FRAMES, gop - 1),
        drift_px=drift.clamp(-_DRIFT_LIMIT_PX, _DRIFT_LIMIT_PX),
        lead_noise=deviation * (1 - _SMEARED * params.smear),
        lead_seed=params.noise_seed + 1,
    )


def without_codec(params: DeviceParams) -> DeviceParams:
    """Return the shots, stored without loss."""
    stream = None if params.stream is None else torch.zeros_like(params.stream)
    return dataclasses.replace(params, quality=torch.zeros_like(params.quality), stream=stream)
