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
from spooflab.adapters.frozen_part import resting, upper
from spooflab.errors import ConfigError

if TYPE_CHECKING:
    from spooflab.adapters.train_config import BackboneConfig

PRESETS: dict[str, dict[str, Any]] = {
    "resnet-tiny": {
        "model_type": "resnet",
        "embedding_size": 16,
        "hidden_sizes": [16, 32, 64, 128],
        "depths": [1, 1, 1, 1],
        "layer_type": "basic",
    },
    "resnet-small": {
        "model_type": "resnet",
        "embedding_size": 32,
        "hidden_sizes": [32, 64, 128, 256],
        "depths": [2, 2, 2, 2],
        "layer_type": "basic",
    },
    "convnext-tiny": {
        "model_type": "convnext",
        "hidden_sizes": [24, 48, 96, 192],
        "depths": [2, 2, 4, 2],
        "drop_path_rate": 0.05,
    },
    "vit-tiny": {
        "model_type": "vit",
        "hidden_size": 128,
        "num_hidden_layers": 6,
        "num_attention_heads": 4,
        "intermediate_size": 384,
        "patch_size": 16,
    },
}
"""Networks made from a transformers configuration and trained from scratch."""

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
        ConfigError: an unknown preset or field, weights that are missing, incomplete or not safetensors.
    """
    if config.name in PRESETS:
        return Backbone(_from_preset(config, size), size=size, mean=[0.5] * 3, deviation=[0.25] * 3)
    if config.options:
        raise ConfigError(
            f"backbone {config.name!r}: options {sorted(config.options)}", wanted="options with presets only"
        )
    if "/" not in config.name and not Path(config.name).is_dir():
        raise ConfigError(
            f"backbone {config.name!r} is neither a preset nor a folder",
            wanted=f"one of {', '.join(PRESETS)}, a local folder, or a hub id `owner/model`",
        )
    mean, deviation = _normalisation(config)
    return Backbone(_from_weights(config), size=size, mean=mean, deviation=deviation)


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
    model = AutoModel.from_config(AutoConfig.for_model(fields.pop("model_type"), **fields))
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


def _from_weights(config: BackboneConfig) -> Any:
    import transformers
    from transformers.utils import logging

    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        where = {"revision": config.revision or "main", "trust_remote_code": False}
        kind = transformers.AutoConfig.from_pretrained(config.name, **where).model_type
        tower: Any = getattr(transformers, _TOWERS.get(kind, "AutoModel"))
        model, report = tower.from_pretrained(
            config.name,
            **where,
            use_safetensors=True,
            dtype=torch.float32,
            output_loading_info=True,
        )
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"backbone {config.name!r} (revision {config.revision or 'main'}): {str(error).splitlines()[0]}",
            wanted="a folder or hub id with config.json and model.safetensors",
            next_step="offline, download it once elsewhere and name the folder; or use a preset: " + ", ".join(PRESETS),
        ) from error
    finally:
        logging.set_verbosity(verbosity)
    missing = sorted(name for name in report["missing_keys"] if "pooler" not in name)
    if missing:
        raise ConfigError(f"backbone {config.name!r}: {len(missing)} weights missing, first {missing[0]!r}")
    return _without_pooler_weights(model) if report["missing_keys"] else model


def _without_pooler_weights(model: Any) -> Any:
    """Drop a pooler that has weights of its own and no training behind them (BERT's dense + tanh, in ViT)."""
    pooler = getattr(model, "pooler", None)
    if pooler is not None and any(True for _ in pooler.parameters()):
        model.pooler = None
    return model


def _normalisation(config: BackboneConfig) -> tuple[list[float], list[float]]:
    """Read mean and deviation from the checkpoint's preprocessor_config.json; ImageNet's where it has none."""
    from transformers.utils.hub import cached_file

    mean, deviation = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
    try:
        path = cached_file(
            config.name,
            "preprocessor_config.json",
            revision=config.revision or "main",
            _raise_exceptions_for_missing_entries=False,
            _raise_exceptions_for_connection_errors=False,
        )
    except OSError:
        return mean, deviation
    if path is None:
        return mean, deviation
    data = json.loads(Path(path).read_text(encoding="utf-8"))
    return list(data.get("image_mean", mean)), list(data.get("image_std", deviation))


def _hook(change: Change) -> Callable[[nn.Module, Any, Any], Any]:
    def hook(_module: nn.Module, _inputs: Any, output: Any) -> Any:
        return (change(output[0]), *output[1:]) if isinstance(output, tuple) else change(output)

    return hook
