"""Who is painted: an IP-Adapter in a pipeline, and an identity of its own for each picture.

An identity's embedding comes from outside; the adapter turns it into a few tokens that every cross-attention of the
UNet attends to beside the prompt.
"""

import logging
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from spooflab.generators.diffusion.ip_adapter import IdentityAdapter


def attach(pipeline: Any, adapter: IdentityAdapter) -> None:
    """Load the adapter's weights into the UNet of `pipeline`; every picture of a batch has an identity of its own."""
    state: dict[str, dict[str, Tensor]] = {"image_proj": {}, "ip_adapter": {}}
    for key, value in load_file(adapter.path).items():
        part, _, name = key.partition(".")
        state[part][name] = value
    log = logging.getLogger("diffusers")
    level = log.level
    log.setLevel(logging.ERROR)  # it would warn that there is no image encoder, which is meant so
    try:
        with torch.inference_mode(False):
            pipeline.load_ip_adapter(state, subfolder="", weight_name="", image_encoder_folder=None)
    finally:
        log.setLevel(level)
    pipeline.prepare_ip_adapter_image_embeds = _one_for_each


def set_scale(pipeline: Any, adapter: IdentityAdapter, scale: float) -> None:
    """Let the adapter weigh `scale`, 0 or more; at 0 the UNet is what it was without it, LoRA included."""
    pipeline.set_ip_adapter_scale(scale)
    if adapter.has_lora:
        (pipeline.unet.enable_lora if scale > 0 else pipeline.unet.disable_lora)()


def image_embeds(identities: Tensor, *, guided: bool) -> list[Tensor]:
    """Return what the pipeline wants for identities (B, D): one (B, 1, D), under guidance zeros (nobody) before it."""
    rows = identities[:, None]
    return [torch.cat([torch.zeros_like(rows), rows]) if guided else rows]


def _one_for_each(_picture: None, embeds: list[Tensor], device: torch.device, *_: Any) -> list[Tensor]:
    """Stand for the pipeline's `prepare_ip_adapter_image_embeds`, which repeats all identities for each picture.

    Every picture would then show a blend of all identities in its batch (diffusers, issue 9813).
    """
    return [each.to(device) for each in embeds]
