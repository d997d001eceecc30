"""Planned samples that were left out, by reason, species and the camera that would have taken them."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import ValidationError

from spooflab.augment import CaptureDevice, load_profile
from spooflab.errors import SpooflabError
from spooflab.generators.config import GenerationConfig
from spooflab.generators.plan import planned_device
from spooflab.records import CommitRecord

UNKNOWN = "unknown"
_KEY = re.compile(r"s(\d{8,})")
Rejects = dict[tuple[str, str, str], int]
"""Samples left out by (reason, species, device model)."""


def rejects(plan: Mapping[str, Any], records: Iterable[CommitRecord]) -> Rejects:
    """Count what a store's commit records say was left out.

    A skip record names no camera; the plan's draw tells it again. `unknown` where the plan is of another kind.
    """
    device, counts = _Devices(plan), Counter[tuple[str, str, str]]()
    for record in records:
        for skip in record.skips:
            counts[skip.reason, skip.species, device.of(skip.key)] += 1
    return dict(sorted(counts.items()))


class _Devices:
    """Which device model a plan gives each key; parts of a merged data set by the prefix of the key."""

    def __init__(self, plan: Mapping[str, Any]) -> None:
        self._parts = {
            str(part.get("name")): _Devices(part.get("plan", {}))
            for part in (plan.get("parts", ()) if plan.get("kind") == "merge" else ())
        }
        self._config = None if "faces_sha256" not in plan else _config(plan.get("config"))
        self._ids, self._models = _units(self._config) if self._config else ((), {})

    def of(self, key: str) -> str:
        prefix, _, rest = key.partition("-")
        if prefix in self._parts:
            return self._parts[prefix].of(rest)
        found = _KEY.fullmatch(key)
        if self._config is None or not self._ids or found is None:
            return UNKNOWN
        return self._models[planned_device(self._config.seed, int(found[1]), self._ids)]


def _config(value: Any) -> GenerationConfig | None:
    try:
        return GenerationConfig.model_validate(value)
    except (ValidationError, ValueError):
        return None


def _units(config: GenerationConfig) -> tuple[tuple[str, ...], dict[str, str]]:
    models: dict[str, str] = {}
    try:
        for name in config.devices:
            profile = load_profile(name)
            for number in range(config.units_per_device):
                unit = CaptureDevice(profile, unit=number)
                models[unit.device_id] = unit.profile_name
    except SpooflabError:  # a profile that is no longer where it was
        return (), {}
    return tuple(models), models
