"""Miniature models in the real format: random weights, built from configurations and saved to disk."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

pytest.importorskip("diffusers")
pytest.importorskip("transformers")


def save_pipeline(folder: Path) -> Path:
    """Save a Stable Diffusion of a few thousand parameters, with the parts and files of SD 1.5."""
    from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

    torch.manual_seed(0)
    unet = _unet(UNet2DConditionModel)
    vae = _vae(AutoencoderKL)
    text = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=4, hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=2,
            bos_token_id=0, eos_token_id=1, max_position_embeddings=8,
        )
    )  # fmt: skip
    words = folder.parent / "words"
    words.mkdir(parents=True, exist_ok=True)
    (words / "vocab.json").write_text(json.dumps({"<|startoftext|>": 0, "<|endoftext|>": 1, "a</w>": 2, "b</w>": 3}))
    (words / "merges.txt").write_text("#version: 0.2\n")
    tokenizer = CLIPTokenizer(str(words / "vocab.json"), str(words / "merges.txt"), model_max_length=8)
    scheduler = DDIMScheduler(steps_offset=1, clip_sample=False)
    StableDiffusionPipeline(
        vae=vae, text_encoder=text, tokenizer=tokenizer, unet=unet, scheduler=scheduler, safety_checker=None,
        feature_extractor=None, requires_safety_checker=False,
    ).save_pretrained(folder)  # fmt: skip
    (folder / "README.md").write_text("---\nlibrary_name: diffusers\nlicense: cc0-1.0\n---\n# Tiny\n")
    return folder


def save_xl_pipeline(folder: Path, words: Path) -> Path:
    """Save the like of SDXL: two text encoders, and sizes as conditions."""
    from diffusers import AutoencoderKL, EulerDiscreteScheduler, StableDiffusionXLPipeline, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

    torch.manual_seed(1)
    text = CLIPTextConfig(
        vocab_size=4, hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=2, projection_dim=8,
        bos_token_id=0, eos_token_id=1, max_position_embeddings=8,
    )  # fmt: skip
    tokenizer = CLIPTokenizer(str(words / "vocab.json"), str(words / "merges.txt"), model_max_length=8)
    StableDiffusionXLPipeline(
        vae=_vae(AutoencoderKL),
        text_encoder=CLIPTextModel(text), text_encoder_2=CLIPTextModelWithProjection(text),
        tokenizer=tokenizer, tokenizer_2=tokenizer, unet=_unet(UNet2DConditionModel, cross_attention_dim=16, **_XL),
        scheduler=EulerDiscreteScheduler(), add_watermarker=False,
    ).save_pretrained(folder)  # fmt: skip
    return folder


_XL = {
    "addition_embed_type": "text_time", "addition_time_embed_dim": 4, "projection_class_embeddings_input_dim": 32,
}  # fmt: skip


def _vae(kind: Any) -> Any:
    """An eighth of the size, as ControlNets want it."""
    down, up = ("DownEncoderBlock2D",) * 4, ("UpDecoderBlock2D",) * 4
    return kind(
        down_block_types=down, up_block_types=up, block_out_channels=(4,) * 4, norm_num_groups=4, sample_size=32
    )


def _unet(kind: Any, **changes: Any) -> Any:
    blocks = {
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
        "block_out_channels": (4, 8), "layers_per_block": 1, "norm_num_groups": 4, "sample_size": 8,
        "cross_attention_dim": 8, "attention_head_dim": 2,
    }  # fmt: skip
    return kind(**{**blocks, **changes})


def save_controlnet(folder: Path, pipeline: Path, seed: int) -> Path:
    """Save a ControlNet of a miniature, whose last layers are not 0: it changes what is painted."""
    from diffusers import ControlNetModel, UNet2DConditionModel

    torch.manual_seed(seed)
    unet = UNet2DConditionModel.from_pretrained(pipeline / "unet", local_files_only=True, use_safetensors=True)
    net = ControlNetModel.from_unet(unet, conditioning_channels=3)
    for module in (*net.controlnet_down_blocks, net.controlnet_mid_block):
        torch.nn.init.normal_(module.weight, std=0.3)
    torch.nn.init.normal_(net.controlnet_cond_embedding.conv_out.weight, std=0.3)
    net.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the miniature was saved; nobody may change it."""
    return save_pipeline(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="session")
def saved_xl(saved: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_xl_pipeline(tmp_path_factory.mktemp("models") / "tiny_xl", saved.parent / "words")


@pytest.fixture(scope="session")
def controlnet() -> Callable[..., Path]:
    return save_controlnet


def save_inpainting_pipeline(folder: Path, words: Path) -> Path:
    """Save a small inpainting model: 9 channels into the UNet, quarter-size latents, v, no signal at the last level.

    Its ControlNet, whose condition has 4 channels, is a part of the folder.
    """
    from diffusers import AutoencoderKL, ControlNetModel, DDIMScheduler, UNet2DConditionModel
    from diffusers import StableDiffusionControlNetInpaintPipeline as Pipeline
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

    torch.manual_seed(2)
    text = CLIPTextConfig(
        vocab_size=4, hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=2,
        bos_token_id=0, eos_token_id=1, max_position_embeddings=8,
    )  # fmt: skip
    vae = AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 3, up_block_types=("UpDecoderBlock2D",) * 3,
        block_out_channels=(4,) * 3, norm_num_groups=4, sample_size=32,
    )  # fmt: skip
    # A last layer near 0 makes what the UNet says change slowly, as that of a trained one does.
    unet = _unet(UNet2DConditionModel, in_channels=9)
    unet.conv_out.weight.data *= 0.3
    net = ControlNetModel(
        in_channels=4, conditioning_channels=4, conditioning_embedding_out_channels=(4, 4, 4),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"), block_out_channels=(4, 8), layers_per_block=1,
        norm_num_groups=4, cross_attention_dim=8, attention_head_dim=2,
    )  # fmt: skip
    for module in (*net.controlnet_down_blocks, net.controlnet_mid_block, net.controlnet_cond_embedding.conv_out):
        torch.nn.init.normal_(module.weight, std=0.3)
    scheduler = DDIMScheduler(
        prediction_type="v_prediction", rescale_betas_zero_snr=True, timestep_spacing="trailing", clip_sample=False,
        steps_offset=1, beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012,
    )  # fmt: skip
    tokenizer = CLIPTokenizer(str(words / "vocab.json"), str(words / "merges.txt"), model_max_length=8)
    Pipeline(
        vae=vae, text_encoder=CLIPTextModel(text), tokenizer=tokenizer, unet=unet, controlnet=net, scheduler=scheduler,
        safety_checker=None, feature_extractor=None, requires_safety_checker=False,
    ).save_pretrained(folder)  # fmt: skip
    return folder


@pytest.fixture(scope="session")
def saved_inpainting(saved: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_inpainting_pipeline(tmp_path_factory.mktemp("models") / "tiny_inpainting", saved.parent / "words")
