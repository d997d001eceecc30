"""Options of commands that take a folder or a URL."""

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
