"""A trained model as two files: weights in safetensors, and JSON that rebuilds the network without the hub."""

import hashlib
import json
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError

from spooflab.adapters.algorithm import Algorithm
from spooflab.adapters.algorithms import ALGORITHMS
from spooflab.adapters.backbones import Backbone, build_backbone, describe_backbone, rebuild_backbone
from spooflab.adapters.checkpoints import tensor_bytes
from spooflab.adapters.train_config import TrainConfig
from spooflab.adapters.tuning import tune
from spooflab.atomic import write_over
from spooflab.errors import DataError

WEIGHTS, CARD = "model.safetensors", "model.json"


_UNUSABLE = (OSError, ValueError, KeyError, RuntimeError, SafetensorError)


def build_algorithm(config: TrainConfig, *, num_domains: int, start: Path | None = None) -> Algorithm:
    """Make the algorithm with fresh (or downloaded) backbone weights; initialisation draws from torch's global RNG.

    Hyper-parameters were checked by name in `TrainConfig` and are checked by value in the constructor. With `start`,
    the backbone's weights are those of the model that `fit` saved there.
    """
    backbone = build_backbone(config.backbone, config.size)
    if start is not None:
        _load_backbone(backbone, start)
    backbone = tune(backbone, config.backbone)
    return ALGORITHMS[config.algorithm](backbone, num_domains=num_domains, **config.hparams)


def save_model(model: Algorithm, config: TrainConfig, out: Path, *, notes: dict[str, Any]) -> None:
    """Write `out/model.safetensors` and `out/model.json`, each complete or not at all."""
    data = tensor_bytes(model.state_dict())
    card = {
        "config": config.model_dump(mode="json"),
        "num_domains": model.num_domains,
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
        model = ALGORITHMS[config.algorithm](backbone, num_domains=card["num_domains"], **config.hparams)
        model.load_state_dict(safetensors.torch.load(data))
    except _UNUSABLE as error:
        raise _unusable(folder, error) from error
    # The layout that `fit` trains and scores in: another one picks other kernels, which round otherwise.
    return model.eval().to(memory_format=torch.channels_last)


def _load_backbone(backbone: Backbone, folder: Path) -> None:
    try:
        tensors = safetensors.torch.load(read_model_files(folder)[1])
        prefix = "backbone."
        backbone.load_state_dict({k.removeprefix(prefix): t for k, t in tensors.items() if k.startswith(prefix)})
    except _UNUSABLE as error:
        raise _unusable(folder, error) from error


def _read_card(folder: Path) -> dict[str, Any]:
    try:
        card: dict[str, Any] = json.loads((folder / CARD).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise _unusable(folder, error) from error
    return card


def _unusable(folder: Path, error: Exception) -> DataError:
    return DataError(
        f"{folder}: no usable model: {str(error).splitlines()[0]}", wanted=f"{WEIGHTS} and {CARD} of one training"
    )
