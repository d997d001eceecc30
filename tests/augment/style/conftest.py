"""Pictures with coloured, uneven content."""

import pytest
import torch


def _pictures(count: int, size: tuple[int, int], seed: int, low: float = 0.05, high: float = 0.95) -> torch.Tensor:
    gen = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, 3, 6, 7, generator=gen) ** torch.tensor([0.6, 1.0, 1.7])[:, None, None]
    smooth = torch.nn.functional.interpolate(coarse, size, mode="bicubic").clamp(0, 1)
    grain = 0.05 * torch.randn(count, 3, *size, generator=gen)
    return (low + (high - low) * (smooth + grain).clamp(0, 1)).mul(255).round().div(255)


@pytest.fixture
def pictures() -> torch.Tensor:
    return _pictures(3, (60, 80), 0)


@pytest.fixture
def targets() -> torch.Tensor:
    return _pictures(3, (90, 70), 1, 0.3, 0.8)
