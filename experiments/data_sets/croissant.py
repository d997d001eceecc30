"""Croissant 1.0 metadata (MLCommons): files with their hashes and columns as JSON-LD that other tools load.

Source: Croissant Format Specification 1.0 (http://mlcommons.org/croissant/1.0) and Croissant RAI 1.0
(http://mlcommons.org/croissant/RAI/1.0). `rai:hasSyntheticData` is younger than the latter's table; readers pass over
properties that they do not know.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from spooflab.experiments.data_sets.lineage import Lineage
from spooflab.experiments.data_sets.statements import BIASES, LIMITS, MISUSE, USES
from spooflab.experiments.data_sets.stats import DataStats
from spooflab.records import CommitRecord
from spooflab.sample import IMAGE_COLUMNS, SCHEMA

CONFORMS_TO = "http://mlcommons.org/croissant/1.0"
RAI_CONFORMS_TO = "http://mlcommons.org/croissant/RAI/1.0"
_CR_TERMS = (
    *("citeAs", "column", "extract", "field", "fileObject", "fileProperty", "fileSet", "format", "includes"),
    *("isLiveDataset", "jsonPath", "key", "md5", "parentField", "path", "recordSet", "references", "regex"),
    *("repeated", "replace", "separator", "source", "subField", "transform"),
)
CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "rai": "http://mlcommons.org/croissant/RAI/",
    "sc": "https://schema.org/",
    **{term: f"cr:{term}" for term in _CR_TERMS},
}
_SPDX = (
    "Apache-2.0",
    "CC0-1.0",
    "CC-BY-4.0",
    "CC-BY-SA-4.0",
    "CC-BY-NC-4.0",
    "CC-BY-NC-SA-4.0",
    "CC-BY-NC-ND-4.0",
    "MIT",
)


@dataclass(frozen=True)
class Published:
    """What only the owner of a data set can tell.

    Attributes:
        name: of the data set.
        licence: under which it is handed on; empty for the licences of its faces.
        creator: person or organisation; empty if it is not told.
        url: its page; empty if it has none.
        date: of publication, ISO 8601; empty if it is not told.
        version: of the data set.
    """

    name: str
    licence: str = ""
    creator: str = ""
    url: str = ""
    date: str = ""
    version: str = "1.0.0"

    @property
    def missing(self) -> tuple[str, ...]:
        """Properties that the specification requires and that were not told."""
        return tuple(name for name in ("creator", "url", "date") if not getattr(self, name))


def licences(stats: DataStats) -> list[str]:
    """Return the licences of the faces, each once; a picture of two faces has both."""
    return sorted({name for joined in stats.counts["licence"] for name in joined.split(" AND ")})


def croissant(
    told: Published,
    description: str,
    stats: DataStats,
    lineage: Lineage,
    records: Sequence[CommitRecord],
    files: Mapping[int, tuple[str, int]],
    where: str,
) -> dict[str, Any]:
    """Return the metadata as JSON-ready values.

    Args:
        told: what the owner tells; what is empty is left out.
        description: one or two sentences.
        stats: of the data set.
        lineage: of the data set.
        records: of its committed shards.
        files: name in the data set and bytes of each shard's file.
        where: path from the metadata's folder to the data set's, or its URL, with a slash at its end; or empty.
    """
    held = [told.licence] if told.licence else licences(stats)
    head: dict[str, Any] = {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "name": told.name,
        "description": description,
        "conformsTo": [CONFORMS_TO, RAI_CONFORMS_TO],
        "license": [_licence(name) for name in held],
        "version": told.version,
        "keywords": [
            "presentation attack detection",
            "face anti-spoofing",
            "biometrics",
            *sorted(stats.counts["family"]),
        ],
        "isLiveDataset": False,
    }
    if told.url:
        head["url"] = told.url
    if told.creator:
        head["creator"] = {"@type": "Organization", "name": told.creator}
    if told.date:
        head["datePublished"] = told.date
    listed = [_file(record, *files[record.shard], where) for record in records]
    return {**head, **_responsible(stats, lineage), "distribution": [*listed, _file_set(where)], "recordSet": [_rows()]}


def _responsible(stats: DataStats, lineage: Lineage) -> dict[str, Any]:
    people = [source for source in lineage.sources if source.people]
    synthetic = sum(
        count for kind, count in stats.counts["digital_source_type"].items() if not kind.endswith("/digitalCapture")
    )
    sensitive = [f"Faces of real people ({s.what}). Consent: {s.consent}. Licence: {s.licence}." for s in people]
    return {
        "rai:dataCollection": "; ".join(source.what for source in lineage.sources) or "not told by the plan",
        "rai:dataCollectionType": ["Software Collection"] if synthetic else ["Others"],
        "rai:dataPreprocessingProtocol": [
            f"Made by the command: {lineage.command}" if lineage.command else "not known"
        ],
        "rai:personalSensitiveInformation": sensitive or ["No real person is shown."],
        "rai:dataUseCases": list(USES),
        "rai:dataLimitations": [*LIMITS, *(f"Not for: {use}" for use in MISUSE)],
        "rai:dataBiases": [*BIASES, *(f"{w.column}: {w.detail}" for w in stats.warnings)],
        "rai:hasSyntheticData": synthetic > 0,
    }


def _licence(name: str) -> str | dict[str, str]:
    return f"https://spdx.org/licenses/{name}.html" if name in _SPDX else {"@type": "CreativeWork", "name": name}


def _file(record: CommitRecord, path: str, size: int, where: str) -> dict[str, Any]:
    name = path.rpartition("/")[2]
    return {
        "@type": "cr:FileObject",
        "@id": name,
        "name": name,
        "description": f"{record.rows} pictures with their records.",
        "contentUrl": f"{where}{path}",
        "contentSize": f"{size} B",
        "encodingFormat": "application/x-parquet",
        "sha256": record.sha256,
    }


def _file_set(where: str) -> dict[str, Any]:
    return {
        "@type": "cr:FileSet",
        "@id": "shards",
        "name": "shards",
        "description": "All pictures with their records.",
        "encodingFormat": "application/x-parquet",
        "includes": f"{where}shards/*.parquet",
    }


def _rows() -> dict[str, Any]:
    return {
        "@type": "cr:RecordSet",
        "@id": "samples",
        "name": "samples",
        "description": "One record for each picture; docs/data_format.md of spooflab describes the columns.",
        "key": {"@id": "samples/key"},
        "field": [_field(column) for column in SCHEMA],
    }


def _field(column: pa.Field) -> dict[str, Any]:
    kind, repeated = column.type, pa.types.is_list(column.type)
    while pa.types.is_list(kind):
        kind = kind.value_type
    field: dict[str, Any] = {
        "@type": "cr:Field",
        "@id": f"samples/{column.name}",
        "name": column.name,
        "dataType": _data_type(column.name, kind),
        "source": {"fileSet": {"@id": "shards"}, "extract": {"column": column.name}},
    }
    if column.name in IMAGE_COLUMNS:
        field["source"]["transform"] = {"jsonPath": "bytes"}  # a cell is a struct of bytes and path
    return field | ({"repeated": True} if repeated else {})


def _data_type(name: str, kind: pa.DataType) -> str | list[str]:
    if name in IMAGE_COLUMNS:
        return "sc:ImageObject"
    if name in ("label", "species"):
        return ["sc:Text", "cr:Label"]
    if pa.types.is_boolean(kind):
        return "sc:Boolean"
    if pa.types.is_integer(kind):
        return "sc:Integer"
    return "sc:Float" if pa.types.is_floating(kind) else "sc:Text"
