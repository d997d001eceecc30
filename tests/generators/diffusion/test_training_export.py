"""What a training leaves behind is a model to everybody: diffusers loads and paints with it, and so do we."""

import json
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import StableDiffusionControlNetInpaintPipeline
from safetensors.torch import load_file
from torch import Tensor, nn

from spooflab.generators.diffusion.identity_net import NetIdentity
from spooflab.generators.diffusion.inpaint import Inpainter, Sampling
from spooflab.generators.diffusion.model_folder import read_model_folder
from spooflab.generators.diffusion.model_source import ModelSource, parse_source
from spooflab.generators.diffusion.training.base import make_identity
from spooflab.generators.diffusion.training.config import DiffusionTrainConfig, Plan
from spooflab.generators.diffusion.training.config import Parts as How
from spooflab.generators.diffusion.training.denoiser import DenoiserStage
from spooflab.generators.diffusion.training.examples import Examples
from spooflab.generators.diffusion.training.export import export
from spooflab.generators.diffusion.training.material import load_material
from spooflab.generators.diffusion.training.parts import Parts, adapter_parameters, make_parts
from spooflab.generators.diffusion.training.run import train
from spooflab.generators.diffusion.training.state import trained as weights_of
from spooflab.generators.diffusion.training.vae import VaeStage

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn.t accept a copy"),  # within diffusers
]
PARTS = ("vae", "unet", "text_encoder", "controlnet")


