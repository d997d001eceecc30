"""Parts of pictures painted anew by Stable Diffusion (1.5- or XL-shaped) under ControlNets, as diffusers does it."""

from collections.abc import Sequence
from typing import Self

import torch
from torch import Tensor

from spooflab.errors import ConfigError
from spooflab.generators.diffusion.model_folder import ModelFolder
from spooflab.generators.diffusion.model_source import ModelSource
from spooflab.generators.diffusion.paint_job import PaintJob
from spooflab.generators.diffusion.pictures import control_weights, lay_over
from spooflab.generators.diffusion.pipeline import LoadedPipeline, Precision, Scheduler, load_pipeline
from spooflab.generators.diffusion.prompt_embeddings import PromptEmbeddings
from spooflab.generators.diffusion.sampling import Sampling


class Inpainter:
    """One loaded pipeline; one thread at a time.

    Args:
        loaded: an inpainting pipeline with a ControlNet.
        batch_size: pictures that are painted at once, 1 or more: it bounds the memory.
    """

    def __init__(self, loaded: LoadedPipeline, *, batch_size: int = 8) -> None:
        self.loaded, self.batch_size = loaded, batch_size
        self._pipeline = loaded.pipeline
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
        compile: bool = False,
        batch_size: int = 8,
    ) -> Self:
        """Load a model and its ControlNets from this machine: safetensors alone, no code of theirs, nothing fetched.

        Args:
            model: a pipeline; its own task does not matter, its parts do.
            controlnets: one or more; none for the one in the model's own folder.
            identity: an IP-Adapter, plain or FaceID: one safetensors file, or a folder that holds one.
            device: where to paint.
            dtype: of weights and activations.
            scheduler: `dpm++` and `ddim` for 15 steps or more, `lcm` for 2-8 of a model distilled for it.
            offload: keep on an accelerator only the part that works (slower, least memory).
            compile: let torch compile UNet and ControlNets: minutes at the first picture, and at each new size.
            batch_size: pictures that are painted at once, 1 or more: it bounds the memory.

        Raises:
            DataError: a model is missing or damaged, or was made for another kind; where it lies on the hub, the
                command that gets it.
            ConfigError: no ControlNet, a pipeline of another kind, more weights than the memory holds, or options that
                exclude each other.
        """
        if batch_size < 1 or (compile and offload):
            raise ConfigError(
                f"batch_size {batch_size}, compile {compile}, offload {offload}",
                wanted="a batch of 1 or more, and compiled parts that stay where they are",
            )

        def check(base: ModelFolder) -> None:
            if not controlnets and not any(part.name == "controlnet" for part in base.parts):
                raise ConfigError(
                    "no ControlNet: nothing would hold pose and shape",
                    wanted="one or more, or a model that has its own",
                )

        loaded = load_pipeline(
            model,
            controlnets,
            identity=identity,
            device=device,
            dtype=dtype,
            scheduler=scheduler,
            inpaint=True,
            offload=offload,
            compile=compile,
            check=check,
        )
        return cls(loaded, batch_size=batch_size)

    @property
    def models(self) -> tuple[str, ...]:
        """What was loaded, with digests: for records."""
        return self.loaded.models

    @property
    def multiple(self) -> int:
        """What the sides of a picture must be multiples of, in pixels."""
        return self.loaded.multiple

    @property
    def identity_width(self) -> int | None:
        """Numbers in an identity's embedding; None without an adapter."""
        return self.loaded.identity_width

    def paint(
        self,
        images: Tensor,
        masks: Tensor,
        conditions: Sequence[Tensor],
        *,
        prompts: Sequence[str],
        negative_prompts: Sequence[str] | None = None,
        seeds: Sequence[int],
        identities: Tensor | None = None,
        sampling: Sampling | None = None,
    ) -> Tensor:
        """Return the pictures with their masked parts painted anew, float32 (B, 3, H, W) in [0, 1] on the CPU.

        Where a mask is 0 the picture's bits stay; between 0 and 1 both are blended. Each picture has a generator of its
        own, so its noise does not depend on the others; its pixels still may, in the last digits, because libraries
        choose kernels by the size of a batch. Same seeds, batch and hardware: same pixels.

        Args:
            images: (B, 3, H, W) sRGB in [0, 1], sides multiples of `multiple`.
            masks: (B, 1, H, W) in [0, 1].
            conditions: one (B, 3, H, W) in [0, 1] for each ControlNet.
            prompts: one for each picture.
            negative_prompts: likewise; None for what the model takes for "no prompt".
            seeds: one for each picture.
            identities: (B, D) embeddings as the adapter was trained with (FaceID: of unit length), D its
                `identity_width`; a row of zeros, or None, is nobody: what the adapter saw in training where there was
                no identity, and what guidance leads away from.
            sampling: steps, guidance, strength and weights; None for the defaults.

        Raises:
            DataError: shapes, ranges or numbers that do not fit together.
        """
        how = sampling or Sampling()
        job = PaintJob(images, masks, conditions, prompts, negative_prompts, seeds, identities)
        job.check(channels=self.loaded.condition_channels, multiple=self.multiple, identity_width=self.identity_width)
        weights = control_weights(how.control, len(self.loaded.condition_channels))
        with torch.inference_mode():
            made = torch.cat([self._paint(part, how, weights) for part in job.split(self.batch_size)])
        return lay_over(images, masks, made)

    def _paint(self, job: PaintJob, how: Sampling, weights: list[float]) -> Tensor:
        """Return what the pipeline makes of a few pictures, masked and not, float32 on the CPU."""
        many, guided = len(weights) > 1, how.guidance > 1
        embeds = self.loaded.told(job.identities, len(job.images), scale=how.identity_scale, guided=guided)
        try:
            made = self._pipeline(
                image=job.images,
                mask_image=(job.masks > 0).float(),
                control_image=list(job.conditions) if many else job.conditions[0],
                num_inference_steps=how.steps,
                guidance_scale=how.guidance,
                strength=how.strength,
                controlnet_conditioning_scale=weights if many else weights[0],
                generator=[torch.Generator().manual_seed(seed) for seed in job.seeds],
                height=job.images.shape[-2],
                width=job.images.shape[-1],
                output_type="pt",
                ip_adapter_image_embeds=embeds,
                **self._prompts(job.prompts, job.negative_prompts, guided=guided),
            ).images
        finally:
            self.loaded.forget()
        painted: Tensor = made.float().cpu()
        return painted
