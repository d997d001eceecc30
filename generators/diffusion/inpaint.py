"""Parts of pictures painted anew by Stable Diffusion (1.5- or XL-shaped) under ControlNets, as diffusers does it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self

import torch
from torch import Tensor

from spooflab.errors import ConfigError, DataError
from spooflab.generators.diffusion.memory import check_memory
from spooflab.generators.diffusion.model_folder import ModelFolder, read_model_folder
from spooflab.generators.diffusion.model_source import ModelSource, locate

Precision = Literal["float32", "bfloat16", "float16"]
Scheduler = Literal["ddim", "dpm++", "euler", "lcm"]
_SCHEDULERS = {
    "ddim": "DDIMScheduler",
    "dpm++": "DPMSolverMultistepScheduler",
    "euler": "EulerDiscreteScheduler",
    "lcm": "LCMScheduler",
}


@dataclass(frozen=True)
class Sampling:
    """How a picture is painted.

    Attributes:
        steps: of denoising, 1 or more.
        guidance: classifier-free guidance; 1 is none of it, and half the work.
        strength: share of the noise that the picture starts from, 0-1; 1 forgets what was under the mask.
        control: weight of each ControlNet, 0 or more; one number is for all of them.
    """

    steps: int = 20
    guidance: float = 5.0
    strength: float = 1.0
    control: float | tuple[float, ...] = 1.0

    def __post_init__(self) -> None:
        control = self.control if isinstance(self.control, tuple) else (self.control,)
        right = self.steps >= 1 and self.guidance >= 1 and 0 < self.strength <= 1 and all(c >= 0 for c in control)
        if not right or int(self.steps * self.strength) < 1:
            raise ConfigError(
                f"sampling: {self}",
                wanted="steps x strength of 1 or more, guidance >= 1, 0 < strength <= 1, control >= 0",
            )


class Inpainter:
    """One loaded pipeline.

    Attributes:
        models: what was loaded, with digests: for records.
    """

    def __init__(self, pipeline: Any, models: tuple[str, ...], controls: int) -> None:
        self._pipeline, self.models, self._controls = pipeline, models, controls

    @classmethod
    def load(
        cls,
        model: ModelSource,
        controlnets: Sequence[ModelSource],
        *,
        device: torch.device | str = "cpu",
        dtype: Precision = "float32",
        scheduler: Scheduler = "dpm++",
        offload: bool = False,
    ) -> Self:
        """Load a model and its ControlNets from this machine: safetensors alone, no code of theirs, nothing fetched.

        Args:
            model: a pipeline; its own task does not matter, its parts do.
            controlnets: one or more.
            device: where to paint.
            dtype: of weights and activations.
            scheduler: `dpm++` and `ddim` for 15 steps or more, `lcm` for 2-8 of a model distilled for it.
            offload: keep on an accelerator only the part that works (slower, least memory).

        Raises:
            DataError: a model is missing or damaged; where it lies on the hub, the command that gets it.
            ConfigError: no ControlNet, a pipeline of another kind, or more weights than the memory holds.
        """
        if not controlnets:
            raise ConfigError("no ControlNet: nothing would hold pose and shape", wanted="one or more")
        # All is checked before the first weight is read.
        base = read_model_folder(locate(model), variant=model.variant)
        nets = [read_model_folder(locate(net), variant=net.variant) for net in controlnets]
        pipeline_class = _pipeline_class(base)
        for net in nets:
            if net.class_name != "ControlNetModel":
                raise ConfigError(f"{net.path} is a {net.class_name}", wanted="a ControlNetModel")
        device = torch.device(device)
        if not offload:
            check_memory(sum(f.bytes_as(dtype) for f in (base, *nets)), device, what=str(model))
        pipeline = _assemble(pipeline_class, base, nets, [model, *controlnets], getattr(torch, dtype))
        pipeline.scheduler = getattr(_diffusers(), _SCHEDULERS[scheduler]).from_config(pipeline.scheduler.config)
        pipeline.set_progress_bar_config(disable=True)
        pipeline.unet.to(memory_format=torch.channels_last)
        if offload and device.type != "cpu":
            pipeline.enable_model_cpu_offload(device=device)
        else:
            pipeline.to(device)
        sources = zip([model, *controlnets], [base, *nets], strict=True)
        return cls(pipeline, tuple(f"{source} sha256:{folder.digest}" for source, folder in sources), len(nets))

    @property
    def multiple(self) -> int:
        """What the sides of a picture must be multiples of, in pixels."""
        return int(self._pipeline.vae_scale_factor)

    def paint(
        self,
        images: Tensor,
        masks: Tensor,
        conditions: Sequence[Tensor],
        *,
        prompts: Sequence[str],
        negative_prompts: Sequence[str] | None = None,
        seeds: Sequence[int],
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
            negative_prompts: likewise; empty ones by default.
            seeds: one for each picture.
            sampling: steps, guidance, strength and weights; None for the defaults.

        Raises:
            DataError: shapes, ranges or numbers that do not fit together.
        """
        how = sampling or Sampling()
        self._check(images, masks, conditions, prompts, negative_prompts, seeds, how)
        control = list(how.control) if isinstance(how.control, tuple) else [how.control] * self._controls
        with torch.inference_mode():
            made = self._pipeline(
                prompt=list(prompts),
                negative_prompt=list(negative_prompts or [""] * len(images)),
                image=images,
                mask_image=(masks > 0).float(),
                control_image=list(conditions) if self._controls > 1 else conditions[0],
                num_inference_steps=how.steps,
                guidance_scale=how.guidance,
                strength=how.strength,
                controlnet_conditioning_scale=control if self._controls > 1 else control[0],
                generator=[torch.Generator().manual_seed(seed) for seed in seeds],
                height=images.shape[-2],
                width=images.shape[-1],
                output_type="pt",
            ).images
        painted = made.float().cpu().clamp(0, 1)
        if not bool(painted.isfinite().all()):
            raise DataError("the model painted values that are no numbers", next_step="use bfloat16 or float32")
        return torch.where(masks > 0, images + masks * (painted - images), images).clamp(0, 1)

    def _check(
        self,
        images: Tensor,
        masks: Tensor,
        conditions: Sequence[Tensor],
        prompts: Sequence[str],
        negative_prompts: Sequence[str] | None,
        seeds: Sequence[int],
        how: Sampling,
    ) -> None:
        if images.ndim != 4 or images.shape[1] != 3 or len(images) < 1:
            raise DataError(f"pictures {tuple(images.shape)}", wanted="(B, 3, H, W)")
        count, _, height, width = images.shape
        if height % self.multiple or width % self.multiple:
            raise DataError(f"pictures of {height} x {width}", wanted=f"sides that are multiples of {self.multiple}")
        if len(conditions) != self._controls:
            raise DataError(f"{len(conditions)} conditions", wanted=f"{self._controls}, one for each ControlNet")
        if isinstance(how.control, tuple) and len(how.control) != self._controls:
            raise DataError(f"weights {how.control}", wanted=f"{self._controls}, one for each ControlNet")
        named = [
            ("pictures", images, 3),
            ("masks", masks, 1),
            *((f"condition {i}", c, 3) for i, c in enumerate(conditions)),
        ]
        for name, value, channels in named:
            shape = (count, channels, height, width)
            if value.shape != shape or value.dtype != torch.float32 or value.device.type != "cpu":
                raise DataError(
                    f"{name} {tuple(value.shape)} {value.dtype} on {value.device}", wanted=f"{shape} float32 on the CPU"
                )
            if not bool(((value >= 0) & (value <= 1)).all()):
                raise DataError(f"{name} from {float(value.min())} to {float(value.max())}", wanted="within [0, 1]")
        for name, words in (("prompts", prompts), ("negative prompts", negative_prompts), ("seeds", seeds)):
            if words is not None and (isinstance(words, str) or len(words) != count):
                raise DataError(f"{name} {words!r}", wanted=f"a list of {count}, one for each picture")


