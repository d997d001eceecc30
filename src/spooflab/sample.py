"""The sample record: one picture with everything that is known of it, and its Parquet columns.

Columns are flat and plainly named; `docs/data_format.md` describes each. Images are embedded bytes, never paths.
"""

import hashlib
import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Self, cast

import numpy as np
import pyarrow as pa

from spooflab.errors import DataError
from spooflab.images import own_png_kind
from spooflab.json_text import parse_json
from spooflab.provenance import GENERATOR, SOURCE_TYPES, is_synthetic
from spooflab.taxonomy import SPECIES, Species, is_species, species_of

SCHEMA_VERSION = 2
"""Raised when a column changes its meaning, comes or goes."""

IMAGE_COLUMNS = ("image", "mask", "depth", "regions")
"""Columns that hold encoded pictures; everything else is the index."""

QC_FIGURES = ("mean_luma", "clipped", "sharpness", "face_luma", "face_clipped", "face_sharpness", "moire")
"""Quality figures, stored as columns `qc_<name>`."""

_IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
_COLUMNS: tuple[tuple[str, pa.DataType], ...] = (
    ("key", pa.string()),
    ("image", _IMAGE),
    ("label", pa.string()),
    ("channel", pa.string()),
    ("goal", pa.string()),
    ("species", pa.string()),
    ("family", pa.string()),
    ("chain", pa.list_(pa.string())),
    ("tree", pa.list_(pa.string())),
    ("artefact", pa.string()),
    ("ablated", pa.list_(pa.string())),
    ("instrument_id", pa.string()),
    ("device_id", pa.string()),
    ("device_profile", pa.string()),
    ("subject_id", pa.string()),
    ("subject_group", pa.string()),
    ("source_id", pa.string()),
    ("donor_id", pa.string()),
    ("claimed_id", pa.string()),
    ("attacker_id", pa.string()),
    ("face_source", pa.string()),
    ("seed", pa.int64()),
    ("width", pa.int32()),
    ("height", pa.int32()),
    ("landmarks", pa.list_(pa.list_(pa.float32()))),
    ("box", pa.list_(pa.float32())),
    ("mask", _IMAGE),
    ("depth", _IMAGE),
    ("regions", _IMAGE),
    ("params", pa.string()),
    ("image_sha256", pa.string()),
    ("qc_mean_luma", pa.float32()),
    ("qc_clipped", pa.float32()),
    ("qc_sharpness", pa.float32()),
    ("qc_face_luma", pa.float32()),
    ("qc_face_clipped", pa.float32()),
    ("qc_face_sharpness", pa.float32()),
    ("qc_moire", pa.float32()),
    ("synthetic", pa.bool_()),
    ("digital_source_type", pa.string()),
    ("generator", pa.string()),
    ("model_ids", pa.list_(pa.string())),
    ("licence", pa.string()),
    ("code_version", pa.string()),
)
_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_NOT_EMPTY = (
    "device_id",
    "device_profile",
    "subject_id",
    "subject_group",
    "source_id",
    "face_source",
    "generator",
    "licence",
    "code_version",
)
_MAY_BE_NONE = ("mask", "depth", "regions")
_PICTURES = {"image": "rgb", "mask": "grey", "depth": "grey16", "regions": "grey"}
_LISTS = ("chain", "tree", "ablated", "model_ids", "box")


def _feature(kind: pa.DataType) -> dict[str, Any]:
    """Describe an Arrow type as the `datasets` library writes it (a form that 2.19 and later versions read)."""
    if kind == _IMAGE:
        return {"_type": "Image"}
    if pa.types.is_list(kind):
        return {"feature": _feature(kind.value_type), "_type": "Sequence"}
    name = {"float": "float32"}.get(str(kind), str(kind))
    return {"dtype": name, "_type": "Value"}


