"""Backbones from transformers: small ones from a preset, any other from a local folder or the hub."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import torch
from torch import Tensor, nn

from spooflab.adapters.at_rest import at_rest
from spooflab.adapters.backbone_source import backbone_folder, check_source
from spooflab.adapters.frozen_part import resting, upper
from spooflab.adapters.presets import PRESETS
from spooflab.errors import ConfigError
from spooflab.plain_model import check_plain_model

if TYPE_CHECKING:
    from spooflab.adapters.train_config import BackboneConfig

_TOWERS = {"clip": "CLIPVisionModel", "siglip": "SiglipVisionModel"}
"""Models of pictures and texts, and the class of their half that sees."""

Change = Callable[[Tensor], Tensor]


class Backbone(nn.Module):
    """Images to features; input normalisation is inside, and stages can be hooked.

    Args:
        model: transformers vision model.
        size: side of the input in pixels.
        mean: (3,) subtracted from images in [0, 1].
        deviation: (3,) divided by.

    Attributes:
        dim: length of the feature vector.
        stages: the network's stages (convolutional) or blocks (transformer), in order.
        frozen: whether it computes as in use (no dropout, statistics at rest) and without gradients, even in training.
        frozen_stages: how many of the first stages do so; see `frozen_part`.
        takes_maps: whether `forward` is given the frozen part's output in place of images.
        size: side of the images in pixels.
    """

    model: Any  # transformers' models are untyped here
    mean: Tensor
    deviation: Tensor

    def __init__(self, model: nn.Module, *, size: int, mean: list[float], deviation: list[float]) -> None:
        super().__init__()
        self.model, self.size = model, size
        self.frozen, self.frozen_stages, self.takes_maps = False, 0, False
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("deviation", torch.tensor(deviation).view(1, 3, 1, 1), persistent=False)
        self.dim = self._measure(size)

    @property
    def stages(self) -> list[nn.Module]:
        """Stages in forward order; empty where the architecture's are not known."""
        encoder = getattr(self.model, "encoder", self.model)
        for name in ("stages", "layers", "layer", "blocks"):
            found = getattr(encoder, name, None)
            if isinstance(found, nn.ModuleList):
                return list(found)
        return []

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) in [0, 1] to (B, dim): the model's pooled output, else its class token or spatial mean."""
        if self.takes_maps:
            return upper(self, images)
        # (x − mean) / deviation in one pass over the image.
        pixels = torch.addcmul(-self.mean / self.deviation, images, 1 / self.deviation)
        # Adversarial images want gradients through a frozen network, too.
        with torch.set_grad_enabled(torch.is_grad_enabled() and (not self.frozen or images.requires_grad)):
            return self.pooled(pixels)

    def pooled(self, pixels: Tensor) -> Tensor:
        """Return the features (B, dim) of normalised images (B, 3, H, W)."""
        out = self.model(pixel_values=pixels)
        pooled = getattr(out, "pooler_output", None)
        if pooled is None:
            last: Tensor = out.last_hidden_state
            pooled = last[:, 0] if last.ndim == 3 else last.mean((2, 3))
        features: Tensor = pooled.flatten(1)
        return features

    def train(self, mode: bool = True) -> Self:
        """Set the mode; a frozen network, or part, stays as in use."""
        super().train(mode and not self.frozen)
        for module in resting(self):
            module.eval()
        return self

    @contextmanager
    def after_stages(self, changes: Mapping[int, Change]) -> Iterator[None]:
        """While open, the output of stage i is replaced by `changes[i]` of it.

        Raises:
            ConfigError: a stage that does not run, because the network is given maps from after it.
        """
        stages = self.stages
        first = len(stages) if self.frozen else self.frozen_stages - 1
        if self.takes_maps and any(position < first for position in changes):
            raise ConfigError(f"stages {sorted(changes)} are to be changed, and stage {first} is the first that runs")
        with ExitStack() as stack:
            for position, change in changes.items():
                handle = stages[position].register_forward_hook(_hook(change))
                stack.callback(handle.remove)
            yield

    @torch.no_grad()
    def _measure(self, size: int) -> int:
        try:
            with at_rest(self):
                return int(self(torch.zeros(1, 3, size, size)).shape[1])
        except (ValueError, RuntimeError) as error:
            raise ConfigError(f"backbone does not take {size}×{size} images: {error}", wanted="its own size") from error