def _pipeline_class(base: ModelFolder) -> Any:
    library = _diffusers()
    for start, name in (("StableDiffusionXL", "StableDiffusionXLControlNetInpaintPipeline"),
                        ("StableDiffusion", "StableDiffusionControlNetInpaintPipeline")):  # fmt: skip
        if base.class_name.startswith(start) and not base.class_name.startswith("StableDiffusion3"):
            return getattr(library, name)
    raise ConfigError(
        f"{base.path} is a {base.class_name}", wanted="a Stable Diffusion 1.5, 2 or XL, in the format of diffusers"
    )


def _assemble(
    pipeline_class: Any,
    base: ModelFolder,
    nets: Sequence[ModelFolder],
    sources: Sequence[ModelSource],
    dtype: torch.dtype,
) -> Any:
    common = {"dtype": dtype, "use_safetensors": True, "local_files_only": True}
    with torch.inference_mode(False):
        loaded = [
            _diffusers().ControlNetModel.from_pretrained(net.path, variant=source.variant, **common)
            for net, source in zip(nets, sources[1:], strict=True)
        ]
        extra: dict[str, Any] = {"safety_checker": None, "requires_safety_checker": False}
        if "XL" in pipeline_class.__name__:
            extra = {"add_watermarker": False}  # records and metadata say that a picture is synthetic
        return pipeline_class.from_pretrained(
            base.path,
            controlnet=loaded if len(loaded) > 1 else loaded[0],
            variant=sources[0].variant,
            **extra,
            **common,
        )


def _diffusers() -> Any:
    try:
        import diffusers
    except ImportError as error:
        raise ConfigError(
            "painting with diffusion models needs diffusers", next_step="pip install 'spooflab[diffusion]'"
        ) from error
    return diffusers
