"""SDEdit through diffusers' own pipelines, chosen by the UNet; outside of the mask the bits stay."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch
from torch import Tensor

from spooflab.errors import ConfigError, DataError
from spooflab.generators.diffusion.model_source import parse_source
from spooflab.generators.diffusion.refine import Refiner

pytestmark = pytest.mark.slow  # together half a minute


def _batch(side: int = 32) -> tuple[Tensor, Tensor]:
    images = torch.rand(2, 3, side, side, generator=torch.Generator().manual_seed(3))
    masks = torch.zeros(2, 1, side, side)
    masks[:, :, 8:24, 8:24] = 1
    masks[:, :, 8:24, 7] = 0.3
    return images, masks


def _condition(channels: int) -> Tensor:
    return torch.rand(2, channels, 32, 32, generator=torch.Generator().manual_seed(4))


def _refine(refiner: Refiner, **changes: Any) -> Tensor:
    images, masks = _batch()
    given: dict[str, Any] = {"prompts": ["a", "b"], "seeds": [5, 6], "strength": 0.5, "steps": 4, "guidance": 2.0}
    return refiner.refine(changes.pop("images", images), changes.pop("masks", masks), **{**given, **changes})


@pytest.fixture(scope="module")
def plain(saved: Path) -> Refiner:
    return Refiner.load(parse_source(str(saved)))


@pytest.fixture(scope="module")
def inpainting(saved_zero_snr: Path) -> Refiner:
    return Refiner.load(parse_source(str(saved_zero_snr)), scheduler="ddim")


def _pipeline(kind: Any, folder: Path, scheduler: Any, **parts: Any) -> Any:
    """A pipeline as its documentation has it."""
    pipeline = kind.from_pretrained(folder, safety_checker=None, **parts)
    pipeline.scheduler = scheduler.from_config(pipeline.scheduler.config)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def _call(pipeline: Any, **more: Any) -> Tensor:
    generator = [torch.Generator().manual_seed(seed) for seed in (5, 6)]
    images, masks = _batch()
    made = pipeline(
        ["a", "b"], images, strength=0.5, num_inference_steps=4, guidance_scale=2.0, generator=generator,
        output_type="pt", **more,
    ).images  # fmt: skip
    return masks * made + (1 - masks) * images


def test_a_plain_unet_is_what_img2img_makes(saved: Path, plain: Refiner) -> None:
    pipeline = _pipeline(diffusers.StableDiffusionImg2ImgPipeline, saved, diffusers.DPMSolverMultistepScheduler)
    torch.testing.assert_close(_refine(plain), _call(pipeline), atol=1e-4, rtol=0)


def test_an_inpainting_unet_is_what_inpainting_makes(saved_zero_snr: Path, inpainting: Refiner) -> None:
    kind = diffusers.StableDiffusionControlNetInpaintPipeline
    pipeline = _pipeline(kind, saved_zero_snr, diffusers.DDIMScheduler)
    mask = (_batch()[1] > 0).float()
    wanted = _call(
        pipeline, mask_image=mask, control_image=_condition(4), controlnet_conditioning_scale=1.0, height=32, width=32
    )
    torch.testing.assert_close(_refine(inpainting, conditions=[_condition(4)]), wanted, atol=1e-4, rtol=0)
    assert inpainting.multiple == 8
    assert inpainting._loaded.cell == 4


def test_only_masked_pixels_change(plain: Refiner) -> None:
    images, masks = _batch()
    made = _refine(plain)
    outside = (masks == 0).expand_as(images)
    assert torch.equal(made[outside], images[outside])
    assert float((made - images)[(masks == 1).expand_as(images)].abs().mean()) > 0.05
    assert (made.dtype, made.shape) == (torch.float32, images.shape)
    assert 0 <= float(made.min()) <= float(made.max()) <= 1
    assert torch.equal(_refine(plain, masks=torch.zeros_like(masks)), images)


def test_strength_is_the_share_of_the_steps(plain: Refiner) -> None:
    """And each step asks the UNet once, with all words."""
    asked: list[int] = []
    handle = plain._loaded.pipeline.unet.register_forward_hook(lambda *_: asked.append(1))
    for strength, steps in ((0.25, 8), (0.5, 8), (1.0, 3)):
        asked.clear()
        _refine(plain, strength=strength, steps=steps)
        assert len(asked) == int(strength * steps)
    handle.remove()


def test_less_strength_keeps_more_of_the_latents(saved: Path) -> None:
    """What the UNet is first shown: sqrt(a) of the latents and sqrt(1 - a) of noise, by the model's own schedule."""
    refiner = Refiner.load(parse_source(str(saved)), scheduler="ddim")
    shown: list[tuple[Tensor, int]] = []
    handle = refiner._loaded.pipeline.unet.register_forward_pre_hook(
        lambda _, given: shown.append((given[0], given[1]))
    )
    flat = torch.full((2, 3, 32, 32), 0.5)
    keys: list[Tensor] = []
    for strength in (0.1, 0.5, 0.9):
        shown.clear()
        _refine(refiner, images=flat, strength=strength, steps=10, guidance=1.0)
        keys.append(shown[0][0].float())
        # Leading timesteps of 10 steps: 901, 801, ..., 1.
        assert int(shown[0][1]) == round(strength * 10 - 1) * 100 + 1
    handle.remove()
    alphas = refiner._loaded.pipeline.scheduler.alphas_cumprod[[1, 401, 801]]
    signal, noise = alphas.sqrt(), (1 - alphas).sqrt()
    # Of three mixtures of the same latents and noise, two determine the third.
    matrix = torch.stack([signal[:2], noise[:2]], 1)
    latents, drawn = torch.linalg.solve(matrix, torch.stack(keys[:2]).flatten(1)).reshape(2, *keys[0].shape)
    torch.testing.assert_close(keys[2], signal[2] * latents + noise[2] * drawn, atol=1e-4, rtol=0)


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes",
    [
        {"prompts": ["b", "a"]}, {"seeds": [5, 7]}, {"guidance": 9.0}, {"strength": 1.0}, {"steps": 8},
        {"negative_prompts": ["b", "b"]}, {"control": 0.2}, {"conditions": [1 - _condition(4)]},
    ],
)  # fmt: skip
def test_every_input_has_its_effect(inpainting: Refiner, changes: dict[str, Any]) -> None:
    given = {"conditions": [_condition(4)]}
    made = _refine(inpainting, **given)
    assert torch.equal(_refine(inpainting, **given), made)
    assert float((_refine(inpainting, **(given | changes)) - made).abs().max()) > 1e-5