# All fields are nullable for Arrow: `datasets` passes over its own metadata for fields that are not. `Sample` checks.
SCHEMA = pa.schema(
    list(_COLUMNS),
    metadata={
        "huggingface": json.dumps({"info": {"features": {name: _feature(kind) for name, kind in _COLUMNS}}}),
        "spooflab.schema_version": str(SCHEMA_VERSION),
    },
)
"""Arrow schema of the store, with the feature metadata that gives `datasets` its `Image` columns."""


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One picture and its record; every field is the column of that name.

    Attributes:
        key: name in the store, unique, safe as a file name; tells nothing of the label.
        image: PNG of (height, width) sRGB pixels, without metadata.
        label: `bonafide` or `attack`.
        channel: `presentation` (before the camera) or `injection` (past it).
        goal: `none`, `impersonation` or `concealment`.
        species: name in the taxonomy; a chain is joined by `+`.
        family: coarser class of the species.
        chain: the species' steps, first to last.
        tree: labels from coarse to fine, after UniAttackData: `live`; `physical`, `2d`, `print`; `digital`, `editing` …
        artefact: ISO/IEC 30107-1 instrument type: `complete`, `partial`, `altered` (human characteristic) or `none`.
        ablated: physical effects that were switched off on purpose, in attack and camera; empty as a rule.
        instrument_id: the physical instrument (panel, paper and printer …); empty if there is none.
        device_id: capture device, one unit of a profile.
        device_profile: model of the capture device.
        subject_id: whose face is shown or worn.
        subject_group: subjects among whom donors are exchanged; a split never cuts through a group.
        source_id: the photograph or rendered session.
        donor_id: the second subject of a swap, a mask, a cut print …; empty if there is none.
        claimed_id: the subject that the presentation claims to be; empty where it only conceals.
        attacker_id: the subject who wears, conceals or manipulates; empty where nobody is known.
        face_source: where the face came from.
        seed: root seed of the sample's draws, 0 … 2⁶³−1.
        width: pixels.
        height: pixels.
        landmarks: (x, y) pixels, first pixel centre at 0.5; 68 points in iBUG order, or none.
        box: x, y, width, height of the face in pixels, or empty.
        mask: 8-bit grey PNG, 255 where the instrument or manipulation covers the pixel; None if unknown.
        depth: 16-bit grey PNG, millimetres from the camera plane, 0 = unknown or background; None if unknown.
        regions: 8-bit grey PNG of face regions by the numbers of `spooflab.regions.REGIONS`; None if unknown.
        params: JSON object with all drawn parameters and derived facts, enough to render the sample again.
        image_sha256: hash of `image`, hexadecimal.
        qc_mean_luma: mean Rec. 601 luma, 0 … 255.
        qc_clipped: share of pixels with a channel at 0 or 255.
        qc_sharpness: variance of the Laplacian of luma, squared levels.
        qc_face_luma, qc_face_clipped, qc_face_sharpness: the same within the face's box.
        qc_moire: contrast of the strongest periodic pattern that stands out of the face's spectrum.
        synthetic: whether this is synthetic media; False only for plain captures.
        digital_source_type: IPTC Digital Source Type URI.
        generator: program and version that made the picture.
        model_ids: trained models that had a part in it.
        licence: SPDX expression, or words, for the faces used.
        code_version: version and source hash of spooflab.

    Raises:
        DataError: a field is missing, impossible or contradicts another; the message names it.
    """

    key: str
    image: bytes
    label: str
    channel: str
    goal: str
    species: str
    family: str
    chain: tuple[str, ...]
    tree: tuple[str, ...]
    artefact: str
    ablated: tuple[str, ...]
    instrument_id: str
    device_id: str
    device_profile: str
    subject_id: str
    subject_group: str
    source_id: str
    donor_id: str
    claimed_id: str
    attacker_id: str
    face_source: str
    seed: int
    width: int
    height: int
    landmarks: tuple[tuple[float, float], ...]
    box: tuple[float, ...]
    mask: bytes | None
    depth: bytes | None
    regions: bytes | None
    params: str
    image_sha256: str
    qc_mean_luma: float
    qc_clipped: float
    qc_sharpness: float
    qc_face_luma: float
    qc_face_clipped: float
    qc_face_sharpness: float
    qc_moire: float
    synthetic: bool
    digital_source_type: str
    generator: str
    model_ids: tuple[str, ...]
    licence: str
    code_version: str

    def __post_init__(self) -> None:
        _check_names(self)
        _check_labels(self)
        _check_pictures(self)
        _check_numbers(self)

    @classmethod
    def create(
        cls,
        *,
        key: str,
        species: str,
        image: bytes,
        params: Mapping[str, Any],
        qc: Mapping[str, float],
        landmarks: Sequence[Sequence[float]] | np.ndarray,
        box: Sequence[float] | np.ndarray,
        seed: int,
        device_id: str,
        device_profile: str,
        subject_id: str,
        subject_group: str,
        source_id: str,
        face_source: str,
        digital_source_type: str,
        licence: str,
        code_version: str,
        chain: Iterable[str] | None = None,
        instrument_id: str = "",
        donor_id: str = "",
        mask: bytes | None = None,
        depth: bytes | None = None,
        regions: bytes | None = None,
        ablated: Iterable[str] = (),
        model_ids: Iterable[str] = (),
        generator: str = GENERATOR,
    ) -> Self:
        """Build a sample from what its maker knows; labels, sizes, hash and marks follow from it.

        Args:
            qc: the figures of `QC_FIGURES`.
            params: JSON-ready values; stored with sorted keys.
            chain: steps of the species; by default its name split at `+`.

        The other arguments are the fields of the same names.
        """
        kind = _species(key, species)
        if set(qc) != set(QC_FIGURES):
            raise DataError(f"sample {key}: quality figures {sorted(qc)}", wanted=f"exactly {sorted(QC_FIGURES)}")
        _, width, height = _picture_kind(key, "image", image)
        try:
            text = json.dumps(params, sort_keys=True, separators=(",", ":"), allow_nan=False)
        except (TypeError, ValueError) as error:
            raise DataError(f"sample {key}: params are not JSON: {error}", wanted="finite numbers and text") from error
        points = np.asarray(landmarks, dtype=np.float32).reshape(-1, 2).tolist()
        claimed, attacker = kind.identities(subject_id, donor_id)
        return cls(
            key=key,
            image=image,
            label=kind.label,
            channel=kind.channel,
            goal=kind.goal,
            species=species,
            family=kind.family,
            chain=tuple(species.split("+") if chain is None else chain),
            tree=kind.tree,
            artefact=kind.artefact,
            ablated=tuple(ablated),
            instrument_id=instrument_id,
            device_id=device_id,
            device_profile=device_profile,
            subject_id=subject_id,
            subject_group=subject_group,
            source_id=source_id,
            donor_id=donor_id,
            claimed_id=claimed,
            attacker_id=attacker,
            face_source=face_source,
            seed=seed,
            width=width,
            height=height,
            landmarks=tuple((x, y) for x, y in points),
            box=tuple(np.asarray(box, dtype=np.float32).reshape(-1).tolist()),
            mask=mask,
            depth=depth,
            regions=regions,
            params=text,
            image_sha256=hashlib.sha256(image).hexdigest(),
            synthetic=is_synthetic(digital_source_type),
            digital_source_type=digital_source_type,
            generator=generator,
            model_ids=tuple(model_ids),
            licence=licence,
            code_version=code_version,
            **{f"qc_{name}": float(np.float32(qc[name])) for name in QC_FIGURES},
        )

    def to_row(self) -> dict[str, Any]:
        """Return the sample as one row of `SCHEMA`."""
        row = {name: getattr(self, name) for name in SCHEMA.names}
        for name in IMAGE_COLUMNS:
            row[name] = None if row[name] is None else {"bytes": row[name], "path": None}
        for name in _LISTS:
            row[name] = list(row[name])
        row["landmarks"] = [list(point) for point in self.landmarks]
        return row

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Self:
        """Rebuild and check a sample from one row, such as `table.to_pylist()` gives.

        Raises:
            DataError: columns are missing or unknown, an image is a path without bytes, or a check fails.
        """
        names = {field.name for field in fields(cls)}
        label = f"sample {row.get('key')!r}"
        if set(row) != names:
            raise DataError(
                f"{label}: unknown columns {sorted(set(row) - names)}, missing {sorted(names - set(row))}",
                wanted=f"the columns of schema version {SCHEMA_VERSION}",
            )
        if empty := sorted(name for name in names - set(_MAY_BE_NONE) if row[name] is None):
            raise DataError(
                f"{label}: no value for {', '.join(empty)}", wanted="values in all columns but the optional pictures"
            )
        values = dict(row)
        for name in IMAGE_COLUMNS:
            values[name] = picture_bytes(row[name], label=label, column=name)
        for name in _LISTS:
            values[name] = tuple(row[name])
        values["landmarks"] = tuple(tuple(point) for point in row["landmarks"])
        return cls(**values)


@dataclass(frozen=True)
class Skip:
    """A planned sample that could not be made, with the reason: it is counted and never replaced.

    Attributes:
        key: the key that it would have had.
        species: what it would have been.
        reason: short code in snake_case that reports count by.
        detail: one sentence for a person.
        face_source: where its face would have come from.
        subject_id: whose face.
    """

    key: str
    species: str
    reason: str
    detail: str = ""
    face_source: str = ""
    subject_id: str = ""

    def __post_init__(self) -> None:
        _check_key(self.key)
        _species(self.key, self.species)
        if not re.fullmatch(r"[a-z][a-z0-9_]*", self.reason):
            raise DataError(f"skip {self.key}: reason {self.reason!r}", wanted="a code in snake_case")


def picture_bytes(value: Mapping[str, Any] | None, *, label: str, column: str) -> bytes | None:
    """Return the embedded bytes of an image cell; a cell that only points to a path is refused.

    Following paths out of a data file would let whoever wrote it read any file of whoever opens it.
    """
    if value is None:
        return None
    data = value.get("bytes")
    if data is None:
        raise DataError(
            f"{label}: column {column} holds the path {value.get('path')!r} and no bytes",
            wanted="embedded image bytes; paths are not followed",
        )
    return cast(bytes, data)


def _species(key: str, name: str) -> Species:
    if not is_species(name):
        raise DataError(
            f"sample {key}: species {name!r} is unknown", wanted=f"one of {', '.join(SPECIES)}, or a chain joined by +"
        )
    return species_of(name)


def _check_key(key: str) -> None:
    if not _KEY.fullmatch(key):
        raise DataError(
            f"key {key!r}", wanted="1 to 128 letters, digits, '.', '_' or '-', starting with one of the first two"
        )


def _check_names(sample: Sample) -> None:
    _check_key(sample.key)
    for name in _NOT_EMPTY:
        if not getattr(sample, name):
            raise DataError(f"sample {sample.key}: {name} is empty", wanted="a name")
    if sample.digital_source_type not in SOURCE_TYPES:
        raise DataError(
            f"sample {sample.key}: digital_source_type {sample.digital_source_type!r}",
            wanted=f"one of {', '.join(SOURCE_TYPES)}",
        )
    if sample.synthetic != is_synthetic(sample.digital_source_type):
        raise DataError(
            f"sample {sample.key}: synthetic is {sample.synthetic} with {sample.digital_source_type}",
            wanted="synthetic media marked as such, plain captures not",
        )
    try:
        params = parse_json(sample.params)
    except ValueError as error:
        raise DataError(f"sample {sample.key}: params are not JSON: {error}", wanted="a JSON object") from error
    if not isinstance(params, dict):
        raise DataError(f"sample {sample.key}: params hold {type(params).__name__}", wanted="a JSON object")


def _check_labels(sample: Sample) -> None:
    kind = _species(sample.key, sample.species)
    for name in ("label", "channel", "goal", "family", "tree", "artefact"):
        seen, wanted = getattr(sample, name), getattr(kind, name)
        if seen != wanted:
            raise DataError(f"sample {sample.key}: {name} {seen!r} with species {sample.species}", wanted=repr(wanted))
    people = kind.identities(sample.subject_id, sample.donor_id)
    if (sample.claimed_id, sample.attacker_id) != people:
        raise DataError(
            f"sample {sample.key}: claims {sample.claimed_id!r} by {sample.attacker_id!r}",
            wanted=f"{people} by species",
        )
    if "+".join(sample.chain) != sample.species:
        raise DataError(f"sample {sample.key}: chain {list(sample.chain)}", wanted=f"the steps of {sample.species}")


def _check_pictures(sample: Sample) -> None:
    for column, wanted in _PICTURES.items():
        data = getattr(sample, column)
        if data is None:
            continue
        kind, width, height = _picture_kind(sample.key, column, data)
        if (kind, width, height) != (wanted, sample.width, sample.height):
            raise DataError(
                f"sample {sample.key}: {column} is {kind} {width} x {height}",
                wanted=f"{wanted} {sample.width} x {sample.height}",
            )
    if (seen := hashlib.sha256(sample.image).hexdigest()) != sample.image_sha256:
        raise DataError(f"sample {sample.key}: image hashes to {seen}", wanted=f"{sample.image_sha256}, as recorded")


def _picture_kind(key: str, column: str, data: bytes) -> tuple[str, int, int]:
    try:
        return own_png_kind(data)
    except DataError as error:
        raise DataError(f"sample {key}: {column}: {error.seen}", wanted=error.wanted) from error


def _check_numbers(sample: Sample) -> None:
    if not 0 <= sample.seed < 2**63:
        raise DataError(f"sample {sample.key}: seed {sample.seed}", wanted="0 … 2^63 - 1")
    if any(len(point) != 2 for point in sample.landmarks):
        raise DataError(f"sample {sample.key}: landmarks are not pairs", wanted="(x, y) in pixels")
    if len(sample.box) not in (0, 4):
        raise DataError(
            f"sample {sample.key}: box has {len(sample.box)} numbers", wanted="x, y, width, height, or none"
        )
    numbers = {f"qc_{name}": getattr(sample, f"qc_{name}") for name in QC_FIGURES}
    numbers |= {"landmarks": math.fsum(v for point in sample.landmarks for v in point), "box": math.fsum(sample.box)}
    for name, value in numbers.items():
        if not math.isfinite(value):
            raise DataError(f"sample {sample.key}: {name} holds {value}", wanted="finite numbers")
