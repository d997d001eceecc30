"""What a finished mining run left behind, read back: every judged render with its physics."""

import base64
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from spooflab.adapters.mining.ledger import LINES, PICTURES
from spooflab.atomic import read_plain
from spooflab.errors import DataError
from spooflab.experiments.mining import RESULTS, TRIALS
from spooflab.experiments.recorded_physics import recorded_physics
from spooflab.json_text import json_object

LEDGERS = ("search", "draw", "counterpart", "bonafide", "prior")


@dataclass(frozen=True)
class Record:
    """One judged render of a round.

    Attributes:
        seed, arm, round: where it belongs.
        trial: line of `trials.jsonl`.
        line: line of its ledger.
        picture: its file.
    """

    seed: int
    arm: str
    round: int
    trial: dict[str, Any]
    line: dict[str, Any]
    picture: Path

    @property
    def species(self) -> str:
        """Of the attack, or `bonafide`."""
        name: str = self.trial["species"]
        return name

    @property
    def made(self) -> bool:
        """Whether there is a picture."""
        return not self.trial["refused"]

    @cached_property
    def physics(self) -> dict[str, float]:
        """Every drawn number, seeds left out, and every derived figure, under their dotted names."""
        if not self.made:
            return {}
        params = self.line["record"]["params"]
        return recorded_physics(attack=params["attack"], device=params["device"], facts=params["facts"])

    @property
    def image(self) -> str:
        """The picture as a data URI."""
        return "data:image/png;base64," + base64.b64encode(read_plain(self.picture)).decode()


def read_results(out: Path) -> dict[str, Any]:
    """Return `results.json`.

    Raises:
        DataError: the run is not finished.
    """
    path = out / RESULTS
    if not path.is_file():
        raise DataError(
            f"{path} is missing", wanted="a finished run", next_step="spooflab mine CONFIG --out … --resume"
        )
    return json_object(read_plain(path), path, wanted="the results of one run, as spooflab mine wrote them")


def read_records(out: Path, results: dict[str, Any]) -> list[Record]:
    """Return the judged renders of all seeds, arms and rounds, in order.

    Raises:
        DataError: a file is missing or damaged.
    """
    config = results.get("config")
    seeds, rounds = (config.get("seeds"), config.get("rounds")) if isinstance(config, dict) else (None, None)
    if not isinstance(seeds, list) or any(type(seed) is not int for seed in seeds) or type(rounds) is not int:
        raise DataError(f"{out / RESULTS}: seeds {seeds!r:.80}, rounds {rounds!r:.80}", wanted="the results of one run")
    return [
        record
        for seed in seeds
        for arm in ("random", "mined")
        for number in range(1, rounds + 1)
        for record in _round(out / f"seed-{seed}" / arm / f"round-{number}", seed, arm, number)
    ]


def _round(folder: Path, seed: int, arm: str, number: int) -> Iterator[Record]:
    lines = {}
    for name in LEDGERS:
        path = folder / name / LINES
        if path.is_file():
            for line in _lines(path):
                lines[line["key"]] = line, path.parent / PICTURES / f"{line['key']}.png"
    for trial in _lines(folder / TRIALS):
        if trial["key"] not in lines:
            raise DataError(f"{folder / TRIALS}: no ledger holds {trial['key']!r:.80}", wanted="one run's own files")
        line, picture = lines[trial["key"]]
        yield Record(seed, arm, number, trial, line, picture)


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    for number, text in enumerate(read_plain(path).splitlines(), 1):
        line = json_object(text, f"{path}, line {number}")
        key = line.get("key")
        if not isinstance(key, str) or "/" in key or "\0" in key:  # it names a file
            raise DataError(f"{path}, line {number}: key {key!r:.80}", wanted="the key of a render")
        yield line
