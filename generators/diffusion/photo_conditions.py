"""Depth and segmentation of any photograph by a model of transformers that a person names, drawn for a ControlNet.

Nothing is bundled: weights and their licences are the user's to choose. `conditions` needs no such model for faces.
"""

from collections.abc import Callable
from typing import Any, Literal, Self

import torch
from torch import Tensor
from torch.nn import functional as F

from spooflab.errors import ConfigError, DataError
from spooflab.generators.diffusion.label_palette import palette_of
from spooflab.generators.diffusion.model_source import ModelSource
from spooflab.generators.diffusion.pipeline import Precision
from spooflab.generators.diffusion.transformers_model import TransformersModel, check_pictures, load_transformers

Gives = Literal["inverse_depth", "depth"]
_DEPTH_CLASSES = ("DPTForDepthEstimation", "DepthAnythingForDepthEstimation")


class DepthEstimator:
    """A DPT or Depth Anything (Ranftl et al. 2021, Yang et al. 2024).

    Attributes:
        model: what was loaded, with its digest: for records.
        licence: as the model's card names it.
        gives: `inverse_depth` up to scale and shift, or `depth`.
    """

    def __init__(self, loaded: TransformersModel, gives: Gives, batch: int) -> None:
        self._loaded, self.gives, self._batch = loaded, gives, batch
        self.model, self.licence = loaded.model, loaded.licence

    @classmethod
    def load(
        cls,
        source: ModelSource,
        *,
        gives: Gives | None = None,
        device: torch.device | str = "cpu",
        dtype: Precision = "float32",
        batch: int = 8,
    ) -> Self:
        """Load a model from this machine: safetensors alone, no code of its own, nothing fetched.

        Args:
            source: a folder, or the hub's.
            gives: what its numbers are; None for what its configuration says: a Depth Anything says it, and a DPT is
                taken for one of MiDaS, which gives inverse depth. One tuned on NYU or KITTI gives depth: say so.
            device: where it computes.
            dtype: of weights and activations.
            batch: pictures at once.

        Raises:
            DataError: the model is missing, damaged or incomplete.
            ConfigError: it is of another kind, does not fit into memory, or a setting is out of range.
        """
        _check_batch(batch)
        loaded = load_transformers(source, "AutoModelForDepthEstimation", _DEPTH_CLASSES, device=device, dtype=dtype)
        says_depth = getattr(loaded.network.config, "depth_estimation_type", "relative") == "metric"
        return cls(loaded, gives or ("depth" if says_depth else "inverse_depth"), batch)

    def map(self, pictures: Tensor) -> Tensor:
        """Return inverse depth, grey: 1 for what is nearest, 0 for what is furthest in each picture.

        As `conditions.depth_map`, but that no distance is known to be infinite: the scale is from one end to the other
        (Ranftl et al. 2020), as in the maps that depth ControlNets are trained on.

        Args:
            pictures: (B, 3, H, W) sRGB in [0, 1], float32 on the CPU.

        Returns:
            (B, 3, H, W) float32 in [0, 1] on the CPU.

        Raises:
            DataError: pictures of another shape, type or range; or the model gives values that are no numbers.
        """
        return _in_batches(self._grey, pictures, self._batch).expand(-1, 3, -1, -1)

    def _grey(self, pictures: Tensor) -> Tensor:
        seen = _finite(self._loaded.network(pixel_values=self._loaded.prepare(pictures)).predicted_depth)
        inverse = seen if self.gives == "inverse_depth" else seen.clamp(min=1e-6).reciprocal()
        full = F.interpolate(inverse[:, None], pictures.shape[-2:], mode="bicubic", align_corners=False)
        near, far = full.amax((2, 3), keepdim=True), full.amin((2, 3), keepdim=True)
        return (full - far) / (near - far).clamp(min=1e-12)


