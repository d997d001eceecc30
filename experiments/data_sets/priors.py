"""What a data set's parameters were drawn from: draws of each attack and device of its plan, without any rendering."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from spooflab.augment import CaptureDevice, load_profile
from spooflab.augment.ablate import DEVICE_EFFECTS, ablated
from spooflab.errors import SpooflabError
from spooflab.experiments.data_sets.ranges import LONGEST_VECTOR
from spooflab.generators.catalogue import build_attack, effects_of
from spooflab.generators.config import GenerationConfig
from spooflab.params import Params
from spooflab.seeds import generator

DRAWS = 4096
"""Of each species and of each device model."""

Draws = dict[str, NDArray[np.float32]]
"""Sorted draws by parameter, named as `physical_numbers` names those of a record."""


@dataclass(frozen=True)
class Priors:
    """What the plan draws parameters from.

    Attributes:
        attack: by species.
        device: by device model; its units drawn alike.
        unknown: why some or all of them are not known, a sentence each; empty where all are.
    """

    attack: dict[str, Draws]
    device: dict[str, Draws]
    unknown: tuple[str, ...] = ()


def priors_of(plan: Mapping[str, Any], *, draws: int = DRAWS) -> Priors:
    """Draw from what a plan names; of a merged data set, from all its parts, each by its share of the pictures.

    Args:
        plan: of a store; whatever in it does not fit this version leaves a prior unknown.
        draws: of each species and device model.
    """
    held: dict[str, dict[str, list[tuple[int, Draws]]]] = {"attack": defaultdict(list), "device": defaultdict(list)}
    unknown: list[str] = []
    for rows, part in _generated(plan):
        try:
            config = GenerationConfig.model_validate(part.get("config"))
            for kind, found in (("attack", _attacks(config, draws)), ("device", _devices(config, draws))):
                for name, columns in found.items():
                    held[kind][name].append((rows, columns))
        except (SpooflabError, ValidationError, ValueError) as error:
            unknown.append(f"the plan's configuration does not fit this version: {str(error).splitlines()[0]}")
    if not any(held.values()) and not unknown:
        unknown.append("the plan draws no parameters (it is not of `spooflab generate`)")
    joined = {kind: {name: _joined(parts, draws) for name, parts in of.items()} for kind, of in held.items()}
    return Priors(joined["attack"], joined["device"], tuple(dict.fromkeys(unknown)))


def varying(draws: Draws) -> Draws:
    """Return the parameters that are not one number in all draws: of a constant there is nothing to compare."""
    return {name: values for name, values in draws.items() if values[0] < values[-1]}


def drawn_columns(params: Params, prefix: str = "") -> Iterator[tuple[str, NDArray[np.float32]]]:
    """Yield name and (N,) values of each drawn real number, as `physical_numbers` does for the record of one sample."""
    for field in fields(params):
        value, name = getattr(params, field.name), f"{prefix}.{field.name}" if prefix else field.name
        if isinstance(value, Params):
            yield from drawn_columns(value, name)
        elif value is not None and value.is_floating_point():
            if value.ndim == 1:
                yield name, value.float().numpy()
            elif value.ndim == 2 and value.shape[1] <= LONGEST_VECTOR:
                yield from ((f"{name}[{k}]", value[:, k].float().numpy()) for k in range(value.shape[1]))


def _generated(plan: Mapping[str, Any], rows: int = 1) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Yield the plans of `spooflab generate` that a plan is, or holds, each with its number of pictures."""
    if plan.get("kind") == "merge":
        for part in plan.get("parts", ()):
            yield from _generated(part.get("plan", {}), int(part.get("rows", 1)))
    elif plan.get("kind") == "curate":
        yield from _generated(plan.get("source", {}).get("plan", {}), rows)
    elif "faces_sha256" in plan:
        yield rows, plan


def _attacks(config: GenerationConfig, draws: int) -> dict[str, Draws]:
    found: dict[str, Draws] = {}
    for species in ("bonafide", *config.attacks):
        off = [effect for effect in effects_of(species) if effect in config.ablate]
        attack = build_attack(species, instruments=config.instruments, ablate=off, diffusion=config.diffusion)
        found[species] = dict(drawn_columns(attack.sample(draws, generator(config.seed, "prior", species))))
    return found


def _devices(config: GenerationConfig, draws: int) -> dict[str, Draws]:
    found: dict[str, Draws] = {}
    off = [effect for effect in DEVICE_EFFECTS if effect in config.ablate]
    for name in config.devices:
        profile, parts = load_profile(name), list[tuple[int, Draws]]()
        for number in range(min(config.units_per_device, draws)):
            unit = CaptureDevice(profile, unit=number)
            draw = generator(config.seed, "prior", unit.device_id)
            count = -(-draws // config.units_per_device)
            shots = unit.sample(count, draw, size=(config.sensor_px, config.sensor_px))
            parts.append((1, dict(drawn_columns(ablated(shots, off)))))
        found[unit.profile_name] = _joined(parts, draws)
    return found


def _joined(parts: list[tuple[int, Draws]], draws: int) -> Draws:
    """Mix draws of several parts by their weights, and sort them; what a part lacks is drawn by the others."""
    total = sum(weight for weight, _ in parts)
    out: Draws = {}
    for name in sorted({name for _, columns in parts for name in columns}):
        held = [columns[name][: max(1, round(draws * weight / total))] for weight, columns in parts if name in columns]
        out[name] = np.sort(np.concatenate(held))
    return out


def cdf(draws: NDArray[np.float32], values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return where values lie in a prior, 0 … 1: the share of its draws below, and half of those that are equal."""
    low, high = (np.searchsorted(draws, values.astype(np.float32), side=side) for side in ("left", "right"))
    return np.asarray((low + high) / (2 * len(draws)), dtype=np.float64)
