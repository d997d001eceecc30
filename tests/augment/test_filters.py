"""Box means, noise reduction, skin smoothing and sharpening, against SciPy and closed forms."""

import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from spooflab.augment.beautify import beautify
from spooflab.augment.box import box_mean, double, halve, replicate
from spooflab.augment.color import luma, luminance
from spooflab.augment.denoise import smear
from spooflab.augment.sharpen import gaussian_blur, sharpen

GENERATOR_SEED = 4


def _random(*shape: int) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(GENERATOR_SEED))


@pytest.mark.parametrize("radius", [1, 2, 3, 4, 5, 6, 7, 10])
def test_box_mean_is_scipys(radius: int) -> None:
    ndimage = pytest.importorskip("scipy.ndimage")
    image = _random(2, 3, 40, 33)
    wanted = ndimage.uniform_filter(image.double().numpy(), (1, 1, 2 * radius + 1, 2 * radius + 1), mode="nearest")
    np.testing.assert_allclose(box_mean(image, radius).numpy(), wanted, atol=1e-5)


@pytest.mark.parametrize("margin", [1, 3])
def test_replicate_is_torchs(margin: int) -> None:
    image = _random(2, 3, 9, 7)
    assert torch.equal(replicate(image, margin), F.pad(image, (margin,) * 4, mode="replicate"))


@pytest.mark.parametrize("size", [(8, 8), (9, 8), (8, 11), (13, 13)])
def test_halve_is_a_mean_and_double_gives_the_size_back(size: tuple[int, int]) -> None:
    image = _random(1, 2, *size)
    torch.testing.assert_close(halve(image), F.avg_pool2d(image, 2, ceil_mode=True, count_include_pad=False))
    assert double(halve(image), *size).shape == image.shape
    flat = torch.full((1, 1, *size), 0.3)
    torch.testing.assert_close(double(halve(flat), *size), flat)


def _smear(image: torch.Tensor, strength: float, a: float = 0.0, b: float = 0.0) -> torch.Tensor:
    values = (torch.full((image.shape[0],), value) for value in (strength, a, b))
    return smear(image, **dict(zip(("strength", "a", "b"), values, strict=True)))


def test_smear_of_no_strength_changes_nothing_even_beside_a_strong_one() -> None:
    image = _random(2, 3, 24, 24)
    assert torch.equal(_smear(image, 0.0, 1e-2, 1e-4), image)
    strength, level = torch.tensor([0.0, 0.7]), torch.full((2,), 1e-3)
    both = smear(image, strength=strength, a=level, b=level)
    assert torch.equal(both[0], image[0])
    torch.testing.assert_close(both[1:], _smear(image[1:], 0.7, 1e-3, 1e-3), atol=1e-6, rtol=0)


def test_smear_takes_noise_by_the_wiener_share() -> None:
    level, variance, strength = 0.3, 1e-4, 0.5
    generator = torch.Generator().manual_seed(1)
    grey = level + math.sqrt(variance) * torch.randn(1, 1, 512, 512, generator=generator)
    out = luminance(_smear(grey.expand(1, 3, 512, 512).contiguous(), strength, b=variance))[..., 8:-8, 8:-8]
    sigma2 = strength * (4 * variance + 2e-4 * level)
    keep = variance / (variance + sigma2)
    # keep · noise + (1 - keep) · a mean of means: triangular weights of two 5 x 5 boxes.
    tent = np.convolve(np.ones(5) / 5, np.ones(5) / 5)
    kernel = np.outer(tent, tent) * (1 - keep)
    kernel[4, 4] += keep
    assert float(out.var()) == pytest.approx(variance * float((kernel**2).sum()), rel=0.1)
    assert float(out.mean()) == pytest.approx(level, abs=1e-4)


def test_smear_spares_edges_and_flattens_texture() -> None:
    step = torch.full((1, 3, 64, 64), 0.1)
    step[..., 32:] = 0.6
    assert float((_smear(step, 0.7, a=1e-3, b=1e-5) - step).abs().max()) < 0.02
    ripple = 0.01 * torch.sin(torch.arange(64) * 2.0).expand(1, 3, 64, 64)
    flattened = _smear(0.3 + ripple, 0.7, a=1e-3, b=1e-5)
    assert float(flattened.std()) < 0.25 * float(ripple.std())


