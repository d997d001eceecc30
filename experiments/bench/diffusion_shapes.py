"""A Stable Diffusion 1.5 in shape, with random weights: as fast as the real one, and nothing has to be fetched."""

import json
from dataclasses import dataclass
from pathlib import Path

import torch

from spooflab.generators.diffusion.diffusers_library import diffusers_library


@dataclass(frozen=True)
class Shape:
    """Sizes that decide the work.

    Attributes:
        unet: channels of the UNet's levels.
        layers: residual blocks per level.
        vae: channels of the autoencoder's levels.
        text, text_layers, text_heads: of the text encoder.
        tokens: of a prompt.
    """

    unet: tuple[int, ...] = (320, 640, 1280, 1280)
    layers: int = 2
    vae: tuple[int, ...] = (128, 256, 512, 512)
    text: int = 768
    text_layers: int = 12
    text_heads: int = 12
    tokens: int = 77


SD15 = Shape()
"""Rombach et al. 2022 as released in version 1.5: 860 M parameters in the UNet."""


def save_shape(shape: Shape, folder: Path, dtype: torch.dtype) -> Path:
    """Write an inpainting pipeline and, in `controlnet`, a ControlNet; both in the format of diffusers."""
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

    library, deeper = diffusers_library(), len(shape.unet) - 1
    groups = min(32, shape.unet[0] // 4)
    blocks = {
        "down_block_types": (*("CrossAttnDownBlock2D",) * deeper, "DownBlock2D"),
        "block_out_channels": shape.unet,
        "layers_per_block": shape.layers,
        "cross_attention_dim": shape.text,
        "attention_head_dim": 8,
        "norm_num_groups": groups,
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.json").write_text(json.dumps({"<|startoftext|>": 0, "<|endoftext|>": 1, "a</w>": 2}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    levels = len(shape.vae)
    pipeline = library.StableDiffusionInpaintPipeline(
        vae=library.AutoencoderKL(
            down_block_types=("DownEncoderBlock2D",) * levels,
            up_block_types=("UpDecoderBlock2D",) * levels,
            block_out_channels=shape.vae,
            layers_per_block=2,
            norm_num_groups=min(32, shape.vae[0] // 4),
        ),
        text_encoder=CLIPTextModel(
            CLIPTextConfig(
                vocab_size=3,
                hidden_size=shape.text,
                intermediate_size=4 * shape.text,
                num_hidden_layers=shape.text_layers,
                num_attention_heads=shape.text_heads,
                max_position_embeddings=shape.tokens,
                bos_token_id=0,
                eos_token_id=1,
            )
        ),
        tokenizer=CLIPTokenizer(str(folder / "vocab.json"), str(folder / "merges.txt"), model_max_length=shape.tokens),
        unet=library.UNet2DConditionModel(
            sample_size=64,
            in_channels=9,
            out_channels=4,
            up_block_types=("UpBlock2D", *("CrossAttnUpBlock2D",) * deeper),
            **blocks,
        ),
        scheduler=library.DDIMScheduler(
            beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", clip_sample=False, steps_offset=1
        ),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.to(dtype).save_pretrained(folder, safe_serialization=True)
    library.ControlNetModel(in_channels=4, **blocks).to(dtype).save_pretrained(folder / "control")
    return folder
