"""The light behind a photograph by a candidate's curve, and the photograph again from that light."""

import dataclasses
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from spooflab.augment.color import LUMA
from spooflab.augment.develop import develop
from spooflab.augment.fit.chain import Candidate, Known, device_rows, linear_light
from spooflab.augment.fit.pattern import fit_pattern
from spooflab.augment.tone import srgb_encode, tone_curve

FloatArray = npt.NDArray[np.float32]
_TRUE_PATTERN = 0.01


def linear_of(pixels: npt.NDArray[np.uint8], candidate: Candidate) -> Tensor:
    """Return the linear light (3, H, W) behind a photograph (H, W, 3)."""
    codes = torch.from_numpy(pixels).permute(2, 0, 1).float().div_(255)
    return linear_light(codes[None], candidate)[0].contiguous()


def luma_of(pixels: npt.NDArray[np.uint8]) -> FloatArray:
    """Return luma (H, W) in [0, 1] of a photograph (H, W, 3)."""
    return np.asarray(pixels @ np.asarray(LUMA, np.float32) / 255, np.float32)


def slope_of(luma: FloatArray, candidate: Candidate) -> FloatArray:
    """Return d code / d ln light at code values `luma`, by the candidate's curve."""
    light = torch.logspace(-4, 0, 400)
    tone, gamma = torch.tensor([candidate.tone]), torch.tensor([candidate.gamma])
    code = tone_curve(srgb_encode(light)[None, None, None], tone=tone, gamma=gamma)[0, 0, 0].numpy()
    slope = np.gradient(code, np.log(light.numpy()))
    return np.asarray(np.interp(luma, code, slope), np.float32)


def again_with_fringe(
    candidate: Candidate, known: Known, quality: int
) -> Callable[[npt.NDArray[np.uint8], float], FloatArray]:
    """Return a function that takes a photograph again through a lens whose red and blue differ in scale."""

    def again(pixels: npt.NDArray[np.uint8], scale: float) -> FloatArray:
        light = linear_of(pixels, candidate)[None]
        size = (light.shape[-2], light.shape[-1])
        params = device_rows(candidate, known, 1, size, quality=np.array([quality]), stops=np.zeros(1))
        params = dataclasses.replace(params, red_scale=torch.tensor([scale]), blue_scale=torch.tensor([-scale]))
        return np.asarray((develop(light, params)[0] * 255).permute(1, 2, 0).numpy(), np.float32)

    return again


def pattern_gain(candidate: Candidate, known: Known, quality: int, *, side: int = 256, count: int = 8) -> float:
    """Return how much of a sensor's pattern the estimator finds behind this chain, by simulation on even light."""
    params = device_rows(
        candidate, known, count, (side, side), quality=np.full(count, quality), stops=np.zeros(count), draw=7
    )
    params = dataclasses.replace(
        params, prnu_std=torch.full((count,), _TRUE_PATTERN), prnu_seed=torch.full((count,), 7, dtype=torch.int64)
    )
    light = torch.linspace(0.1, 0.5, count)[:, None, None, None].expand(-1, 3, side, side).contiguous()
    photos = develop(light, params).permute(0, 2, 3, 1).numpy()
    luma = [np.asarray(photo @ np.asarray(LUMA, np.float32), np.float32) for photo in photos]
    found = fit_pattern(luma, [slope_of(plane, candidate) for plane in luma])
    return max(found.std / _TRUE_PATTERN, 0.02)