def test_smear_is_harder_on_chroma() -> None:
    generator = torch.Generator().manual_seed(2)
    noisy = 0.3 + 0.02 * torch.randn(1, 3, 256, 256, generator=generator)
    out = _smear(noisy, 0.3, a=4e-4 / 0.3)
    light = luminance(out).std() / luminance(noisy).std()
    chroma = (out[:, 0] - out[:, 2]).std() / (noisy[:, 0] - noisy[:, 2]).std()
    assert float(chroma) < 0.9 * float(light)


@pytest.mark.parametrize("radius_px", [0.7, 1.0, 1.8])
def test_gaussian_blur_is_scipys(radius_px: float) -> None:
    ndimage = pytest.importorskip("scipy.ndimage")
    image = _random(1, 1, 31, 40)
    wanted = ndimage.gaussian_filter(image[0, 0].double().numpy(), radius_px, mode="nearest", radius=3)
    np.testing.assert_allclose(gaussian_blur(image, torch.tensor([radius_px]))[0, 0].numpy(), wanted, atol=1e-6)


@pytest.mark.parametrize("radius_px", [0.8, 1.0])
def test_a_sharpened_step_overshoots_by_the_gaussians_tail(radius_px: float) -> None:
    step = torch.full((1, 3, 32, 32), 0.4)
    step[..., 16:] = 0.6
    gain = 0.8
    out = sharpen(step, gain=torch.tensor([gain]), radius_px=torch.tensor([radius_px]))
    # Half a pixel from the edge, the sampled Gaussian reaches over by its weights beyond.
    weights = np.exp(-0.5 * (np.arange(-3, 4) / radius_px) ** 2)
    reach = weights[:3].sum() / weights.sum()
    assert float(out[0, 0, 16, 16]) == pytest.approx(0.6 + gain * 0.2 * reach, abs=1e-5)
    assert float(out[0, 0, 16, 15]) == pytest.approx(0.4 - gain * 0.2 * reach, abs=1e-5)
    assert float(out[0, 0, 16, 4]) == pytest.approx(0.4, abs=1e-6)


def test_halos_are_neutral_clipped_and_absent_without_gain() -> None:
    image = _random(2, 3, 24, 24) * 0.4 + 0.3
    out = sharpen(image, gain=torch.tensor([0.0, 0.5]), radius_px=torch.ones(2))
    torch.testing.assert_close(out[0], image[0])
    change = out[1] - image[1]
    torch.testing.assert_close(change, change[:1].expand(3, -1, -1), atol=1e-6, rtol=0)
    extreme = sharpen(_random(1, 3, 24, 24).round(), gain=torch.tensor([1.5]), radius_px=torch.ones(1))
    assert 0 <= float(extreme.min()) <= float(extreme.max()) <= 1


def _speckled(colour: list[float]) -> torch.Tensor:
    speckle = 0.02 * torch.randn(1, 1, 96, 96, generator=torch.Generator().manual_seed(3))
    return torch.tensor(colour)[None, :, None, None] + speckle


def test_beautify_smooths_skin_and_leaves_the_rest() -> None:
    strength = torch.tensor([1.0])
    skin, shirt = _speckled([0.80, 0.60, 0.50]), _speckled([0.3, 0.45, 0.8])
    assert float(luma(beautify(skin, strength=strength)).std()) < 0.4 * float(luma(skin).std())
    torch.testing.assert_close(beautify(shirt, strength=strength), shirt, atol=1e-6, rtol=0)
    assert torch.equal(beautify(skin, strength=0 * strength), skin)


def test_beautify_keeps_features() -> None:
    face = torch.tensor([0.80, 0.60, 0.50])[None, :, None, None].expand(1, 3, 96, 96).clone()
    face[..., 44:52, 30:66] *= 0.35  # a brow
    out = beautify(face, strength=torch.tensor([0.6]))
    assert float((luma(out) - luma(face)).abs().max()) < 0.06


@pytest.mark.parametrize("size", [(8, 8), (33, 40), (225, 224)])
def test_beautify_takes_any_size_and_rows_apart(size: tuple[int, int]) -> None:
    image = _random(2, 3, *size)
    strength = torch.tensor([0.2, 0.6])
    both = beautify(image, strength=strength)
    assert both.shape == image.shape
    torch.testing.assert_close(both[1:], beautify(image[1:], strength=strength[1:]))
