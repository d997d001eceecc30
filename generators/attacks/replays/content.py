"""What a replay shows: a photograph that a first camera took, processed, resized and compressed."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from spooflab.augment.tone import srgb_encode
from spooflab.generators.attacks.replays.codec import recode
from spooflab.generators.constant import constant
from spooflab.generators.face import Face
from spooflab.generators.some import some
from spooflab.params import Params, choice, uniform

_LUMINANCE = (0.2126, 0.7152, 0.0722)
_STEPS = 4095


@dataclass(frozen=True)
class FirstCamera(Params):
    """The earlier photograph that is shown; every field is batched.

    Attributes:
        exposure: (B,) mean luminance that its metering aimed at, linear.
        metering: (B,) power of the gain towards that aim, 0-1.
        balance: (B, 3) remaining white-balance error, linear gains.
        saturation: (B,) chroma gain.
        contrast: (B,) share of the smoothstep in its tone curve.
        halo: (B,) gain of its sharpening, as cameras and screenshots have.
        halo_texels: (B,) standard deviation of the blur that the sharpening subtracts.
        scale: (B,) size that it was reduced to before it was coded, as a messenger does, 0.3-1.
        quality: (B,) int64 JPEG quality; 0 for none.
        subsampling: (B,) int64, 0 4:4:4, 2 4:2:0.
        video_qp: (B,) int64 quantiser of a video picture instead of JPEG, 0 for none.
    """

    exposure: Tensor
    metering: Tensor
    balance: Tensor
    saturation: Tensor
    contrast: Tensor
    halo: Tensor
    halo_texels: Tensor
    scale: Tensor
    quality: Tensor
    subsampling: Tensor
    video_qp: Tensor

    @classmethod
    def sample(cls, batch_size: int, generator: torch.Generator) -> "FirstCamera":
        """Draw photographs of good to poor quality: camera files, messenger copies, screenshots, video pictures."""
        n = batch_size
        balance = torch.exp(0.06 * torch.randn(n, 3, generator=generator))
        kind = torch.rand(n, generator=generator)
        resized, video = kind < 0.3, kind > 0.75
        sharpened = torch.rand(n, generator=generator) < 0.5
        return cls(
            exposure=uniform(n, 0.16, 0.34, generator),
            metering=uniform(n, 0.4, 0.9, generator),
            balance=balance / balance[:, 1:2],
            saturation=uniform(n, 0.85, 1.3, generator),
            contrast=uniform(n, 0.0, 0.6, generator),
            halo=torch.where(sharpened, uniform(n, 0.1, 1.2, generator), 0.0),
            halo_texels=uniform(n, 0.6, 1.8, generator),
            scale=torch.where(resized | (kind > 0.86), uniform(n, 0.4, 1.0, generator), 1.0),
            quality=torch.where(resized, 40 + choice(n, 46, generator), 60 + choice(n, 38, generator)),
            subsampling=torch.where(resized, 2, 2 * choice(n, 2, generator)),
            video_qp=torch.where(video, 20 + choice(n, 19, generator), 0),
        )


def first_photograph(face: Face, camera: FirstCamera) -> Tensor:
    """Return uint8 (B, 3, H, W): the face as metered, toned, sharpened, reduced and coded by the first camera.

    A picture reduced to `scale` fills that share of the result's width and height from the upper left corner; the rest
    repeats its edge.
    """
    light = face.radiance.flatten(2)
    weight = constant(_LUMINANCE, light.device)
    luminance = (light.mean(2) @ weight).clamp(min=1e-3)
    gain = ((camera.exposure / luminance) ** camera.metering).clamp(0.3, 4.0)
    saturation = camera.saturation[:, None, None]
    saturate = torch.eye(3, device=light.device) * saturation + weight.expand(3, 3) * (1 - saturation)
    matrix = saturate * (camera.balance * gain[:, None])[:, None, :]
    # A table over the square root of light: 0.06 levels fine at white, finer below, and no transcendental per pixel.
    steps = torch.linspace(0, 1, _STEPS + 1, device=light.device).square()[None, None, None].expand(len(gain), 1, 1, -1)
    table = _toned(steps, camera.contrast)[:, 0, 0] * 255
    place = torch.bmm(matrix, light).clamp_(0, 1).sqrt_().mul_(_STEPS).add_(0.5).long()
    codes = torch.gather(table, 1, place.flatten(1)).reshape(face.radiance.shape)
    return recode(
        reduce(codes, camera.scale).round_(),
        quality=camera.quality,
        subsampling=camera.subsampling,
        video_qp=camera.video_qp,
        halo=camera.halo,
        halo_texels=camera.halo_texels,
    )


def _toned(light: Tensor, contrast: Tensor) -> Tensor:
    encoded = srgb_encode(light)
    smooth = encoded * encoded * (3 - 2 * encoded)
    return torch.lerp(encoded, smooth, contrast[:, None, None, None])


def reduce(codes: Tensor, scale: Tensor) -> Tensor:
    """Return (B, 3, H, W): pictures reduced to `scale` (B,) in the upper left corner, their edge repeated beyond."""
    if not some(scale < 1):
        return codes
    height, width = codes.shape[-2:]
    # A destination texel averages 1 / scale source texels; linear interpolation does part of it.
    soft = soften(codes, ((1 / scale.square() - 1) / 12).clamp(min=0))
    grid = torch.empty(len(codes), height, width, 2, device=codes.device)
    for axis, count in ((0, width), (1, height)):
        place = (2 * torch.arange(count, device=codes.device) + 1) / count / scale[:, None] - 1
        grid[..., axis] = place[:, None, :] if axis == 0 else place[:, :, None]
    small = F.grid_sample(soft, grid, padding_mode="border", align_corners=False)
    return torch.where((scale < 1)[:, None, None, None], small, codes)


def show(codes: Tensor, table: Tensor) -> Tensor:
    """Return (B, 3, H, W) panel light of code values (B, 3, H, W) uint8 by each row's transfer table (B, 256)."""
    return torch.gather(table, 1, codes.flatten(1).long()).reshape(codes.shape)


def soften(light: Tensor, variance: Tensor) -> Tensor:
    """Blur (B, C, H, W) by a Gaussian of `variance` (B,) texels squared, 0 for none: minification without aliasing."""
    if not some(variance > 0):
        return light
    reach = 6
    offset = torch.arange(-reach, reach + 1, device=light.device)
    kernel = torch.exp(-(offset**2) / (2 * variance.clamp(1e-4, 6)[:, None]))
    kernel = (kernel / kernel.sum(1, keepdim=True))[:, :, None, None, None]
    if light.is_cpu:  # no further than the widest row reaches
        reach = min(reach, max(1, int((4.5 * variance.clamp(1e-4, 6).amax().sqrt()).ceil())))
        kernel = kernel[:, 6 - reach : 7 + reach]
    padded = F.pad(light, (reach, reach, reach, reach), mode="replicate")
    for axis in (-2, -1):  # shifted sums of whole rows: `conv2d` takes three times as long
        count = light.shape[axis]
        total = padded.narrow(axis, reach, count) * kernel[:, reach]
        for step in range(1, reach + 1):
            pair = padded.narrow(axis, reach - step, count) + padded.narrow(axis, reach + step, count)
            total.addcmul_(pair, kernel[:, reach + step])
        padded = total
    return padded
