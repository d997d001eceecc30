"""A trained model as a folder that diffusers loads unchanged."""

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save

from spooflab.atomic import write_over
from spooflab.generators.diffusion.diffusers_library import diffusers_library
from spooflab.generators.diffusion.embedded import ADAPTER
from spooflab.generators.diffusion.identity_net import IDENTITY_FOLDER, IdentityNet, save_identity
from spooflab.generators.diffusion.training.parts import Parts, adapter_weights, lora_weights, plain_weights


def export(parts: Parts, identity: IdentityNet | None, folder: Path, *, half: bool) -> None:
    """Write pipeline, identity projection and identity encoder; low-rank updates in a file beside them.

    Args:
        parts: trained.
        identity: the encoder; None where embeddings come from elsewhere.
        folder: made if missing; files in it are replaced.
        half: weights in float16, which rounds those of `parts` as well.
    """
    library = diffusers_library()
    lora = {name: value.detach().contiguous() for name, value in lora_weights(parts.unet).items()}
    adapter = {name: value.detach().float().contiguous() for name, value in adapter_weights(parts.unet).items()}
    # The pipeline's own UNet has neither identity layers nor low-rank updates: whoever wants them loads their files.
    plain = library.UNet2DConditionModel.from_config({**parts.unet.config, "encoder_hid_dim_type": None})
    held = plain_weights(parts.unet)
    plain.load_state_dict({name: held[name] for name in plain.state_dict()})
    pipeline = library.StableDiffusionControlNetInpaintPipeline(
        vae=parts.vae,
        text_encoder=parts.text_encoder,
        tokenizer=parts.tokenizer,
        unet=plain,
        controlnet=parts.controlnet,
        scheduler=parts.scheduler,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    before = {name: part.dtype for name, part in _models(pipeline)}
    if half:
        pipeline.to(torch.float16)
        adapter = {name: value.half() for name, value in adapter.items()}
        lora = {name: value.half() for name, value in lora.items()}
    pipeline.save_pretrained(folder, safe_serialization=True)
    if half:
        for name, part in _models(pipeline):
            part.to(before[name])
    if lora:
        pipeline.save_lora_weights(folder, unet_lora_layers=lora, safe_serialization=True)
    write_over(folder / ADAPTER, save(adapter))
    if identity is not None:
        save_identity(identity, folder / IDENTITY_FOLDER)


def _models(pipeline: Any) -> list[tuple[str, Any]]:
    return [(name, part) for name, part in pipeline.components.items() if isinstance(part, torch.nn.Module)]