class Segmenter:
    """A semantic segmentation model, such as SegFormer (Xie et al. 2021) or UPerNet (Xiao et al. 2018).

    Attributes:
        model: what was loaded, with its digest: for records.
        licence: as the model's card names it.
        labels: its classes, in order.
        palette: (N, 3) their colours in [0, 1]; see `palette_of`.
    """

    def __init__(self, loaded: TransformersModel, labels: tuple[str, ...], batch: int) -> None:
        self._loaded, self.labels, self._batch = loaded, labels, batch
        self.model, self.licence = loaded.model, loaded.licence
        self.palette = palette_of(labels)

    @classmethod
    def load(
        cls,
        source: ModelSource,
        *,
        device: torch.device | str = "cpu",
        dtype: Precision = "float32",
        batch: int = 4,
    ) -> Self:
        """Load a model from this machine: safetensors alone, no code of its own, nothing fetched.

        Args:
            source: a folder, or the hub's.
            device: where it computes.
            dtype: of weights and activations.
            batch: pictures at once; each takes four bytes for every pixel and class.

        Raises:
            DataError: the model is missing, damaged or incomplete, or its labels are not numbered 0, 1, 2, ….
            ConfigError: it is of another kind, does not fit into memory, or a setting is out of range.
        """
        _check_batch(batch)
        loaded = load_transformers(
            source, "AutoModelForSemanticSegmentation", _segmentation_classes(), device=device, dtype=dtype
        )
        return cls(loaded, _labels(loaded), batch)

    def classes(self, pictures: Tensor) -> Tensor:
        """Return (B, 1, H, W) int64 indices into `labels`; arguments and errors as in `map`."""
        return _in_batches(self._classes, pictures, self._batch)

    def map(self, pictures: Tensor) -> Tensor:
        """Return the classes in their colours.

        Args:
            pictures: (B, 3, H, W) sRGB in [0, 1], float32 on the CPU.

        Returns:
            (B, 3, H, W) float32 in [0, 1] on the CPU.

        Raises:
            DataError: pictures of another shape, type or range; or the model gives values that are no numbers.
        """
        return self.palette[self.classes(pictures)[:, 0]].permute(0, 3, 1, 2).contiguous()

    def _classes(self, pictures: Tensor) -> Tensor:
        scores = _finite(self._loaded.network(pixel_values=self._loaded.prepare(pictures)).logits)
        full = F.interpolate(scores, pictures.shape[-2:], mode="bilinear", align_corners=False)
        return full.argmax(1, keepdim=True)


def _in_batches(compute: Callable[[Tensor], Tensor], pictures: Tensor, batch: int) -> Tensor:
    check_pictures(pictures)
    with torch.inference_mode():
        made = [compute(pictures[i : i + batch]).cpu() for i in range(0, len(pictures), batch)]
    return torch.cat(made).clone()  # outside of inference mode: an ordinary tensor


def _finite(values: Tensor) -> Tensor:
    if not bool(values.isfinite().all()):
        raise DataError("the model gave values that are no numbers", next_step="use bfloat16 or float32")
    return values.float()


def _labels(loaded: TransformersModel) -> tuple[str, ...]:
    config = loaded.network.config
    named: dict[Any, Any] = dict(config.id2label or {})
    if sorted(named) != list(range(config.num_labels)):
        raise DataError(f"{loaded.model}: labels numbered {sorted(named)[:5]}…", wanted="0, 1, 2, … in id2label")
    return tuple(str(named[index]) for index in range(len(named)))


def _segmentation_classes() -> tuple[str, ...]:
    try:
        from transformers.models.auto.modeling_auto import MODEL_FOR_SEMANTIC_SEGMENTATION_MAPPING_NAMES
    except ImportError as error:
        raise ConfigError(
            "segmenting photographs needs transformers", next_step="pip install 'spooflab[diffusion]'"
        ) from error
    return tuple(MODEL_FOR_SEMANTIC_SEGMENTATION_MAPPING_NAMES.values())


def _check_batch(batch: int) -> None:
    if batch < 1:
        raise ConfigError(f"batch is {batch}", wanted="1 or more")
