"""The camera simulated with candidate parameters: flat patches and edges through our own `develop`."""

import dataclasses
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from spooflab.augment.camera_codec import without_codec
from spooflab.augment.capture import CaptureDevice
from spooflab.augment.codec import jpeg
from spooflab.augment.color import saturation_matrix
from spooflab.augment.develop import develop, quantise
from spooflab.augment.device_params import DeviceParams
from spooflab.augment.tone import inverse_tone_curve, srgb_decode
from spooflab.seeds import generator, seed

PATCH_PX = 96
MARGIN_PX = 16
"""Side of a simulated patch, and what of it is not measured: the reach of noise reduction in chroma, twice its radius
of three pixels at half size. Both are multiples of 16, so patches side by side share no block of the codec."""
_CHUNK = 48
"""Patches that are developed at once: fewer cost calls, more leave a core's cache."""


@dataclass(frozen=True)
class Candidate:
    """What is sought, as one camera has it on average; names and units as in `DeviceParams`.

    Attributes:
        row_share: row noise relative to sqrt(b).
        saturation: chroma gain after the correction matrix.
        red_gain, blue_gain: white-balance gains, green = 1.
        prnu_std: strength of the sensor's pattern, which noise of bright light holds too.
    """

    a: float
    b: float
    row_share: float
    smear: float
    halo: float
    halo_radius_px: float
    tone: float
    gamma: float
    saturation: float
    red_gain: float
    blue_gain: float
    prnu_std: float


@dataclass(frozen=True)
class Known:
    """What is taken as known while the candidates are tried.

    Attributes:
        ccm: (3, 3) correction matrix, without saturation.
        cfa: RGGB mosaic.
        bits, black_level: the converter.
        subsampling: 0 4:4:4, 1 4:2:2, 2 4:2:0.
        beautify: strength of skin smoothing.
    """

    ccm: npt.NDArray[np.float64]
    cfa: bool
    bits: int
    black_level: float
    subsampling: int
    beautify: float = 0.0


def device_rows(
    candidate: Candidate,
    known: Known,
    count: int,
    size: tuple[int, int],
    *,
    quality: npt.NDArray[np.int64],
    stops: npt.NDArray[np.float64],
    b_power: float = 1.0,
    draw: int = 0,
) -> DeviceParams:
    """Return parameters of `count` shots that differ in noise seed, quality, and gain.

    Everything that is not in `candidate` or `known` rests, as in the reference device.

    Args:
        candidate, known: the camera.
        count, size: rows, and their height and width.
        quality: (count,) JPEG quality, 0 for none.
        stops: (count,) log2 by which a row's `a` departs from the candidate's; `b` departs by `b_power` times that.
        b_power: see `stops`.
        draw: equal numbers give equal noise.
    """
    base = _resting(count, size)
    a = candidate.a * np.exp2(stops)
    b = candidate.b * np.exp2(b_power * stops)
    ccm = saturation_matrix(torch.tensor([candidate.saturation]))[0] @ torch.from_numpy(known.ccm).float()
    return dataclasses.replace(
        base,
        sensor_matrix=torch.linalg.inv(ccm).repeat(count, 1, 1),
        ccm=ccm.repeat(count, 1, 1),
        balance=torch.tensor([candidate.red_gain, 1.0, candidate.blue_gain]).repeat(count, 1),
        cfa=torch.full((count,), known.cfa),
        noise_a=torch.from_numpy(a).float(),
        noise_b=torch.from_numpy(b).float(),
        row_std=torch.from_numpy(candidate.row_share * np.sqrt(b)).float(),
        noise_seed=torch.tensor([seed(draw, "fit", "noise", i) for i in range(count)]),
        prnu_std=torch.full((count,), candidate.prnu_std),
        prnu_seed=torch.full((count,), 1, dtype=torch.int64),
        bits=torch.full((count,), known.bits, dtype=torch.int64),
        black_level=torch.full((count,), known.black_level),
        smear=torch.full((count,), candidate.smear),
        beautify=torch.full((count,), known.beautify),
        tone=torch.full((count,), candidate.tone),
        gamma=torch.full((count,), candidate.gamma),
        halo=torch.full((count,), candidate.halo),
        halo_radius_px=torch.full((count,), candidate.halo_radius_px),
        quality=torch.from_numpy(quality),
        subsampling=torch.full((count,), known.subsampling, dtype=torch.int64),
    )


@lru_cache(maxsize=8)
def _resting(count: int, size: tuple[int, int]) -> DeviceParams:
    return CaptureDevice.ideal().sample(count, generator(0, "fit"), size=size)


def linear_light(encoded: Tensor, candidate: Candidate) -> Tensor:
    """Return the light (B, 3, H, W) behind code values of the same shape, by the candidate's curve."""
    count = len(encoded)
    tone, gamma = torch.full((count,), candidate.tone), torch.full((count,), candidate.gamma)
    return srgb_decode(inverse_tone_curve(encoded, tone=tone, gamma=gamma)).clamp(min=0)


def flat_patches(colours: npt.NDArray[np.float32], params: DeviceParams, candidate: Candidate) -> Tensor:
    """Return photos (B, 3, PATCH_PX, PATCH_PX) of flat light that lands at the code values `colours` (B, 3).

    The same as `develop` of all at once, but near a patch's border, where the codec's chroma sees the next patch.
    """
    light = linear_light(torch.from_numpy(colours)[:, :, None, None], candidate)
    uncoded = without_codec(params)
    photos = torch.empty(len(colours), 3, PATCH_PX, PATCH_PX)
    for start in range(0, len(colours), _CHUNK):
        rows = slice(start, start + _CHUNK)
        flat = light[rows].expand(-1, -1, PATCH_PX, PATCH_PX).contiguous()
        photos[rows] = develop(flat, uncoded.rows(rows))
    return _coded(photos, params)


def _coded(photos: Tensor, params: DeviceParams) -> Tensor:
    """Code patches of equal tables as one tall picture: a file of its own for each would cost more than its pixels."""
    coding = torch.stack([params.quality, params.subsampling], 1)
    for tables in torch.unique(coding, dim=0):
        rows = torch.nonzero((coding == tables).all(1))[:, 0]
        tall = quantise(photos[rows]).transpose(0, 1).reshape(1, 3, -1, PATCH_PX)
        coded = jpeg(tall, quality=tables[:1], subsampling=tables[1:])
        photos[rows] = coded.reshape(3, -1, PATCH_PX, PATCH_PX).transpose(0, 1).float() / 255
    return photos
