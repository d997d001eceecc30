"""A face's crop painted anew with the configured models, and laid back into its picture."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from importlib.util import find_spec

import torch
from torch import Tensor

from spooflab.augment.tone import srgb_decode, srgb_encode
from spooflab.errors import ConfigError
from spooflab.generators.attacks.digital.swap_colour import from_lab, to_lab, transfer
from spooflab.generators.diffusion.conditions import condition
from spooflab.generators.diffusion.config import EMBEDDED, Condition, DiffusionConfig
from spooflab.generators.diffusion.ddim import even_steps
from spooflab.generators.diffusion.diffusers_library import diffusers_library
from spooflab.generators.diffusion.embedded import ADAPTER, EMBEDDED_FOLDER
from spooflab.generators.diffusion.face_frame import Frame, crop, on_crop, paste
from spooflab.generators.diffusion.identity import IdentityEncoder
from spooflab.generators.diffusion.identity_clip import ClipIdentity
from spooflab.generators.diffusion.identity_net import IDENTITY_FOLDER, NetIdentity
from spooflab.generators.diffusion.identity_onnx import OnnxIdentity
from spooflab.generators.diffusion.inpaint import Inpainter
from spooflab.generators.diffusion.invert import Inverter
from spooflab.generators.diffusion.marked_normals import marked_normals
from spooflab.generators.diffusion.memory import check_memory
from spooflab.generators.diffusion.model_folder import read_model_folder
from spooflab.generators.diffusion.model_source import ModelSource, locate, locate_file, parse_source
from spooflab.generators.diffusion.photo_conditions import DepthEstimator, Segmenter
from spooflab.generators.diffusion.refine import Refiner
from spooflab.generators.diffusion.sampling import Sampling
from spooflab.generators.face import Face

_FEWEST_INVERTED = 20
"""Steps of an inversion, at least: a method of first order, whose error falls as their number rises."""


@dataclass(frozen=True)
class Crop:
    """A face in the square that is painted.

    Attributes:
        frame: where it lies in the picture.
        size: side in pixels.
        picture: (1, 3, size, size) sRGB in [0, 1].
        face: geometry on the crop's pixels: landmarks, and normals, depth, parsing where the face has them.
    """

    frame: Frame
    size: int
    picture: Tensor
    face: Face


def crop_face(face: Face, frame: Frame, size: int) -> Crop:
    """Return one face (a batch of one) within a frame, with what is known of it."""

    def cut(values: Tensor | None) -> Tensor | None:
        return None if values is None else crop(values, frame, size)

    picture = crop(encoded(face), frame, size).clamp(0, 1)
    # Beyond the horizon there is no depth to average with.
    depth = None if face.depth_mm is None else cut(face.depth_mm.reciprocal())
    within = face.replace(
        radiance=picture,
        landmarks=on_crop(face.landmarks, frame, size),
        depth_mm=None if depth is None else depth.clamp(min=0).reciprocal(),
        normals=cut(face.normals),
        parsing=None if face.parsing is None else _classes(face.parsing, frame, size),
        spoof_mask=cut(face.spoof_mask),
    )
    return Crop(frame, size, picture, within)


def encoded(face: Face) -> Tensor:
    """Return a face's picture as sRGB codes in [0, 1]."""
    return srgb_encode(face.radiance.clamp(0, 1))


def _classes(parsing: Tensor, frame: Frame, size: int) -> Tensor:
    share = (torch.arange(size) + 0.5) / size
    at = frame.to_picture(torch.stack(torch.meshgrid(share, share, indexing="xy"), -1)).floor().long()
    height, width = parsing.shape[-2:]
    return parsing[..., at[..., 1].clamp(0, height - 1), at[..., 0].clamp(0, width - 1)]


