"""What a finished mining run left behind, read back: every judged render with its physics."""

import base64
import json
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
    results: dict[str, Any] = json.loads(read_plain(path))
    return results


def read_records(out: Path, results: dict[str, Any]) -> list[Record]:
    """Return the judged renders of all seeds, arms and rounds, in order."""
    config = results["config"]
    return [
        record
        for seed in config["seeds"]
        for arm in ("random", "mined")
        for number in range(1, config["rounds"] + 1)
        for record in _round(out / f"seed-{seed}" / arm / f"round-{number}", seed, arm, number)
    ]


def _round(folder: Path, seed: int, arm: str, number: int) -> Iterator[Record]:
    lines = {}
    for name in LEDGERS:
        path = folder / name / LINES
        if path.is_file():
            for line in map(json.loads, read_plain(path).decode().splitlines()):
                lines[line["key"]] = line, path.parent / PICTURES / f"{line['key']}.png"
    for trial in map(json.loads, read_plain(folder / TRIALS).decode().splitlines()):
        line, picture = lines[trial["key"]]
        yield Record(seed, arm, number, trial, line, picture)
