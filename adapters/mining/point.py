"""What a search moves: species, device, and the coordinates that attack and shot are drawn from."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from spooflab.params import Params
from spooflab.primary_sample import Axis, PrimarySample
from spooflab.seeds import generator

Cube = tuple[float, ...]
"""Coordinates in [0, 1); NaN leaves one to the point's own seed."""


@dataclass(frozen=True)
class Point:
    """One sample to be made.

    Attributes:
        species: of the attack, or `bonafide`.
        device: id of the capture device.
        seed: names whose face it is and every draw that no coordinate decides.
        attack: coordinates of the attack's parameters; empty for the prior.
        shot: coordinates of the device's parameters; empty for the prior.
    """

    species: str
    device: str
    seed: int
    attack: Cube = ()
    shot: Cube = ()

    def to_json(self) -> dict[str, Any]:
        """Return JSON-ready values; NaN is null."""
        cubes = {name: [None if u != u else u for u in getattr(self, name)] for name in ("attack", "shot")}
        return {"species": self.species, "device": self.device, "seed": self.seed, **cubes}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "Point":
        """Undo `to_json`."""
        cubes = {name: tuple(math.nan if u is None else u for u in data[name]) for name in ("attack", "shot")}
        return cls(data["species"], data["device"], data["seed"], **cubes)


@dataclass(frozen=True)
class Coordinate:
    """One axis of the cube with its meaning.

    Attributes:
        axis: what kind of number it is.
        fields: parameters that it moves, as `numbers` names them.
    """

    axis: Axis
    fields: tuple[str, ...]

    @property
    def searched(self) -> bool:
        """Whether a search may follow it: moving a seed moves everything at once."""
        return bool(self.fields) and not any(name.split(".")[-1].endswith("seed") for name in self.fields)


@dataclass(frozen=True)
class Space:
    """The cubes of one species and of the shots."""

    species: str
    attack: tuple[Coordinate, ...]
    shot: tuple[Coordinate, ...]


@dataclass(frozen=True)
class Made:
    """A finished sample.

    Attributes:
        image: (3, S, S) uint8 sRGB.
        record: JSON-ready: whose face, every physical parameter, and under `drawn` the coordinates that it came of
            (`attack` and `shot`), given ones and those that the seed drew.
    """

    image: Tensor
    record: dict[str, Any]


class Maker(Protocol):
    """Makes samples for a mining loop, which knows no generator."""

    @property
    def species(self) -> Sequence[str]:
        """What can be made, `bonafide` among it."""
        ...

    @property
    def devices(self) -> Sequence[str]:
        """Ids of the devices."""
        ...

    def space(self, species: str) -> Space:
        """Return the cubes that a point of this species moves in."""
        ...

    def make(self, point: Point) -> Made:
        """Return the point's sample, the same for the same point.

        Raises:
            spooflab.errors.SkipSample: it cannot be made, or quality control refuses it.
        """
        ...


def numbers(record: dict[str, Any], prefix: str = "") -> dict[str, float]:
    """Return every number in nested JSON under its dotted name; `Params.to_json`'s leaves and lists are unfolded.

    >>> numbers({"lux": {"dtype": "float32", "value": 90.0}, "turn_deg": {"dtype": "float32", "value": [1.0, 2.0]}})
    {'lux': 90.0, 'turn_deg.0': 1.0, 'turn_deg.1': 2.0}
    """
    out: dict[str, float] = {}
    for name, value in record.items():
        if isinstance(value, dict):
            leaf = set(value) == {"dtype", "value"}
            out |= numbers({name: value["value"]}, prefix) if leaf else numbers(value, f"{prefix}{name}.")
        elif isinstance(value, list):
            out |= numbers({f"{name}.{i}": item for i, item in enumerate(value)}, prefix)
        elif isinstance(value, int | float):
            out[prefix + name] = float(value)
    return out


def coordinates(draw: Callable[[torch.Generator], Params], *, probes: int = 4, seed: int = 0) -> tuple[Coordinate, ...]:
    """Find the coordinates that `draw` takes from its generator, and which parameters each of them moves.

    Each coordinate is moved alone, a third of the way around the interval, from `probes` points of the prior; a
    parameter that follows in any of them belongs to it. A choice that hides others is seen where it shows them.
    """
    axes: list[Axis] = []
    fields: list[dict[str, None]] = []
    for probe in range(probes):
        with PrimarySample(gen := generator(seed, "probe", probe)) as own:
            base = numbers(draw(gen).to_json())
        axes = own.axes if len(own.axes) > len(axes) else axes
        fields += [{} for _ in range(len(axes) - len(fields))]
        for place, value in enumerate(own.values):
            moved = [math.nan] * place + [(value + 1 / 3 + 0.05 * probe) % 1.0]
            with PrimarySample(gen := generator(seed, "probe", probe), moved):
                found = numbers(draw(gen).to_json())
            changed = (name for name in base.keys() | found.keys() if base.get(name) != found.get(name))
            fields[place] |= dict.fromkeys(sorted(changed))
    return tuple(Coordinate(axis, tuple(sorted(names))) for axis, names in zip(axes, fields, strict=True))
