"""One chain of ten operations in four libraries, with strengths set to give like pictures.

Lens distortion, defocus, motion blur, vignetting, exposure, white balance, signal-dependent noise, tone curve,
sharpening, JPEG. Each peer's operation is the nearest that it has; what it lacks is left out and named.
"""

import dataclasses
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch
from torch import Tensor

from spooflab.augment import CaptureDevice, DeviceParams
from spooflab.augment.codec import jpeg
from spooflab.augment.noise_bank import bank_side
from spooflab.augment.quick import device_banks
from spooflab.augment.quick_batch import quick_codes, quick_tensors
from spooflab.augment.quick_chunks import quick_cpu
from spooflab.augment.quick_table import quick_table
from spooflab.seeds import generator

EDGE_DISTORTION = 0.03
BLUR_PX, MOTION_PX = 0.8, 3.0
CORNER_GAIN = 0.72
EXPOSURE_EV = 0.25
RED_GAIN, BLUE_GAIN = 1.08, 0.94
SHOT_A, READ_B = 1e-3, 1e-6
TONE = 0.25
HALO, HALO_RADIUS_PX = 0.5, 1.2
QUALITY = 80

Chain = Callable[[Tensor], Tensor]
"""uint8 (B, 3, H, W) to the same."""


def our_params(device: CaptureDevice, batch_size: int, seed: int, size: tuple[int, int]) -> DeviceParams:
    """Return shots of a camera without colour filters, each with noise of its own, whose ten strengths are fixed."""
    shots = device.sample(batch_size, generator(seed, "bench"), size=size)
    one = torch.ones(batch_size)
    view = dataclasses.replace(
        shots.view,
        k1=EDGE_DISTORTION * one,
        blur_px=BLUR_PX * one,
        motion_px=torch.tensor([[MOTION_PX, 0.0]]).repeat(batch_size, 1),
    )
    balance_error = torch.tensor([[RED_GAIN, 1.0, BLUE_GAIN]]).repeat(batch_size, 1)
    return dataclasses.replace(
        shots,
        view=view,
        corner_gain=CORNER_GAIN * one,
        error_ev=EXPOSURE_EV * one,
        balance_error=balance_error,
        noise_a=SHOT_A * one,
        noise_b=READ_B * one,
        tone=TONE * one,
        halo=HALO * one,
        halo_radius_px=HALO_RADIUS_PX * one,
        quality=torch.full((batch_size,), QUALITY),
        subsampling=torch.full((batch_size,), 2),
    )


def spooflab_chain(*, compiled: bool = False, whole: bool = False) -> Chain:
    """Return ours: parameters drawn, table made, and the pictures taken.

    In chunks where they lie on the CPU, unless `whole` or `compiled`: then as the tensors that accelerators work on.
    The codec is part of the compiled graph but on the CPU, where libjpeg is faster.
    """
    device, counter = CaptureDevice.ideal(), iter(range(10**9))
    wrapped: Any = (lambda call: torch.compile(call, fullgraph=True)) if compiled else (lambda call: call)
    codes, photographs = wrapped(quick_codes), wrapped(quick_tensors)

    def run(images: Tensor) -> Tensor:
        size = (images.shape[-2], images.shape[-1])
        table = quick_table(our_params(device, len(images), next(counter), size)).to(images.device)
        if not (compiled or whole):
            return quick_cpu(images, table)
        banks = device_banks(images.device, bank_side(*size))
        if images.device.type != "cpu":
            made: Tensor = photographs(images / 255, table, *banks)
            return made
        return jpeg(codes(images / 255, table, *banks), quality=table.quality, subsampling=table.subsampling)

    return run


