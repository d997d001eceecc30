"""Whether a model's folder is whole in itself: transformers follows some files and keys of it to other models."""

from pathlib import Path

from spooflab.errors import DataError
from spooflab.json_text import read_json

_ELSEWHERE = ("quantization_config", "transformers_weights")
"""Keys of a configuration that make transformers read other files, or other kinds of file, than the weights."""


def check_plain_model(folder: Path) -> None:
    """Refuse a folder from which transformers would go on to another model, or to weights of another kind.

    Raises:
        DataError: it holds an adapter, which names the model that it belongs to; or its configuration cannot be read,
            or leads elsewhere.
    """
    if (folder / "adapter_config.json").exists():
        raise DataError(f"{folder} holds an adapter_config.json, which names another model", wanted="a whole model")
    file = folder / "config.json"
    config = read_json(file, wanted="a model's configuration")
    for key in _ELSEWHERE:
        if config.get(key) is not None:
            raise DataError(f"{file}: {key}", wanted="plain weights in the folder's safetensors")
