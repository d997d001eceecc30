"""Photographs per second through a capture device, against a chain of the same stages in Kornia and Albumentations."""

from typing import Any

import kornia.augmentation as ka
import torch

from spooflab.augment import CaptureDevice, load_profile
from spooflab.experiments.bench.timing import paired
from spooflab.generators.faces.procedural import ProceduralFaces
from spooflab.seeds import generator

BATCH = 8
SIDE = 224


def augment_cases(threads: int) -> list[dict[str, Any]]:
    """Pass batches of 8 x 3 x 224 x 224 through `CaptureDevice.forward` and through the peers.

    The peers' chains hold what they offer of the same stages: perspective or distortion, blur, motion blur, colour
    change, noise, sharpening, JPEG. They have no colour filter array, no demosaicing and no sensor calibration.
    """
    source = ProceduralFaces(n_subjects=BATCH, sessions=1, size=SIDE, seed=3)
    linear = torch.cat([source.load(ref).radiance for ref in source.refs()])
    images = linear.clamp(0, 1) ** (1 / 2.2)
    device = CaptureDevice(load_profile("front_phone"))
    counter = iter(range(10**9))

    def ours() -> None:
        with torch.inference_mode():
            device(images, generator=generator(5, next(counter)))

    chain = ka.AugmentationSequential(
        ka.RandomPerspective(0.05, p=1.0),
        ka.RandomGaussianBlur((5, 5), (0.4, 1.0), p=1.0),
        ka.RandomMotionBlur(5, 20.0, 0.0, p=1.0),
        ka.ColorJiggle(0.1, 0.1, 0.1, 0.02, p=1.0),
        ka.RandomGaussianNoise(0.0, 0.02, p=1.0),
        ka.RandomSharpness(0.5, p=1.0),
        ka.RandomJPEG((60.0, 95.0), p=1.0),
    )

    def kornia_chain() -> None:
        with torch.inference_mode():
            chain(images)

    rows = [paired("front_phone 224 px", ours, items=BATCH, peer_name="kornia", peer=kornia_chain, rounds=5)]
    albumentations = _albumentations_chain(images)
    if albumentations is not None:
        rows.append(
            paired("front_phone 224 px", ours, items=BATCH, peer_name="albumentations", peer=albumentations, rounds=5)
        )
    return rows


def _albumentations_chain(images: torch.Tensor) -> Any:
    try:
        import albumentations
    except ImportError:
        return None
    pixels = (images * 255).byte().permute(0, 2, 3, 1).contiguous().numpy()
    chain = albumentations.Compose(
        [
            albumentations.OpticalDistortion(distort_limit=0.05, p=1.0),
            albumentations.GaussianBlur(blur_limit=(3, 5), p=1.0),
            albumentations.MotionBlur(blur_limit=(3, 5), p=1.0),
            albumentations.ColorJitter(0.1, 0.1, 0.1, 0.02, p=1.0),
            albumentations.ISONoise(p=1.0),
            albumentations.Sharpen(p=1.0),
            albumentations.ImageCompression(quality_range=(60, 95), p=1.0),
        ]
    )

    def run() -> None:
        for image in pixels:
            chain(image=image)

    return run
