"""A detector from a local folder of a `transformers` image classifier."""

from pathlib import Path
from typing import Any

import torch

from spooflab.errors import ConfigError
from spooflab.generators.adversarial.detector import Detector
from spooflab.json_text import parse_json
from spooflab.plain_model import check_plain_model


def load_pretrained(folder: Path, *, bonafide: int | str, id: str | None = None) -> Detector:
    """Return the detector that `AutoModelForImageClassification` loads from `folder`.

    Only safetensors weights are read, no code from the folder is run and nothing is fetched. The input's size, mean and
    standard deviation come from `preprocessor_config.json` where there is one, else from the model's configuration
    (`image_size`) and 0.5.

    Args:
        folder: as `save_pretrained` wrote it.
        bonafide: index of the bona fide class, or its name in the model's `label2id`.
        id: name for records; the folder's by default.

    Raises:
        ConfigError: no such model, a class that it does not have, or no input size.
        DataError: the folder leads to another model.
    """
    from transformers import AutoModelForImageClassification  # seconds to import, and not needed by anybody else

    folder = Path(folder)
    if not (folder / "config.json").is_file():
        raise ConfigError(f"{folder}: no config.json", wanted="a folder written by save_pretrained")
    check_plain_model(folder)
    try:
        with torch.inference_mode(False):
            model = AutoModelForImageClassification.from_pretrained(
                folder, local_files_only=True, use_safetensors=True, trust_remote_code=False
            )
    except (OSError, ValueError) as error:
        raise ConfigError(f"{folder}: {error}", wanted="an image classifier with safetensors weights") from error
    model.eval().requires_grad_(False)
    labels = {str(name): int(index) for name, index in model.config.label2id.items()}
    index = labels.get(bonafide, -1) if isinstance(bonafide, str) else bonafide
    if not 0 <= index < model.config.num_labels:
        raise ConfigError(
            f"{folder}: bona fide class {bonafide!r}", wanted=f"one of {labels} or an index below {len(labels)}"
        )
    size, mean, std = _preprocessing(folder, getattr(model.config, "image_size", None))
    return Detector(model, id or folder.name, size, mean, std, bonafide=index)


def _preprocessing(
    folder: Path, image_size: object
) -> tuple[tuple[int, int], tuple[float, float, float], tuple[float, float, float]]:
    path = folder / "preprocessor_config.json"
    try:
        stated: dict[str, Any] = parse_json(path.read_text(encoding="utf-8")) if path.is_file() else {}
        size: Any = stated.get("crop_size", stated.get("size", image_size))
        if isinstance(size, dict):
            edge = size.get("shortest_edge")
            size = (size.get("height", edge), size.get("width", edge))
        elif isinstance(size, int):
            size = (size, size)
        height, width = (int(v) for v in size)
        mean = _three(stated.get("image_mean", 0.5))
        std = _three(stated.get("image_std", 0.5))
    except (OSError, AttributeError, OverflowError, TypeError, ValueError) as error:
        raise ConfigError(f"{path}: {error}", wanted="size, image_mean and image_std of the model's input") from error
    return (height, width), mean, std


def _three(value: Any) -> tuple[float, float, float]:
    red, green, blue = value if isinstance(value, list | tuple) else (value, value, value)
    return float(red), float(green), float(blue)
