"""What a process and its decoder say to each other, over one socket: messages of a kind, a length and a body.

No pickle: bodies are JSON or raw pixels, and each side bounds what it takes from the other.
"""

import json
import socket
import struct
import time
from typing import Any

import numpy as np
import numpy.typing as npt

READY, REQUEST, ARRAY, ROWS, END, REFUSED, ERROR = (bytes([letter]) for letter in b"YQAPERX")
"""The decoder is ready; a request, with one open file; an array begins; rows of it; the answer is whole; the file is
refused; something is missing that is no fault of the file."""

MOST_JSON_BYTES = 4 << 20
_HEAD = struct.Struct(">cI")


class WireClosed(Exception):
    """The other side is gone, or says what no sound one would say."""


def send(link: socket.socket, kind: bytes, body: bytes | memoryview = b"") -> None:
    """Send one message."""
    link.sendall(_HEAD.pack(kind, len(body)))
    if len(body):
        link.sendall(body)


def send_json(link: socket.socket, kind: bytes, value: Any) -> None:
    """Send one message that holds JSON."""
    send(link, kind, json.dumps(value, allow_nan=False).encode())


def send_request(link: socket.socket, value: Any, file: int) -> None:
    """Send a request and, with its first byte, an open file's descriptor."""
    body = json.dumps(value, allow_nan=False).encode()
    head = _HEAD.pack(REQUEST, len(body))
    sent = socket.send_fds(link, [head], [file])
    link.sendall(head[sent:] + body)


def receive_request(link: socket.socket) -> tuple[Any, int] | None:
    """Return a request and its file's descriptor; None when the other side has closed.

    Raises:
        WireClosed: it closed in mid-message, or sent no file.
    """
    head, files, _, _ = socket.recv_fds(link, _HEAD.size, 1)
    if not head:
        return None
    head += receive_bytes(link, _HEAD.size - len(head))
    kind, length = _HEAD.unpack(head)
    if kind != REQUEST or len(files) != 1:
        raise WireClosed("not a request with one file")
    return json.loads(receive_bytes(link, length)), files[0]


def receive_head(link: socket.socket, ends: float) -> tuple[bytes, int]:
    """Return the kind and the length of the message that comes; `ends` as for `receive_into`."""
    kind, length = _HEAD.unpack(receive_bytes(link, _HEAD.size, ends))
    return kind, length


def receive_json(link: socket.socket, length: int, ends: float) -> Any:
    """Return a JSON body of so many bytes; `ends` as for `receive_into`.

    Raises:
        WireClosed: too long, or no JSON.
    """
    if length > MOST_JSON_BYTES:
        raise WireClosed(f"a message of {length} bytes")
    try:
        return json.loads(receive_bytes(link, length, ends), parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise WireClosed(f"a message that is no JSON: {error}") from error


def receive_bytes(link: socket.socket, length: int, ends: float | None = None) -> bytes:
    """Return exactly so many bytes; `ends` as for `receive_into`."""
    held = bytearray(length)
    receive_into(link, memoryview(held), ends)
    return bytes(held)


def receive_into(link: socket.socket, place: memoryview, ends: float | None = None) -> None:
    """Fill a buffer.

    Args:
        link: to the other side.
        place: the buffer.
        ends: when to give up, by the monotonic clock, however often a little still comes; None waits.

    Raises:
        WireClosed: the other side is gone before it is full.
        TimeoutError: it is time to give up.
    """
    while len(place):
        if ends is not None:
            if (left := ends - time.monotonic()) <= 0:
                raise TimeoutError
            link.settimeout(left)
        got = link.recv_into(place)
        if not got:
            raise WireClosed("closed in mid-message")
        place = place[got:]


def raw(array: npt.NDArray[np.uint8]) -> memoryview:
    """Return an array's bytes in row order, copied only where they lie otherwise."""
    return np.ascontiguousarray(array).reshape(-1).data.cast("B")


def _no_number(name: str) -> Any:
    raise ValueError(f"{name} is no number")
