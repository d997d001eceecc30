"""Training of the denoiser: UNet, ControlNet, text encoder and identity projection together, on latents."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn
from torch.nn import functional as F

from spooflab.atomic import write_over
from spooflab.errors import ConfigError
from spooflab.generators.diffusion.diffusers_library import diffusers_library
from spooflab.generators.diffusion.identity_net import IdentityNet
from spooflab.generators.diffusion.training.config import Parts as How
from spooflab.generators.diffusion.training.examples import FACE, Examples
from spooflab.generators.diffusion.training.loop import Stage
from spooflab.generators.diffusion.training.parts import Parts, adapter_parameters

_SILENT, _NOBODY = 0.1, 0.15
"""Shares of examples without a caption and without an identity: what guidance steers away from (Ho & Salimans 2022)."""
_OUTSIDE = 0.1
"""Weight of an error beside the region: those pixels are thrown away."""
_GAMMA = 5.0
_ROWS = 32
CONDITIONS = ("region", "masked", "condition", "tokens", "identity")
"""What the UNet is told beside noisy latents and time, by the names of a batch."""
_SHOWN, _STEPS, _GUIDANCE = 10, 10, 2.0


class DenoiserStage(Stage):
    """The squared error of the predicted velocity or noise, weighted by the region; noise by min-SNR as well.

    Velocity's own weighting of the clean picture, 1 + SNR, lets noisy times count, which few steps hang on (Salimans &
    Ho 2022, section 4); that of noise, SNR, is capped (Hang et al. 2023).

    Pictures and masked pictures are encoded once, before the first step.

    Args:
        parts: changed in place; the autoencoder stays.
        identity: the encoder whose embeddings the projection learns; stays.
        examples: what is learnt.
        how: which parts learn.
        cache: file that keeps the latents from one start to the next; None for none.
        about: what the latents follow from; a cache of others is replaced.

    Raises:
        ConfigError: nothing learns.
    """

    name = "denoiser"

    def __init__(
        self,
        parts: Parts,
        identity: IdentityNet,
        examples: Examples,
        how: How,
        *,
        cache: Path | None = None,
        about: str = "",
    ) -> None:
        super().__init__()
        self.unet, self.controlnet, self.text_encoder = parts.unet, parts.controlnet, parts.text_encoder
        self._parts, self._examples = parts, examples
        self._choose(how)
        self._latents, self._masked = kept_latents(parts.vae, examples, cache, about)
        self._identities = embed(identity, examples)
        self._words, self._tokens = tokens_of(parts.tokenizer, examples)
        self._silent = tokens_of_words(parts.tokenizer, [""])
        self._face = torch.from_numpy(examples.kind == FACE)
        noise = _noise_scheduler(parts.scheduler)
        self._scheduler, self._kind = noise, noise.config.prediction_type
        if self._kind not in ("epsilon", "v_prediction"):
            raise ConfigError(f"prediction type {self._kind}", wanted="epsilon or v_prediction")
        self._weight = torch.ones_like(noise.alphas_cumprod)
        if self._kind == "epsilon":
            if float(noise.alphas_cumprod[-1]) == 0:
                raise ConfigError("noise is predicted where nothing else is left", wanted="v_prediction with zero SNR")
            ratio = noise.alphas_cumprod / (1 - noise.alphas_cumprod)
            self._weight = ratio.clamp(max=_GAMMA) / ratio

    def draw(self, batch: int, generator: torch.Generator) -> dict[str, Tensor]:
        """Return latents, noise, times and conditions of some examples."""
        rows = torch.randint(0, len(self._examples), (batch,), generator=generator)
        chosen = rows.numpy()
        latent, masked = self._latents[rows].float(), self._masked[rows].float()
        region = torch.from_numpy(self._examples.region[chosen])[:, None].float() / 255
        silent = torch.rand(batch, generator=generator) < _SILENT
        nobody = (torch.rand(batch, generator=generator) < _NOBODY) | ~self._face[rows]
        return {
            "latent": latent,
            "masked": masked,
            "region": F.interpolate(region, size=latent.shape[-2:]),
            "condition": torch.from_numpy(self._examples.condition[chosen]).float() / 255,
            "tokens": torch.where(silent[:, None], self._silent, self._tokens[self._words[rows]]),
            "identity": torch.where(nobody[:, None], 0.0, self._identities[rows]),
            "noise": torch.randn(latent.shape, generator=generator),
            "time": torch.randint(0, len(self._weight), (batch,), generator=generator),
        }

    def forward(self, **batch: Tensor) -> dict[str, Tensor]:
        """Return the loss of a batch."""
        latent, noise, time = batch["latent"], batch["noise"], batch["time"]
        noisy = self._scheduler.add_noise(latent, noise, time)
        made = self.predicted(noisy, time, **{name: batch[name] for name in CONDITIONS})
        wanted = noise if self._kind == "epsilon" else self._scheduler.get_velocity(latent, noise, time)
        weight = _OUTSIDE + (1 - _OUTSIDE) * batch["region"]
        weight = weight / weight.mean((1, 2, 3), keepdim=True)
        error = (weight * (made.float() - wanted).square()).mean((1, 2, 3))
        return {"denoising": (self._weight.to(error.device)[time] * error).mean()}

    def predicted(
        self,
        noisy: Tensor,
        time: Tensor,
        *,
        region: Tensor,
        masked: Tensor,
        condition: Tensor,
        tokens: Tensor,
        identity: Tensor,
    ) -> Tensor:
        """Return what the UNet predicts of noisy latents, under everything that it is told."""
        words = self.text_encoder(tokens)[0]
        down, middle = self.controlnet(
            noisy, time, encoder_hidden_states=words, controlnet_cond=condition, return_dict=False
        )
        made: Tensor = self.unet(
            torch.cat([noisy, region, masked], 1),
            time,
            encoder_hidden_states=words,
            down_block_additional_residuals=down,
            mid_block_additional_residual=middle,
            added_cond_kwargs={"image_embeds": [identity[:, None]]},
        ).sample
        return made

    def sheet(self) -> Tensor:
        """Return rows of pictures: given, masked, condition, painted anew; the first faces and the first masks."""
        library, parts, device = diffusers_library(), self._parts, next(self.unet.parameters()).device
        rests = next(parts.vae.parameters()).device
        pipeline = library.StableDiffusionControlNetInpaintPipeline(
            vae=parts.vae.to(device),
            text_encoder=parts.text_encoder,
            tokenizer=parts.tokenizer,
            unet=parts.unet,
            controlnet=parts.controlnet,
            scheduler=library.DPMSolverMultistepScheduler.from_config(parts.scheduler.config),
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
        )
        pipeline.set_progress_bar_config(disable=True)
        faces, masks = (np.flatnonzero((self._examples.kind == FACE) == wanted)[:_SHOWN] for wanted in (True, False))
        rows = np.concatenate([faces, masks])
        given, condition = (
            torch.from_numpy(value[rows]).float() / 255 for value in (self._examples.picture, self._examples.condition)
        )
        region = torch.from_numpy(self._examples.region[rows])[:, None].float() / 255
        identity = torch.where(self._face[rows][:, None], self._identities[rows], 0.0)[:, None]
        with torch.inference_mode():
            painted = pipeline(
                prompt=self._examples.caption[rows].tolist(),
                image=given,
                mask_image=region,
                control_image=condition,
                ip_adapter_image_embeds=[torch.cat([torch.zeros_like(identity), identity]).to(device)],
                num_inference_steps=_STEPS,
                guidance_scale=_GUIDANCE,
                generator=[torch.Generator().manual_seed(k) for k in range(len(rows))],
                height=given.shape[-2],
                width=given.shape[-1],
                output_type="pt",
            ).images
        parts.vae.to(rests)
        painted = torch.where(region > 0, painted.float().cpu(), given)
        blocks = [
            torch.cat([torch.cat(list(v[part]), -1) for v in (given, given * (1 - region), condition, painted)], -2)
            for part in (slice(0, len(faces)), slice(len(faces), len(rows)))
            if part.stop > part.start
        ]
        width = max(block.shape[-1] for block in blocks)
        return torch.cat([F.pad(block, (0, width - block.shape[-1])) for block in blocks], -2)

    def _choose(self, how: How) -> None:
        adapter = adapter_parameters(self.unet)
        self.requires_grad_(False)
        if how.unet == "lora":
            from peft import LoraConfig

            if getattr(self.unet, "peft_config", None) is None:  # else an earlier stage has added them
                self.unet.add_adapter(
                    LoraConfig(r=how.rank, lora_alpha=how.rank, target_modules=["to_q", "to_k", "to_v", "to_out.0"])
                )
            for name, parameter in self.unet.named_parameters():
                parameter.requires_grad_(".lora_" in name)
        modules: list[nn.Module] = [
            module
            for module, what in (
                (self.unet, how.unet),
                (self.text_encoder, how.text_encoder),
                (self.controlnet, how.controlnet),
            )
            if what == "full"
        ]
        for module in modules:
            module.requires_grad_(True)
        for parameter in adapter:
            parameter.requires_grad_(how.adapter)
        if not any(p.requires_grad for p in self.parameters()):
            raise ConfigError("every part is frozen", wanted="one that learns")


def kept_latents(vae: Any, examples: Examples, cache: Path | None, about: str) -> tuple[Tensor, Tensor]:
    """Return `encode`'s latents from `cache` if it holds those of `about`; else make them, and keep them there."""
    if cache is None:
        return encode(vae, examples)
    key = hashlib.sha256(about.encode()).hexdigest()
    try:
        with safe_open(cache, framework="pt") as file:
            if (file.metadata() or {}).get("key") == key:
                return file.get_tensor("whole"), file.get_tensor("masked")
    except (OSError, SafetensorError):
        pass  # none yet, or one that was cut off: it is made again
    whole, masked = encode(vae, examples)
    cache.parent.mkdir(parents=True, exist_ok=True)
    write_over(cache, save({"whole": whole, "masked": masked}, {"key": key}))
    return whole, masked


