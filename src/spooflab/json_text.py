"""JSON that may be damaged or a stranger's: whatever is wrong with it is one kind of error, and no name comes twice."""

import json
from pathlib import Path
from typing import Any

from spooflab.errors import DataError


def parse_json(content: str | bytes) -> Any:
    """Return what JSON says.

    Raises:
        ValueError: it is none, no UTF-8, nested too deeply, holds a number of thousands of digits, or an object in
            which a name comes twice, of which a plain reader would drop one in silence.
    """
    try:
        return json.loads(content, object_pairs_hook=_once)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def json_object(content: str | bytes, where: object, *, wanted: str = "an unaltered file") -> dict[str, Any]:
    """Return the JSON object that `content` holds; `where` names it in errors.

    Raises:
        DataError: it is no JSON, or another value.
    """
    try:
        data = parse_json(content)
    except ValueError as error:
        raise DataError(f"{where}: not JSON: {error}", wanted=wanted) from error
    if not isinstance(data, dict):
        raise DataError(f"{where}: holds {type(data).__name__}", wanted=wanted)
    return data


def read_json(file: Path, *, wanted: str) -> dict[str, Any]:
    """Return the JSON object that a file of UTF-8 holds; links are followed.

    Raises:
        DataError: no such file, or something else in it.
    """
    try:
        content = parse_json(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{file} cannot be read: {error}", wanted=wanted) from error
    if not isinstance(content, dict):
        raise DataError(f"{file} holds a {type(content).__name__}", wanted=wanted)
    return content


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the name {twice!r:.80} comes twice")
    return found
