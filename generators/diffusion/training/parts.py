"""The parts of a Stable Diffusion: made from scratch in the sizes of a `Shape`, or read from a folder to go on from."""

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor, nn

from spooflab.errors import ConfigError
from spooflab.generators.diffusion.diffusers_library import diffusers_library
from spooflab.generators.diffusion.embedded import ADAPTER
from spooflab.generators.diffusion.ip_adapter import check_fits, read_adapter
from spooflab.generators.diffusion.model_folder import read_model_folder
from spooflab.generators.diffusion.model_source import locate, parse_source
from spooflab.generators.diffusion.training.captions import vocabulary
from spooflab.generators.diffusion.training.config import DiffusionTrainConfig, Shape
from spooflab.generators.diffusion.training.words import LENGTH, word_tokenizer

TOKENS = 4
"""Tokens that an identity becomes; what diffusers takes this form of adapter to have."""
LORA = "pytorch_lora_weights.safetensors"
"""File of low-rank updates of the UNet within a model's folder, by the name that diffusers looks for."""
_INPAINT = 9
"""Latents, the mask, and the latents of the masked picture."""


@dataclass
class Parts:
    """What a pipeline consists of; each as diffusers or transformers has it."""

    vae: Any
    unet: Any
    text_encoder: Any
    tokenizer: Any
    controlnet: Any
    scheduler: Any


def make_parts(config: DiffusionTrainConfig) -> Parts:
    """Return the parts of the base, or new ones; the UNet has identity layers either way.

    Raises:
        ConfigError: the base is no Stable Diffusion 1.5 or 2, paints 4 channels and thus knows no mask, or has low-rank
            updates, or an adapter of another form or width than ours.
        DataError: the base is missing or damaged.
    """
    parts = _from_scratch(config) if config.base is None else _from_base(config)
    if parts.unet.encoder_hid_proj is None:
        _add_adapter(parts.unet, config.shape.identity)
    return parts


def _from_scratch(config: DiffusionTrainConfig) -> Parts:
    from transformers import CLIPTextConfig, CLIPTextModel

    library, shape = diffusers_library(), config.shape
    vae = library.AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * len(shape.vae),
        up_block_types=("UpDecoderBlock2D",) * len(shape.vae),
        block_out_channels=shape.vae,
        layers_per_block=1,
        norm_num_groups=8,
        sample_size=config.size,
        mid_block_add_attention=False,
    )
    with TemporaryDirectory() as folder:
        tokenizer = word_tokenizer(vocabulary(), Path(folder))
    text = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=shape.text,
            intermediate_size=2 * shape.text,
            num_hidden_layers=shape.text_layers,
            num_attention_heads=max(shape.text // 32, 1),
            max_position_embeddings=LENGTH,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )
    side = config.size // 2 ** (len(shape.vae) - 1)
    unet = library.UNet2DConditionModel(sample_size=side, in_channels=_INPAINT, out_channels=4, **_blocks(shape))
    controls = {k: v for k, v in _blocks(shape).items() if k != "up_block_types"}
    controlnet = library.ControlNetModel(
        in_channels=4, conditioning_embedding_out_channels=_conditioning(len(shape.vae)), **controls
    )
    # v-prediction and steps from the noisiest on (Salimans & Ho 2022; Lin et al. 2024) let few steps suffice.
    scheduler = library.DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        set_alpha_to_one=False,
        prediction_type="v_prediction",
        timestep_spacing="trailing",
    )
    return Parts(vae, unet, text, tokenizer, controlnet, scheduler)


def _blocks(shape: Shape) -> dict[str, Any]:
    deeper = len(shape.unet) - 1
    return {
        "down_block_types": ("DownBlock2D", *("CrossAttnDownBlock2D",) * deeper),
        "up_block_types": (*("CrossAttnUpBlock2D",) * deeper, "UpBlock2D"),
        "block_out_channels": shape.unet,
        "layers_per_block": shape.layers,
        "cross_attention_dim": shape.text,
        "attention_head_dim": shape.heads,  # which diffusers takes as the number of heads
        "norm_num_groups": 8,
    }


def _conditioning(levels: int) -> tuple[int, ...]:
    """Return channels of the condition's embedding, which halves the sides as often as the autoencoder does."""
    return (16, 32, 96, 256, 256)[:levels]


