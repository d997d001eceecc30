"""A camera that bends and does little else, and a scene whose parts can be found again in its photograph."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch

from spooflab.augment import CaptureDevice, DeviceShift, load_profile

HEIGHT, WIDTH = 96, 128


@dataclass(frozen=True)
class Scene:
    image: np.ndarray  # (H, W, 3) uint8: a light rectangle and a dot
    mask: np.ndarray  # (H, W) uint8, 7 in the rectangle
    box: tuple[float, float, float, float]  # x1, y1, x2, y2, ends exclusive
    dot: tuple[float, float]  # continuous x, y

    def check(self, image: np.ndarray, mask: np.ndarray, box: np.ndarray, dot: np.ndarray) -> None:
        assert set(np.unique(mask)) == {0, 7}
        assert not np.array_equal(mask, self.mask)
        red = image[..., 0].astype(float)
        lit = red > 161  # half of the light of 220
        assert (lit & (mask > 0)).sum() / (lit | (mask > 0)).sum() > 0.97
        rows, columns = np.nonzero(mask)
        spanned = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        np.testing.assert_allclose(box, spanned, atol=1)
        green = np.where(mask > 0, 0, image[..., 1].astype(float))
        green = np.where(green > 40, green, 0)
        ys, xs = np.mgrid[:HEIGHT, :WIDTH] + 0.5
        centroid = [(green * xs).sum() / green.sum(), (green * ys).sum() / green.sum()]
        np.testing.assert_allclose(dot, centroid, atol=0.3)


@pytest.fixture
def scene() -> Scene:
    image = np.full((HEIGHT, WIDTH, 3), 10, np.uint8)
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    image[24:60, 22:52], mask[24:60, 22:52] = (220, 0, 120), 7
    ys, xs = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    image[..., 1] += (230 * np.exp(-((xs - 90.5) ** 2 + (ys - 70.5) ** 2) / 8)).astype(np.uint8)
    return Scene(image, mask, (22, 24, 52, 60), (90.5, 70.5))


@pytest.fixture
def bent() -> CaptureDevice:
    profile = load_profile("ideal")
    lens = profile.lens.model_copy(update={"edge_distortion": (-0.2, -0.2)})
    return CaptureDevice(profile.model_copy(update={"name": "bent", "lens": lens}))


@pytest.fixture
def shift() -> DeviceShift:
    return DeviceShift([CaptureDevice("front_phone"), CaptureDevice("kiosk"), CaptureDevice("old_phone", unit=2)])


@pytest.fixture
def photos() -> torch.Tensor:
    coarse = torch.rand(8, 3, 5, 6, generator=torch.Generator().manual_seed(0))
    smooth = torch.nn.functional.interpolate(coarse, (40, 48), mode="bilinear")
    return (smooth * 255).to(torch.uint8)
