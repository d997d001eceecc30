"""Strict configuration: frozen pydantic models, YAML as data, errors that name file, key, value and wish."""

from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from spooflab.errors import ConfigError

ModelT = TypeVar("ModelT", bound="Config")


class Config(BaseModel):
    """Base of every configuration: immutable, and a key that it does not know is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def load_yaml(path: Path) -> dict[str, Any]:
    """Read one YAML mapping with the safe loader.

    Raises:
        ConfigError: the file is missing, is not YAML, or does not hold a mapping.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror or error}", wanted="a readable YAML file") from error
    try:
        data = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: not valid YAML: {error}", wanted="a YAML mapping") from error
    if not isinstance(data, dict):
        raise ConfigError(f"{path}: holds {type(data).__name__}", wanted="a mapping of keys to values")
    return data


def load_config(path: Path, model: type[ModelT]) -> ModelT:
    """Read `path` strictly into `model`; every offending key is listed in one error."""
    return parse_config(load_yaml(path), model, origin=str(path))


def parse_config(data: dict[str, Any], model: type[ModelT], *, origin: str) -> ModelT:
    """Validate `data` as `model`; `origin` names where it came from in the error."""
    try:
        return model.model_validate(data)
    except ValidationError as error:
        problems = [
            f"{'.'.join(str(part) for part in item['loc']) or '(top)'}: {item['msg']} (seen {item['input']!r:.80})"
            for item in error.errors()
        ]
        known = ", ".join(model.model_fields)
        raise ConfigError(f"{origin}: " + "; ".join(problems), wanted=f"keys of {model.__name__}: {known}") from error