def _from_base(config: DiffusionTrainConfig) -> Parts:
    from transformers import CLIPTextModel, CLIPTokenizer

    library = diffusers_library()
    assert config.base is not None
    source = parse_source(config.base)
    folder = read_model_folder(locate(source))
    if not folder.class_name.startswith("StableDiffusion") or "XL" in folder.class_name or "3" in folder.class_name:
        raise ConfigError(f"base {source} is a {folder.class_name}", wanted="a Stable Diffusion 1.5 or 2")
    if (folder.path / LORA).exists():
        raise ConfigError(f"base {source} holds {LORA}", wanted="one whose low-rank updates are merged into its UNet")
    # Weights learn in float32, in whatever precision they were saved.
    common = {"use_safetensors": True, "local_files_only": True, "dtype": torch.float32}

    def read(kind: Any, name: str) -> Any:
        return kind.from_pretrained(folder.path, subfolder=name, **common)

    vae = read(library.AutoencoderKL, "vae")
    unet = read(library.UNet2DConditionModel, "unet")
    if unet.config.in_channels != _INPAINT:
        raise ConfigError(
            f"base {source}: its UNet takes {unet.config.in_channels} channels",
            wanted=f"an inpainting model, which takes {_INPAINT}",
        )
    if any(part.name == "controlnet" for part in folder.parts):
        controlnet = read(library.ControlNetModel, "controlnet")
    else:
        # A ControlNet is fed with the latents alone, and copies the rest of the UNet's encoder.
        controlnet = library.ControlNetModel.from_unet(
            unet,
            conditioning_embedding_out_channels=_conditioning(len(vae.config.block_out_channels)),
            load_weights_from_unet=False,
        )
        controlnet = library.ControlNetModel.from_config({**controlnet.config, "in_channels": 4})
        copied = {k: v for k, v in unet.state_dict().items() if k in controlnet.state_dict() and k != "conv_in.weight"}
        controlnet.load_state_dict({**copied, "conv_in.weight": unet.conv_in.weight[:, :4].detach()}, strict=False)
    adapter = folder.path / ADAPTER
    if adapter.is_file():
        from safetensors.torch import load_file

        found = read_adapter(adapter)
        if found.kind != "FaceID" or found.has_lora or found.width != config.shape.identity:
            raise ConfigError(
                f"{adapter}: an adapter of kind {found.kind} for {found.width} numbers"
                + (" with low-rank updates" if found.has_lora else ""),
                wanted=f"FaceID for the {config.shape.identity} of shape.identity, without low-rank updates",
            )
        check_fits(found, folder.path / "unet")
        unet._load_ip_adapter_weights([split_adapter(load_file(adapter))], low_cpu_mem_usage=False)
    return Parts(
        vae,
        unet,
        read(CLIPTextModel, "text_encoder"),
        CLIPTokenizer.from_pretrained(folder.path, subfolder="tokenizer", local_files_only=True),
        controlnet,
        library.DDIMScheduler.from_pretrained(folder.path, subfolder="scheduler", local_files_only=True),
    )


def _add_adapter(unet: Any, width: int) -> None:
    """Give a UNet an identity projection and layers that attend to it, as IP-Adapter FaceID has them (Ye et al. 2023).

    The values' layers start at 0: at first an identity changes nothing.
    """
    across = unet.config.cross_attention_dim
    hidden = 2 * width
    projection = {
        "proj.0.weight": torch.empty(hidden, width),
        "proj.0.bias": torch.zeros(hidden),
        "proj.2.weight": torch.empty(TOKENS * across, hidden),
        "proj.2.bias": torch.zeros(TOKENS * across),
        "norm.weight": torch.ones(across),
        "norm.bias": torch.zeros(across),
    }
    layers: dict[str, Tensor] = {}
    for key, name in enumerate(unet.attn_processors):
        if name.endswith("attn2.processor"):
            inner = unet.get_submodule(name.removesuffix(".processor")).to_k.weight.shape[0]
            layers[f"{key}.to_k_ip.weight"] = torch.empty(inner, across)
            layers[f"{key}.to_v_ip.weight"] = torch.zeros(inner, across)
    for name, weight in (*projection.items(), *layers.items()):
        if weight.ndim == 2 and not name.endswith("to_v_ip.weight"):
            nn.init.xavier_uniform_(weight)
    unet._load_ip_adapter_weights([{"image_proj": projection, "ip_adapter": layers}], low_cpu_mem_usage=False)


def adapter_parameters(unet: Any) -> list[nn.Parameter]:
    """Return the parameters of the identity projection and of the layers that attend to it."""
    names = ("encoder_hid_proj.", ".to_k_ip.", ".to_v_ip.")
    return [p for name, p in unet.named_parameters() if any(part in f".{name}" for part in names)]


def adapter_weights(unet: Any) -> dict[str, Tensor]:
    """Return the adapter as its file has it: `image_proj.*` and `ip_adapter.*`."""
    held = {}
    for name, value in unet.encoder_hid_proj.image_projection_layers[0].state_dict().items():
        key = name.replace("ff.net.0.proj", "proj.0").replace("ff.net.2", "proj.2")
        held[f"image_proj.{key}"] = value
    for key, (name, processor) in enumerate(unet.attn_processors.items()):
        if name.endswith("attn2.processor"):
            held[f"ip_adapter.{key}.to_k_ip.weight"] = processor.to_k_ip[0].weight.detach()
            held[f"ip_adapter.{key}.to_v_ip.weight"] = processor.to_v_ip[0].weight.detach()
    return held


def plain_weights(unet: Any) -> dict[str, Tensor]:
    """Return a UNet's weights as they are without low-rank updates, by the names that they have there."""
    held: dict[str, Tensor] = unet.state_dict()
    return {name.replace(".base_layer.", "."): value for name, value in held.items() if ".lora_" not in name}


def lora_weights(unet: Any) -> dict[str, Tensor]:
    """Return a UNet's low-rank updates by the names that diffusers saves them under; empty where it has none."""
    if not getattr(unet, "peft_config", None):
        return {}
    from peft import get_peft_model_state_dict

    return dict(get_peft_model_state_dict(unet))


def split_adapter(held: dict[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    """Return an adapter's file as diffusers wants it: by its two halves."""
    out: dict[str, dict[str, Tensor]] = {"image_proj": {}, "ip_adapter": {}}
    for name, value in held.items():
        half, _, rest = name.partition(".")
        out[half][rest] = value
    return out
