"""Refining and editing with an adapter in the UNet: each picture its own identity, nobody's where none is told."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch
from torch import Tensor

from spooflab.errors import ConfigError, DataError
from spooflab.generators.diffusion import Inpainter, Inverter, Refiner, parse_source
from spooflab.generators.diffusion.pipeline import load_pipeline

pytestmark = pytest.mark.slow  # together half a minute
WIDTH = 16
_SCALE: dict[str, Any] = {"controlnet_conditioning_scale": 1.0}
_SIZE = {"height": 32, "width": 32}


def _batch() -> dict[str, Tensor]:
    images, condition = torch.rand(2, 2, 3, 32, 32, generator=torch.Generator().manual_seed(3)).unbind(0)
    masks = torch.zeros(2, 1, 32, 32)
    masks[:, :, 8:24, 8:24] = 1
    return {"images": images, "masks": masks, "condition": condition}


def _refine(refiner: Refiner, **changes: Any) -> Tensor:
    given: dict[str, Any] = {"prompts": ["a", "b"], "seeds": [5, 6], "strength": 0.5, "steps": 4, "guidance": 2.0}
    batch = _batch()
    conditions = [batch["condition"]] * len(refiner._loaded.condition_channels)
    return refiner.refine(batch["images"], batch["masks"], conditions=conditions, **{**given, **changes})


def _edit(inverter: Inverter, rows: slice = slice(0, 2), **changes: Any) -> Tensor:
    batch = {name: value[rows] for name, value in _batch().items()}
    given: dict[str, Any] = {
        "source_prompts": ["a", "b"][rows], "target_prompts": ["b", "a"][rows], "steps": 5, "guidance": 3.0
    }  # fmt: skip
    conditions = [batch["condition"]] * len(inverter._loaded.condition_channels)
    return inverter.edit(batch["images"], masks=batch["masks"], conditions=conditions, **{**given, **changes})


@pytest.fixture(scope="module")
def identities() -> Tensor:
    return torch.randn(2, WIDTH, generator=torch.Generator().manual_seed(1))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["saved", "saved_inpainting"])
def test_refined_pictures_are_what_diffusers_makes_of_each(
    name: str, identities: Tensor, adapter: Callable[..., Path], tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    base: Path = request.getfixturevalue(name)
    path = adapter(tmp_path / "faces.safetensors", base, "FaceID", width=WIDTH)
    made = _refine(Refiner.load(parse_source(str(base)), identity=parse_source(str(path))), identities=identities)
    inpaints = name == "saved_inpainting"
    kind = diffusers.StableDiffusionControlNetInpaintPipeline if inpaints else diffusers.StableDiffusionImg2ImgPipeline
    plain: Any = kind.from_pretrained(base)
    plain.scheduler = diffusers.DPMSolverMultistepScheduler.from_config(plain.scheduler.config)
    plain.load_ip_adapter(str(tmp_path), subfolder="", weight_name=path.name, image_encoder_folder=None)
    plain.set_progress_bar_config(disable=True)
    batch = _batch()
    for row in range(2):
        image, mask, condition = (batch[key][row : row + 1] for key in ("images", "masks", "condition"))
        more = {"mask_image": mask, "control_image": condition, **_SCALE, **_SIZE} if inpaints else {}
        who = identities[row : row + 1]
        wanted = plain(
            ["a", "b"][row], image=image, num_inference_steps=4, strength=0.5, guidance_scale=2.0, output_type="pt",
            generator=[torch.Generator().manual_seed(5 + row)],
            ip_adapter_image_embeds=[torch.stack([torch.zeros_like(who), who])], **more,
        ).images  # fmt: skip
        torch.testing.assert_close(made[row], (image + mask * (wanted - image))[0], atol=1e-4, rtol=0)


@pytest.mark.slow
def test_edited_pictures_are_of_whom_they_are_told(saved_inpainting: Path, identities: Tensor) -> None:
    source = parse_source(str(saved_inpainting))
    without, one = Inverter.load(source), Inverter.load(source, identity=source)
    somebody, nobody = (_edit(one, identities=who) for who in (identities, torch.zeros(2, WIDTH)))
    assert float((somebody - nobody).abs().max()) > 1e-4
    assert torch.equal(_edit(one), nobody)
    off = _edit(one, identities=identities, identity_scale=0.0)
    torch.testing.assert_close(off, _edit(without), atol=1e-5, rtol=0)
    assert torch.equal(_edit(one, identities=identities), somebody)
    for row in range(2):
        alone = _edit(one, slice(row, row + 1), identities=identities[row : row + 1])
        torch.testing.assert_close(alone, somebody[row : row + 1], atol=1e-3, rtol=0)
    assert [text.split()[0] for text in one.models] == [str(saved_inpainting), str(saved_inpainting)]


def test_what_the_unet_is_told_of_an_identity(saved_inpainting: Path, identities: Tensor) -> None:
    """There under the words alone, back under guidance with nobody first."""
    source = parse_source(str(saved_inpainting))
    one, told = Inverter.load(source, identity=source), list[Tensor]()
    handle = one._loaded.pipeline.unet.register_forward_pre_hook(
        lambda _, args, named: told.append(named["added_cond_kwargs"]["image_embeds"][0]), with_kwargs=True
    )
    _edit(one, identities=identities, steps=2, share=0.5)
    handle.remove()
    there, back = told
    torch.testing.assert_close(there.flatten(1), identities, atol=0, rtol=0)
    torch.testing.assert_close(back.flatten(1), torch.cat([0 * identities, identities]), atol=0, rtol=0)


@pytest.mark.slow
def test_a_shared_pipeline_paints_as_one_of_its_own(saved_inpainting: Path, identities: Tensor) -> None:
    """Whatever scheduler the painter took: the inverter has the model's own schedule."""
    source = parse_source(str(saved_inpainting))
    shared = Inpainter.load(source, identity=source, scheduler="euler").loaded
    own = Inverter.load(source, identity=source)
    assert torch.equal(_edit(Inverter(shared), identities=identities), _edit(own, identities=identities))
    refiner = Refiner.load(source, identity=source, scheduler="euler")
    assert torch.equal(_refine(Refiner(shared), identities=identities), _refine(refiner, identities=identities))
    for net in (shared.pipeline.controlnet, own._loaded.pipeline.controlnet):
        assert net.controlnet_cond_embedding._last is None


