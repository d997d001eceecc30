"""Strict configuration: frozen pydantic models, YAML as data, errors that name file, key, value and wish."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from spooflab.errors import ConfigError
from spooflab.yaml_text import MAX_BYTES, parse_yaml

ModelT = TypeVar("ModelT", bound="Config")


class Config(BaseModel):
    """Base of every configuration: immutable, and a key that it does not know is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def load_yaml(path: Path) -> dict[str, Any]:
    """Read one YAML mapping, as plain data and within limits; see `spooflab.yaml_text`.

    Raises:
        ConfigError: the file is missing, too large, not UTF-8 or not YAML, or does not hold a mapping.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise ConfigError(f"{path}: more than {MAX_BYTES} bytes", wanted="a configuration, not data")
        text = content.decode("utf-8")
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror or error}", wanted="a readable YAML file") from error
    except ValueError as error:
        raise ConfigError(f"{path}: not UTF-8 text: {error}", wanted="a readable YAML file") from error
    try:
        data = parse_yaml(text)
    except ValueError as error:
        raise ConfigError(f"{path}: not valid YAML: {error}", wanted="a YAML mapping") from error
    if not isinstance(data, dict):
        raise ConfigError(f"{path}: holds {type(data).__name__}", wanted="a mapping of keys to values")
    return data


def load_config(path: Path, model: type[ModelT]) -> ModelT:
    """Read `path` strictly into `model`; every offending key is listed in one error."""
    return parse_config(load_yaml(path), model, origin=str(path))


def parse_config(data: dict[str, Any], model: type[ModelT], *, origin: str) -> ModelT:
    """Validate `data` as `model`; `origin` names where it came from in the error.

    Raises:
        ConfigError: a key or value that the model does not take, or a number that is not finite, wherever it stands.
    """
    if unbounded := list(_not_finite(data)):
        told = "; ".join(f"{'.'.join(where)}: not a finite number" for where in unbounded[:5])
        raise ConfigError(f"{origin}: {told}", wanted="finite numbers")
    try:
        return model.model_validate(data)
    except ValidationError as error:
        problems = [
            f"{'.'.join(str(part) for part in item['loc']) or '(top)'}: {item['msg']} (seen {item['input']!r:.80})"
            for item in error.errors()
        ]
        known = ", ".join(model.model_fields)
        raise ConfigError(f"{origin}: " + "; ".join(problems), wanted=f"keys of {model.__name__}: {known}") from error


def _not_finite(data: Any, where: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yield the places of NaN and infinity; models refuse them in typed fields alone."""
    if isinstance(data, float) and not math.isfinite(data):
        yield where
    elif isinstance(data, dict):
        for key, value in data.items():
            yield from _not_finite(value, (*where, str(key)))
    elif isinstance(data, list | tuple):
        for position, value in enumerate(data):
            yield from _not_finite(value, (*where, str(position)))
