"""Parts of pictures painted anew by Stable Diffusion (1.5- or XL-shaped) under ControlNets, as diffusers does it."""

from collections.abc import Sequence
from typing import Any, Self

import torch
from torch import Tensor

from spooflab.errors import ConfigError, DataError
from spooflab.generators.diffusion.attached_adapter import attach, image_embeds, set_scale
from spooflab.generators.diffusion.ip_adapter import IdentityAdapter, check_fits, read_adapter
from spooflab.generators.diffusion.memory import check_memory
from spooflab.generators.diffusion.model_source import ModelSource, locate_file
from spooflab.generators.diffusion.paint_job import PaintJob
from spooflab.generators.diffusion.pipeline import Precision, Scheduler, assemble, nets_of, read_folders
from spooflab.generators.diffusion.prompt_embeddings import PromptEmbeddings
from spooflab.generators.diffusion.sampling import Sampling

_LEAST_MULTIPLE = 8
"""What the pipelines want of a picture's sides, however little their VAE shrinks it."""


class Inpainter:
    """One loaded pipeline; one thread at a time.

    Attributes:
        models: what was loaded, with digests: for records.
        batch_size: pictures that are painted at once.
    """

    def __init__(
        self,
        pipeline: Any,
        models: tuple[str, ...],
        *,
        device: torch.device,
        adapter: IdentityAdapter | None = None,
        batch_size: int = 8,
    ) -> None:
        self._pipeline, self._adapter, self._device = pipeline, adapter, device
        self._nets = nets_of(pipeline)
        self._prompts = PromptEmbeddings(pipeline, device)
        self.models, self.batch_size = models, batch_size

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
        # All is checked before the first weight is read.
        folders = read_folders(model, controlnets)
        adapter = None if identity is None else read_adapter(locate_file(identity))
        if adapter is not None:
            check_fits(adapter, folders.base.path / "unet")
        device = torch.device(device)
        if not offload:
            count = folders.parameters + (adapter.parameters if adapter else 0)
            check_memory(count * getattr(torch, dtype).itemsize, device, what=str(model))
        pipeline = assemble(folders, getattr(torch, dtype), scheduler)
        models = folders.records
        if adapter is not None:
            attach(pipeline, adapter)
            models = (*models, f"{identity} sha256:{adapter.digest}")
        if offload and device.type != "cpu":
            pipeline.enable_model_cpu_offload(device=device)
        else:
            pipeline.to(device)
        if compile:
            for part in (pipeline.unet, *nets_of(pipeline)):
                part.compile()
        return cls(pipeline, models, device=device, adapter=adapter, batch_size=batch_size)

    @property
    def multiple(self) -> int:
        """What the sides of a picture must be multiples of, in pixels."""
        return max(int(self._pipeline.vae_scale_factor), _LEAST_MULTIPLE)

    @property
    def identity_width(self) -> int | None:
        """Numbers in an identity's embedding; None without an adapter."""
        return None if self._adapter is None else self._adapter.width

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
        job.check(controlnets=len(self._nets), multiple=self.multiple, identity_width=self.identity_width)
        if isinstance(how.control, tuple) and len(how.control) != len(self._nets):
            raise DataError(f"weights {how.control}", wanted=f"{len(self._nets)}, one for each ControlNet")
        with torch.inference_mode():
            made = torch.cat([self._paint(part, how) for part in job.split(self.batch_size)])
        if not bool(made.isfinite().all()):
            raise DataError("the model painted values that are no numbers", next_step="use bfloat16 or float32")
        return torch.where(masks > 0, images + masks * (made - images), images).clamp(0, 1)

    def _paint(self, job: PaintJob, how: Sampling) -> Tensor:
        """Return what the pipeline makes of a few pictures, masked and not, float32 on the CPU."""
        weights = how.control if isinstance(how.control, tuple) else (how.control,) * len(self._nets)
        control, conditions = [float(weight) for weight in weights], list(job.conditions)
        many = len(self._nets) > 1
        try:
            made = self._pipeline(
                image=job.images,
                mask_image=(job.masks > 0).float(),
                control_image=conditions if many else conditions[0],
                num_inference_steps=how.steps,
                guidance_scale=how.guidance,
                strength=how.strength,
                controlnet_conditioning_scale=control if many else control[0],
                generator=[torch.Generator().manual_seed(seed) for seed in job.seeds],
                height=job.images.shape[-2],
                width=job.images.shape[-1],
                output_type="pt",
                **self._prompts(job.prompts, job.negative_prompts, guided=how.guidance > 1),
                **self._identity(job, how),
            ).images
        finally:
            for net in self._nets:
                net.controlnet_cond_embedding.forget()
        painted: Tensor = made.float().cpu().clamp(0, 1)
        return painted

    def _identity(self, job: PaintJob, how: Sampling) -> dict[str, list[Tensor]]:
        """Return the pipeline's argument for identities, nobody's where none are given; nothing without an adapter."""
        if self._adapter is None:
            return {}
        set_scale(self._pipeline, self._adapter, how.identity_scale)
        rows = torch.zeros(len(job.images), self._adapter.width) if job.identities is None else job.identities
        rows = rows.to(self._device, self._pipeline.unet.dtype)
        return {"ip_adapter_image_embeds": image_embeds(rows, guided=how.guidance > 1)}
