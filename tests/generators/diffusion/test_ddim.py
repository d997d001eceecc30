"""Both ways of DDIM against closed forms, and the settings in which they would not undo each other."""

from typing import Any

import pytest
import torch
from diffusers import DDIMScheduler, EulerDiscreteScheduler, PNDMScheduler
from torch import Tensor

from spooflab.errors import ConfigError
from spooflab.generators.diffusion.ddim import Predict, ddim_pair, denoise_latents, invert_latents

STABLE = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}
SPREAD = 0.6
"""Standard deviation of the data of which `gaussian` knows all."""


def _latents() -> Tensor:
    return torch.randn(2, 4, 6, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 2


def gaussian(scheduler: Any) -> Predict:
    """The perfect model of data ~ N(0, SPREAD^2): E[noise | x] or E[v | x], both linear in x."""

    def predict(latents: Tensor, timestep: Tensor) -> Tensor:
        a = scheduler.alphas_cumprod[timestep].double()
        variance = a * SPREAD**2 + 1 - a
        noise, clean = (1 - a).sqrt() / variance * latents, a.sqrt() * SPREAD**2 / variance * latents
        if scheduler.config.prediction_type == "epsilon":
            return noise
        return a.sqrt() * noise - (1 - a).sqrt() * clean

    return predict


def _error(config: dict[str, Any], steps: int, count: int) -> tuple[float, float]:
    """Return how far noise lies from the closed form, and how far the way back ends from where it began."""
    pair = ddim_pair(config, steps)
    inverse = pair.inverse
    clean, predict = _latents(), gaussian(pair.forward)
    path = invert_latents(predict, clean, pair, count)
    # The flow of a Gaussian keeps every point at its quantile: it scales with the standard deviation.
    first, last = inverse.initial_alpha_cumprod, inverse.alphas_cumprod[inverse.timesteps[count - 1]]
    deviations = [float((a * SPREAD**2 + 1 - a).sqrt()) for a in (first, last)]
    wanted = clean * deviations[1] / deviations[0]
    back = denoise_latents(predict, path, pair)
    return float((path[-1] - wanted).abs().max()), float((back - clean).abs().max())


@pytest.mark.parametrize("spacing", ["leading", "trailing"])
@pytest.mark.parametrize(
    "model",
    [
        {"prediction_type": "epsilon"},
        {"prediction_type": "v_prediction"},
        {"prediction_type": "v_prediction", "rescale_betas_zero_snr": True},
        {"prediction_type": "epsilon", "set_alpha_to_one": False, "steps_offset": 1},
    ],
)
def test_noise_and_the_way_back_converge_to_the_closed_form(spacing: str, model: dict[str, Any]) -> None:
    config = dict(DDIMScheduler(timestep_spacing=spacing, **STABLE, **model).config)
    errors = torch.tensor([_error(config, steps, round(0.8 * steps)) for steps in (25, 50, 100, 200)])
    assert float(errors[-1].max()) < 0.1  # of latents up to 6
    assert float(errors[-1, 1]) < 0.045
    # First order: twice the steps, half the error.
    ratios = errors[:-1] / errors[1:]
    assert bool(((ratios > 1.5) & (ratios < 2.6)).all()), ratios


@pytest.mark.parametrize("spacing", ["leading", "trailing"])
@pytest.mark.parametrize("ends", [{}, {"set_alpha_to_one": False}, {"steps_offset": 1, "set_alpha_to_one": False}])
@pytest.mark.parametrize("steps", [4, 10, 250])
@pytest.mark.parametrize("predicts", ["epsilon", "v_prediction"])
def test_what_does_not_hang_on_the_latents_is_undone_exactly(
    spacing: str, ends: dict[str, Any], steps: int, predicts: str
) -> None:
    """Noise that is the same for all latents but another at each level: any level off by one would show."""
    config = DDIMScheduler(timestep_spacing=spacing, prediction_type=predicts, **STABLE, **ends).config
    pair = ddim_pair(config, steps)
    asked: list[int] = []

    def predict(latents: Tensor, timestep: Tensor) -> Tensor:
        asked.append(int(timestep))
        noise = torch.randn(latents.shape, generator=torch.Generator().manual_seed(asked[-1]), dtype=latents.dtype)
        if predicts == "epsilon":
            return noise
        share = pair.forward.alphas_cumprod[timestep].double()
        return (noise - (1 - share).sqrt() * latents) / share.sqrt()

    path = invert_latents(predict, _latents(), pair, steps)
    back = denoise_latents(predict, path, pair)
    assert asked == asked[::-1]
    torch.testing.assert_close(back, _latents(), atol=1e-4, rtol=0)  # the schedulers count in float32


@pytest.mark.parametrize(
    "scheduler",
    [
        DDIMScheduler(**STABLE),  # clip_sample is on by default
        DDIMScheduler(timestep_spacing="linspace", thresholding=True, **STABLE),
        EulerDiscreteScheduler(**STABLE),
        PNDMScheduler(skip_prk_steps=True, steps_offset=1, **STABLE),
    ],
)
def test_settings_of_any_scheduler_become_two_that_fit(scheduler: Any) -> None:
    pair = ddim_pair(scheduler.config, 20)
    assert not pair.inverse.config.clip_sample
    assert not pair.forward.config.clip_sample
    assert not pair.forward.config.thresholding
    torch.testing.assert_close(pair.forward.alphas_cumprod, DDIMScheduler(**STABLE).alphas_cumprod)
    assert _error(scheduler.config, 200, 160)[1] < 0.05


def test_kept_latents_stand_at_every_level() -> None:
    pair = ddim_pair(DDIMScheduler(**STABLE).config, 10)
    path = invert_latents(gaussian(pair.forward), _latents(), pair, 8)
    keep = torch.zeros(2, 1, 6, 6, dtype=torch.bool)
    keep[..., :3] = True
    seen: list[Tensor] = []

    def another(latents: Tensor, timestep: Tensor) -> Tensor:
        seen.append(latents)
        return torch.zeros_like(latents)

    made = denoise_latents(another, path, pair, keep)
    assert torch.equal(made[..., :3], path[0][..., :3])
    assert float((made - path[0])[..., 3:].abs().min()) > 0
    for latents, known in zip(seen, path[:0:-1], strict=True):
        assert torch.equal(latents[..., :3], known[..., :3])


@pytest.mark.parametrize(
    ("model", "steps", "message"),
    [
        ({"prediction_type": "sample"}, 10, "predicts 'sample'"),
        ({}, 0, "0 steps"),
        ({}, 1001, "1001 steps"),
        ({"steps_offset": 1}, 1000, "from 1 to 1000"),
        ({"timestep_spacing": "trailing"}, 30, "a divisor of 1000"),
        ({"timestep_spacing": "trailing", "rescale_betas_zero_snr": True}, 10, "v_prediction"),
    ],
)
def test_what_cannot_be_inverted_is_told(model: dict[str, Any], steps: int, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ddim_pair(DDIMScheduler(**STABLE, **model).config, steps)
