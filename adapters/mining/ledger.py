"""Every render once: an append-only list of made and refused samples, from which an interrupted run goes on."""

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from spooflab.adapters.batch import ATTACK, BONAFIDE
from spooflab.adapters.image_set import ImageSet
from spooflab.adapters.mining.point import Maker, Point
from spooflab.atomic import read_plain, write_over
from spooflab.errors import DataError, SkipSample
from spooflab.images import decode_image, encode_png
from spooflab.json_text import parse_json

LINES, PICTURES = "renders.jsonl", "pictures"
_SEAL = "sha256"


@dataclass(frozen=True)
class Render:
    """One entry of a ledger.

    Attributes:
        key: name, unique over all ledgers of a run.
        point: what was asked for.
        image: (3, S, S) uint8; None where it was refused.
        record: of `Made`.
        refused: reason code, empty for a made sample.
    """

    key: str
    point: Point
    image: Tensor | None
    record: dict[str, Any]
    refused: str = ""


class Ledger:
    """Renders in the order in which they were asked for, kept in a folder.

    A caller that repeats its calls after an interruption gets the kept renders back, and makes only what is missing. A
    line is written after its picture, and holds its own digest and the picture's; what is cut off or damaged is dropped
    with all that follows, and made again. Refused samples count: they cost as much.

    Args:
        folder: made if it is not there: `renders.jsonl` and `pictures/`.
        name: first part of every key.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self.folder, self.name = folder, name
        self.renders: list[Render] = []
        (folder / PICTURES).mkdir(parents=True, exist_ok=True)
        self._kept = self._read()

    def render(self, maker: Maker, point: Point) -> Render:
        """Make the next sample, or take it from the folder.

        Raises:
            DataError: the folder has another point at this place.
        """
        turn = len(self.renders)
        render = self._again(turn, point) if turn < len(self._kept) else None
        if render is None:
            render = self._made(maker, point, f"{self.name}-{turn:05d}")
        self.renders.append(render)
        return render

    def _again(self, turn: int, point: Point) -> Render | None:
        """Return the kept render of a turn; None where its picture is damaged: then it and all that follow are dropped.

        What follows was chosen after seeing this one, and comes out the same when it is made again.
        """
        kept = self._kept[turn]
        if _text(kept["point"]) != _text(point.to_json()):
            raise DataError(
                f"{self.folder / LINES}, line {turn + 1}: another sample than this run asks for",
                wanted="a folder of the same configuration and code version",
                next_step="start again with another --out",
            )
        render = self._loaded(kept, point)
        if render is None:
            self._kept = self._keep(self._kept[:turn])
        return render

    def _made(self, maker: Maker, point: Point, key: str) -> Render:
        line: dict[str, Any] = {"key": key, "point": point.to_json()}
        try:
            made = maker.make(point)
        except SkipSample as skip:
            self._append({**line, "refused": skip.reason, "record": {}, "picture_sha256": ""})
            return Render(key, point, None, {}, skip.reason)
        picture = encode_png(made.image.permute(1, 2, 0).contiguous().numpy())
        write_over(self._picture(key), picture)
        self._append({**line, "refused": "", "record": made.record, "picture_sha256": sha256(picture).hexdigest()})
        return Render(key, point, made.image, made.record)

    def _loaded(self, line: dict[str, Any], point: Point) -> Render | None:
        """Return a kept render; None where its picture is missing or damaged."""
        if line["refused"]:
            return Render(line["key"], point, None, {}, line["refused"])
        try:
            picture = read_plain(self._picture(line["key"]))
        except DataError:
            return None
        if sha256(picture).hexdigest() != line["picture_sha256"]:
            return None
        pixels = decode_image(picture)
        return Render(line["key"], point, torch.from_numpy(pixels.transpose(2, 0, 1).copy()), line["record"])

    def _picture(self, key: str) -> Path:
        return self.folder / PICTURES / f"{key}.png"

    def _append(self, line: dict[str, Any]) -> None:
        with (self.folder / LINES).open("a", encoding="utf-8") as file:
            file.write(_sealed(line))
            file.flush()
            os.fsync(file.fileno())

    def _read(self) -> list[dict[str, Any]]:
        path = self.folder / LINES
        if not path.exists():
            return []
        text = read_plain(path)
        lines = list(_opened(text))
        return lines if len(lines) == len(text.splitlines()) else self._keep(lines)

    def _keep(self, lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Let the file hold these lines alone."""
        write_over(self.folder / LINES, "".join(map(_sealed, lines)).encode())
        return lines


def _sealed(line: dict[str, Any]) -> str:
    """Return a line of the file: JSON with its own digest in it."""
    return _text({**line, _SEAL: sha256(_text(line).encode()).hexdigest()}) + "\n"


def _opened(text: bytes) -> Iterator[dict[str, Any]]:
    """Yield what the lines of a file say, up to the first that is not what was written."""
    for line in text.splitlines(keepends=True):
        try:
            told = dict(parse_json(line))
            del told[_SEAL]
            whole = _sealed(told).encode() == line
        except (ValueError, TypeError, KeyError, RecursionError):
            return
        if not whole:
            return
        yield told


def image_set(renders: Sequence[Render], domains: Sequence[str]) -> ImageSet:
    """Return the made renders as a training set; the domain is the place of the device's profile in `domains`."""
    made = [render for render in renders if render.image is not None]
    if not made:
        raise DataError(f"none of {len(renders)} renders was made", wanted="some that quality control lets through")
    return ImageSet(
        torch.stack([render.image for render in made if render.image is not None]),
        torch.tensor([BONAFIDE if render.point.species == "bonafide" else ATTACK for render in made]),
        torch.tensor([domains.index(render.point.device.split("/")[0]) for render in made]),
        [render.key for render in made],
        [render.point.species for render in made],
    )


def _text(value: dict[str, Any]) -> str:
    return json.dumps(value, sort_keys=True, allow_nan=False)
