"""The two stores that are compared: what each says of its pictures, and which of them are taken."""

import dataclasses
import json
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spooflab.adapters.mining import numbers
from spooflab.errors import ConfigError, DataError
from spooflab.images import decode_image
from spooflab.seeds import seed as named_seed
from spooflab.store import iter_images, read_index
from spooflab.taxonomy import is_species, species_of

Pixels = NDArray[np.uint8]
BONAFIDE = "bonafide"
JUDGED = ("attack", "device", "facts")
"""Parts of a record's `params` whose numbers are physics of the attack and of the camera."""


@dataclass(frozen=True, eq=False)
class Row:
    """What the index says of one picture.

    Attributes:
        species: what it is compared as (after the alias).
        physics: drawn and derived numbers of attack and camera by dotted name, seeds left out; empty for a capture.
        own_class: what the data set itself calls it.
        stored_scale: stored pixels per pixel of the photograph; NaN where the record does not say.
    """

    key: str
    species: str
    subject: str
    group: str
    device: str
    instrument: str
    box: tuple[float, ...]
    landmarks: NDArray[np.float64]
    physics: dict[str, float]
    own_class: str
    stored_scale: float


@dataclass(frozen=True)
class Side:
    """One store.

    Attributes:
        root: its folder.
        rows: pictures with a face box, in the store's order.
        boxless: pictures of each species that name no box of a face and are left out.
        ablated: physical effects that were switched off in some of its pictures.
        synthetic: share of its pictures that are marked as synthetic media.
    """

    root: Path
    rows: list[Row]
    boxless: dict[str, int]
    ablated: list[str]
    synthetic: float
    species: dict[str, list[Row]] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Of the store, for people."""
        return self.root.resolve().name

    def only(self, rows: Sequence[Row]) -> "Side":
        """Return the store as if it held these rows alone."""
        by_species: dict[str, list[Row]] = defaultdict(list)
        for row in rows:
            by_species[row.species].append(row)
        return dataclasses.replace(self, rows=list(rows), species=dict(by_species))


def read_side(root: Path, alias: Mapping[str, str] | None = None) -> Side:
    """Read a store's index.

    Args:
        root: folder that `spooflab generate` or `spooflab ingest` wrote.
        alias: species of it to what they are compared as.

    Raises:
        DataError: no store.
        ConfigError: an alias that the store does not hold, that is no species, or whose label differs.
    """
    table = read_index(root)
    _check_alias(root, alias or {}, set(table.column("species").to_pylist()))
    rows, boxless = [], Counter[str]()
    ablated, synthetic = set[str](), 0
    for entry in table.to_pylist():
        own = str(entry["species"])
        species = (alias or {}).get(own, own)
        synthetic += bool(entry["synthetic"])
        ablated |= set(entry["ablated"])
        if len(entry["box"]) != 4 or min(entry["box"][2:]) <= 0:
            boxless[species] += 1
        else:
            rows.append(_row(entry, species))
    marked = synthetic / max(1, table.num_rows)
    return Side(root, [], dict(boxless), sorted(ablated), marked).only(rows)


def _check_alias(root: Path, alias: Mapping[str, str], held: set[str]) -> None:
    for own, meant in alias.items():
        if own not in held:
            raise ConfigError(
                f"--alias {own}={meant}: {root} holds no {own}", wanted=f"one of {', '.join(sorted(held))}"
            )
        if not is_species(meant):
            raise ConfigError(f"--alias {own}={meant}: no such species", wanted="see `spooflab list attacks`")
        if species_of(own).label != species_of(meant).label:
            raise ConfigError(
                f"--alias {own}={meant}: one is {species_of(own).label}, the other {species_of(meant).label}",
                wanted="species that mean the same",
            )


def _row(entry: Mapping[str, Any], species: str) -> Row:
    params = json.loads(entry["params"])
    output, crop = params.get("output", {}), params.get("crop", {})
    scale = crop.get("scale", output["output_px"] / output["sensor_px"] if "sensor_px" in output else float("nan"))
    judged = {name: params[name] for name in JUDGED if "crop" not in params and isinstance(params.get(name), dict)}
    physics = {n: v for n, v in numbers(judged).items() if not n.rstrip(".0123456789").endswith("seed")}
    return Row(
        key=entry["key"],
        species=species,
        subject=entry["subject_id"],
        group=entry["subject_group"],
        device=entry["device_profile"],
        instrument=entry["instrument_id"],
        box=tuple(entry["box"]),
        landmarks=np.asarray(entry["landmarks"], dtype=np.float64).reshape(-1, 2),
        physics=physics,
        own_class=str(params.get("own_class", "")),
        stored_scale=float(scale),
    )


def common_species(synthetic: Side, real: Side) -> list[str]:
    """Return the species that both sides hold, bona fide first, then in order of name.

    Raises:
        DataError: they share no attack species; likely aliases are named.
    """
    shared = set(synthetic.species) & set(real.species)
    attacks = sorted(shared - {BONAFIDE})
    if not attacks:
        here, there = sorted(set(synthetic.species) - {BONAFIDE}), sorted(set(real.species) - {BONAFIDE})
        kin = [f"{b}={a}" for b in there for a in here if species_of(a).family == species_of(b).family]
        seen = f"no attack species in common: {synthetic.root} holds {_list(here)}, {real.root} {_list(there)}"
        for side in (synthetic, real):
            if side.boxless:
                seen += f"; {sum(side.boxless.values())} pictures of {side.root} name no box of a face"
        raise DataError(
            seen,
            wanted="one species that both hold, with boxes of faces",
            next_step=f"--alias {kin[0]}, if they mean the same" if kin else "generate what the real captures show",
        )
    return [BONAFIDE] * (BONAFIDE in shared) + attacks


def _list(names: Sequence[str]) -> str:
    return ", ".join(names) if names else "none"


def bounded(rows: Sequence[Row], most: int, seed: int) -> list[Row]:
    """Return at most `most` rows, taken in turns from the subjects so that none outweighs the others; seeded."""
    by_subject: dict[str, list[Row]] = defaultdict(list)
    for row in sorted(rows, key=lambda row: named_seed(seed, "sample", row.key)):
        by_subject[row.subject].append(row)
    turns = sorted(by_subject, key=lambda name: named_seed(seed, "turn", name))
    taken: list[Row] = []
    for turn in range(max(map(len, by_subject.values()), default=0)):
        taken += [by_subject[name][turn] for name in turns if turn < len(by_subject[name])]
    return sorted(taken[:most], key=lambda row: row.key)


def read_pixels(side: Side, rows: Sequence[Row]) -> dict[str, Pixels]:
    """Return the stored pictures (H, W, 3) of the rows, by key."""
    keys = {row.key for row in rows}
    return {key: decode_image(data) for key, data in iter_images(side.root, keys)}
