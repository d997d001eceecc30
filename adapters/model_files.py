"""A trained model as two files: weights in safetensors, and JSON that rebuilds the network without the hub."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError

from spooflab.adapters.algorithm import Algorithm
from spooflab.adapters.algorithms import ALGORITHMS
from spooflab.adapters.backbones import Backbone, build_backbone, describe_backbone, rebuild_backbone
from spooflab.adapters.checkpoints import tensor_bytes
from spooflab.adapters.class_loss import EVEN
from spooflab.adapters.pixel_head import PixelHead
from spooflab.adapters.train_config import TrainConfig
from spooflab.adapters.tuning import tune
from spooflab.atomic import write_over
from spooflab.errors import DataError
from spooflab.json_text import parse_json

WEIGHTS, CARD = "model.safetensors", "model.json"


_UNUSABLE = (OSError, ValueError, KeyError, TypeError, AttributeError, ArithmeticError, RuntimeError, SafetensorError)


def build_algorithm(
    config: TrainConfig, *, num_domains: int, shares: Sequence[float] = EVEN, start: Path | None = None
) -> Algorithm:
    """Make the algorithm with fresh (or downloaded) backbone weights; initialisation draws from torch's global RNG.

    Hyper-parameters were checked by name in `TrainConfig` and are checked by value in the constructor.

    Args:
        config: what to make.
        num_domains: number of training domains.
        shares: of attack and bona fide in the batches to come, for class losses that ask.
        start: folder of a model that `fit` saved, whose backbone's weights these ones start from.
    """
    backbone = build_backbone(config.backbone, config.size)
    if start is not None:
        _load_backbone(backbone, start)
    return _assembled(config, tune(backbone, config.backbone), num_domains, shares)


def save_model(model: Algorithm, config: TrainConfig, out: Path, *, notes: dict[str, Any]) -> None:
    """Write `out/model.safetensors` and `out/model.json`, each complete or not at all."""
    data = tensor_bytes(model.state_dict())
    card = {
        "config": config.model_dump(mode="json"),
        "num_domains": model.num_domains,
        "class_shares": model.class_loss.prior.tolist(),
        "score_temperature": model.score_temperature,
        "backbone": describe_backbone(model.backbone),
        "sha256": hashlib.sha256(data).hexdigest(),
        **notes,
    }
    write_over(out / WEIGHTS, data)
    write_over(out / CARD, json.dumps(card, indent=1).encode())


def read_model_files(folder: Path) -> tuple[dict[str, Any], bytes]:
    """Return the card and the verified weights, still serialised, of a saved model.

    Raises:
        DataError: a file is missing or damaged.
    """
    card = _read_card(folder)
    try:
        data = (folder / WEIGHTS).read_bytes()
    except OSError as error:
        raise _unusable(folder, error) from error
    if hashlib.sha256(data).hexdigest() != card.get("sha256"):
        raise _unusable(folder, ValueError(f"{WEIGHTS} is not the file that {CARD} describes"))
    return card, data


def load_model(folder: Path) -> Algorithm:
    """Rebuild the model that `fit` saved in `folder`, in eval mode on the CPU.

    Raises:
        DataError: a file is missing or damaged, or the weights do not fit the network.
    """
    try:
        card, data = read_model_files(folder)
        config = TrainConfig.model_validate(card["config"])
        backbone = tune(rebuild_backbone(card["backbone"], config.size), config.backbone)
        model = _assembled(config, backbone, card["num_domains"], card.get("class_shares", EVEN))
        model.load_state_dict(safetensors.torch.load(data))
        model.score_temperature = float(card.get("score_temperature", 1.0))
    except _UNUSABLE as error:
        raise _unusable(folder, error) from error
    # The layout that `fit` trains and scores in: another one picks other kernels, which round otherwise.
    return model.eval().to(memory_format=torch.channels_last)


def _assembled(config: TrainConfig, backbone: Backbone, num_domains: int, shares: Sequence[float]) -> Algorithm:
    model = ALGORITHMS[config.algorithm](backbone, num_domains=num_domains, **config.hparams)
    model.class_loss = config.class_loss.build(shares)
    if config.pixel.on:
        model.pixel = PixelHead(config.pixel, backbone, config.size)
    return model


def _load_backbone(backbone: Backbone, folder: Path) -> None:
    try:
        tensors = safetensors.torch.load(read_model_files(folder)[1])
        prefix = "backbone."
        backbone.load_state_dict({k.removeprefix(prefix): t for k, t in tensors.items() if k.startswith(prefix)})
    except _UNUSABLE as error:
        raise _unusable(folder, error) from error


def _read_card(folder: Path) -> dict[str, Any]:
    try:
        card = parse_json((folder / CARD).read_text(encoding="utf-8"))
        if not isinstance(card, dict):
            raise ValueError(f"{CARD} holds {type(card).__name__}")
    except (OSError, ValueError) as error:
        raise _unusable(folder, error) from error
    return card


def _unusable(folder: Path, error: Exception) -> DataError:
    return DataError(f"{folder}: no usable model: {_first_line(error)}", wanted=f"{WEIGHTS} and {CARD} of one training")


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
