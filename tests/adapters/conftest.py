"""A toy problem that any algorithm learns: bona fide images carry bright columns."""

from collections.abc import Callable

import pytest
import torch

from spooflab.adapters import ImageSet


def toy_images(count: int, *, size: int = 32, domains: int = 3, root: int = 0, strength: float = 40.0) -> ImageSet:
    gen = torch.Generator().manual_seed(root)
    labels = torch.arange(count) % 2
    domain = (torch.arange(count) // 2) % domains
    images = 60 + 80 * torch.rand(count, 3, size, size, generator=gen) + 10.0 * domain[:, None, None, None]
    images[labels == 1, :, :, ::4] += strength
    keys = [f"toy-{root}-{i:04d}" for i in range(count)]
    species = ["bonafide" if label else f"attack{i % 2}" for i, label in enumerate(labels.tolist())]
    return ImageSet(images.clamp(0, 255).to(torch.uint8), labels, domain, keys, species)


@pytest.fixture(scope="session")
def toy() -> Callable[..., ImageSet]:
    return toy_images
