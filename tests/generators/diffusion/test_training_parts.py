"""Parts that are trained: new ones, those of a base, and the identity layers between them."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import (
    DDIMScheduler,
    StableDiffusionControlNetInpaintPipeline,
    StableDiffusionInpaintPipeline,
    UNet2DConditionModel,
)
from safetensors.torch import load_file, save_file
from torch import Tensor

from spooflab.errors import ConfigError, DataError
from spooflab.generators.diffusion.ip_adapter import check_fits, read_adapter
from spooflab.generators.diffusion.training.base import make_identity, make_judge
from spooflab.generators.diffusion.training.config import DiffusionTrainConfig, Plan, Shape
from spooflab.generators.diffusion.training.parts import (
    Parts,
    adapter_parameters,
    adapter_weights,
    lora_weights,
    make_parts,
    plain_weights,
    split_adapter,
)

pytestmark = pytest.mark.slow  # together half a minute

NONE = Plan(steps=0)
INPUT = {
    "sample": torch.randn(1, 9, 16, 16, generator=torch.Generator().manual_seed(1)),
    "words": torch.randn(1, 5, 16, generator=torch.Generator().manual_seed(2)),
    "identity": torch.randn(1, 1, 8, generator=torch.Generator().manual_seed(3)),
}


@pytest.fixture
def parts(training: DiffusionTrainConfig) -> Parts:
    torch.manual_seed(0)
    return make_parts(training)


def _predicted(unet: Any, identity: Tensor | None = None) -> Tensor:
    given = {} if identity is None else {"added_cond_kwargs": {"image_embeds": [identity]}}
    words = INPUT["words"][..., : unet.config.cross_attention_dim]
    with torch.no_grad():
        made: Tensor = unet(INPUT["sample"], torch.tensor([5]), encoder_hidden_states=words, **given).sample
    return made


def test_a_new_adapter_changes_nothing_at_first(parts: Parts) -> None:
    plain: Any = UNet2DConditionModel.from_config({**parts.unet.config, "encoder_hid_dim_type": None})
    plain.load_state_dict({name: parts.unet.state_dict()[name] for name in plain.state_dict()})
    torch.testing.assert_close(_predicted(parts.unet, INPUT["identity"]), _predicted(plain), atol=1e-5, rtol=0)
    values = [p for name, p in parts.unet.named_parameters() if ".to_v_ip." in f".{name}"]
    assert values
    with torch.no_grad():
        for value in values:
            value.normal_(std=0.5, generator=torch.Generator().manual_seed(4))
    assert float((_predicted(parts.unet, INPUT["identity"]) - _predicted(plain)).abs().max()) > 1e-3


def test_an_adapter_is_written_as_it_is_read(parts: Parts, training: DiffusionTrainConfig, tmp_path: Path) -> None:
    for parameter in adapter_parameters(parts.unet):
        torch.nn.init.normal_(parameter, std=0.3)
    held = {name: value.clone() for name, value in adapter_weights(parts.unet).items()}
    assert sum(v.numel() for v in held.values()) == sum(p.numel() for p in adapter_parameters(parts.unet))
    torch.manual_seed(0)
    other = make_parts(training).unet
    other._load_ip_adapter_weights([split_adapter(held)], low_cpu_mem_usage=False)
    again = adapter_weights(other)
    assert again.keys() == held.keys()
    assert all(torch.equal(again[name], held[name]) for name in held)
    assert torch.equal(_predicted(other, INPUT["identity"]), _predicted(parts.unet, INPUT["identity"]))
    # By our own reader of such files it is a FaceID adapter that fits this UNet.
    save_file({name: value.contiguous() for name, value in held.items()}, tmp_path / "a.safetensors")
    other.save_config(tmp_path / "unet")
    found = read_adapter(tmp_path / "a.safetensors")
    assert (found.kind, found.width, found.has_lora) == ("FaceID", 8, False)
    check_fits(found, tmp_path / "unet")


@pytest.mark.parametrize("levels", [2, 3, 4, 5])
def test_a_condition_is_made_as_small_as_the_latents(levels: int) -> None:
    shape = Shape(vae=(8,) * levels, unet=(8, 16), text=16, text_layers=1, identity=8, heads=2)
    parts = make_parts(DiffusionTrainConfig(size=64, shape=shape))
    side = 64 // 2 ** (levels - 1)
    with torch.no_grad():
        made = parts.controlnet.controlnet_cond_embedding(torch.zeros(1, 3, 64, 64))
        latent = parts.vae.encode(torch.zeros(1, 3, 64, 64)).latent_dist.mode()
    assert made.shape[-1] == latent.shape[-1] == side == parts.unet.config.sample_size


def _based(base: Path, **changes: Any) -> DiffusionTrainConfig:
    given: dict[str, Any] = {
        "base": str(base), "size": 32, "face_px": 96, "shape": Shape(identity=16), "vae": NONE, "identity": NONE,
        "material": NONE, **changes,
    }  # fmt: skip
    return DiffusionTrainConfig(**given)


def _without_controlnet(saved_inpainting: Path, folder: Path) -> Path:
    kinds = StableDiffusionControlNetInpaintPipeline.from_pretrained(saved_inpainting, safety_checker=None).components
    kinds.pop("controlnet")
    kinds["scheduler"] = DDIMScheduler(clip_sample=False, steps_offset=1)
    StableDiffusionInpaintPipeline(**kinds, requires_safety_checker=False).save_pretrained(folder)
    return folder


def test_parts_of_a_base_are_its_own(saved_inpainting: Path) -> None:
    parts = make_parts(_based(saved_inpainting))
    for name in ("vae", "unet", "text_encoder", "controlnet"):
        held = {k: v for f in (saved_inpainting / name).glob("*.safetensors") for k, v in load_file(f).items()}
        seen = getattr(parts, name).state_dict()
        assert held
        assert all(torch.equal(seen[key], value) for key, value in held.items())
    wanted = load_file(saved_inpainting / "ip_adapter.safetensors")
    seen = adapter_weights(parts.unet)
    assert seen.keys() == wanted.keys()
    assert all(torch.equal(seen[key], value) for key, value in wanted.items())


def test_a_base_without_a_controlnet_gets_a_copy_of_its_encoder(saved_inpainting: Path, tmp_path: Path) -> None:
    """Zhang et al. 2023: the copy begins where the UNet is, and adds nothing at first."""
    parts = make_parts(_based(_without_controlnet(saved_inpainting, tmp_path / "base")))
    net, unet = parts.controlnet, parts.unet
    assert net.config.in_channels == 4
    for name in ("down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q", "mid_block.resnets.0.conv1"):
        assert torch.equal(net.get_submodule(name).weight, unet.get_submodule(name).weight)
    assert torch.equal(net.time_embedding.linear_1.weight, unet.time_embedding.linear_1.weight)
    assert torch.equal(net.conv_in.weight, unet.conv_in.weight[:, :4])
    with torch.no_grad():
        down, middle = net(
            INPUT["sample"][:, :4, :8, :8], torch.tensor([5]), encoder_hidden_states=INPUT["words"][..., :8],
            controlnet_cond=torch.rand(1, 3, 32, 32), return_dict=False,
        )  # fmt: skip
    assert all(not part.any() for part in (*down, middle))


def test_a_base_in_half_precision_learns_in_float32(saved_inpainting: Path, tmp_path: Path) -> None:
    pipeline = StableDiffusionControlNetInpaintPipeline.from_pretrained(saved_inpainting, safety_checker=None)
    pipeline.to(torch.float16).save_pretrained(tmp_path)
    parts = make_parts(_based(tmp_path))
    for name in ("vae", "unet", "text_encoder", "controlnet"):
        assert {p.dtype for p in getattr(parts, name).parameters()} == {torch.float32}


def test_bases_of_other_kinds_are_refused(saved: Path, saved_xl: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="takes 4 channels"):
        make_parts(_based(saved))
    with pytest.raises(ConfigError, match="StableDiffusionXL"):
        make_parts(_based(saved_xl))
    with pytest.raises(DataError, match="not a folder"):
        make_parts(_based(tmp_path / "none"))


def test_adapters_that_are_not_ours_are_refused(
    saved_inpainting: Path, adapter: Callable[..., Path], tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="for 16 numbers"):
        make_parts(_based(saved_inpainting, shape=Shape(identity=8)))
    base = tmp_path / "base"
    shutil.copytree(saved_inpainting, base)
    adapter(base / "ip_adapter.safetensors", base, "plain")
    with pytest.raises(ConfigError, match="kind plain"):
        make_parts(_based(base))
    adapter(base / "ip_adapter.safetensors", base, "FaceID", lora=True)
    with pytest.raises(ConfigError, match="low-rank updates"):
        make_parts(_based(base))
    shutil.copy(saved_inpainting / "ip_adapter.safetensors", base)
    (base / "pytorch_lora_weights.safetensors").write_bytes(b"")
    with pytest.raises(ConfigError, match="merged into its UNet"):
        make_parts(_based(base))


def test_an_adapter_wants_its_encoder(saved_inpainting: Path) -> None:
    with pytest.raises(ConfigError, match="no identity_encoder"):
        make_identity(_based(saved_inpainting))
    assert make_identity(_based(saved_inpainting, identity=Plan(steps=1))).width == 16
    assert make_judge(_based(saved_inpainting)) is None
    assert make_judge(_based(saved_inpainting, material=Plan(steps=1))) is not None


@pytest.mark.slow
def test_what_our_training_wrote_is_gone_on_from(training: DiffusionTrainConfig, trained: Path) -> None:
    base = trained / "model"
    config = _based(base, shape=training.shape)
    net, judge = make_identity(config), make_judge(config)
    for held, module in (
        (load_file(base / "identity_encoder" / "model.safetensors"), net),
        (load_file(base / "material_classifier.safetensors"), judge),
    ):
        assert module is not None
        assert all(torch.equal(value.half(), held[key]) for key, value in module.state_dict().items())
        assert all(p.requires_grad for p in module.parameters())
    with pytest.raises(ConfigError, match=r"shape\.identity is 16"):
        make_identity(_based(base))


def test_a_unet_is_told_from_its_low_rank_updates(parts: Parts) -> None:
    from peft import LoraConfig

    assert lora_weights(parts.unet) == {}
    before = {name: value.clone() for name, value in parts.unet.state_dict().items()}
    parts.unet.add_adapter(LoraConfig(r=2, lora_alpha=2, target_modules=["to_q", "to_k", "to_v", "to_out.0"]))
    plain = plain_weights(parts.unet)
    assert plain.keys() == before.keys()
    assert all(torch.equal(plain[name], before[name]) for name in before)
    assert len(lora_weights(parts.unet)) == 2 * 4 * sum("attn" in n for n in parts.unet.attn_processors)


def test_parts_from_scratch_are_trained_in_full() -> None:
    with pytest.raises(ValueError, match="name a base"):
        DiffusionTrainConfig(parts={"unet": "lora"})  # type: ignore[arg-type]  # as YAML has it
    with pytest.raises(ValueError, match="cannot be halved"):
        DiffusionTrainConfig(size=40)
    with pytest.raises(ValueError, match=r"material\.steps without masks"):
        DiffusionTrainConfig(masks=0)
