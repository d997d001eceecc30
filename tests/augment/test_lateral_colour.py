"""Red and blue are scaled about the centre, by the stated amount."""

import math

import pytest
import torch

from spooflab.augment.lateral_colour import lateral_colour


@pytest.mark.parametrize(("red", "blue"), [(1e-3, -7e-4), (-5e-4, 0.0)])
@pytest.mark.parametrize(("height", "width"), [(512, 512), (200, 333)])
def test_a_wave_is_looked_up_where_the_scale_says(red: float, blue: float, height: int, width: int) -> None:
    ys, xs = torch.meshgrid(
        torch.arange(height, dtype=torch.float64) + 0.5 - height / 2,
        torch.arange(width, dtype=torch.float64) + 0.5 - width / 2,
        indexing="ij",
    )

    def wave(scale: float) -> torch.Tensor:
        return 0.5 + 0.3 * torch.cos(2 * math.pi * (0.04 * xs - 0.05 * ys) / (1 + scale))

    light = wave(0).float().expand(1, 3, -1, -1)
    out = lateral_colour(light, red=torch.tensor([red]), blue=torch.tensor([blue])).double()
    inside = (slice(2, -2), slice(2, -2))
    for channel, scale in enumerate((red, 0.0, blue)):
        torch.testing.assert_close(out[0, channel][inside], wave(scale)[inside], atol=1.5e-3, rtol=0)
    assert float((wave(red) - wave(0)).abs().max()) > 0.005


def test_parabolas_are_exact() -> None:
    x = torch.arange(64.0) + 0.5 - 32
    light = (0.2 + 0.003 * x + 0.0002 * x * x).expand(1, 3, 64, 64)
    out = lateral_colour(light, red=torch.tensor([0.004]), blue=torch.tensor([0.0]))
    back = x / 1.004
    wanted = 0.2 + 0.003 * back + 0.0002 * back * back
    torch.testing.assert_close(out[0, 0, 32, 1:-1], wanted[1:-1], atol=1e-6, rtol=0)
    torch.testing.assert_close(out[0, 2], light[0, 2])


def test_green_and_scales_of_nothing_stay() -> None:
    light = torch.rand(2, 3, 20, 24, generator=torch.Generator().manual_seed(0))
    zero = torch.zeros(2)
    assert torch.equal(lateral_colour(light, red=zero, blue=zero), light)
    out = lateral_colour(light, red=zero + 1e-3, blue=zero - 1e-3)
    assert torch.equal(out[:, 1], light[:, 1])
    assert not torch.equal(out[:, 0], light[:, 0])