def build_backbone(config: BackboneConfig, size: int) -> Backbone:
    """Make the backbone that `config` names; weights from scratch come from torch's global RNG (seed it).

    Raises:
        ConfigError: an unknown preset or field, a hub id without its full commit, weights that are missing, incomplete
            or not safetensors.
        DataError: a folder that leads to another model.
    """
    check_source(config)
    if config.name in PRESETS:
        return Backbone(_from_preset(config, size), size=size, mean=[0.5] * 3, deviation=[0.25] * 3)
    folder = backbone_folder(config)
    mean, deviation = _normalisation(folder)
    return Backbone(_from_weights(config.name, folder), size=size, mean=mean, deviation=deviation)


def describe_backbone(backbone: Backbone) -> dict[str, Any]:
    """Return JSON from which `rebuild_backbone` makes the same network, weights apart."""
    return {
        "config": json.loads(backbone.model.config.to_json_string(use_diff=False)),
        "pooler": getattr(backbone.model, "pooler", None) is not None,
        "mean": backbone.mean.flatten().tolist(),
        "deviation": backbone.deviation.flatten().tolist(),
    }


def rebuild_backbone(description: dict[str, Any], size: int) -> Backbone:
    """Make the network of `describe_backbone`, with weights yet to be loaded."""
    from transformers import AutoConfig, AutoModel

    fields = dict(description["config"])
    model = AutoModel.from_config(AutoConfig.for_model(fields.pop("model_type"), **fields), trust_remote_code=False)
    if not description["pooler"]:
        model.pooler = None
    return Backbone(model, size=size, mean=description["mean"], deviation=description["deviation"])


def _from_preset(config: BackboneConfig, size: int) -> Any:
    from transformers import AutoConfig, AutoModel

    fields = dict(PRESETS[config.name])
    kind = fields.pop("model_type")
    unknown = sorted(set(config.options) - set(AutoConfig.for_model(kind).to_dict()))
    if unknown:
        raise ConfigError(f"backbone {config.name!r}: unknown options {unknown}", wanted=f"fields of {kind}'s config")
    if kind == "vit":
        fields["image_size"] = size
    model = AutoModel.from_config(AutoConfig.for_model(kind, **fields | config.options))
    return _without_pooler_weights(model)


def _from_weights(name: str, folder: Path) -> Any:
    import transformers
    from transformers.utils import logging

    if (folder / "config.json").exists():
        check_plain_model(folder)
    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        where = {"local_files_only": True, "trust_remote_code": False}
        kind = transformers.AutoConfig.from_pretrained(folder, **where).model_type
        tower: Any = getattr(transformers, _TOWERS.get(kind, "AutoModel"))
        model, report = tower.from_pretrained(
            folder,
            **where,
            use_safetensors=True,
            dtype=torch.float32,
            output_loading_info=True,
        )
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"backbone {name!r}: {str(error).splitlines()[0]}",
            wanted="a folder or hub id with config.json and model.safetensors",
        ) from error
    finally:
        logging.set_verbosity(verbosity)
    missing = sorted(key for key in report["missing_keys"] if "pooler" not in key)
    if missing:
        raise ConfigError(f"backbone {name!r}: {len(missing)} weights missing, first {missing[0]!r}")
    return _without_pooler_weights(model) if report["missing_keys"] else model


def _without_pooler_weights(model: Any) -> Any:
    """Drop a pooler that has weights of its own and no training behind them (BERT's dense + tanh, in ViT)."""
    pooler = getattr(model, "pooler", None)
    if pooler is not None and any(True for _ in pooler.parameters()):
        model.pooler = None
    return model


def _normalisation(folder: Path) -> tuple[list[float], list[float]]:
    """Read mean and deviation from the checkpoint's preprocessor_config.json; ImageNet's where it has none."""
    mean, deviation = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
    path = folder / "preprocessor_config.json"
    if not path.exists():
        return mean, deviation
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        three = [
            [float(v) for v in data.get(key, own)] for key, own in (("image_mean", mean), ("image_std", deviation))
        ]
    except (OSError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise ConfigError(f"{path}: {error}", wanted="image_mean and image_std, three numbers each") from error
    if any(len(values) != 3 for values in three) or min(three[1]) <= 0:
        raise ConfigError(
            f"{path}: image_mean {three[0]}, image_std {three[1]}", wanted="three numbers each, image_std above zero"
        )
    return three[0], three[1]


def _hook(change: Change) -> Callable[[nn.Module, Any, Any], Any]:
    def hook(_module: nn.Module, _inputs: Any, output: Any) -> Any:
        return (change(output[0]), *output[1:]) if isinstance(output, tuple) else change(output)

    return hook