def test_controlnets_beside_a_plain_unet(
    saved: Path, plain: Refiner, controlnet: Callable[..., Path], tmp_path: Path
) -> None:
    nets = [parse_source(str(controlnet(tmp_path / f"net{k}", saved, seed=k))) for k in range(2)]
    one, both = (Refiner.load(parse_source(str(saved)), nets[:count]) for count in (1, 2))
    first = _refine(one, conditions=[_condition(3)])
    assert float((first - _refine(plain)).abs().max()) > 1e-4
    conditions = [_condition(3), 1 - _condition(3)]
    torch.testing.assert_close(_refine(both, conditions=conditions, control=(1.0, 0.0)), first, atol=1e-4, rtol=0)
    assert float((_refine(both, conditions=conditions) - first).abs().max()) > 1e-4
    assert [text.split()[0] for text in both.models] == [str(saved), *(net.where for net in nets)]
    for wrong in ((1.0,), (1.0, 1.0, 1.0)):
        with pytest.raises(DataError, match="weights"):
            _refine(both, conditions=conditions, control=wrong)


def test_a_controlnet_takes_the_place_of_the_folders_own(saved_zero_snr: Path, inpainting: Refiner) -> None:
    source = parse_source(str(saved_zero_snr))
    again = Refiner.load(source, [parse_source(str(saved_zero_snr / "controlnet"))], scheduler="ddim")
    given = {"conditions": [_condition(4)]}
    assert torch.equal(_refine(again, **given), _refine(inpainting, **given))
    assert len(again.models) == 2
    assert len(inpainting.models) == 1


@pytest.mark.parametrize("controls", [0, 1])
def test_a_model_like_sdxl_in_bfloat16(
    saved_xl: Path, controlnet: Callable[..., Path], tmp_path: Path, controls: int
) -> None:
    nets = [parse_source(str(controlnet(tmp_path / f"net{k}", saved_xl, seed=k))) for k in range(controls)]
    one = Refiner.load(parse_source(str(saved_xl)), nets, scheduler="euler", dtype="bfloat16")
    images, masks = _batch()
    made = _refine(one, conditions=[_condition(3)] * controls)
    outside = (masks == 0).expand_as(images)
    assert torch.equal(made[outside], images[outside])
    assert torch.equal(_refine(one, conditions=[_condition(3)] * controls), made)


@pytest.mark.slow
@pytest.mark.parametrize("scheduler", ["dpm++", "euler", "lcm"])
def test_schedulers_with_an_inpainting_model_in_bfloat16(saved_zero_snr: Path, scheduler: Any) -> None:
    one = Refiner.load(parse_source(str(saved_zero_snr)), scheduler=scheduler, dtype="bfloat16")
    given = {"conditions": [_condition(4)], "strength": 1.0}
    assert torch.equal(_refine(one, **given), _refine(one, **given))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seeds": [1]}, "seeds"),
        ({"prompts": "ab"}, "prompts"),
        ({"negative_prompts": ["a"]}, "negative prompts"),
        ({"conditions": [torch.zeros(2, 3, 32, 32)]}, "1 conditions"),
        ({"images": torch.zeros(2, 3, 30, 32)}, "multiples of 8"),
        ({"images": torch.zeros(3, 32, 32)}, "pictures"),
        ({"images": torch.zeros(2, 3, 32, 32, dtype=torch.float64)}, "float32 on the CPU"),
        ({"images": torch.full((2, 3, 32, 32), -1.0)}, r"pictures from -1\.0"),
        ({"masks": torch.zeros(2, 3, 32, 32)}, "masks"),
        ({"masks": torch.full((2, 1, 32, 32), float("nan"))}, "masks from nan"),
    ],
)
def test_what_does_not_fit_together_is_told(plain: Refiner, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        _refine(plain, **changes)


@pytest.mark.parametrize(
    "wrong",
    [{"steps": 0}, {"guidance": 0.5}, {"strength": 0.0}, {"strength": 1.1}, {"strength": 0.2}, {"control": -1.0}],
)
def test_bad_sampling(plain: Refiner, wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="strength"):
        _refine(plain, **wrong)


def test_conditions_have_the_channels_that_the_controlnet_was_trained_with(inpainting: Refiner) -> None:
    with pytest.raises(DataError, match=r"(?s)condition 0 .*wanted: \(2, 4, 32, 32\)"):
        _refine(inpainting, conditions=[_condition(3)])