def load_plain(folder: Path, **options: Any) -> Any:
    """Load as diffusers' documentation says, and the adapter as its own says."""
    pipeline = StableDiffusionControlNetInpaintPipeline.from_pretrained(folder, safety_checker=None, **options)
    pipeline.load_ip_adapter(folder, subfolder="", weight_name="ip_adapter.safetensors", image_encoder_folder=None)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def paint(pipeline: Any, examples: Examples, *, known: float = 1.0) -> Tensor:
    """Paint an example's region; `known` scales its identity."""
    who = known * nn.functional.normalize(torch.ones(1, 1, pipeline.unet.config.cross_attention_dim // 2), dim=-1)
    made: Tensor = pipeline(
        "a photo of a young woman with glasses",
        image=torch.from_numpy(examples.picture[:1]).float() / 255,
        mask_image=torch.from_numpy(examples.region[:1])[:, None].float() / 255,
        control_image=torch.from_numpy(examples.condition[:1]).float() / 255,
        ip_adapter_image_embeds=[torch.cat([torch.zeros_like(who), who])],
        num_inference_steps=2, guidance_scale=2.0, generator=torch.Generator().manual_seed(1), output_type="pt",
        height=32, width=32,
    ).images  # fmt: skip
    return made.float()


@pytest.fixture
def lively(training: DiffusionTrainConfig) -> Parts:
    """Parts in which every condition has its effect."""
    torch.manual_seed(0)
    parts = make_parts(training)
    for parameter in adapter_parameters(parts.unet):
        nn.init.normal_(parameter, std=0.3)
    for module in (*parts.controlnet.controlnet_down_blocks, parts.controlnet.controlnet_mid_block):
        nn.init.normal_(module.weight, std=0.1)
    return parts


def _around(parts: Parts) -> Any:
    pipeline = StableDiffusionControlNetInpaintPipeline(
        vae=parts.vae, text_encoder=parts.text_encoder, tokenizer=parts.tokenizer, unet=parts.unet,
        controlnet=parts.controlnet, scheduler=parts.scheduler, safety_checker=None, feature_extractor=None,
        requires_safety_checker=False,
    )  # fmt: skip
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def test_plain_diffusers_paints_what_the_parts_paint(lively: Parts, examples: Examples, tmp_path: Path) -> None:
    export(lively, None, tmp_path, half=False)
    loaded = load_plain(tmp_path)
    wanted = paint(_around(lively), examples)
    torch.testing.assert_close(paint(loaded, examples), wanted, atol=1e-4, rtol=0)
    assert float((paint(loaded, examples, known=0) - wanted).abs().max()) > 1e-4
    assert loaded.tokenizer("glasses").input_ids == lively.tokenizer("glasses").input_ids


def test_half_precision_halves_the_files_and_leaves_the_parts_in_theirs(lively: Parts, tmp_path: Path) -> None:
    export(lively, None, tmp_path / "float", half=False)
    export(lively, None, tmp_path / "half", half=True)
    for name in PARTS:
        assert {p.dtype for p in getattr(lively, name).parameters()} == {torch.float32}
        one, two = (next((tmp_path / kind / name).glob("*.safetensors")) for kind in ("float", "half"))
        whole, halved = load_file(one), load_file(two)
        assert all(torch.equal(halved[key], value.half()) for key, value in whole.items() if value.is_floating_point())
    held = load_file(tmp_path / "half" / "ip_adapter.safetensors")
    assert {value.dtype for value in held.values()} == {torch.float16}
    assert not list((tmp_path / "half").glob("*.part"))


def test_the_unet_itself_knows_no_identities(lively: Parts, tmp_path: Path) -> None:
    export(lively, None, tmp_path, half=False)
    held = load_file(tmp_path / "unet" / "diffusion_pytorch_model.safetensors")
    assert not [key for key in held if "_ip." in key or "encoder_hid_proj" in key]
    assert json.loads((tmp_path / "unet" / "config.json").read_text())["encoder_hid_dim_type"] is None


@pytest.mark.slow
def test_a_whole_training_leaves_a_whole_model(trained: Path, examples: Examples) -> None:
    folder = trained / "model"
    found = read_model_folder(folder)
    assert found.class_name == "StableDiffusionControlNetInpaintPipeline"
    assert {part.name for part in found.parts if part.weights} == set(PARTS)
    assert bool(paint(load_plain(folder), examples).isfinite().all())
    assert NetIdentity.load(folder / "identity_encoder", name="mine").width == 8
    assert load_material(folder)[0](torch.zeros(1, 3, 32, 32)).shape == (1, 6)
    source = parse_source(str(folder))
    inpainter = Inpainter.load(source, identity=ModelSource(str(folder), file="ip_adapter.safetensors"))
    assert inpainter.identity_width == 8
    region = torch.from_numpy(examples.region[:2])[:, None].float() / 255
    picture, condition = (torch.from_numpy(v[:2]).float() / 255 for v in (examples.picture, examples.condition))
    made = inpainter.paint(
        picture, region, [condition], prompts=["a photo of a face"] * 2, seeds=[1, 2], identities=torch.eye(8)[:2],
        sampling=Sampling(steps=2, guidance=2.0),
    )  # fmt: skip
    outside = (region == 0).expand_as(picture)
    assert torch.equal(made[outside], picture[outside])
    assert float((made - picture).abs().max()) > 0.01


def test_averages_are_exported(trained: Path, training: DiffusionTrainConfig, examples: Examples) -> None:
    """What the checkpoint holds as averages is what the model's files hold."""
    state = load_file(trained / "vae" / "state.safetensors")
    model = load_file(trained / "model" / "vae" / "diffusion_pytorch_model.safetensors")
    names = [name for name, _ in weights_of(VaeStage(make_parts(training).vae, examples))]
    assert {name.removeprefix("vae.") for name in names} == set(model)
    for k, name in enumerate(names):
        assert torch.equal(state[f"average.{k}"], model[name.removeprefix("vae.")])
    assert any(not torch.equal(state[f"weight.{name}"], state[f"average.{k}"]) for k, name in enumerate(names))


@pytest.fixture(scope="module")
def based(training: DiffusionTrainConfig, trained: Path) -> DiffusionTrainConfig:
    """A fine-tuning of what that training made: low-rank updates and the adapter learn, nothing else."""
    none = Plan(steps=0)
    return training.model_copy(
        update={
            "base": str(trained / "model"), "vae": none, "identity": none, "material": none, "swap": none,
            "precision": "bf16", "parts": How(unet="lora", text_encoder="frozen", controlnet="frozen", rank=2),
            "denoiser": Plan(steps=4, batch=2, warm=0, rate=1e-2, ema=0.5, save_every=2, sheet_every=4),
        }
    )  # fmt: skip


@pytest.fixture(scope="module")
def tuned(based: DiffusionTrainConfig, trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("tuned")
    (out / "examples").symlink_to(trained / "examples")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "__array__ implementation doesn.t accept a copy")  # within diffusers
        return train(based, out)


def test_frozen_parts_come_out_as_they_went_in(tuned: Path, trained: Path) -> None:
    for name in PARTS:
        one, two = (next((folder / name).glob("*.safetensors")) for folder in (tuned, trained / "model"))
        assert one.read_bytes() == two.read_bytes()
    for name in ("tokenizer/tokenizer.json", "identity_encoder/model.safetensors", "material_classifier.safetensors"):
        assert (tuned / name).read_bytes() == (trained / "model" / name).read_bytes()
    before, after = (load_file(folder / "ip_adapter.safetensors") for folder in (trained / "model", tuned))
    assert before.keys() == after.keys()
    assert not torch.equal(before["image_proj.proj.0.weight"], after["image_proj.proj.0.weight"])


def test_low_rank_updates_are_what_diffusers_loads(tuned: Path, based: Any, examples: Examples) -> None:
    """The plain pipeline with adapter and updates paints what the trained parts paint, and something else without."""
    stage_parts = make_parts(based)
    stage = DenoiserStage(stage_parts, make_identity(based), examples, based.parts)
    state = load_file(tuned.parent / "denoiser" / "state.safetensors")
    learnt = [(name, p) for name, p in stage.named_parameters() if p.requires_grad]
    assert {f"weight.{name}" for name, _ in learnt} == {key for key in state if key.startswith("weight.")}
    with torch.no_grad():
        for k, (_, parameter) in enumerate(learnt):
            parameter.copy_(state[f"average.{k}"])
    wanted = paint(_around(stage_parts), examples)
    loaded = load_plain(tuned)
    without = paint(loaded, examples)
    loaded.load_lora_weights(tuned)
    torch.testing.assert_close(paint(loaded, examples), wanted, atol=1e-4, rtol=0)
    assert float((without - wanted).abs().max()) > 1e-3
    assert loaded.unet.peft_config["default_0"].r == 2


@pytest.mark.slow
def test_low_rank_updates_go_on_to_the_same_bits(
    based: DiffusionTrainConfig, tuned: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed before the first checkpoint, too: where updates begin depends on the seed alone."""
    from spooflab.generators.diffusion.training import loop

    plain = loop.rate_at
    (tmp_path / "examples").symlink_to(tuned.parent / "examples")
    for last in (1, 3):

        def dying(step: int, plan: Plan, last: int = last) -> float:
            if step == last:
                raise KeyboardInterrupt
            return plain(step, plan)

        monkeypatch.setattr(loop, "rate_at", dying)
        torch.randn(last)  # another history of this process
        with pytest.raises(KeyboardInterrupt):
            train(based, tmp_path)
    monkeypatch.setattr(loop, "rate_at", plain)
    made = train(based, tmp_path)
    for name in ("pytorch_lora_weights.safetensors", "ip_adapter.safetensors"):
        assert (made / name).read_bytes() == (tuned / name).read_bytes()


@pytest.mark.slow
def test_a_full_tuning_in_bfloat16_keeps_float32_weights(based: Any, trained: Path, tmp_path: Path) -> None:
    (tmp_path / "examples").symlink_to(trained / "examples")
    made = train(based.model_copy(update={"parts": How(controlnet="frozen")}), tmp_path, half=True)
    assert not (made / "pytorch_lora_weights.safetensors").exists()
    state = load_file(tmp_path / "denoiser" / "state.safetensors")
    assert {value.dtype for key, value in state.items() if key.startswith(("weight", "average"))} == {torch.float32}
    for name, same in (("unet", False), ("text_encoder", False), ("controlnet", True), ("vae", True)):
        before, after = (load_file(next((f / name).glob("*.safetensors"))) for f in (trained / "model", made))
        assert all(torch.equal(after[key], value.half()) for key, value in before.items()) == same
