"""Contact sheets of a stored data set: a few pictures of each species and each device, chosen by seed."""

import hashlib
import heapq
import io
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from spooflab.generators.sheet import contact_sheet
from spooflab.images import decode_own_png
from spooflab.location import Location
from spooflab.provenance import joined_source_type
from spooflab.source_mark import mark_source
from spooflab.store import iter_images, iter_rows

TILE_PX = 112
COLUMNS = 6
ROWS_PER_SHEET = 10
MOST_SHEETS = 4
"""Of each kind: pictures and memory are bounded, whatever the size of the data set."""

_PAPER, _INK = 250, 25
_QUALITY = 88
_COLUMN = {"species": "device_profile", "device_profile": "species"}
"""By what the rows of a sheet are sorted, and what each tile's caption adds."""


@dataclass(frozen=True)
class Sheet:
    """One sheet.

    Attributes:
        name: file name without suffix.
        caption: one sentence.
        jpeg: the file, marked with its source type.
    """

    name: str
    caption: str
    jpeg: bytes


@dataclass(frozen=True)
class _Tile:
    key: str
    value: str
    also: str
    source_type: str


def contact_sheets(root: Location, *, seed: int = 0) -> list[Sheet]:
    """Return sheets of species and of devices; one row each, `COLUMNS` pictures chosen by a hash of seed and key.

    Args:
        root: folder of the store.
        seed: another one chooses other pictures.

    Raises:
        DataError: damage.
    """
    chosen = {column: _choose(root, column, seed) for column in _COLUMN}
    keys = {tile.key for rows in chosen.values() for tiles in rows.values() for tile in tiles}
    pictures = {key: small_tile(png) for key, png in iter_images(root, keys, partial=True)} if keys else {}
    return [sheet for column, rows in chosen.items() for sheet in _sheets(column, rows, pictures)]


def _choose(root: Location, column: str, seed: int) -> dict[str, list[_Tile]]:
    """Take the pictures of least hash for each value, those of different captions first."""
    held: dict[str, list[tuple[int, str, _Tile]]] = defaultdict(list)
    for table in iter_rows(root, ("key", column, _COLUMN[column], "digital_source_type"), partial=True):
        for row in table.to_pylist():
            tile = _Tile(row["key"], row[column], row[_COLUMN[column]], row["digital_source_type"])
            rank = -int.from_bytes(hashlib.sha256(f"{seed}/{column}/{tile.key}".encode()).digest()[:8])
            kept = held[tile.value]
            if len(kept) < 4 * COLUMNS:
                heapq.heappush(kept, (rank, tile.key, tile))
            elif rank > kept[0][0]:
                heapq.heapreplace(kept, (rank, tile.key, tile))
    most = ROWS_PER_SHEET * MOST_SHEETS
    return {value: _varied([tile for _, _, tile in sorted(held[value], reverse=True)]) for value in sorted(held)[:most]}


def _varied(tiles: Sequence[_Tile]) -> list[_Tile]:
    first: dict[str, _Tile] = {}
    for tile in tiles:
        first.setdefault(tile.also, tile)
    rest = [tile for tile in tiles if first[tile.also] is not tile]
    return [*first.values(), *rest][:COLUMNS]


def _sheets(column: str, rows: Mapping[str, list[_Tile]], pictures: Mapping[str, NDArray[np.uint8]]) -> list[Sheet]:
    values, sheets = list(rows), []
    what = "species" if column == "species" else "device"
    for number, start in enumerate(range(0, len(values), ROWS_PER_SHEET), 1):
        shown = values[start : start + ROWS_PER_SHEET]
        tiles, types = list[tuple[str, NDArray[np.uint8]]](), set[str]()
        for value in shown:
            row = [(tile.also, pictures[tile.key]) for tile in rows[value]]
            tiles += [("", name_tile(value)), *row, *[("", name_tile(""))] * (COLUMNS - len(row))]
            types |= {tile.source_type for tile in rows[value]}
        jpeg = mark_source(jpeg_of(contact_sheet(tiles, columns=1 + COLUMNS)), joined_source_type(types))
        sheets.append(Sheet(f"{what}-{number}", f"By {what}: {', '.join(shown)}", jpeg))
    return sheets


def small_tile(png: bytes) -> NDArray[np.uint8]:
    """Return the picture in the middle of a square of paper."""
    picture = Image.fromarray(decode_own_png(png))
    picture.thumbnail((TILE_PX, TILE_PX), Image.Resampling.LANCZOS)
    tile = Image.new("RGB", (TILE_PX, TILE_PX), (_PAPER,) * 3)
    tile.paste(picture, ((TILE_PX - picture.width) // 2, (TILE_PX - picture.height) // 2))
    return np.asarray(tile)


def name_tile(name: str) -> NDArray[np.uint8]:
    """Return a tile with a name, broken where its words end."""
    tile = Image.new("RGB", (TILE_PX, TILE_PX), (_PAPER,) * 3)
    text = re.sub(r"(?<=[_+./])", "\n", name)
    ImageDraw.Draw(tile).multiline_text((4, 4), text, fill=(_INK,) * 3, font=ImageFont.load_default(14))
    return np.asarray(tile)


def jpeg_of(pixels: NDArray[np.uint8]) -> bytes:
    """Return a sheet as a JPEG file, not yet marked."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=_QUALITY)
    return file.getvalue()
