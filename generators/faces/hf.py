"""Photographs in a Hugging Face data set: any map-style `datasets.Dataset` with an image column."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spooflab.bounded_decoder import decode_untrusted
from spooflab.errors import ConfigError, DataError, SkipSample
from spooflab.generators.face import Face, FaceRef
from spooflab.generators.faces.detect.detector import Detector
from spooflab.generators.faces.detect.onnx import OnnxSettings
from spooflab.generators.faces.detect.reader import Dense, DetectorName, Geometry, PhotoReader
from spooflab.generators.faces.folder import read_confined
from spooflab.generators.faces.landmarks import FacePoints, parse_points
from spooflab.generators.faces.photo import MIN_EYES_PX, Edges, PhotoSettings, face_from_photo

if TYPE_CHECKING:
    import datasets


class HFFaces:
    """Bona fide faces from a data set's rows, in their order.

    Args:
        dataset: a map-style `datasets.Dataset`, or the path of one that was saved with `save_to_disk` (only then can
            the source be rebuilt from its settings). Nothing is downloaded.
        image_column: a column of `datasets.Image`.
        subject_column: who is seen; without it every row is its own subject.
        landmarks_column: five or 68 points per row, nested or flat, in pixels of the upright image; None or an empty
            list where a row has none.
        box_column: the face's box x, y, w, h.
        detector: who finds the face in a row without points, see `PhotoReader`; by default `sidecar` (nobody) where
            there is a `landmarks_column`, else `network`.
        model, onnx, dense, geometry, weights, sha256: see `PhotoReader`.
        root: folder for rows that hold a path instead of the image's bytes; paths that leave it are refused, and
            without it every path is.
        name: the source's name; the data set's builder name or folder by default.
        size, licence, edges, tone, min_eyes_px: as for `FolderFaces`.
        fingerprint: refuse a data set with another fingerprint.

    Raises:
        ConfigError: the `datasets` package is missing, a column is, or the data set cannot be opened.
        DataError: another fingerprint.
    """

    def __init__(
        self,
        dataset: datasets.Dataset | Path | str,
        *,
        image_column: str = "image",
        subject_column: str | None = None,
        landmarks_column: str | None = None,
        box_column: str | None = None,
        detector: DetectorName | Detector | None = None,
        model: Path | str | None = None,
        onnx: OnnxSettings | Mapping[str, Any] | None = None,
        dense: Dense = "network",
        geometry: Geometry = "network",
        weights: Path | str | None = None,
        root: Path | str | None = None,
        name: str | None = None,
        size: int = 384,
        licence: str = "unstated",
        edges: Edges = "reflect",
        tone: float = 0.5,
        min_eyes_px: float = MIN_EYES_PX,
        fingerprint: str | None = None,
        sha256: Mapping[str, str] | None = None,
    ) -> None:
        self.path = str(dataset) if isinstance(dataset, str | Path) else None
        table = _open(dataset)
        self.fingerprint = str(getattr(table, "_fingerprint", ""))
        if fingerprint is not None and fingerprint != self.fingerprint:
            raise DataError(f"data set {self.path}: fingerprint {self.fingerprint}", wanted=fingerprint)
        self.columns = {"image": image_column, "subject": subject_column, "landmarks": landmarks_column,
                        "box": box_column}  # fmt: skip
        missing = [c for c in self.columns.values() if c is not None and c not in table.column_names]
        if missing:
            raise ConfigError(
                f"data set: no column {', '.join(missing)}", wanted=f"one of {', '.join(table.column_names)}"
            )
        self._table = _undecoded(table, image_column)
        self.root = None if root is None else Path(root)
        self.name = name or f"hf:{Path(self.path).name if self.path else (table.info.builder_name or 'dataset')}"
        self.licence = licence
        try:
            self.photo = PhotoSettings(size=size, edges=edges, tone=tone, min_eyes_px=min_eyes_px)
        except ValueError as error:
            raise ConfigError(f"faces: {error}") from error
        if detector == "sidecar" and landmarks_column is None:
            raise ConfigError("faces: detector is 'sidecar' without `landmarks_column`", wanted="another detector")
        self.reader = PhotoReader(
            detector or ("network" if landmarks_column is None else "sidecar"),
            model=model,
            onnx=onnx,
            dense=dense,
            geometry=geometry,
            weights=weights,
            min_eyes_px=min_eyes_px,
            sha256=sha256,
        )
        self._refs: tuple[FaceRef, ...] | None = None

    def refs(self) -> Sequence[FaceRef]:
        """List every row; those that `load` will refuse are among them."""
        if self._refs is None:
            self._refs = tuple(self._ref(index) for index in range(len(self._table)))
        return self._refs

    def load(self, ref: FaceRef) -> Face:
        """Decode, frame and turn one row into radiance.

        Raises:
            SkipSample: `no_image`, `path_escape`, `file_changed`, `no_landmarks`, and the reasons of
                `FolderFaces.load`.
        """
        index = int(ref.record["row"])
        if not 0 <= index < len(self._table):
            raise SkipSample("no_image", f"row {index} of {len(self._table)}")
        data = self._bytes(self._table[index][self.columns["image"]], index)
        found = hashlib.sha256(data).hexdigest()
        if found != ref.record["sha256"]:
            raise SkipSample("file_changed", f"row {index}: SHA-256 {found[:12]}…, another was recorded")
        points = ref.record["points"]
        seen = None if points is None else FacePoints.from_record(points)
        pixels = decode_untrusted(data)
        seen = self.reader.points(pixels, seen, found)
        face = face_from_photo(pixels, seen, self.photo, subject_id=ref.subject_id, source_id=ref.source_id)
        return self.reader.read(face)

    def settings(self) -> dict[str, Any]:
        """Return what rebuilds this source, where the data set was given by its path."""
        return {
            "kind": "hf",
            "dataset": self.path or "",
            "fingerprint": self.fingerprint,
            **{f"{role}_column": column for role, column in self.columns.items()},
            **self.reader.settings(),
            "root": None if self.root is None else str(self.root),
            "name": self.name,
            "licence": self.licence,
            "size": self.photo.size,
            "edges": self.photo.edges,
            "tone": self.photo.tone,
            "min_eyes_px": self.photo.min_eyes_px,
        }

    def _ref(self, index: int) -> FaceRef:
        row = self._table[index]
        try:
            digest = hashlib.sha256(self._bytes(row[self.columns["image"]], index)).hexdigest()
        except SkipSample:
            digest = ""
        by, source = self.columns["subject"], f"row-{index:08d}"
        record = {"row": index, "sha256": digest, "points": self._points(row, index)}
        return FaceRef(source if by is None else str(row[by]), source, self.licence, record)

    def _points(self, row: dict[str, Any], index: int) -> dict[str, Any] | None:
        column, box = self.columns["landmarks"], self.columns["box"]
        if column is None or row[column] is None or len(row[column]) == 0:
            return None
        return parse_points(row[column], None if box is None else row[box], f"row {index}").to_record()

    def _bytes(self, cell: dict[str, Any] | None, index: int) -> bytes:
        if cell is None or (cell["bytes"] is None and cell["path"] is None):
            raise SkipSample("no_image", f"row {index} holds no image")
        if cell["bytes"] is not None:
            return bytes(cell["bytes"])
        if self.root is None:
            raise SkipSample("path_escape", f"row {index} holds a path and no bytes; no root was given to confine it")
        path = Path(cell["path"])
        base = self.root.resolve()
        relative = path.relative_to(base).as_posix() if path.is_relative_to(base) else path.as_posix()
        return read_confined(self.root, relative)


def _open(dataset: datasets.Dataset | Path | str) -> datasets.Dataset:
    try:
        import datasets
    except ImportError as error:
        raise ConfigError(
            "HFFaces: the `datasets` package is missing", next_step="pip install 'spooflab[data]'"
        ) from error
    if isinstance(dataset, datasets.Dataset):
        return dataset
    if not isinstance(dataset, str | Path):
        raise ConfigError(
            f"data set: {type(dataset).__name__}", wanted="a map-style datasets.Dataset (one split), or its path"
        )
    if str(dataset) == "" or not Path(dataset).is_dir():
        raise ConfigError(
            f"data set: {str(dataset)!r} is no folder",
            wanted="a folder written by Dataset.save_to_disk",
            next_step="save the data set, then give its folder, so that its records can be rebuilt",
        )
    loaded = datasets.load_from_disk(str(dataset))
    if not isinstance(loaded, datasets.Dataset):
        raise ConfigError(f"data set: {dataset} holds several splits", wanted="the folder of one split")
    return loaded


def _undecoded(table: datasets.Dataset, column: str) -> datasets.Dataset:
    import datasets

    if not isinstance(table.features[column], datasets.Image):
        raise ConfigError(f"data set: column {column} is {table.features[column]}", wanted="datasets.Image")
    return table.with_format(None).cast_column(column, datasets.Image(decode=False))
