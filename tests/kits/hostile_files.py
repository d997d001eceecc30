"""Files that mean harm, or came to it: pictures of every kind, damaged and lied about; names; videos; label files.

Everything is drawn from one seed: the same corpus comes at every call. Sound pictures lie among the others.
"""

import io
import json
import os
import random
import struct
import zlib
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageCms
from real_trees import picture, video

Damage = Callable[[random.Random, bytes], bytes]
UNREAD = (".gif", ".tiff", ".ico", ".ppm", ".jp2", ".svg")
"""Suffixes that no reader of folders takes for pictures."""
PNG_HEAD = b"\x89PNG\r\n\x1a\n"


def saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def chunk(kind: bytes, body: bytes, *, length: int | None = None, crc: int | None = None) -> bytes:
    """A chunk of a PNG; its length and checksum may be lies."""
    told = len(body) if length is None else length
    check = zlib.crc32(kind + body) if crc is None else crc
    return struct.pack(">I", told) + kind + body + struct.pack(">I", check)


def png_of(width: int, height: int, *, depth: int = 8, colour: int = 2, rows: int = 4, extra: bytes = b"") -> bytes:
    """A PNG whose header may say more than its data hold."""
    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    data = zlib.compress(bytes(rows * (1 + min(width, 4096) * 3)), 1)
    return PNG_HEAD + chunk(b"IHDR", head) + extra + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def zeros_png(width: int, height: int, *, depth: int = 1, colour: int = 0) -> bytes:
    """A valid black PNG of any size, small however large it unpacks."""
    bits = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour] * depth
    left, packer, body = height * (1 + (width * bits + 7) // 8), zlib.compressobj(1), b""
    while left:
        body += packer.compress(bytes(min(left, 1 << 20)))
        left -= min(left, 1 << 20)
    body += packer.flush()
    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return PNG_HEAD + chunk(b"IHDR", head) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


@lru_cache(maxsize=1)
def sound() -> tuple[tuple[str, bytes], ...]:
    """Valid files of every kind that comes in, and of kinds that do not, by suffix."""
    rgb = Image.fromarray(picture(1, 48))
    grey = rgb.convert("L")
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x010F] = "maker"
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    wide = Image.fromarray(np.asarray(grey).astype(np.uint16) * 257)
    other = rgb.rotate(90)
    return (
        ("jpg", saved(rgb, "JPEG", quality=90, exif=exif)),
        ("jpg", saved(rgb, "JPEG", progressive=True, icc_profile=profile)),
        ("jpg", saved(rgb.convert("CMYK"), "JPEG")),
        ("jpg", saved(grey, "JPEG")),
        ("jpg", saved(rgb, "MPO", save_all=True, append_images=[other])),
        ("png", saved(rgb, "PNG", icc_profile=profile)),
        ("png", saved(rgb, "PNG", exif=exif)),
        ("png", saved(rgb.quantize(16), "PNG", transparency=2)),
        ("png", saved(wide, "PNG")),
        ("png", saved(rgb.convert("RGBA"), "PNG")),
        ("png", saved(grey.convert("1"), "PNG")),
        ("png", saved(rgb, "PNG", save_all=True, append_images=[other])),
        ("webp", saved(rgb, "WEBP", quality=80, exif=exif)),
        ("webp", saved(rgb, "WEBP", lossless=True, icc_profile=profile)),
        ("webp", saved(rgb, "WEBP", save_all=True, append_images=[other])),
        ("bmp", saved(rgb, "BMP")),
        ("bmp", saved(rgb.quantize(16), "BMP")),
        ("bmp", bmp_rle()),
        ("gif", saved(rgb, "GIF")),
        ("tiff", saved(rgb, "TIFF")),
        ("ico", saved(rgb, "ICO")),
        ("ppm", saved(rgb, "PPM")),
        ("jp2", saved(rgb, "JPEG2000")),
    )


