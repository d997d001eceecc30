"""A Stable Diffusion (1.5-, 2- or XL-shaped) with its ControlNets, checked and loaded into diffusers' own pipeline."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from spooflab.errors import ConfigError, DataError
from spooflab.generators.diffusion.attached_adapter import attach, image_embeds, set_scale
from spooflab.generators.diffusion.diffusers_library import diffusers_library
from spooflab.generators.diffusion.ip_adapter import IdentityAdapter, check_fits, read_adapter
from spooflab.generators.diffusion.memory import check_memory
from spooflab.generators.diffusion.model_folder import DIFFUSERS_JSON, ModelFolder, read_model_folder
from spooflab.generators.diffusion.model_source import ModelSource, locate, locate_file
from spooflab.json_text import read_json

Precision = Literal["float32", "bfloat16", "float16"]
Scheduler = Literal["ddim", "dpm++", "euler", "lcm"]
_SCHEDULERS: dict[Scheduler, str] = {
    "ddim": "DDIMScheduler",
    "dpm++": "DPMSolverMultistepScheduler",
    "euler": "EulerDiscreteScheduler",
    "lcm": "LCMScheduler",
}
_LATENTS = 4
"""Channels of a latent picture."""
_INPAINTING = 2 * _LATENTS + 1
"""Channels into an inpainting UNet: latents, mask, latents of the masked picture (Rombach et al. 2022)."""
_LEFT_OUT = ("safety_checker", "image_encoder", "controlnet")
"""Parts of a folder that are not loaded with it; its ControlNet is loaded like one that lies elsewhere."""
_SIDES = 8
"""What diffusers wants the sides of a picture to be multiples of when it inpaints, whatever the autoencoder."""


@dataclass(frozen=True)
class LoadedPipeline:
    """What `load_pipeline` loaded; one thread at a time.

    Attributes:
        pipeline: of diffusers: `...Inpaint...` if that was asked for or the UNet is one for it, else `...Img2Img...`.
        models: what was loaded, with digests: for records.
        base: the model's folder.
        schedule: configuration of the scheduler that came with the model.
        device: where it computes.
        takes_mask: whether the pipeline inpaints.
        inpainting: whether the UNet sees a mask and the masked picture beside the latents.
        condition_channels: of the picture that each ControlNet is shown; empty without ControlNets.
        adapter: the IP-Adapter in the UNet, or None.
    """

    pipeline: Any
    models: tuple[str, ...]
    base: ModelFolder
    schedule: Mapping[str, Any]
    device: torch.device
    takes_mask: bool
    inpainting: bool
    condition_channels: tuple[int, ...]
    adapter: IdentityAdapter | None

    @property
    def cell(self) -> int:
        """Side of the square of pixels that one latent stands for."""
        return int(self.pipeline.vae_scale_factor)

    @property
    def multiple(self) -> int:
        """What the sides of a picture must be multiples of, in pixels; both numbers are powers of 2."""
        return max(self.cell, _SIDES) if self.takes_mask else self.cell

    @property
    def identity_width(self) -> int | None:
        """Numbers in an identity's embedding; None without an adapter."""
        return None if self.adapter is None else self.adapter.width

    def told(self, identities: Tensor | None, count: int, *, scale: float, guided: bool) -> list[Tensor] | None:
        """Let the adapter weigh `scale`, and return the embeddings that the UNet is given; None without an adapter.

        Args:
            identities: (B, D); None for nobody, which is zeros.
            count: B.
            scale: 0 or more.
            guided: whether there is classifier-free guidance, which leads away from nobody.
        """
        if self.adapter is None:
            return None
        set_scale(self.pipeline, self.adapter, scale)
        rows = torch.zeros(count, self.adapter.width) if identities is None else identities
        return image_embeds(rows.to(self.device, self.pipeline.unet.dtype), guided=guided)

    def forget(self) -> None:
        """Let go of the last conditions that the ControlNets were shown; to be called after each batch."""
        for net in _nets(self.pipeline):
            net.controlnet_cond_embedding.forget()