def test_a_plain_unet_refines_in_the_painters_pipeline(saved: Path, net: Path) -> None:
    source, nets = parse_source(str(saved)), [parse_source(str(net))]
    shared, own = Inpainter.load(source, nets).loaded, load_pipeline(source, nets)
    assert (shared.takes_mask, shared.inpainting, own.takes_mask, own.inpainting) == (True, False, False, False)
    batch, made = _batch(), _refine(Refiner(shared))
    outside = (batch["masks"] == 0).expand_as(made)
    assert torch.equal(made[outside], batch["images"][outside])
    assert float((made - batch["images"]).abs().max()) > 0.05
    torch.testing.assert_close(_edit(Inverter(shared)), _edit(Inverter(own)), atol=1e-5, rtol=0)


def test_several_nets_take_the_place_of_the_folders_own(saved_inpainting: Path) -> None:
    source, net = parse_source(str(saved_inpainting)), parse_source(str(saved_inpainting / "controlnet"))
    both = Refiner.load(source, [net, net])
    first = _refine(both, control=(1.0, 0.0))
    torch.testing.assert_close(first, _refine(Refiner.load(source)), atol=1e-4, rtol=0)


@pytest.mark.slow
def test_identities_that_do_not_fit_are_told(saved: Path, saved_inpainting: Path, identities: Tensor) -> None:
    bare, source = parse_source(str(saved)), parse_source(str(saved_inpainting))
    with pytest.raises(DataError, match="no adapter"):
        _refine(Refiner.load(bare), identities=identities)
    with pytest.raises(DataError, match="no adapter"):
        _edit(Inverter.load(bare), identities=identities)
    with pytest.raises(DataError, match=r"\(2, 16\) float32"):
        _edit(Inverter.load(source, identity=source), identities=identities[:1])
    with pytest.raises(ConfigError, match="identity -1"):
        _edit(Inverter.load(source, identity=source), identity_scale=-1.0)