def bmp_rle(width: int = 48, height: int = 48) -> bytes:
    """A BMP of run lengths, which Pillow undoes in Python."""
    body = b"".join(bytes([width, row % 16, 0, 0]) for row in range(height)) + b"\0\1"
    palette = b"".join(bytes([n * 16, n * 8, n * 4, 0]) for n in range(16)) + bytes(4 * 240)
    info = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 8, 1, len(body), 2835, 2835, 256, 0)
    start = 14 + len(info) + len(palette)
    return struct.pack("<2sIHHI", b"BM", start + len(body), 0, 0, start) + info + palette + body


def cut(rng: random.Random, data: bytes) -> bytes:
    return data[: rng.randrange(len(data))]


def flipped(rng: random.Random, data: bytes) -> bytes:
    held = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 8, 64))):
        held[rng.randrange(len(held))] ^= 1 << rng.randrange(8)
    return bytes(held)


def flipped_in_head(rng: random.Random, data: bytes) -> bytes:
    held = bytearray(data)
    for _ in range(rng.choice((1, 2, 4))):
        held[rng.randrange(min(len(held), 120))] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))
    return bytes(held)


def spliced(rng: random.Random, data: bytes) -> bytes:
    """A piece of the file moved, repeated, or taken from another."""
    other = rng.choice(sound())[1]
    at, start = rng.randrange(len(data)), rng.randrange(len(other))
    piece = other[start : start + rng.randrange(1, 200)]
    return data[:at] + piece * rng.choice((1, 1, 5)) + data[at + rng.choice((0, len(piece))) :]


def numbers_lied(rng: random.Random, data: bytes) -> bytes:
    """Four bytes, wherever they are, made the numbers at which sizes and lengths break."""
    at, order = rng.randrange(max(1, min(len(data) - 4, 400))), rng.choice("<>")
    value = rng.choice((0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0xFFFF, 50_000_000, len(data) + 1))
    return data[:at] + struct.pack(f"{order}I", value) + data[at + 4 :]


def checksums_mended(rng: random.Random, data: bytes) -> bytes:
    """Damage within a PNG's chunks, under checksums that are right: it gets further."""
    if not data.startswith(PNG_HEAD):
        return spliced(rng, data)
    at, out = 8, bytearray(PNG_HEAD)
    while at + 12 <= len(data):
        length = struct.unpack(">I", data[at : at + 4])[0]
        kind, body = data[at + 4 : at + 8], data[at + 8 : at + 8 + length]
        if rng.random() < 0.5 and body:
            body = (flipped if kind != b"IHDR" else flipped_in_head)(rng, body)
        for _ in range(rng.choice((1, 1, 1, 0, 2))):
            out += chunk(kind, body)
        at += 12 + length
    return bytes(out)


def tail_of_another(rng: random.Random, data: bytes) -> bytes:
    return data + rng.choice((b"PK\x03\x04", b"<script>", b"\0" * 1000, rng.choice(sound())[1]))


DAMAGES: tuple[Damage, ...] = (
    cut, flipped, flipped_in_head, spliced, numbers_lied, checksums_mended, tail_of_another
)  # fmt: skip


@lru_cache(maxsize=1)
def large() -> tuple[tuple[str, bytes], ...]:
    """The largest pictures that are decoded, by suffix: each takes seconds."""
    return (
        ("png", zeros_png(7_000, 7_000)),
        ("png", zeros_png(7_000, 7_000, depth=8, colour=6)),
        ("png", zeros_png(7_000, 7_000, depth=16, colour=0)),
        ("png", zeros_png(16, 3_000_000)),
        ("png", zeros_png(3_000_000, 16)),
        ("jpg", saved(Image.new("RGB", (7_000, 7_000)), "JPEG")),
        ("jpg", saved(Image.new("RGB", (7_000, 7_000)), "JPEG", progressive=True)),
        ("webp", saved(Image.new("RGB", (7_000, 7_000)), "WEBP", method=0)),
    )


@lru_cache(maxsize=1)
def made() -> tuple[tuple[str, bytes], ...]:
    """Pictures that are lies from the start, by suffix."""
    return tuple(_made())


