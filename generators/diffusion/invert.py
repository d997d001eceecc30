"""Pictures taken back to the noise that a model would have made them from, and made anew with other words."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor

from spooflab.errors import ConfigError
from spooflab.generators.diffusion.ddim import ddim_pair, denoise_latents, invert_latents
from spooflab.generators.diffusion.model_folder import ModelFolder
from spooflab.generators.diffusion.model_source import ModelSource
from spooflab.generators.diffusion.pictures import (
    check_identities,
    check_lists,
    check_pictures,
    control_weights,
    lay_over,
)
from spooflab.generators.diffusion.pipeline import LoadedPipeline, Precision, load_pipeline, read_config


class Inverter:
    """DDIM inversion (Song et al. 2021, section 4.3) and editing.

    A picture's latents follow the model's ODE to noise under words that describe it, without guidance, and back under
    other words with guidance (Mokady et al. 2023 on why only there). What the words do not touch mostly survives, since
    it lies in the noise; nothing is drawn, so there are no seeds. No pipeline of diffusers does this with ControlNets
    or inpainting UNets: here its parts and schedulers are called as its pipelines call them.

    Args:
        loaded: any pipeline; that of an `Inpainter` or `Refiner` may be shared, its scheduler is not used.

    Raises:
        ConfigError: a model distilled for few steps, a refiner of SDXL, or an unusual autoencoder.
    """

    def __init__(self, loaded: LoadedPipeline) -> None:
        _check_invertible(loaded.base)
        self._loaded = loaded

    @classmethod
    def load(
        cls,
        model: ModelSource,
        controlnets: Sequence[ModelSource] = (),
        *,
        identity: ModelSource | None = None,
        device: torch.device | str = "cpu",
        dtype: Precision = "float32",
    ) -> Self:
        """Load a model and its ControlNets, if any; arguments and errors are those of `load_pipeline` and the class."""
        how: dict[str, Any] = {"device": device, "dtype": dtype, "check": _check_invertible}
        return cls(load_pipeline(model, controlnets, identity=identity, **how))

    @property
    def models(self) -> tuple[str, ...]:
        """What was loaded, with digests: for records."""
        return self._loaded.models

    @property
    def multiple(self) -> int:
        """What the sides of a picture must be multiples of, in pixels."""
        return self._loaded.cell

    def edit(
        self,
        images: Tensor,
        *,
        source_prompts: Sequence[str],
        target_prompts: Sequence[str],
        negative_prompts: Sequence[str] | None = None,
        masks: Tensor | None = None,
        conditions: Sequence[Tensor] = (),
        control: float | Sequence[float] = 1.0,
        steps: int = 50,
        guidance: float = 3.0,
        share: float = 0.8,
        identities: Tensor | None = None,
        identity_scale: float = 1.0,
    ) -> Tensor:
        """Return the pictures as the target words have them, float32 (B, 3, H, W) in [0, 1] on the CPU.

        Where a mask is 0 the picture's bits stay; between 0 and 1 both are blended. With the source's own words and
        guidance 1 the picture returns as its autoencoder shows it, up to an error that falls with the steps.

        Args:
            images: (B, 3, H, W) sRGB in [0, 1], sides multiples of `multiple`.
            source_prompts: what each picture shows.
            target_prompts: what it is to show.
            negative_prompts: what guidance leads away from; None for what the model was trained with as no words.
            masks: (B, 1, H, W) in [0, 1]: where to edit; None for everywhere. An inpainting UNet sees of the picture
                what lies outside of it, so without masks nothing.
            conditions: one (B, C, H, W) in [0, 1] for each ControlNet, both ways.
            control: weight of each ControlNet, 0 or more; one number is for all of them.
            steps: of the whole schedule, evenly dividing what the model was trained with (1 000 as a rule).
            guidance: classifier-free guidance on the way back; 1 is none of it.
            share: how far to invert, above 0 and up to 1: `round(steps * share)` steps. Less keeps more.
            identities: (B, D) embeddings as the adapter was trained with, both ways; None, or a row of zeros, is
                nobody, whom guidance leads away from.
            identity_scale: weight of the adapter, 0 or more.

        Raises:
            DataError: shapes, ranges or numbers that do not fit together.
            ConfigError: steps, share, guidance or weights that make no sense.
        """
        edited = torch.ones(*images.shape[:1], 1, *images.shape[2:]) if masks is None else masks
        channels = self._loaded.condition_channels
        check_pictures(images, edited, conditions, multiple=self.multiple, channels=channels)
        words = {"source prompts": source_prompts, "target prompts": target_prompts}
        check_lists(len(images), {**words, "negative prompts": negative_prompts})
        check_identities(len(images), identities, self._loaded.identity_width)
        weights = control_weights(control, len(channels)) if channels else []
        count = round(steps * share) if 0 < share <= 1 else 0
        if count < 1 or not guidance >= 1 or not all(weight >= 0 for weight in (*weights, identity_scale)):
            raise ConfigError(
                f"editing: {steps} steps, share {share}, guidance {guidance}, control {control}, "
                f"identity {identity_scale}",
                wanted="steps x share of 1 or more, 0 < share <= 1, guidance >= 1, control and identity >= 0",
            )
        pair = ddim_pair(self._loaded.schedule, steps)
        with torch.inference_mode(), _working(self._loaded):
            who = _Who(identities, identity_scale)
            shown = _Shown(self._loaded, images, edited, conditions, weights, who)
            source = shown.model(source_prompts, None, 1.0)
            path = invert_latents(source, shown.latents(images * 2 - 1), pair, count)
            target = shown.model(target_prompts, negative_prompts, guidance)
            made = shown.pixels(denoise_latents(target, path, pair, None if masks is None else shown.kept))
        return lay_over(images, edited, made)


@contextmanager
def _working(loaded: LoadedPipeline) -> Iterator[None]:
    """Let a float16 autoencoder whose activations leave that range work in float32, as diffusers' pipelines do."""
    vae = loaded.pipeline.vae
    held = vae.dtype
    upcast = vae.config.force_upcast and held == torch.float16
    try:
        if upcast:
            vae.to(torch.float32)
        yield
    finally:
        if upcast:
            vae.to(held)
        loaded.forget()
        loaded.pipeline.maybe_free_model_hooks()


