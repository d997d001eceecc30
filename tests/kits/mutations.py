"""Valid files made wrong by Hypothesis: bytes changed, or values of a structure put in place of others."""

import copy
import os
from collections.abc import Iterator
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

TORTURE = bool(os.environ.get("SPOOFLAB_TORTURE"))


def examples(few: int) -> settings:
    """The same examples on every run: `few` among the tests, a hundred times as many where torture is asked for."""
    return settings(
        max_examples=few * (100 if TORTURE else 1),
        derandomize=True,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )


FRAGMENTS = (b"", b"\0", b"\xff\xfe", b"\xef\xbb\xbf", b'"', b"'", b"[", b"{", b"}", b",", b":", b"\n", b"\r", b"\t",
             b"#", b"- ", b": ", b"&a ", b"*a", b"!!int ", b"<<: ", b"nan", b".inf", b"1e999", b"-1", b"9" * 5000,
             b"\\u0000", b"\\ud800", b"../", b"null", b"true", "é".encode(), b" " * 70)  # fmt: skip
VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 3.5, -0.0, float("nan"), float("inf"), -1e308, 2**63, 2**64, 10**400, "", "x", "\0",
    "\ud800", "../../x", "nan", "9" * 5000, "x" * 140_000, "é", [], {}, [[]], [None], {"": None}, {"x": {"x": []}},
    [0] * 50,
)  # fmt: skip


@st.composite
def damaged(draw: st.DrawFn, data: bytes) -> bytes:
    """A file's bytes with one to three changes: bits flipped, parts cut out, doubled, or put in."""
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, len(data)))
        end = min(len(data), start + draw(st.sampled_from((1, 1, 2, 7, 40, 10**6))))
        how = draw(st.sampled_from(("flip", "cut", "double", "put in", "put over")))
        part = data[start:end]
        if how == "flip":
            part = bytes(byte ^ 1 << draw(st.integers(0, 7)) for byte in part[:1]) + part[1:]
        elif how == "cut":
            part = b""
        elif how == "double":
            part = part[:2000] * 2
        else:
            fragment = draw(st.sampled_from(FRAGMENTS))
            part = fragment + (part if how == "put in" else b"")
        data = data[:start] + part + data[end:]
    return data


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of every value in a structure, the whole first."""
    yield path
    inner: Any = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in inner:
        yield from places(part, (*path, key))


@st.composite
def changed(draw: st.DrawFn, value: Any) -> Any:
    """A structure in which one value is another's, or a strange one, or gone, or under another name."""
    value = copy.deepcopy(value)
    every = list(places(value))
    path = draw(st.sampled_from(every))
    if not path:
        return draw(st.sampled_from(VALUES))
    holder = value
    for key in path[:-1]:
        holder = holder[key]
    how = draw(st.sampled_from(("strange", "strange", "strange", "gone", "other", "renamed")))
    if how == "gone":
        del holder[path[-1]]
    elif how == "other":
        other = value
        for key in draw(st.sampled_from(every)):
            other = other[key]
        holder[path[-1]] = copy.deepcopy(other)
    elif how == "renamed" and isinstance(holder, dict):
        holder[draw(st.sampled_from(("", "x", "key", "run", *map(str, holder))))] = holder.pop(path[-1])
    else:
        holder[path[-1]] = draw(st.sampled_from(VALUES))
    return value


WHOLE_JSON = (b"", b" ", b"null", b"[]", b"{}", b"3", b'"x"', b"[" * 20_000, b'{"a":' * 20_000, b"9" * 5000, b"NaN",
              b"\xff\xfe\x00", b"\xef\xbb\xbf{}", b'{"a": 1, "a": 2}', b"{" + b'"a": 1,' * 1000 + b"}")  # fmt: skip
"""In place of any file of JSON."""
