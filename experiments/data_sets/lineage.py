"""Where a data set comes from, read from its plan: sources with licence and consent, code, and how to make it again."""

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import yaml

from spooflab.location import Location
from spooflab.records import PlanFile
from spooflab.store_files import files_at

Kind = Literal["generate", "ingest", "merge", "curate", "other"]
RENDERED = "none needed: rendered people, nobody was photographed"
UNSTATED = "not stated"


@dataclass(frozen=True)
class Source:
    """One source of faces.

    Attributes:
        part: name of the part of a merged data set, empty otherwise.
        what: kind and place, in words.
        licence, consent: as stated by whoever made the data set.
        people: whether real people are in it.
    """

    part: str
    what: str
    licence: str
    consent: str
    people: bool


@dataclass(frozen=True)
class Lineage:
    """How a data set came about.

    Attributes:
        kind: the command that made it; `other` for plans of other programs.
        fingerprint: of the plan.
        code: versions of code and libraries, as the plan holds them.
        seed: root seed; None where nothing is drawn.
        sources: of faces, of all parts.
        configs: name and content of the YAML files that the commands take, of all parts.
        command: makes it again, of parts that were made again; None where that is not known.
        parts: name and lineage of the parts of a merged data set, or of what a curated one was chosen from.
    """

    kind: Kind
    fingerprint: str
    code: dict[str, str]
    seed: int | None
    sources: tuple[Source, ...]
    configs: dict[str, str]
    command: str | None
    parts: tuple[tuple[str, "Lineage"], ...] = ()


def lineage_of(root: Location) -> Lineage:
    """Read a store's plan.

    Raises:
        DataError: no store, or a damaged plan.
    """
    plan_file = PlanFile.of(files_at(root))
    return lineage_of_plan(plan_file.plan, plan_file.fingerprint)


def lineage_of_plan(plan: Mapping[str, Any], fingerprint: str, suffix: str = "") -> Lineage:
    """Read what a plan tells; the plan is data of others, so what it lacks is left out and not an error.

    Args:
        plan: of a store, or of a part of a merged one.
        fingerprint: of the plan.
        suffix: of the names of files and folders in the commands; safe as part of a file name.
    """
    config = _mapping(plan.get("config"))
    code = {str(key): str(value) for key, value in _mapping(plan.get("code")).items()}
    if plan.get("kind") == "merge":
        return _merged(plan, fingerprint, code, suffix)
    if plan.get("kind") == "curate":
        return _curated(plan, fingerprint, code, suffix)
    if plan.get("kind") == "ingest":
        sources: tuple[Source, ...] = (_ingested(config),)
        return Lineage("ingest", fingerprint, code, None, sources, {}, _ingest_command(config, suffix))
    if "faces_sha256" in plan and config:
        faces = tuple(_face_source(_mapping(entry)) for entry in _sequence(config.get("faces")))
        name, text = f"generation{suffix}.yaml", yaml.safe_dump(dict(config), sort_keys=True, allow_unicode=True)
        command = f"spooflab generate {name} --out again{suffix}"
        return Lineage("generate", fingerprint, code, config.get("seed"), faces, {name: text}, command)
    return Lineage("other", fingerprint, code, None, (), {}, None)


def _merged(plan: Mapping[str, Any], fingerprint: str, code: dict[str, str], suffix: str) -> Lineage:
    told = [_mapping(part) for part in _sequence(plan.get("parts"))]
    names = [re.sub(r"[^A-Za-z0-9_]", "_", str(part.get("name")))[:24] for part in told]
    parts = tuple(
        (name, lineage_of_plan(_mapping(part.get("plan")), str(part.get("fingerprint")), f"{suffix}-{name}"))
        for name, part in zip(names, told, strict=True)
    )
    sources = tuple(
        Source("/".join(filter(None, (name, s.part))), s.what, s.licence, s.consent, s.people)
        for name, part in parts
        for s in part.sources
    )
    options = ["--names", *names, "--duplicates", str(plan.get("duplicates", "error"))]
    options += ["--people", str(plan.get("people", "apart"))]
    made = [f"again{suffix}-{name}" for name in names]
    command = shlex.join(["spooflab", "merge", *made, *options, "--out", f"again{suffix}"])
    configs = {name: text for _, part in parts for name, text in part.configs.items()}
    return Lineage("merge", fingerprint, code, None, sources, configs, command, parts)


def _curated(plan: Mapping[str, Any], fingerprint: str, code: dict[str, str], suffix: str) -> Lineage:
    told, wish = _mapping(plan.get("source")), _mapping(plan.get("selection"))
    source = lineage_of_plan(_mapping(told.get("plan")), str(told.get("fingerprint")), f"{suffix}-source")
    options = ["--n", str(wish.get("n")), "--by", str(wish.get("by")), "--seed", str(wish.get("seed", 0))]
    if names := ",".join(map(str, _sequence(wish.get("stratify")))):
        options += ["--stratify", names]
    if (embedding := _mapping(wish.get("embedding")).get("name")) is not None:
        options += ["--embedding", str(embedding)]
    options += ["--per-shard", str(plan.get("per_shard"))]
    command = shlex.join(["spooflab", "curate", f"again{suffix}-source", *options, "--out", f"again{suffix}"])
    parts = (("source", source),)
    return Lineage("curate", fingerprint, code, None, source.sources, source.configs, command, parts)


def _face_source(entry: Mapping[str, Any]) -> Source:
    if entry.get("kind") == "procedural":
        what = f"rendered heads: {entry.get('subjects')} people, {entry.get('sessions')} sessions each"
        return Source("", what, "CC0-1.0", RENDERED, False)
    place = entry.get("root") or entry.get("dataset")
    return Source(
        "",
        f"photographs ({entry.get('kind')}) from {place}",
        _stated(entry, "licence"),
        _stated(entry, "consent"),
        True,
    )


def _ingested(config: Mapping[str, Any]) -> Source:
    return Source("", f"data set {config.get('reader')}", _stated(config, "licence"), _stated(config, "consent"), True)


def _stated(entry: Mapping[str, Any], name: str) -> str:
    text = str(entry.get(name, "")).strip()
    return UNSTATED if text in ("", "unstated") else text


_INGEST_OPTIONS = ("licence", "consent", "frames", "size", "crop", "margin", "faces", "limit")


def _ingest_command(config: Mapping[str, Any], suffix: str) -> str:
    place = [str(config.get("reader")), str(config.get("root"))]
    return shlex.join(["spooflab", "ingest", *place, *_options(config), "--out", f"again{suffix}"])


def _options(config: Mapping[str, Any]) -> Iterator[str]:
    for name in _INGEST_OPTIONS:
        if config.get(name) is not None:
            yield from (f"--{name}", str(config[name]))


def _sequence(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list) else ()


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