@dataclass(frozen=True)
class _Who:
    identities: Tensor | None
    scale: float


class _Shown:
    """What the model is shown of a batch besides latents, timestep and words."""

    def __init__(
        self,
        loaded: LoadedPipeline,
        images: Tensor,
        masks: Tensor,
        conditions: Sequence[Tensor],
        weights: Sequence[float],
        who: _Who,
    ) -> None:
        self._loaded, self._pipeline, self._weights, self._who = loaded, loaded.pipeline, list(weights), who
        self._at: dict[str, Any] = {"device": loaded.device, "dtype": self._pipeline.unet.dtype}
        self._count, self._size = len(images), images.shape[-2:]
        self._conditions = [condition.to(**self._at) for condition in conditions]
        hole = (masks > 0).float()
        # A latent is made anew if any of its pixels is; the UNet's mask is thinned out as diffusers does it.
        cells = torch.nn.functional.max_pool2d(hole, loaded.cell)
        self.kept = cells.to(loaded.device) == 0
        self._more: list[Tensor] = []
        if loaded.inpainting:
            thinned = torch.nn.functional.interpolate(hole, cells.shape[-2:])
            around = self.latents((images * 2 - 1) * (1 - hole))
            self._more = [thinned.to(**self._at), around.to(**self._at)]

    def latents(self, pixels: Tensor) -> Tensor:
        """Return the likeliest latents of pixels from -1 to 1, float32."""
        vae = self._pipeline.vae
        mode: Tensor = vae.encode(pixels.to(self._loaded.device, vae.dtype)).latent_dist.mode()
        return mode.float() * float(vae.config.scaling_factor)

    def pixels(self, latents: Tensor) -> Tensor:
        """Return the picture of latents, around [0, 1]."""
        vae = self._pipeline.vae
        decoded: Tensor = vae.decode((latents / vae.config.scaling_factor).to(vae.dtype)).sample
        return decoded.float() * 0.5 + 0.5

    def model(self, prompts: Sequence[str], negative_prompts: Sequence[str] | None, guidance: float) -> "_Model":
        """Return the model under these words; without guidance it is asked once, else with and without them."""
        guided = guidance > 1
        words, none, *pooled = self._pipeline.encode_prompt(
            prompt=list(prompts),
            device=self._at["device"],
            num_images_per_prompt=1,
            do_classifier_free_guidance=guided,
            negative_prompt=list(negative_prompts) if guided and negative_prompts is not None else None,
        )
        states = torch.cat([none, words]) if guided else words
        added = None
        if pooled:  # SDXL: pooled words, and the sizes (original, corner of the crop, target) that it was trained with
            sizes = torch.tensor([[*self._size, 0, 0, *self._size]]).repeat(len(states), 1)
            texts = torch.cat([pooled[1], pooled[0]]) if guided else pooled[0]
            added = {"text_embeds": texts.to(**self._at), "time_ids": sizes.to(**self._at)}
        copies = 2 if guided else 1
        embeds = self._loaded.told(self._who.identities, self._count, scale=self._who.scale, guided=guided)
        return _Model(
            self._pipeline.unet,
            getattr(self._pipeline, "controlnet", None),
            states.to(**self._at),
            added,
            None if embeds is None else {"image_embeds": embeds},
            [torch.cat([part] * copies) for part in self._more],
            [torch.cat([condition] * copies) for condition in self._conditions],
            self._weights,
            guidance,
        )


