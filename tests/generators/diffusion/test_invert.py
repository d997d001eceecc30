"""Editing by DDIM inversion: the way back ends where it began, words change what they should, and bits stay."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import AutoencoderKL
from torch import Tensor

from spooflab.errors import ConfigError, DataError
from spooflab.generators.diffusion import invert, pipeline
from spooflab.generators.diffusion.ddim import denoise_latents
from spooflab.generators.diffusion.invert import Inverter
from spooflab.generators.diffusion.model_source import parse_source

pytestmark = pytest.mark.slow  # together half a minute


@pytest.fixture(scope="module")
def plain(saved: Path) -> Inverter:
    return Inverter.load(parse_source(str(saved)))


@pytest.fixture(scope="module")
def inpainting(saved_zero_snr: Path) -> Inverter:
    return Inverter.load(parse_source(str(saved_zero_snr)))


@pytest.fixture(scope="module")
def xl(saved_xl: Path) -> Inverter:
    return Inverter.load(parse_source(str(saved_xl)))


def _images() -> Tensor:
    return torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(3))


def _masks() -> Tensor:
    masks = torch.zeros(2, 1, 32, 32)
    masks[:, :, 8:24, 8:24] = 1
    masks[:, :, 8:24, 7] = 0.5
    return masks


def _condition(channels: int = 4) -> Tensor:
    return torch.rand(2, channels, 32, 32, generator=torch.Generator().manual_seed(4))


def _edit(inverter: Inverter, **changes: Any) -> Tensor:
    given: dict[str, Any] = {"source_prompts": ["a", "b"], "target_prompts": ["b", "a"], "steps": 5, "guidance": 4.0}
    given["conditions"] = [_condition(channels) for channels in inverter._loaded.condition_channels]
    return inverter.edit(changes.pop("images", _images()), **{**given, **changes})


def _as_the_autoencoder_shows_it(folder: Path) -> Tensor:
    vae = AutoencoderKL.from_pretrained(folder / "vae", local_files_only=True, use_safetensors=True)
    with torch.inference_mode():
        shown: Tensor = vae.decode(vae.encode(_images() * 2 - 1).latent_dist.mode()).sample
    return (shown / 2 + 0.5).clamp(0, 1)


def _smooth(folder: Path, **how: Any) -> Inverter:
    """A model that hardly changes its mind along the way, as trained ones do and random ones do not."""
    inverter = Inverter.load(parse_source(str(folder)), **how)
    for parameter in inverter._loaded.pipeline.unet.conv_out.parameters():
        parameter.data *= 0.03
    return inverter


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "masks"),
    [("saved", None), ("saved_xl", None), ("saved_zero_snr", None), ("saved_zero_snr", _masks())],
    ids=["plain", "xl", "inpainting", "inpainting in a mask"],
)
def test_the_same_words_return_the_picture(name: str, masks: Tensor | None, request: pytest.FixtureRequest) -> None:
    folder: Path = request.getfixturevalue(name)
    inverter, wanted = _smooth(folder), _as_the_autoencoder_shows_it(folder)
    if masks is not None:
        wanted = torch.where(masks > 0, masks * wanted + (1 - masks) * _images(), _images())
    same = {"source_prompts": ["a", "b"], "target_prompts": ["a", "b"], "guidance": 1.0, "masks": masks, "share": 0.3}
    errors = [float((_edit(inverter, steps=steps, **same) - wanted).abs().mean()) for steps in (20, 50)]
    assert errors[0] > 1.8 * errors[1], errors  # first order: 2.5 times the steps
    assert errors[1] < 2e-3, errors
    guided = _edit(inverter, steps=50, **(same | {"guidance": 30.0}))
    assert float((guided - wanted).abs().mean()) > 2 * errors[1]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["plain", "inpainting", "xl"])
def test_other_words_change_the_mask_alone(name: str, request: pytest.FixtureRequest) -> None:
    inverter: Inverter = request.getfixturevalue(name)
    images, masks = _images(), _masks()
    made = _edit(inverter, masks=masks)
    outside, inside = ((test).expand_as(images) for test in (masks == 0, masks == 1))
    assert torch.equal(made[outside], images[outside])
    same = _edit(inverter, masks=masks, target_prompts=["a", "b"])
    assert float((made - same)[inside].abs().max()) > 1e-4
    assert torch.equal(_edit(inverter, masks=masks), made)
    assert (made.dtype, made.shape) == (torch.float32, images.shape)
    assert 0 <= float(made.min()) <= float(made.max()) <= 1
    alone = inverter.edit(
        images[1:], source_prompts=["b"], target_prompts=["a"], steps=5, guidance=4.0, masks=masks[1:],
        conditions=[_condition(channels)[1:] for channels in inverter._loaded.condition_channels],
    )  # fmt: skip
    # Batches of other sizes are summed in another order, which the inversion amplifies: a quarter of a level of 8 bits.
    torch.testing.assert_close(alone, made[1:], atol=1e-3, rtol=0)


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes",
    [
        {"source_prompts": ["b", "a"]}, {"guidance": 9.0}, {"share": 0.4}, {"steps": 10}, {"control": 0.2},
        {"negative_prompts": ["b", "b"]}, {"conditions": [1 - _condition()]}, {"masks": _masks()},
    ],
)  # fmt: skip
def test_every_input_has_its_effect(inpainting: Inverter, changes: dict[str, Any]) -> None:
    assert float((_edit(inpainting, **changes) - _edit(inpainting)).abs().max()) > 1e-5


def test_guidance_begins_at_one(plain: Inverter, xl: Inverter, inpainting: Inverter) -> None:
    """1 asks under the words alone, a little more with and without them: the pictures hardly differ."""
    for inverter in (plain, xl, inpainting):
        alone, guided = (_edit(inverter, guidance=guidance) for guidance in (1.0, 1 + 1e-6))
        torch.testing.assert_close(guided, alone, atol=1e-3, rtol=0)


@pytest.mark.parametrize("name", ["plain", "inpainting"])
def test_latents_stay_where_no_pixel_is_edited(
    name: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    inverter: Inverter = request.getfixturevalue(name)
    kept: list[Tensor | None] = []

    def denoise(predict: Any, path: Any, pair: Any, keep: Tensor | None) -> Tensor:
        kept.append(keep)
        return denoise_latents(predict, path, pair, keep)

    monkeypatch.setattr(invert, "denoise_latents", denoise)
    masks = torch.zeros(2, 1, 32, 32)
    masks[0, 0, 9, 21] = 0.1
    masks[1, 0, :16] = 1
    made = _edit(inverter, masks=masks)
    assert kept[0] is not None
    side = inverter.multiple
    for row in range(2):
        for y in range(0, 32, side):
            for x in range(0, 32, side):
                edited = bool((masks[row, 0, y : y + side, x : x + side] > 0).any())
                assert bool(kept[0][row, 0, y // side, x // side]) is not edited
    # What stays is in sight while the rest is made anew: other latents than if nothing stayed.
    everywhere = _edit(inverter)
    assert kept[1] is None
    assert float((made - everywhere)[1, :, :16].abs().max()) > 1e-4


def test_an_inpainting_unet_sees_the_mask_and_what_lies_around_it(saved_zero_snr: Path, inpainting: Inverter) -> None:
    shown: list[Tensor] = []
    handle = inpainting._loaded.pipeline.unet.register_forward_pre_hook(lambda _, given: shown.append(given[0]))
    _edit(inpainting, masks=_masks(), steps=2, share=1.0)
    _edit(inpainting, steps=2, share=1.0)
    handle.remove()
    assert [len(given) for given in shown] == [2, 2, 4, 4] * 2  # without guidance there, with it back
    vae = AutoencoderKL.from_pretrained(saved_zero_snr / "vae", local_files_only=True, use_safetensors=True)
    for given, masks in ((shown[0], _masks()), (shown[3], _masks()), (shown[4], torch.ones(2, 1, 32, 32))):
        grey = torch.where(masks > 0, 0.0, _images() * 2 - 1)
        with torch.inference_mode():
            around = vae.encode(grey).latent_dist.mode() * vae.config.scaling_factor
        torch.testing.assert_close(given[:2, 5:], around, atol=1e-5, rtol=0)
        torch.testing.assert_close(given[-2:, 5:], around, atol=1e-5, rtol=0)
        # The first pixel of every 4 x 4, as in diffusers' inpainting pipelines.
        assert torch.equal(given[:2, 4:5], (masks > 0).float()[..., ::4, ::4])


def test_what_the_unet_is_told_is_what_the_pipelines_tell_it(plain: Inverter, xl: Inverter) -> None:
    """The way back is what img2img of diffusers does from there, with the same schedule."""
    for inverter in (plain, xl):
        told: list[tuple[Any, ...]] = []

        def keep(_: Any, given: tuple[Any, ...], named: dict[str, Any], told: list[tuple[Any, ...]] = told) -> None:
            told.append((named["encoder_hidden_states"], named["added_cond_kwargs"]))

        img2img = inverter._loaded.pipeline
        handle = img2img.unet.register_forward_pre_hook(keep, with_kwargs=True)
        _edit(inverter, steps=2, share=0.5)
        img2img(
            ["b", "a"], image=_images(), num_inference_steps=2, strength=0.5, guidance_scale=4.0, output_type="pt",
            generator=torch.Generator().manual_seed(0),
        )  # fmt: skip
        handle.remove()
        ours, theirs = told[1], told[2]
        torch.testing.assert_close(ours[0], theirs[0], atol=0, rtol=0)
        assert (ours[1] is None) == (theirs[1] is None) == (inverter is plain)
        for key in ours[1] or {}:
            torch.testing.assert_close(ours[1][key], theirs[1][key], atol=0, rtol=0)


@pytest.mark.slow
def test_several_controlnets_each_with_its_weight(
    saved: Path, plain: Inverter, controlnet: Callable[..., Path], tmp_path: Path
) -> None:
    nets = [parse_source(str(controlnet(tmp_path / f"net{k}", saved, seed=k))) for k in range(2)]
    one, both = (Inverter.load(parse_source(str(saved)), nets[:count]) for count in (1, 2))
    conditions = [_condition(3), 1 - _condition(3)]
    first = _edit(one, conditions=conditions[:1])
    assert float((first - _edit(plain)).abs().max()) > 1e-4
    torch.testing.assert_close(_edit(both, conditions=conditions, control=[1.0, 0.0]), first, atol=1e-4, rtol=0)
    torch.testing.assert_close(_edit(one, conditions=conditions[:1], control=0.0), _edit(plain), atol=1e-4, rtol=0)
    assert [text.split()[0] for text in both.models] == [str(saved), *(net.where for net in nets)]
    with pytest.raises(DataError, match="weights"):
        _edit(both, conditions=conditions, control=[1.0])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["saved", "saved_zero_snr", "saved_xl"])
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision(name: str, dtype: Any, request: pytest.FixtureRequest) -> None:
    folder: Path = request.getfixturevalue(name)
    half, full = _smooth(folder, dtype=dtype), _smooth(folder)
    how: dict[str, Any] = {"masks": _masks(), "steps": 10, "share": 0.3}
    vae = half._loaded.pipeline.vae
    held: list[torch.dtype] = []
    handle = vae.decoder.register_forward_pre_hook(lambda _, given: held.append(given[0].dtype))
    made = _edit(half, **how)
    handle.remove()
    assert torch.equal(_edit(half, **how), made)
    assert float((made - _edit(full, **how)).abs().mean()) < 0.01
    assert held == [torch.bfloat16 if dtype == "bfloat16" else torch.float32]
    assert vae.dtype == getattr(torch, dtype)  # as whoever shares the pipeline wants it


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"source_prompts": "ab"}, "source prompts"),
        ({"target_prompts": ["a"]}, "target prompts"),
        ({"negative_prompts": ["a"]}, "negative prompts"),
        ({"conditions": [_condition(3)]}, "1 conditions"),
        ({"images": torch.zeros(2, 3, 36, 32)}, "multiples of 8"),
        ({"images": torch.zeros(2, 4, 32, 32)}, "pictures"),
        ({"images": torch.zeros(32)}, "pictures"),
        ({"masks": torch.zeros(2, 1, 16, 16)}, "masks"),
        ({"masks": torch.full((2, 1, 32, 32), 1.5)}, r"masks from 1\.5"),
    ],
)
def test_what_does_not_fit_together_is_told(plain: Inverter, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        _edit(plain, **changes)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"share": 0.0}, "share"),
        ({"share": 1.2}, "share"),
        ({"share": 0.05}, "steps x share of 1"),
        ({"share": float("nan")}, "share"),
        ({"guidance": 0.5}, "guidance"),
        ({"steps": 0}, "steps"),
        ({"steps": 2000}, "2000 steps"),
    ],
)
def test_numbers_that_make_no_sense(plain: Inverter, wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        _edit(plain, **wrong)


def test_sides_are_multiples_of_what_a_latent_stands_for(plain: Inverter, inpainting: Inverter) -> None:
    assert (plain.multiple, inpainting.multiple) == (8, 4)
    images, condition = torch.rand(2, 3, 28, 36), torch.rand(2, 4, 28, 36)
    assert _edit(inpainting, images=images, conditions=[condition]).shape == images.shape


def test_negative_weights_and_uneven_strides(inpainting: Inverter) -> None:
    with pytest.raises(ConfigError, match="control -1"):
        _edit(inpainting, control=-1.0)
    with pytest.raises(ConfigError, match="a divisor of 1000"):
        _edit(inpainting, steps=30)


@pytest.mark.parametrize(
    ("part", "changes", "message"),
    [
        ("unet", {"time_cond_proj_dim": 8}, "distilled"),
        ("unet", {"projection_class_embeddings_input_dim": 28}, "told 5 numbers"),
        ("vae", {"latents_mean": [0.0] * 4}, "shifted"),
        ("vae", {"shift_factor": 0.1}, "shifted"),
    ],
)
def test_models_that_cannot_be_inverted(
    saved_xl: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: str, changes: dict[str, Any], message: str
) -> None:
    def never(*_: Any, **__: Any) -> None:
        raise AssertionError("a weight was read")

    monkeypatch.setattr(pipeline, "_assemble", never)
    folder = tmp_path / "model"
    shutil.copytree(saved_xl, folder)
    file = folder / part / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))
    with pytest.raises(ConfigError, match=message):
        Inverter.load(parse_source(str(folder)))