def load_pipeline(
    model: ModelSource,
    controlnets: Sequence[ModelSource] = (),
    *,
    identity: ModelSource | None = None,
    device: torch.device | str = "cpu",
    dtype: Precision = "float32",
    scheduler: Scheduler | None = None,
    inpaint: bool = False,
    offload: bool = False,
    compile: bool = False,
    check: Callable[[ModelFolder], None] | None = None,
) -> LoadedPipeline:
    """Load a model and its ControlNets from this machine: safetensors alone, no code of theirs, nothing fetched.

    Args:
        model: a pipeline; its own task does not matter, its parts do.
        controlnets: in place of the one in the model's folder, if it has one.
        identity: an IP-Adapter, plain or FaceID: one safetensors file, or a folder that holds one.
        device: where to compute.
        dtype: of weights and activations.
        scheduler: None for the folder's own.
        inpaint: take diffusers' inpainting pipeline for a plain UNet, too.
        offload: keep on an accelerator only the part that works (slower, least memory).
        compile: let torch compile UNet and ControlNets: minutes at the first picture, and at each new size.
        check: raises ConfigError for a model that the caller has no use for.

    Raises:
        DataError: a model is missing or damaged, or was made for another kind; where it lies on the hub, the command
            that gets it.
        ConfigError: a pipeline of another kind, or more weights than the memory holds.
    """
    # All is checked before the first weight is read.
    base, nets = _folder(model), [_folder(net) for net in controlnets]
    models = tuple(f"{s} sha256:{f.digest}" for s, f in zip([model, *controlnets], [base, *nets], strict=True))
    places = [(net.path, source.variant) for net, source in zip(nets, controlnets, strict=True)]
    places = places or [(base.path / part.name, model.variant) for part in base.parts if part.name == "controlnet"]
    nets = nets or [read_model_folder(path, variant=variant) for path, variant in places]
    family, inpainting = _kind(base)
    channels = tuple(_condition_channels(net, base) for net in nets)
    adapter = None if identity is None else read_adapter(locate_file(identity))
    if adapter is not None:
        check_fits(adapter, base.path / "unet")
        models = (*models, f"{identity} sha256:{adapter.digest}")
    if check is not None:
        check(base)
    device = torch.device(device)
    if not offload:
        check_memory(_bytes(base, nets, adapter, dtype), device, what=str(model))
    takes_mask = inpaint or inpainting
    name = f"{family}{'ControlNet' if nets else ''}{'Inpaint' if takes_mask else 'Img2Img'}Pipeline"
    pipeline = _assemble(name, base.path, model.variant, places, getattr(torch, dtype))
    schedule = pipeline.scheduler.config
    if scheduler is not None:
        pipeline.scheduler = getattr(diffusers_library(), _SCHEDULERS[scheduler]).from_config(schedule)
    if adapter is not None:
        attach(pipeline, adapter)
    _place(pipeline, device, offload=offload, compile=compile)
    return LoadedPipeline(pipeline, models, base, schedule, device, takes_mask, inpainting, channels, adapter)


def read_config(folder: Path) -> dict[str, Any]:
    """Return the configuration of one model, as it lies in its folder.

    Raises:
        DataError: there is none, or it is no JSON object.
    """
    return read_json(folder / "config.json", wanted=DIFFUSERS_JSON)


def _folder(source: ModelSource) -> ModelFolder:
    if source.file is not None:
        raise ConfigError(f"{source} is one file", wanted="a folder in the format of diffusers")
    return read_model_folder(locate(source), variant=source.variant)


def _kind(base: ModelFolder) -> tuple[str, bool]:
    """Return how the names of its pipelines start, and whether its UNet is one for inpainting."""
    wanted = "a Stable Diffusion 1.5, 2 or XL, in the format of diffusers"
    families = [f for f in ("StableDiffusionXL", "StableDiffusion") if base.class_name.startswith(f)]
    if not families or base.class_name.startswith("StableDiffusion3"):
        raise ConfigError(f"{base.path} is a {base.class_name}", wanted=wanted)
    missing = {"vae", "unet", "scheduler"} - {part.name for part in base.parts}
    if missing:
        raise DataError(f"{base.path} has no {', '.join(sorted(missing))}", wanted=wanted)
    into = read_config(base.path / "unet").get("in_channels", _LATENTS)
    latents = read_config(base.path / "vae").get("latent_channels", _LATENTS)
    if into not in (_LATENTS, _INPAINTING) or latents != _LATENTS:
        raise ConfigError(
            f"{base.path}: a UNet of {into} input channels with an autoencoder of {latents}",
            wanted=f"{_LATENTS} latent channels, and {_LATENTS} or (for inpainting) {_INPAINTING} into the UNet",
        )
    return families[0], into == _INPAINTING


