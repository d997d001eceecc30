"""Pictures of every odd kind, each with what must become of it: a reason, or pixels that are known."""

import io
import random
import re
import struct
import sys
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from faults import Outcome, counted
from PIL import Image

from spooflab.images import MATTE, ImageRefused, decode_image

Pixels = np.ndarray
SIDE = 32
MOST_MIB = 300


def saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def bomb(side: int) -> bytes:
    """A valid black 1-bit PNG of side × side, a few kilobytes however large it unpacks."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    packer = zlib.compressobj(9)
    body = b"".join(packer.compress(bytes(1 + (side + 7) // 8)) for _ in range(side)) + packer.flush()
    head = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def rotated(pixels: Pixels) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return saved(Image.fromarray(pixels), "PNG", exif=exif)


def cases(rng: np.random.Generator) -> Iterator[tuple[str, bytes, str | Pixels]]:
    """Yield a name, a file, and the reason for which it is refused, or the pixels that it becomes."""
    rgb = rng.integers(0, 256, (SIDE, SIDE + 8, 3), dtype=np.uint8)
    grey, alpha = rgb[..., 0], rgb[..., 1]
    image, other = Image.fromarray(rgb), Image.fromarray(rgb[::-1])
    wide = rng.integers(0, 65536, grey.shape, dtype=np.uint16)
    share = alpha[..., None] / 255
    palette, bits = image.quantize(16), Image.fromarray(grey).convert("1")
    jpeg = saved(image, "JPEG")
    cmyk = saved(Image.new("CMYK", (SIDE, SIDE), (0, 255, 255, 0)), "JPEG", quality=95)
    yield "palette", saved(palette, "PNG"), np.asarray(palette.convert("RGB"))
    yield "1-bit", saved(bits, "PNG"), np.asarray(bits.convert("RGB"))
    grey_alpha = saved(Image.fromarray(np.dstack([grey, alpha]), "LA"), "PNG")
    yield "LA", grey_alpha, (grey[..., None] * share + MATTE * (1 - share)).repeat(3, 2)
    yield "alpha", saved(Image.fromarray(np.dstack([rgb, alpha])), "PNG"), rgb * share + MATTE * (1 - share)
    yield "CMYK", cmyk, np.full((SIDE, SIDE, 3), (255, 0, 0))
    yield "I;16", saved(Image.fromarray(wide), "PNG"), np.rint(wide / 257)[..., None].repeat(3, 2)
    yield "EXIF", rotated(rgb), np.rot90(rgb, -1)
    yield "JPEG", jpeg, np.asarray(Image.open(io.BytesIO(jpeg)))
    yield "animated PNG", saved(image, "PNG", save_all=True, append_images=[other]), "animated"
    yield "animated WebP", saved(image, "WEBP", save_all=True, append_images=[other]), "animated"
    yield "zero-byte", b"", "zero_byte"
    yield "half a JPEG", jpeg[: len(jpeg) // 2], "truncated"
    yield "half a PNG", saved(image, "PNG")[: rgb.size // 2], "truncated"
    yield "PNG bomb", bomb(20_000), "too_many_pixels"
    yield "GIF", saved(image, "GIF"), "unsupported_format"
    yield "GIF bomb", b"GIF89a\xff\xff\xff\xff\x80\x00\x00" + bytes(9), "unsupported_format"
    yield "SVG", b"<?xml version='1.0'?><svg xmlns='http://www.w3.org/2000/svg' width='9e9'/>", "unsupported_format"
    yield "TIFF", saved(image, "TIFF"), "unsupported_format"
    yield "a script", b"#!/bin/sh\nexit 0\n", "unsupported_format"


def decoded(rng: random.Random, count: int, folder: Path) -> dict[str, Any]:
    """Decode every case so many times, with other pixels each time; memory must stay bounded."""
    outcome, tolerance = Outcome(), {"CMYK": 2.0, "LA": 0.51, "alpha": 0.51}
    before = peak_mib()
    for _ in range(count):
        for name, data, wanted in cases(np.random.default_rng(rng.getrandbits(32))):
            found = outcome_of(decode_image, data)
            if isinstance(wanted, str) or isinstance(found, str):
                right = isinstance(found, type(wanted)) and str(found) == str(wanted)
            else:
                right = found.shape == wanted.shape and np.abs(found - wanted.astype(float)).max() <= tolerance.get(
                    name, 0
                )
            if not right:
                sys.stderr.write(f"{name}: {found if isinstance(found, str) else 'other pixels'}\n")
            outcome += Outcome(1, int(right), silently_wrong=int(not right and not isinstance(found, str)))
    grown = peak_mib() - before
    survived = outcome.survived if grown <= MOST_MIB else 0
    also = f"peak memory grew by at most {10 * -(-grown // 10):.0f} MiB"
    return counted(Outcome(outcome.injected, survived, silently_wrong=outcome.silently_wrong, also=also))


def peak_mib() -> float:
    """Return this process's peak memory; getrusage would tell that of the process that started it, where it is more."""
    found = re.search(r"VmHWM:\s*(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1]) / 1024


def outcome_of(decode: Callable[[bytes], Pixels], data: bytes) -> str | Pixels:
    try:
        return decode(data)
    except ImageRefused as refusal:
        return refusal.reason
