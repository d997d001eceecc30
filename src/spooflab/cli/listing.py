"""`spooflab list`: what there is to choose from."""

import json as json_module
import sys
from collections.abc import Callable
from importlib import resources
from typing import Any, Literal

import tyro
from rich.console import Console
from rich.table import Table

Kind = Literal["attacks", "devices", "instruments", "algorithms", "protocols", "configs", "datasets"]


def list_(kind: tyro.conf.Positional[Kind], /, *, json: bool = False) -> int:
    """List attacks, devices, instruments, algorithms, protocols, configurations or real data sets that are read.

    Args:
        kind: what to list.
        json: print a JSON array of objects.
    """
    rows = _LISTS[kind]()
    if json:
        sys.stdout.write(json_module.dumps(rows) + "\n")
        return 0
    table = Table(box=None, pad_edge=False)
    shown = [column for column in rows[0] if column not in _ONLY_JSON]
    for column in shown:
        table.add_column(column, overflow="fold", no_wrap=column == shown[0])  # a broken name cannot be copied
    for row in rows:
        table.add_row(*(", ".join(v) if isinstance(v, list) else str(v) for v in (row[c] for c in shown)))
    Console().print(table)
    return 0


def _attacks() -> list[dict[str, Any]]:
    from spooflab.generators.catalogue import build_attack, effects_of, known_attacks
    from spooflab.taxonomy import species_of

    rows = [species_of(name) for name in known_attacks()]
    return [
        {
            "name": row.name,
            "family": row.family,
            "channel": row.channel,
            "goal": row.goal,
            "tree": list(row.tree),
            "artefact": row.artefact,
            "donor": build_attack(row.name).needs_donor,
            "effects": list(effects_of(row.name)),
            "summary": row.summary,
        }
        for row in rows
    ]


def _devices() -> list[dict[str, Any]]:
    from spooflab.augment import list_profiles, load_profile

    return [{"name": name, "summary": load_profile(name).summary} for name in list_profiles()]


def _instruments() -> list[dict[str, Any]]:
    from spooflab.generators.catalogue import instruments

    attacks_of: dict[str, list[str]] = {}
    for species, ids in instruments().items():
        for instrument in ids:
            attacks_of.setdefault(instrument, []).append(species)
    return [{"id": instrument, "attacks": species} for instrument, species in attacks_of.items()]


def _algorithms() -> list[dict[str, Any]]:
    from spooflab.adapters import ALGORITHMS, TEST_TIME

    known: dict[str, Any] = {**ALGORITHMS, **TEST_TIME}
    return [
        {"name": name, "setting": kind.setting, "summary": _first_line(kind), "search": kind.SEARCH}
        for name, kind in known.items()
    ]


def _protocols() -> list[dict[str, Any]]:
    from spooflab.experiments.protocols import PROTOCOLS

    return [{"name": name, "summary": _first_line(kind)} for name, kind in PROTOCOLS.items()]


def _configs() -> list[dict[str, Any]]:
    root = resources.files("spooflab.configs")
    rows = []
    for folder in ("devices", "generation", "instruments", "mining", "studies", "training"):
        names = sorted(entry.name for entry in root.joinpath(folder).iterdir() if entry.name.endswith(".yaml"))
        rows += [{"kind": folder, "file": f"configs/{folder}/{name}"} for name in names]
    return rows


def _datasets() -> list[dict[str, Any]]:
    import inspect

    from spooflab.experiments.readers.catalogue import READERS

    modules = {name: inspect.getmodule(read) for name, read in READERS.items()}
    return [
        {"name": name, "source": (inspect.getdoc(module) or "").split("\n\n")[0]} for name, module in modules.items()
    ]


def _first_line(kind: type) -> str:
    return (kind.__doc__ or "").strip().split("\n")[0]


_ONLY_JSON = ("tree", "artefact", "donor", "effects", "search")
"""Columns that would make the table too wide to read."""

_LISTS: dict[str, Callable[[], list[dict[str, Any]]]] = {
    "attacks": _attacks,
    "devices": _devices,
    "instruments": _instruments,
    "algorithms": _algorithms,
    "protocols": _protocols,
    "configs": _configs,
    "datasets": _datasets,
}