def _condition_channels(net: ModelFolder, base: ModelFolder) -> int:
    """Return the channels of the picture that a ControlNet is shown, after a look whether it fits the model."""
    if net.class_name != "ControlNetModel":
        raise ConfigError(f"{net.path} is a {net.class_name}", wanted="a ControlNetModel")
    config, unet, vae = read_config(net.path), read_config(base.path / "unet"), read_config(base.path / "vae")
    shrinks = 2 ** (len(config.get("conditioning_embedding_out_channels") or (16, 32, 96, 256)) - 1)
    cell = 2 ** (len(vae.get("block_out_channels", (64,))) - 1)
    words = (config.get("cross_attention_dim", 1280), unet.get("cross_attention_dim", 1280))
    into = config.get("in_channels", _LATENTS)
    # A ControlNet made from an inpainting UNet has 9 channels; diffusers shows it the latents alone.
    for right, seen, wanted in (
        (into == _LATENTS, f"takes {into} channels of latents", f"{_LATENTS}, also beside an inpainting UNet"),
        (shrinks == cell, f"shrinks its picture by {shrinks}", f"{cell}, as the model's autoencoder does"),
        (words[0] == words[1], f"reads words of {words[0]} numbers", f"{words[1]}, as the model's UNet does"),
    ):
        if not right:
            raise DataError(f"ControlNet {net.path} {seen}", wanted=wanted)
    return int(config.get("conditioning_channels", 3))


def _bytes(base: ModelFolder, nets: Sequence[ModelFolder], adapter: IdentityAdapter | None, dtype: Precision) -> int:
    left_out = sum(part.parameters for part in base.parts if part.name in _LEFT_OUT)
    used = sum(folder.parameters for folder in (base, *nets)) + (adapter.parameters if adapter else 0)
    return (used - left_out) * int(getattr(torch, dtype).itemsize)


def _assemble(
    name: str, base: Path, variant: str | None, nets: Sequence[tuple[Path, str | None]], dtype: torch.dtype
) -> Any:
    common = {"dtype": dtype, "use_safetensors": True, "local_files_only": True}
    given: dict[str, Any] = {"image_encoder": None}
    # Records and metadata say that a picture is synthetic, so no mark is drawn into it.
    given |= {"add_watermarker": False} if "XL" in name else {"safety_checker": None, "requires_safety_checker": False}
    with torch.inference_mode(False):
        library = diffusers_library()
        loaded = [library.ControlNetModel.from_pretrained(path, variant=infix, **common) for path, infix in nets]
        if loaded:
            # No list: beside a model that has a ControlNet of its own, only a model may take its place.
            given["controlnet"] = library.MultiControlNetModel(loaded) if len(loaded) > 1 else loaded[0]
        return getattr(library, name).from_pretrained(base, variant=variant, **given, **common)


def _place(pipeline: Any, device: torch.device, *, offload: bool, compile: bool) -> None:
    """Lay a pipeline out for its work: layout, device, and each condition embedded once."""
    pipeline.set_progress_bar_config(disable=True)
    working = [pipeline.unet, *_nets(pipeline)]
    for part in working:
        part.to(memory_format=torch.channels_last)
    if working[1:]:
        # Not before it is needed: it brings torch's compiler with it, which takes seconds to import.
        from spooflab.generators.diffusion.remembered_embedding import RememberedEmbedding

        for net in working[1:]:
            net.controlnet_cond_embedding = RememberedEmbedding(net.controlnet_cond_embedding)
    if offload and device.type != "cpu":
        pipeline.enable_model_cpu_offload(device=device)
    else:
        pipeline.to(device)
    if compile:
        for part in working:
            part.compile()


def _nets(pipeline: Any) -> list[Any]:
    """Return the pipeline's ControlNets."""
    net = getattr(pipeline, "controlnet", None)
    return [] if net is None else list(getattr(net, "nets", [net]))
