"""Fall-off of light: the cosine to the fourth, with the stated corner."""

import math

import pytest
import torch

from spooflab.augment.vignette import vignette


@pytest.mark.parametrize(("height", "width"), [(512, 512), (30, 81)])
@pytest.mark.parametrize("corner", [1.0, 0.9, 0.35])
def test_it_is_cosine_to_the_fourth(height: int, width: int, corner: float) -> None:
    gains = vignette(height, width, torch.tensor([corner]))
    assert gains.shape == (1, 1, height, width)
    corner_angle = math.acos(corner**0.25)
    half_diagonal = math.hypot(height, width) / 2
    for y, x in [(0, 0), (height // 3, 0), (height - 1, width // 2), (height // 2, width // 2), (2, 7)]:
        radius = math.hypot(y + 0.5 - height / 2, x + 0.5 - width / 2) / half_diagonal
        angle = math.atan(radius * math.tan(corner_angle))
        assert float(gains[0, 0, y, x]) == pytest.approx(math.cos(angle) ** 4, abs=1e-5)


def test_the_corner_itself_has_the_corner_gain() -> None:
    fine = vignette(2000, 2000, torch.tensor([0.4, 0.8]))
    assert fine[:, 0, 0, 0].tolist() == pytest.approx([0.4, 0.8], rel=2e-3)
    assert fine[:, 0, 1000, 1000].tolist() == pytest.approx([1.0, 1.0], abs=1e-5)