def _made() -> Iterator[tuple[str, bytes]]:
    rgb = Image.fromarray(picture(2, 48))
    png, jpeg = saved(rgb, "PNG"), saved(rgb, "JPEG")
    for width, height in ((0, 0), (0, 48), (1, 50_000_000), (50_000_000, 1), (2**31 - 1, 2**31 - 1), (16, 3_000_000)):
        yield "png", png_of(width, height)
        yield "bmp", b"BM" + struct.pack("<IHHIIiiHHIIiiII", 54, 0, 0, 54, 40, width % 2**31, height, 1, 24, *[0] * 6)
        size = struct.pack(">HH", height & 0xFFFF, width & 0xFFFF)
        place = jpeg.index(b"\xff\xc0") + 5
        yield "jpg", jpeg[:place] + size + jpeg[place + 4 :]
    yield "bmp", b"BM" + struct.pack("<IHHIIiiHHIIiiII", 54, 0, 0, 54, 40, 48, -(2**31), 1, 24, *[0] * 6)
    for side in (7_100, 20_000):
        yield "png", zeros_png(side, side)
    yield "png", zeros_png(16, 30_000)
    yield "png", png_of(48, 48, colour=3)  # a palette that is not there
    yield "png", png_of(48, 48, colour=3, extra=chunk(b"PLTE", b""))
    yield "png", png_of(48, 48, depth=16)
    yield "png", png_of(48, 48, extra=chunk(b"iCCP", b"x\0\0" + zlib.compress(b"nonsense" * 99)))
    yield "png", png_of(48, 48, extra=chunk(b"iCCP", b"x\0\0" + zlib.compress(bytes(60_000_000), 9)))
    yield "png", png_of(48, 48, extra=chunk(b"zTXt", b"x\0\0" + zlib.compress(bytes(60_000_000), 9)))
    yield "png", png_of(48, 48, extra=chunk(b"tEXt", b"x\0" + b"y" * 100_000) * 30)
    yield "png", png_of(48, 48, extra=chunk(b"gAMA", b"\0\0\0\0"))
    yield "png", png_of(48, 48, extra=chunk(b"IHDR", struct.pack(">IIBBBBB", 2**30, 2**30, 8, 2, 0, 0, 0)))
    yield "png", png_of(48, 48, extra=chunk(b"acTL", struct.pack(">II", 2**31 - 1, 0)))
    yield "png", png_of(48, 48, extra=chunk(b"abCD", b"", length=2**31 - 1))
    yield "png", png_of(48, 48, extra=chunk(b"tIME", bytes(7), crc=1))
    yield "png", PNG_HEAD
    yield "png", PNG_HEAD + chunk(b"IEND", b"")
    for orientation in (b"MM\0*\0\0\0\x08", b"II*\0\x08\0\0\0", b"MM\0*\xff\xff\xff\xff", b""):
        loop = orientation + struct.pack(">H", 2) + struct.pack(">HHII", 0x8769, 4, 1, 8) * 2 + struct.pack(">I", 8)
        yield "jpg", saved(rgb, "JPEG", exif=b"Exif\0\0" + loop)  # directories that name themselves
    yield "jpg", saved(rgb, "JPEG", icc_profile=b"ICC_PROFILE nonsense" * 4000)
    yield "jpg", jpeg[:2] + b"\xff\xe0\xff\xff" * 5000 + jpeg[2:]
    yield "jpg", jpeg[: jpeg.index(b"\xff\xda")] * 300
    yield "jpg", b"\xff\xd8" + b"\xff\xd8" * 50_000
    yield "webp", b"RIFF\xff\xff\xff\xffWEBPVP8X\x0a\0\0\0\x10\0\0\0" + b"\xff" * 6
    yield "webp", b"RIFF\x1a\0\0\0WEBPVP8L\x0d\0\0\0\x2f" + b"\xff" * 12
    yield "bmp", bmp_rle(48, 48)[:-2] + b"\0\2\xff\xff" * 1000
    yield "bmp", b"BM" + bytes(60)
    yield "gif", b"GIF89a\xff\xff\xff\xff\x80\0\0" + bytes(9)
    yield "svg", b"<svg xmlns='http://www.w3.org/2000/svg' width='9e9' height='9e9'><image href='/etc/passwd'/></svg>"
    yield "tiff", b"II*\0\x08\0\0\0" + b"\xff" * 400
    yield "jpg", b""
    yield "jpg", b"#!/bin/sh\nexit 0\n"
    yield "jpg", b"[" * 20_000
    yield "png", jpeg  # named as something else: what it holds counts
    yield "jpg", png
    yield "png", b"%PDF-1.7\n" + png
    yield "webp", b"RIFF" + struct.pack("<I", len(png)) + b"WEBP" + png


