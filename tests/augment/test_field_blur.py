"""Softness that grows towards the corners, by the variance that it gives a point."""

import pytest
import torch

from spooflab.augment.field_blur import field_blur


def _variance(image: torch.Tensor, y: int, x: int) -> float:
    """Return the variance along x of a point's image, pixels squared."""
    patch = image[y - 8 : y + 9, x - 8 : x + 9].double()
    offset = torch.arange(-8, 9, dtype=torch.float64)
    weight = patch.sum(0) / patch.sum()
    return float((weight * offset**2).sum() - (weight * offset).sum() ** 2)


@pytest.mark.parametrize("corner_blur_px", [0.6, 1.0])
def test_the_variance_grows_with_the_squared_radius(corner_blur_px: float) -> None:
    size = 256
    image = torch.zeros(1, 1, size, size)
    places = [(128, 128), (128, 192), (192, 192), (240, 240)]
    for y, x in places:
        image[0, 0, y, x] = 1
    seen = field_blur(image, corner_blur_px=torch.tensor([corner_blur_px]))[0, 0]
    for y, x in places:
        r2 = ((y + 0.5 - 128) ** 2 + (x + 0.5 - 128) ** 2) / (2 * 128**2)
        assert _variance(seen, y, x) == pytest.approx(r2 * corner_blur_px**2, rel=0.08, abs=2e-3)


def test_flat_light_and_rows_without_it_stay() -> None:
    flat = torch.full((2, 3, 64, 48), 0.3)
    torch.testing.assert_close(field_blur(flat, corner_blur_px=torch.tensor([1.0, 0.4])), flat)
    light = torch.rand(2, 3, 64, 48, generator=torch.Generator().manual_seed(0))
    mixed = field_blur(light, corner_blur_px=torch.tensor([0.0, 0.8]))
    assert torch.equal(mixed[0], light[0])
    torch.testing.assert_close(field_blur(light[1:], corner_blur_px=torch.tensor([0.8])), mixed[1:])
    assert field_blur(light, corner_blur_px=torch.zeros(2)) is light