def albumentations_chain(noise: str, threads: int) -> Chain | None:
    """Return the chain of Albumentations, image by image, on a pool of threads; `noise` is a transform's name."""
    try:
        import albumentations as alb
        import cv2
    except ImportError:
        return None
    cv2.setNumThreads(1)  # the pool has the threads
    gain = 0.96  # exposure, less what the illumination adds
    noises: dict[str, Callable[[], Any]] = {
        "ShotNoise": lambda: alb.ShotNoise(scale_range=(SHOT_A, SHOT_A), p=1.0),
        "ISONoise": lambda: alb.ISONoise(color_shift=(0.01, 0.01), intensity=(0.1, 0.1), p=1.0),
        "GaussNoise": lambda: alb.GaussNoise(std_range=(0.02, 0.02), p=1.0),
    }
    chain = alb.Compose(
        [
            alb.OpticalDistortion(distort_limit=(EDGE_DISTORTION,) * 2, border_mode=cv2.BORDER_REPLICATE, p=1.0),
            alb.GaussianBlur(blur_limit=0, sigma_limit=(BLUR_PX, BLUR_PX), p=1.0),
            alb.MotionBlur(blur_limit=(3, 3), angle_range=(0, 0), direction_range=(0, 0), allow_shifted=False, p=1.0),
            alb.Illumination(
                mode="gaussian", effect_type="brighten", intensity_range=(0.2, 0.2), center_range=(0.5, 0.5),
                sigma_range=(0.5, 0.5), p=1.0,
            ),
            alb.MultiplicativeNoise(multiplier=(gain, gain), p=1.0),
            alb.RGBShift((6, 6), (0, 0), (-5, -5), p=1.0),
            noises[noise](),
            alb.RandomToneCurve(scale=0.1, p=1.0),
            alb.UnsharpMask(
                blur_limit=(7, 7), sigma_limit=(HALO_RADIUS_PX,) * 2, alpha=(HALO,) * 2, threshold=0, p=1.0
            ),
            alb.ImageCompression(quality_range=(QUALITY, QUALITY), p=1.0),
        ],
        seed=1,
    )  # fmt: skip

    def run(images: Tensor) -> Tensor:
        pixels = images.permute(0, 2, 3, 1).contiguous().numpy()
        if threads == 1:
            made = [chain(image=image)["image"] for image in pixels]
        else:
            with ThreadPoolExecutor(threads) as pool:
                made = list(pool.map(lambda image: chain(image=image)["image"], pixels))
        return torch.stack([torch.from_numpy(image) for image in made]).permute(0, 3, 1, 2)

    return run


def kornia_chain(*, compiled: bool = False) -> Chain:
    """Return the chain of Kornia on float32 batches; a perspective stands for the lens, for its fisheye
    leaves black corners."""
    import kornia.augmentation as ka

    chain: Any = ka.AugmentationSequential(
        ka.RandomPerspective(EDGE_DISTORTION, p=1.0),
        ka.RandomGaussianBlur((7, 7), (BLUR_PX, BLUR_PX), p=1.0),
        ka.RandomMotionBlur(3, 0.0, 0.0, border_type="replicate", p=1.0),
        ka.RandomGaussianIllumination((0.2, 0.2), (0.5, 0.5), (0.5, 0.5), (1.0, 1.0), p=1.0),
        ka.RandomBrightness((0.92, 0.92), p=1.0),
        ka.RandomPlanckianJitter(select_from=[4, 4], p=1.0),
        ka.RandomGaussianNoise(0.0, 0.035, p=1.0),
        ka.RandomGamma((0.95, 0.95), p=1.0),
        ka.RandomSharpness((HALO, HALO), p=1.0),
        ka.RandomJPEG((float(QUALITY), float(QUALITY)), p=1.0),
    )
    return _on_floats(torch.compile(chain) if compiled else chain)


def torchvision_chain(*, compiled: bool = False) -> Chain | None:
    """Return the chain of torchvision v2: a perspective stands for the lens; motion blur and vignetting are missing."""
    try:
        from torchvision.transforms import v2
    except ImportError:
        return None
    before: Any = v2.Compose(
        [
            v2.RandomPerspective(EDGE_DISTORTION, p=1.0),
            v2.GaussianBlur(7, BLUR_PX),
            v2.ColorJitter(brightness=(1.08, 1.08), hue=(0.01, 0.01)),
            v2.GaussianNoise(0.0, 0.02),
            v2.Lambda(lambda x: v2.functional.adjust_gamma(x, 0.95)),
            v2.RandomAdjustSharpness(1 + HALO, p=1.0),
        ]
    )
    if compiled:
        before = torch.compile(before)
    codec: Any = v2.JPEG((QUALITY, QUALITY))

    def run(images: Tensor) -> Tensor:
        made = _on_floats(before)(images)
        return torch.stack([codec(image) for image in made])

    return run


def _on_floats(chain: Callable[[Tensor], Tensor]) -> Chain:
    def run(images: Tensor) -> Tensor:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return (chain(images / 255) * 255).round().clamp(0, 255).to(torch.uint8)

    return run