NAMES = (
    b"line\nfeed", b"bell\a", b"tab\t", b"\xff\xfe", b"half\xe9", b"escape\x1b[31m", "rtl\u202egnp".encode(),
    b"back\\slash", b"a'b\"c", b"<script>", b"--help", b"~", b"%s%n", b"$(id)", b"#0", b"a,b", b" lead", b"x" * 250,
    "é".encode(), "日本".encode(), "👩‍🚀".encode(),
)  # fmt: skip
"""Stems of files' names; the first seven cannot be written down."""


def pictures(rng: random.Random, count: int) -> Iterator[tuple[str, bytes]]:
    """Yield so many pictures by suffix: sound ones, lies, the largest if there are many, and damage to sound ones."""
    lies = made() + (large() if count > 1000 else ())
    for number in range(count):
        if number < len(sound()):
            yield sound()[number]
        elif number < len(sound()) + len(lies):
            yield lies[number - len(sound())]
        else:
            suffix, data = rng.choice(sound())
            for _ in range(rng.choice((1, 1, 2))):
                data = rng.choice(DAMAGES)(rng, data) or b"\0"
            kept = "jpg" if f".{suffix}" in UNREAD else suffix  # whatever it holds, readers take it for a picture
            yield rng.choice((kept, kept, kept, "jpg", "png")), data


def write_pictures(rng: random.Random, count: int, folder: Path) -> dict[str, np.ndarray]:
    """Write a folder of so many pictures, with the oddest names and things that are no files.

    Returns:
        Pixels of the sound ones by path, which must all arrive.
    """
    folder.mkdir(parents=True)
    wanted: dict[str, np.ndarray] = {}
    for number, (suffix, data) in enumerate(pictures(rng, count)):
        place = folder / f"{number % 50:02d}"
        place.mkdir(exist_ok=True)
        (place / f"{number:05d}.{suffix}").write_bytes(data)
        if number % 40 == 0:
            name = f"{place.name}/sound{number:05d}.png"
            wanted[name] = picture(number, 48)
            (folder / name).write_bytes(saved(Image.fromarray(wanted[name]), "PNG"))
    write_odd_names(folder, wanted)
    return wanted


def write_odd_names(folder: Path, wanted: dict[str, np.ndarray]) -> None:
    """Write sound pictures under odd names, and things that are no pictures under sound ones."""
    root = os.fsencode(folder)
    for number, stem in enumerate(NAMES):
        data = saved(Image.fromarray(picture(900 + number, 48)), "PNG")
        with open(root + b"/00/" + stem + b".png", "wb") as file:
            file.write(data)
        if number >= 7:
            wanted[f"00/{os.fsdecode(stem)}.png"] = picture(900 + number, 48)
    (folder / "00" / "folder.jpg").mkdir()
    os.mkfifo(folder / "00" / "pipe.jpg")
    (folder / "00" / "loop.jpg").symlink_to("loop.jpg")
    (folder / "00" / "gone.jpg").symlink_to("nowhere.jpg")
    (folder / "00" / "out.jpg").symlink_to("/etc/passwd")
    (folder / "00" / "up").symlink_to("..")
    (folder / "00" / "zero.jpg").symlink_to("/dev/zero")


