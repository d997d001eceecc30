"""Pictures noised a part of the way and denoised again, so that what was pasted becomes the model's own (SDEdit)."""

from collections.abc import Sequence
from typing import Any, Self

import torch
from torch import Tensor

from spooflab.generators.diffusion.model_source import ModelSource
from spooflab.generators.diffusion.pictures import (
    check_identities,
    check_lists,
    check_pictures,
    control_weights,
    lay_over,
)
from spooflab.generators.diffusion.pipeline import LoadedPipeline, Precision, Scheduler, load_pipeline
from spooflab.generators.diffusion.prompt_embeddings import PromptEmbeddings
from spooflab.generators.diffusion.sampling import Sampling


class Refiner:
    """SDEdit (Meng et al. 2022, "SDEdit: Guided Image Synthesis and Editing with Stochastic Differential Equations").

    A picture's latents are noised to a share of the model's schedule, which drowns seams and texture finer than the
    noise and leaves what is coarser, and are denoised from there. diffusers does both: its img2img pipelines with a
    plain UNet, its inpainting pipelines with an inpainting UNet, which is shown the mask and what lies around it.

    Args:
        loaded: a pipeline of either kind; an `Inpainter`'s may be shared.
    """

    def __init__(self, loaded: LoadedPipeline) -> None:
        self._loaded = loaded
        self._prompts = PromptEmbeddings(loaded.pipeline, loaded.device)

    @classmethod
    def load(
        cls,
        model: ModelSource,
        controlnets: Sequence[ModelSource] = (),
        *,
        identity: ModelSource | None = None,
        device: torch.device | str = "cpu",
        dtype: Precision = "float32",
        scheduler: Scheduler = "dpm++",
        offload: bool = False,
    ) -> Self:
        """Load a model and its ControlNets, if any; arguments and errors are those of `load_pipeline`."""
        how: dict[str, Any] = {"device": device, "dtype": dtype, "scheduler": scheduler, "offload": offload}
        return cls(load_pipeline(model, controlnets, identity=identity, **how))

    @property
    def models(self) -> tuple[str, ...]:
        """What was loaded, with digests: for records."""
        return self._loaded.models

    @property
    def multiple(self) -> int:
        """What the sides of a picture must be multiples of, in pixels."""
        return self._loaded.multiple

    def refine(
        self,
        images: Tensor,
        masks: Tensor,
        *,
        prompts: Sequence[str],
        seeds: Sequence[int],
        strength: float = 0.4,
        steps: int = 20,
        guidance: float = 3.0,
        conditions: Sequence[Tensor] = (),
        control: float | tuple[float, ...] = 1.0,
        negative_prompts: Sequence[str] | None = None,
        identities: Tensor | None = None,
        identity_scale: float = 1.0,
    ) -> Tensor:
        """Return the pictures with their masked parts synthesised anew, float32 (B, 3, H, W) in [0, 1] on the CPU.

        Where a mask is 0 the picture's bits stay; between 0 and 1 both are blended. Each picture has a generator of its
        own, so its noise does not depend on the others; its pixels still may, in the last digits, because libraries
        choose kernels by the size of a batch. Same seeds, batch and hardware: same pixels.

        Args:
            images: (B, 3, H, W) sRGB in [0, 1], sides multiples of `multiple`.
            masks: (B, 1, H, W) in [0, 1].
            prompts: one for each picture.
            seeds: one for each picture.
            strength: share of the schedule that the picture is noised to, above 0 and up to 1, which forgets it.
            steps: of the whole schedule; `int(steps * strength)` of them are taken.
            guidance: classifier-free guidance; 1 is none of it, and half the work.
            conditions: one (B, C, H, W) in [0, 1] for each ControlNet, C as it was trained with (3 as a rule).
            control: weight of each ControlNet, 0 or more; one number is for all of them.
            negative_prompts: one for each picture; None for what the model was trained with as no words.
            identities: (B, D) embeddings as the adapter was trained with; None, or a row of zeros, is nobody.
            identity_scale: weight of the adapter, 0 or more.

        Raises:
            DataError: shapes, ranges or numbers that do not fit together.
            ConfigError: steps, strength, guidance or weights that make no sense.
        """
        Sampling(steps, guidance, strength, control, identity_scale)
        loaded, count, guided = self._loaded, len(images), guidance > 1
        channels = loaded.condition_channels
        check_pictures(images, masks, conditions, multiple=self.multiple, channels=channels)
        check_lists(count, {"prompts": prompts, "negative prompts": negative_prompts, "seeds": seeds})
        check_identities(count, identities, loaded.identity_width)
        weights = control_weights(control, len(channels)) if channels else []
        try:
            with torch.inference_mode():
                made = loaded.pipeline(
                    image=images,
                    strength=strength,
                    num_inference_steps=steps,
                    guidance_scale=guidance,
                    generator=[torch.Generator().manual_seed(seed) for seed in seeds],
                    output_type="pt",
                    ip_adapter_image_embeds=loaded.told(identities, count, scale=identity_scale, guided=guided),
                    **self._prompts(prompts, negative_prompts, guided=guided),
                    **self._more(images, masks, conditions, weights),
                ).images
        finally:
            loaded.forget()
        return lay_over(images, masks, made)

    def _more(
        self, images: Tensor, masks: Tensor, conditions: Sequence[Tensor], weights: Sequence[float]
    ) -> dict[str, Any]:
        """Return what only inpainting pipelines or those with ControlNets take."""
        more: dict[str, Any] = {}
        if self._loaded.takes_mask:
            more |= {"mask_image": (masks > 0).float(), "height": images.shape[-2], "width": images.shape[-1]}
        if weights:
            several = len(weights) > 1
            more["control_image"] = list(conditions) if several else conditions[0]
            more["controlnet_conditioning_scale"] = list(weights) if several else weights[0]
        return more