class Studio:
    """The configured models, loaded once: what paints, refines and edits shares their weights.

    Args:
        config: see `DiffusionConfig`.

    Raises:
        ConfigError, DataError: a model is missing, damaged or too large; the message names the command that gets it.
    """

    def __init__(self, config: DiffusionConfig) -> None:
        self.config = config
        model = model_source(config)
        self.conditions: tuple[Condition, ...] = tuple(net.condition for net in config.controlnets) or (
            "marked_normals",
        )
        self.inpainter = Inpainter.load(
            model,
            [parse_source(net.source, variant=net.variant) for net in config.controlnets],
            identity=_adapter(config, model),
            device=config.device,
            dtype=config.dtype,
            scheduler=config.scheduler,
            offload=config.offload,
            compile=config.compile,
        )
        self.identity = _identity(config, model)
        if self.identity.width != self.inpainter.identity_width:
            raise ConfigError(
                f"identity {self.identity.model} makes {self.identity.width} numbers",
                wanted=f"the {self.inpainter.identity_width} that the adapter takes",
            )
        self._depth = _depth(config) if "depth" in self.conditions else None
        self._segmenter = _segmenter(config) if "segmentation" in self.conditions else None
        # A record names the package's own model, not where this machine has it.
        here = str(EMBEDDED_FOLDER)
        readers = [reader.model for reader in (self._depth, self._segmenter) if reader is not None]
        names = (*self.inpainter.models, self.identity.model, *readers)
        self.models = tuple(name.replace(here, EMBEDDED) for name in names)

    @cached_property
    def refiner(self) -> Refiner:
        """What synthesises pasted parts anew."""
        return Refiner(self.inpainter.loaded)

    @cached_property
    def inverter(self) -> Inverter:
        """What edits by inversion.

        Raises:
            ConfigError: the model follows no ODE that could be inverted.
        """
        return Inverter(self.inpainter.loaded)

    @property
    def sampling(self) -> Sampling:
        """How pictures are painted."""
        config = self.config
        weights = tuple(net.weight for net in config.controlnets) or (1.0,)
        return Sampling(
            steps=config.steps,
            guidance=config.guidance,
            strength=config.strength,
            control=weights if len(weights) > 1 else weights[0],
            identity_scale=config.identity_scale,
        )

    def condition_maps(self, crops: Sequence[Crop], *, worn: bool) -> list[Tensor]:
        """Return what each ControlNet is shown, (B, 3, size, size) each.

        Args:
            crops: with the geometry that is to be held.
            worn: whether a mask is worn, whose relief is to be held as well.
        """
        return [torch.cat([self._map(kind, c, worn) for c in crops]) for kind in self.conditions]

    def _map(self, kind: Condition, c: Crop, worn: bool) -> Tensor:
        if kind == "marked_normals":
            return marked_normals(c.face.landmarks, (c.size, c.size), c.face.normals if worn else None)
        if kind == "depth" and self._depth is not None and not worn:
            return self._depth.map(c.picture)
        if kind == "segmentation" and self._segmenter is not None and not worn:
            return self._segmenter.map(c.picture)
        return condition(kind, c.face)

    def paint(
        self,
        crops: Sequence[Crop],
        regions: Tensor,
        *,
        prompts: Sequence[str],
        seeds: Sequence[int],
        identities: Tensor | None,
        worn: bool,
    ) -> Tensor:
        """Return (B, 3, size, size) sRGB in [0, 1]: the crops with their regions (B, 1, size, size) painted anew."""
        return self.inpainter.paint(
            torch.cat([c.picture for c in crops]),
            regions,
            self.condition_maps(crops, worn=worn),
            prompts=prompts,
            seeds=seeds,
            identities=identities,
            sampling=self.sampling,
        )

    def refine(
        self,
        crops: Sequence[Crop],
        regions: Tensor,
        *,
        prompts: Sequence[str],
        seeds: Sequence[int],
        identities: Tensor,
    ) -> Tensor:
        """Return (B, 3, size, size) sRGB in [0, 1]: the crops with their regions (B, 1, size, size) resynthesised."""
        how = self.sampling
        return self.refiner.refine(
            torch.cat([c.picture for c in crops]),
            regions,
            prompts=prompts,
            seeds=seeds,
            strength=self.config.refine_strength,
            steps=how.steps,
            guidance=how.guidance,
            conditions=self.condition_maps(crops, worn=False),
            control=how.control,
            identities=identities,
            identity_scale=how.identity_scale,
        )

    def edit(
        self,
        crops: Sequence[Crop],
        regions: Tensor,
        *,
        source_prompts: Sequence[str],
        target_prompts: Sequence[str],
        identities: Tensor,
        share: float,
    ) -> Tensor:
        """Return (B, 3, size, size) sRGB in [0, 1]: the crops inverted to `share` of the noise, and back as prompted.

        The configured steps are raised to 20, and to a number that makes even strides.
        """
        how = self.sampling
        return self.inverter.edit(
            torch.cat([c.picture for c in crops]),
            source_prompts=source_prompts,
            target_prompts=target_prompts,
            masks=regions,
            conditions=self.condition_maps(crops, worn=False),
            control=how.control,
            steps=even_steps(self.inpainter.loaded.schedule, max(how.steps, _FEWEST_INVERTED)),
            guidance=how.guidance,
            share=share,
            identities=identities,
            identity_scale=how.identity_scale,
        )