def clips(rng: random.Random, count: int, folder: Path) -> Iterator[tuple[str, bytes]]:
    """Yield so many damaged videos and HDF5 clips by suffix."""
    import h5py

    folder.mkdir(parents=True, exist_ok=True)
    whole: list[tuple[str, bytes]] = []
    for suffix in (".avi", ".mov", ".mp4"):
        path = video(folder / f"a{suffix}", [picture(n, 32) for n in range(8)])
        whole.append((suffix[1:], path.read_bytes()))
    frames = np.stack([picture(n, 32) for n in range(4)])
    with h5py.File(folder / "a.h5", "w") as file:
        file.create_dataset("Color_Data", data=frames.transpose(0, 3, 1, 2), compression="gzip")
    with h5py.File(folder / "b.h5", "w") as file:
        for number in range(4):
            file[f"Frame_{number}/array"] = frames[number]
    whole += [("h5", (folder / name).read_bytes()) for name in ("a.h5", "b.h5")]
    for _ in range(count):
        suffix, data = rng.choice(whole)
        yield suffix, rng.choice((cut, flipped, flipped_in_head, numbers_lied))(rng, data)


def parquets(rng: random.Random, count: int, folder: Path) -> Iterator[bytes]:
    """Yield so many damaged Parquet files of pictures."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder.mkdir(parents=True, exist_ok=True)
    rows = [{"bytes": saved(Image.fromarray(picture(n, 32)), "PNG"), "path": None} for n in range(3)]
    pq.write_table(pa.table({"image": rows, "label": ["live", "spoof", "live"]}), folder / "a.parquet")
    data = (folder / "a.parquet").read_bytes()
    for _ in range(count):
        yield rng.choice((cut, flipped, flipped_in_tail, numbers_lied))(rng, data)


def flipped_in_tail(rng: random.Random, data: bytes) -> bytes:
    """Damage where Parquet keeps what it says of itself."""
    held = bytearray(data)
    for _ in range(rng.choice((1, 2, 4))):
        held[rng.randrange(len(held) - min(len(held), 1200), len(held))] = rng.randrange(256)
    return bytes(held)


def texts() -> Iterator[tuple[str, bytes]]:
    """Yield what label files may hold, with a name for each."""
    row = b"path,label,subject\n0.png,live,a\n"
    yield "empty", b""
    yield "brackets", b"[" * 20_000
    yield "objects", b'{"a":' * 20_000
    yield "digits", b'{"a": ' + b"9" * 5_000 + b"}"
    yield "many digits", b'{"Data/train/1/live/0.png": [' + b"9" * 4_000 + b"]}"
    yield "floats", b'{"a": {"points": [' + b"1" * 400 + b", 1e999, NaN, Infinity, -Infinity]}}"
    yield "half characters", json.dumps({"Data/train/1/live/\ud800.png": [0] * 44, "\udcff": {"points": []}}).encode()
    yield "nothing", b"null"
    yield "large cell", b"path,label\n" + b"x" * 200_000 + b",live\n"
    yield "large column", b"x" * 200_000 + b"\n1\n"
    yield "zero bytes", b"path,label\n0.png\0,live\n\0,\0\n"
    yield "not UTF-8", b"path,label\n\xff\xfe.png,live\n"
    yield "UTF-16", "path,label\n0.png,live\n".encode("utf-16")
    yield "byte order mark", b"\xef\xbb\xbf" + row
    yield "line ends", b"path,label\r0.png,live\r\n1.png,live\n\r"
    yield "open quote", b'path,label\n"0.png,live\n' * 50
    yield "ragged", b"path,label,x,y,w,h\n0.png\n1.png,live,1,2,3,4,5,6\n,,,,,\n\n"
    yield (
        "boxes",
        b"path,label,x,y,w,h\n"
        + b"".join(
            f"{n}.png,live,{box}\n".encode()
            for n, box in enumerate(
                ("1e308,0,1e308,1e308", "nan,0,1,1", "0,0,1e-300,40", "-9e7,-9e7,9e7,9e7", "a,b,c,d")
            )
        ),
    )
    yield (
        "paths",
        b"path,label\n"
        + b"".join(
            name + b".png,live\n"
            for name in (b"..", b"/etc/passwd", b"a/../../b", b"\\\\host\\x", b"x" * 5000, b"a" * 300)
        ),
    )
    yield "twice", b"path,path,label,label\n0.png,1.png,live,live\n"
    yield "powers", "path,label\n²³,live\n".encode() + b"9" * 5_000 + b",live\n"