def encode(vae: Any, examples: Examples) -> tuple[Tensor, Tensor]:
    """Return scaled latents of all pictures and of all masked pictures, float16."""
    whole, masked = list[Tensor](), list[Tensor]()
    device = next(vae.parameters()).device
    with torch.inference_mode():
        for k in range(0, len(examples), _ROWS):
            picture = (torch.from_numpy(examples.picture[k : k + _ROWS]).float() / 127.5 - 1).to(device)
            kept = torch.from_numpy(examples.region[k : k + _ROWS] == 0)[:, None].to(device)
            for into, value in ((whole, picture), (masked, picture * kept)):
                latent = vae.encode(value.contiguous(memory_format=torch.channels_last)).latent_dist.mode()
                into.append((latent * vae.config.scaling_factor).half().cpu().contiguous())
    return torch.cat(whole).clone(), torch.cat(masked).clone()


def embed(identity: IdentityNet, examples: Examples) -> Tensor:
    """Return the identity embeddings of all likenesses."""
    identity.eval()
    device = next(identity.parameters()).device
    with torch.inference_mode():
        rows = [
            identity((torch.from_numpy(examples.likeness[k : k + 256]).float() / 255).to(device)).cpu()
            for k in range(0, len(examples), 256)
        ]
    return torch.cat(rows).clone()


def tokens_of(tokenizer: Any, examples: Examples) -> tuple[Tensor, Tensor]:
    """Return each example's number of caption, and the tokens of each caption."""
    captions, number = np.unique(examples.caption, return_inverse=True)
    return torch.from_numpy(number.reshape(-1)), tokens_of_words(tokenizer, captions.tolist())


def tokens_of_words(tokenizer: Any, captions: list[str]) -> Tensor:
    """Return (N, length) token ids, cut and padded as pipelines do."""
    ids: Tensor = tokenizer(
        captions, padding="max_length", max_length=tokenizer.model_max_length, truncation=True, return_tensors="pt"
    ).input_ids
    return ids


def _noise_scheduler(scheduler: Any) -> Any:
    return diffusers_library().DDPMScheduler.from_config(scheduler.config)
