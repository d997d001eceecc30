"""Miniature models in the real format: random weights, built from configurations and saved to disk."""

import json
from pathlib import Path

import pytest
import torch

pytest.importorskip("diffusers")
pytest.importorskip("transformers")


def save_pipeline(folder: Path) -> Path:
    """Save a Stable Diffusion of a few thousand parameters, with the parts and files of SD 1.5."""
    from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

    torch.manual_seed(0)
    unet = UNet2DConditionModel(
        block_out_channels=(4, 8), layers_per_block=1, norm_num_groups=4, sample_size=8, cross_attention_dim=8,
        attention_head_dim=2, down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
    )  # fmt: skip
    vae = AutoencoderKL(block_out_channels=(4,), norm_num_groups=4, sample_size=16)
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


@pytest.fixture(scope="session")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the miniature was saved; nobody may change it."""
    return save_pipeline(tmp_path_factory.mktemp("models") / "tiny")
