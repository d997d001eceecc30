"""Masked parts are painted by diffusers' own pipelines from models on disk; everything else keeps its bits."""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
import torch
from diffusers import ControlNetModel, DPMSolverMultistepScheduler, StableDiffusionControlNetInpaintPipeline
from torch import Tensor

from spooflab.errors import ConfigError, DataError
from spooflab.generators.diffusion.inpaint import Inpainter, Sampling
from spooflab.generators.diffusion.model_source import parse_source

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn.t accept a copy")  # within diffusers
FEW = Sampling(steps=2, guidance=2.0)


@pytest.fixture(scope="module")
def nets(saved: Path, controlnet: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("nets")
    return [controlnet(folder / f"net{k}", saved, seed=k) for k in range(2)]


@pytest.fixture(scope="module")
def inpainter(saved: Path, nets: list[Path]) -> Inpainter:
    return Inpainter.load(parse_source(str(saved)), [parse_source(str(nets[0]))])


def _batch(count: int = 2, side: int = 32) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(3)
    images, condition = torch.rand(2, count, 3, side, side, generator=generator).unbind(0)
    masks = torch.zeros(count, 1, side, side)
    masks[:, :, 8:24, 8:24] = 1
    masks[:, :, 8:24, 7] = 0.5
    return images, masks, condition


def _paint(inpainter: Inpainter, **changes: Any) -> Tensor:
    images, masks, condition = _batch()
    given: dict[str, Any] = {"prompts": ["a", "b"], "seeds": [5, 6], "sampling": FEW}
    return inpainter.paint(images, masks, changes.pop("conditions", [condition]), **{**given, **changes})


def test_only_masked_pixels_change(inpainter: Inpainter) -> None:
    images, masks, _ = _batch()
    made = _paint(inpainter)
    outside = (masks == 0).expand_as(images)
    assert torch.equal(made[outside], images[outside])
    inside = (masks == 1).expand_as(images)
    assert float((made - images)[inside].abs().mean()) > 0.05
    assert (made.dtype, made.shape) == (torch.float32, images.shape)
    assert 0 <= float(made.min()) <= float(made.max()) <= 1


def test_it_is_what_diffusers_paints(saved: Path, nets: list[Path], inpainter: Inpainter) -> None:
    """The plain pipeline, called as its documentation says."""
    images, masks, condition = _batch()
    plain = StableDiffusionControlNetInpaintPipeline.from_pretrained(
        saved, controlnet=ControlNetModel.from_pretrained(nets[0]), safety_checker=None
    )
    plain.scheduler = DPMSolverMultistepScheduler.from_config(plain.scheduler.config)
    plain.set_progress_bar_config(disable=True)
    generators = [torch.Generator().manual_seed(seed) for seed in (5, 6)]
    wanted = plain(
        ["a", "b"], images, (masks > 0).float(), condition, num_inference_steps=2, guidance_scale=2.0,
        controlnet_conditioning_scale=1.0, generator=generators, output_type="pt", height=32, width=32,
    ).images  # fmt: skip
    wanted = masks * wanted + (1 - masks) * images
    torch.testing.assert_close(_paint(inpainter), wanted, atol=1e-4, rtol=0)


def test_same_seeds_same_pixels_and_each_picture_has_its_own(inpainter: Inpainter) -> None:
    made = _paint(inpainter)
    assert torch.equal(_paint(inpainter), made)
    other = _paint(inpainter, seeds=[5, 7])
    torch.testing.assert_close(other[0], made[0], atol=1e-5, rtol=0)
    assert float((other[1] - made[1]).abs().max()) > 1e-3


@pytest.mark.parametrize(
    "changes",
    [
        {"conditions": [torch.zeros(2, 3, 32, 32)]},
        {"prompts": ["b", "a"]},
        {"sampling": dataclasses.replace(FEW, control=0.2)},
        {"sampling": dataclasses.replace(FEW, guidance=9.0)},
        {"sampling": dataclasses.replace(FEW, steps=4, strength=0.5)},
        {"negative_prompts": ["b", "b"]},
    ],
)
def test_every_input_has_its_effect(inpainter: Inpainter, changes: dict[str, Any]) -> None:
    assert float((_paint(inpainter, **changes) - _paint(inpainter)).abs().max()) > 1e-4


def test_several_controlnets_each_with_its_weight(saved: Path, nets: list[Path], inpainter: Inpainter) -> None:
    both = Inpainter.load(parse_source(str(saved)), [parse_source(str(net)) for net in nets])
    condition = _batch()[2]
    conditions = [condition, 1 - condition]
    first = _paint(both, conditions=conditions, sampling=dataclasses.replace(FEW, control=(1.0, 0.0)))
    torch.testing.assert_close(first, _paint(inpainter), atol=1e-4, rtol=0)
    assert float((_paint(both, conditions=conditions) - first).abs().max()) > 1e-3
    with pytest.raises(DataError, match="1 conditions"):
        _paint(both, conditions=[condition])
    with pytest.raises(DataError, match="weights"):
        _paint(both, conditions=conditions, sampling=dataclasses.replace(FEW, control=(1.0, 1.0, 1.0)))


@pytest.mark.parametrize("scheduler", ["ddim", "euler", "lcm"])
def test_schedulers(saved: Path, nets: list[Path], scheduler: Any) -> None:
    one = Inpainter.load(parse_source(str(saved)), [parse_source(str(nets[0]))], scheduler=scheduler)
    assert torch.equal(_paint(one), _paint(one))


def test_a_model_like_sdxl(saved_xl: Path, controlnet: Callable[..., Path], tmp_path: Path) -> None:
    net = controlnet(tmp_path / "net", saved_xl, seed=4)
    one = Inpainter.load(parse_source(str(saved_xl)), [parse_source(str(net))], scheduler="euler", dtype="bfloat16")
    images, masks, _ = _batch()
    made = _paint(one)
    assert torch.equal(made[(masks == 0).expand_as(images)], images[(masks == 0).expand_as(images)])
    assert torch.equal(_paint(one), made)


def test_models_of_the_hub_load_from_its_cache(
    saved: Path, nets: list[Path], inpainter: Inpainter, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = {"owner/sd": saved, "owner/net": nets[0]}

    def snapshot(repository: str, *, revision: str, allow_patterns: Sequence[str], local_files_only: bool) -> str:
        assert (revision, local_files_only) == ("a" * 40, True)
        return str(folders[repository])

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot)
    sources = [parse_source(f"hub:{name}@{'a' * 40}") for name in folders]
    one = Inpainter.load(sources[0], sources[1:])
    assert torch.equal(_paint(one), _paint(inpainter))
    assert [text.split()[0] for text in one.models] == [str(source) for source in sources]
    assert [text.split()[1] for text in one.models] == [text.split()[1] for text in inpainter.models]


def test_wrong_models_are_refused_before_any_is_loaded(saved: Path, nets: list[Path], tmp_path: Path) -> None:
    base, net = parse_source(str(saved)), parse_source(str(nets[0]))
    with pytest.raises(ConfigError, match="no ControlNet"):
        Inpainter.load(base, [])
    with pytest.raises(ConfigError, match="a ControlNetModel"):
        Inpainter.load(base, [parse_source(str(saved / "unet"))])
    with pytest.raises(ConfigError, match=r"Stable Diffusion 1\.5"):
        Inpainter.load(net, [net])
    with pytest.raises(DataError, match="not a folder"):
        Inpainter.load(base, [parse_source(str(tmp_path / "none"))])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seeds": [1]}, "seeds"),
        ({"prompts": "a"}, "prompts"),
        ({"conditions": [torch.zeros(2, 3, 16, 16)]}, "condition 0"),
        ({"conditions": [torch.full((2, 3, 32, 32), 2.0)]}, "condition 0 from 2.0"),
        ({"conditions": [torch.full((2, 3, 32, 32), float("nan"))]}, "condition 0"),
        ({"conditions": []}, "0 conditions"),
    ],
)
def test_what_does_not_fit_together_is_told(inpainter: Inpainter, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        _paint(inpainter, **changes)


@pytest.mark.parametrize("wrong", [{"steps": 0}, {"guidance": 0.5}, {"strength": 0.0}, {"control": -1.0}])
def test_bad_sampling(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="sampling"):
        Sampling(**wrong)
    with pytest.raises(ConfigError, match="steps x strength"):
        Sampling(steps=3, strength=0.2)


def test_pictures_of_other_shapes_are_told(inpainter: Inpainter) -> None:
    assert inpainter.multiple == 8
    for images, message in ((torch.zeros(2, 3, 30, 32), "multiples of 8"), (torch.zeros(3, 32, 32), "pictures")):
        masks = torch.zeros(2, 1, *images.shape[-2:])
        with pytest.raises(DataError, match=message):
            inpainter.paint(images, masks, [torch.zeros(2, 3, 32, 32)], prompts=["a", "b"], seeds=[1, 2])
