"""Transfer functions and the contrast curve, against double precision and closed forms."""

import numpy as np
import pytest
import torch

from spooflab.augment.tone import inverse_tone_curve, srgb_decode, srgb_encode, tone_curve


def _line(count: int = 4001) -> torch.Tensor:
    return torch.linspace(0, 1, count)[None, None, None]


def test_srgb_is_the_standards() -> None:
    x = np.linspace(0, 1, 4001)
    wanted = np.where(x <= 0.0031308, 12.92 * x, 1.055 * x ** (1 / 2.4) - 0.055)
    np.testing.assert_allclose(srgb_encode(_line()).flatten().numpy(), wanted, atol=1e-6)
    wanted = np.where(x <= 0.04045, x / 12.92, ((x + 0.055) / 1.055) ** 2.4)
    np.testing.assert_allclose(srgb_decode(_line()).flatten().numpy(), wanted, atol=1e-6)


def test_srgb_clips_and_keeps_every_8_bit_code() -> None:
    assert srgb_encode(torch.tensor([-0.5, 0.0, 1.0, 7.0])).tolist() == pytest.approx([0, 0, 1, 1], abs=1e-6)
    codes = torch.arange(256) / 255
    assert torch.equal((srgb_encode(srgb_decode(codes)) * 255).round(), torch.arange(256.0))


@pytest.mark.parametrize("tone", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("gamma", [0.8, 1.0, 1.1])
def test_the_curve_is_its_formula_rises_and_is_undone(tone: float, gamma: float) -> None:
    settings = {"tone": torch.tensor([tone]), "gamma": torch.tensor([gamma])}
    curved = tone_curve(_line(), **settings)
    u = np.linspace(0, 1, 4001) ** gamma
    np.testing.assert_allclose(curved.flatten().numpy(), u + tone * (3 * u**2 - 2 * u**3 - u), atol=2e-6)
    assert bool((curved.diff() >= -1e-7).all())
    back = inverse_tone_curve(curved, **settings)
    # At full strength the curve is flat at both ends, where float32 leaves a square root of its rounding.
    assert float((back - _line()).abs().max()) < (2e-3 if tone == 1.0 else 1e-5)


def test_the_full_inverse_is_brooks_closed_form() -> None:
    one = torch.ones(1)
    wanted = 0.5 - torch.sin(torch.asin(1 - 2 * _line()) / 3)
    torch.testing.assert_close(inverse_tone_curve(_line(), tone=one, gamma=one), wanted, atol=1e-5, rtol=0)


def test_rows_have_their_own_curves() -> None:
    x = torch.rand(2, 3, 6, 6, generator=torch.Generator().manual_seed(0))
    tone, gamma = torch.tensor([0.0, 0.8]), torch.tensor([1.0, 0.9])
    both = tone_curve(x, tone=tone, gamma=gamma)
    torch.testing.assert_close(both[:1], x[:1])
    torch.testing.assert_close(both[1:], tone_curve(x[1:], tone=tone[1:], gamma=gamma[1:]))
