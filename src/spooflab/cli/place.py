"""Options of commands that take a folder or a URL, and the refusal of URLs by all others."""

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Annotated

from tyro.constructors import PrimitiveConstructorSpec

from spooflab.location import Location, location_of

Place = Annotated[
    Location,
    PrimitiveConstructorSpec(
        nargs=1,
        metavar="FOLDER|URL",
        instance_from_str=lambda words: location_of(words[0]),
        is_instance=lambda value: not isinstance(value, str),
        str_from_instance=lambda value: [str(value)],
    ),
]
"""A folder, or a URL of fsspec such as `s3://bucket/prefix`, which a path would mangle."""


def local_paths(command: Callable[..., int]) -> Callable[..., int]:
    """Return a command that refuses, before it does anything, a URL where it takes a path of this machine alone.

    Python reads `s3://bucket/x` as the path `s3:/bucket/x`, and a folder of that name would be made.
    """

    @wraps(command)
    def run(*args: object, **options: object) -> int:
        for value in (*args, *options.values()):
            for each in value if isinstance(value, tuple) else (value,):
                if isinstance(each, Path):
                    location_of(each)
        return command(*args, **options)

    return run