@dataclass(frozen=True)
class _Model:
    """A UNet with its ControlNets under given words: latents and timestep to prediction, all latents float32."""

    unet: Any
    controlnet: Any
    states: Tensor
    added: dict[str, Tensor] | None
    faces: dict[str, list[Tensor]] | None
    more: list[Tensor]
    conditions: list[Tensor]
    weights: list[float]
    guidance: float

    def __call__(self, latents: Tensor, timestep: Tensor) -> Tensor:
        copies = len(self.states) // len(latents)
        given = torch.cat([latents.to(self.unet.dtype)] * copies)
        common = {"encoder_hidden_states": self.states, "return_dict": False}
        residuals: dict[str, Any] = {}
        if self.conditions:
            several = len(self.conditions) > 1
            down, middle = self.controlnet(
                given,
                timestep,
                controlnet_cond=self.conditions if several else self.conditions[0],
                conditioning_scale=self.weights if several else self.weights[0],
                added_cond_kwargs=self.added,
                **common,
            )
            residuals = {"down_block_additional_residuals": down, "mid_block_additional_residual": middle}
        seen = torch.cat([given, *self.more], 1)
        added = {**(self.added or {}), **(self.faces or {})} or None
        out: Tensor = self.unet(seen, timestep, added_cond_kwargs=added, **residuals, **common)[0].float()
        if copies == 1:
            return out
        without, under = out.chunk(2)
        return without + self.guidance * (under - without)


def _check_invertible(base: ModelFolder) -> None:
    unet, vae = read_config(base.path / "unet"), read_config(base.path / "vae")
    if unet.get("time_cond_proj_dim") is not None:
        raise ConfigError(
            "a model distilled for few steps follows no ODE to invert", wanted="one that is not distilled"
        )
    if unet.get("addition_embed_type") == "text_time":
        width = read_config(base.path / "text_encoder_2")["projection_dim"]
        told = (unet["projection_class_embeddings_input_dim"] - width) // unet["addition_time_embed_dim"]
        if told != 6:
            raise ConfigError(f"an SDXL told {told} numbers beside its words", wanted="6, as its base model is")
    if vae.get("latents_mean") is not None or vae.get("shift_factor") is not None:
        raise ConfigError("an autoencoder whose latents are shifted", wanted="one whose latents are scaled alone")
