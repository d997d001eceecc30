"""Pipelines of diffusers, put together from folders that were checked: ControlNet inpainting, 1.5- or XL-shaped."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch

from spooflab.errors import ConfigError, DataError
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
_CLASSES = (
    ("StableDiffusionXL", "StableDiffusionXLControlNetInpaintPipeline"),
    ("StableDiffusion", "StableDiffusionControlNetInpaintPipeline"),
)


@dataclass(frozen=True)
class PipelineFolders:
    """What a pipeline is put together from, checked and not yet loaded.

    Attributes:
        model: the pipeline's source.
        base: its folder.
        controlnets: sources of ControlNets; none where the pipeline brings its own.
        nets: their folders.
        class_name: of the pipeline that paints.
    """

    model: ModelSource
    base: ModelFolder
    controlnets: tuple[ModelSource, ...]
    nets: tuple[ModelFolder, ...]
    class_name: str

    @property
    def parameters(self) -> int:
        """Numbers in all weights that are loaded."""
        unused = sum(part.parameters for part in self.base.parts if part.name == "controlnet") if self.nets else 0
        return sum(folder.parameters for folder in (self.base, *self.nets)) - unused

    @property
    def records(self) -> tuple[str, ...]:
        """The sources with the digests of what lies there."""
        sources = zip((self.model, *self.controlnets), (self.base, *self.nets), strict=True)
        return tuple(f"{source} sha256:{folder.digest}" for source, folder in sources)


def read_folders(model: ModelSource, controlnets: Sequence[ModelSource]) -> PipelineFolders:
    """Find and check a model and its ControlNets; no weight is read.

    Raises:
        DataError: one is missing or damaged, or a ControlNet was made for another kind of model.
        ConfigError: no ControlNet, neither here nor in the model's folder, or a model of another kind.
    """
    base, nets = _folder(model), tuple(_folder(net) for net in controlnets)
    own = [part.class_name for part in base.parts if part.name == "controlnet"]
    class_name = _class_name(base)
    if not nets and not own:
        raise ConfigError(
            "no ControlNet: nothing would hold pose and shape", wanted="one or more, or a model that brings its own"
        )
    kinds = [(net.path, net.class_name) for net in nets] or [(base.path / "controlnet", own[0])]
    for path, kind in kinds:
        if kind != "ControlNetModel":
            raise ConfigError(f"{path} is a {kind}", wanted="a ControlNetModel")
        _check_net(path, base)
    return PipelineFolders(model, base, tuple(controlnets), nets, class_name)


def assemble(folders: PipelineFolders, dtype: torch.dtype, scheduler: Scheduler) -> Any:
    """Load the weights; the pipeline that comes back lies on the CPU."""
    library = diffusers_library()
    common = {"dtype": dtype, "use_safetensors": True, "local_files_only": True}
    extra: dict[str, Any] = {"safety_checker": None, "requires_safety_checker": False}
    if "XL" in folders.class_name:
        extra = {"add_watermarker": False}  # records and metadata say that a picture is synthetic
    with torch.inference_mode(False):
        nets = [
            library.ControlNetModel.from_pretrained(net.path, variant=source.variant, **common)
            for net, source in zip(folders.nets, folders.controlnets, strict=True)
        ]
        if nets:
            extra["controlnet"] = nets if len(nets) > 1 else nets[0]
        pipeline = getattr(library, folders.class_name).from_pretrained(
            folders.base.path, variant=folders.model.variant, **extra, **common
        )
    pipeline.scheduler = getattr(library, _SCHEDULERS[scheduler]).from_config(pipeline.scheduler.config)
    pipeline.set_progress_bar_config(disable=True)
    for part in (pipeline.unet, *nets_of(pipeline)):
        part.to(memory_format=torch.channels_last)
    # Not before it is needed: it brings torch's compiler with it, which takes seconds to import.
    from spooflab.generators.diffusion.remembered_embedding import RememberedEmbedding

    for net in nets_of(pipeline):
        net.controlnet_cond_embedding = RememberedEmbedding(net.controlnet_cond_embedding)
    return pipeline


def nets_of(pipeline: Any) -> list[Any]:
    """Return the pipeline's ControlNets, one or more."""
    return list(getattr(pipeline.controlnet, "nets", [pipeline.controlnet]))


def diffusers_library() -> Any:
    """Return the module.

    Raises:
        ConfigError: it is not installed.
    """
    try:
        import diffusers
    except ImportError as error:
        raise ConfigError(
            "painting with diffusion models needs diffusers", next_step="pip install 'spooflab[diffusion]'"
        ) from error
    return diffusers


def _folder(source: ModelSource) -> ModelFolder:
    if source.file is not None:
        raise ConfigError(f"{source} is one file", wanted="a folder in the format of diffusers")
    return read_model_folder(locate(source), variant=source.variant)


def _class_name(base: ModelFolder) -> str:
    for start, name in _CLASSES:
        if base.class_name.startswith(start) and not base.class_name.startswith("StableDiffusion3"):
            return name
    raise ConfigError(
        f"{base.path} is a {base.class_name}", wanted="a Stable Diffusion 1.5, 2 or XL, in the format of diffusers"
    )


def _check_net(path: Any, base: ModelFolder) -> None:
    """Compare what a ControlNet takes with what the model gives it: latents, text, and how small they are."""
    library = diffusers_library()
    net = library.ControlNetModel.load_config(path, local_files_only=True)
    unet = library.UNet2DConditionModel.load_config(base.path / "unet", local_files_only=True)
    vae = library.AutoencoderKL.load_config(base.path / "vae", local_files_only=True)
    pairs = {
        "channels of latents": (net.get("in_channels", 4), vae.get("latent_channels", 4)),
        "width of text": (net.get("cross_attention_dim"), unet.get("cross_attention_dim")),
        "pixels to a latent": (
            2 ** (len(net.get("conditioning_embedding_out_channels") or (0,) * 4) - 1),
            2 ** (len(vae.get("block_out_channels", (0,))) - 1),
        ),
    }
    for what, (seen, wanted) in pairs.items():
        if seen != wanted:
            raise DataError(f"{path}: {what} {seen}", wanted=f"{wanted}, as {base.path} has it")