def check_models(config: DiffusionConfig) -> dict[str, str]:
    """Check that all models are here, whole, and fit into memory, before anything long starts; none is loaded.

    Returns:
        The licence that each model's card names, empty where it names none: for records.

    Raises:
        ConfigError, DataError: as `Studio`; where one lies on the hub, with the command that gets it.
    """
    if find_spec("diffusers") is None:
        diffusers_library()  # which says what to install
    wanted, licences = 0, dict[str, str]()
    nets = [parse_source(net.source, variant=net.variant) for net in config.controlnets]
    for name, source in ((config.model, model_source(config)), *((str(net), net) for net in nets)):
        folder = read_model_folder(locate(source), variant=source.variant)
        wanted += folder.bytes_as(config.dtype)
        licences[name] = folder.licence
    locate_file(_adapter(config, model_source(config)))
    if not config.offload:
        check_memory(wanted, torch.device(config.device), what=config.model)
    return licences


@lru_cache(maxsize=2)
def open_studio(config: DiffusionConfig) -> Studio:
    """Return the loaded models of a configuration; the last two are kept."""
    # A data set is made in inference mode, whose tensors cannot become parameters.
    with torch.inference_mode(False):
        return Studio(config)


def lay_back(face: Face, painted: Tensor, c: Crop, mask: Tensor, *, colour: float) -> Tensor:
    """Return the picture's radiance (1, 3, H, W) with the painted crop where `mask` is above 0; others keep their bits.

    Args:
        face: the whole picture, a batch of one.
        painted: (1, 3, size, size) sRGB in [0, 1].
        c: where it was taken from.
        mask: (1, 1, H, W) weights in [0, 1].
        colour: 0 leaves the painted colours, 1 gives them mean and spread of what they replace, in L*a*b*.
    """
    height, width = face.size
    over = srgb_decode(paste(painted, c.frame, height, width).clamp(0, 1))
    inside = paste(torch.ones_like(painted[:, :1]), c.frame, height, width)
    weight = mask * inside
    if colour > 0:
        lab = transfer(to_lab(over), to_lab(face.radiance), weight, torch.tensor([colour]))
        over = from_lab(lab)
    # Decoded black, and colours that were shifted, may lie below 0, which no light does.
    return torch.where(weight > 0, torch.lerp(face.radiance, over, weight).clamp(min=0), face.radiance)


def model_source(config: DiffusionConfig) -> ModelSource:
    """Return where the configured model lies."""
    if config.model == EMBEDDED:
        return ModelSource(str(EMBEDDED_FOLDER))
    return parse_source(config.model, variant=config.variant)


def _adapter(config: DiffusionConfig, model: ModelSource) -> ModelSource:
    if config.adapter is not None:
        return parse_source(config.adapter)
    return replace(model, file=ADAPTER)


def _identity(config: DiffusionConfig, model: ModelSource) -> IdentityEncoder:
    if config.identity is None:
        return NetIdentity.load(locate(model) / IDENTITY_FOLDER, name=f"{config.model} {IDENTITY_FOLDER}")
    kind, _, where = config.identity.partition(":")
    if kind == "clip" and where:
        return ClipIdentity.load(parse_source(where), subfolder=config.identity_subfolder, device=config.device)
    if kind == "onnx" and where:
        return OnnxIdentity(where, config.embedder)
    raise ConfigError(
        f"identity {config.identity!r}", wanted="clip:SOURCE or onnx:FILE, or nothing for the model's own"
    )


def _depth(config: DiffusionConfig) -> DepthEstimator | None:
    if config.depth is None:
        return None
    source = parse_source(config.depth)
    return DepthEstimator.load(source, gives=config.depth_gives, device=config.device, dtype=config.dtype)


def _segmenter(config: DiffusionConfig) -> Segmenter | None:
    if config.segmentation is None:
        return None
    return Segmenter.load(parse_source(config.segmentation), device=config.device, dtype=config.dtype)
