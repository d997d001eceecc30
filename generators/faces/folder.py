"""Photographs in a folder, with landmarks beside them or found in them."""

import hashlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from spooflab.bounded_decoder import decode_untrusted
from spooflab.confined import confined_file
from spooflab.csv_text import csv_table
from spooflab.errors import ConfigError, DataError, SkipSample
from spooflab.file_names import name_refusal, shown_name
from spooflab.generators.face import Face, FaceRef
from spooflab.generators.faces.detect.detector import Detector
from spooflab.generators.faces.detect.onnx import OnnxSettings
from spooflab.generators.faces.detect.reader import Dense, DetectorName, Geometry, PhotoReader
from spooflab.generators.faces.landmarks import FacePoints, read_landmarks
from spooflab.generators.faces.photo import MIN_EYES_PX, Edges, PhotoSettings, face_from_photo

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp")
MAX_FILE_BYTES = 200_000_000


class FolderFaces:
    """Bona fide faces from photographs under `root`, in the order of their paths.

    A reference holds the path, the SHA-256 and the sidecar's points, and the settings hold the digests of whatever
    else finds points, so a sample is made again from its record even where the sidecar has changed, and refused where
    the photograph or the detector has. Faces are looked for when they are loaded: listing stays cheap.

    Args:
        root: the folder, read with its subfolders; folders that are links are not entered.
        landmarks: sidecar CSV or JSON, see `read_landmarks`.
        detector: who finds the face in a photograph without points in the sidecar, see `PhotoReader`; by default
            `sidecar` (nobody) where a sidecar is given, else `network`.
        model, onnx, dense, geometry, weights, sha256: see `PhotoReader`.
        subjects: who is seen: `folder` (the photograph's folder; one that lies in `root` itself is its own subject),
            `file` (each photograph is another subject) or a CSV with the columns `file,subject`.
        size: side of the face picture in pixels.
        licence: licence of the photographs, written into every record.
        edges: `reflect` or `replicate` where the frame reaches over the photograph's edge.
        tone: how much of a camera's contrast curve is undone, 0-1.
        min_eyes_px: least distance between the eyes, in pixels of the photograph.

    Raises:
        ConfigError: no such folder, or an option out of range.
    """

    def __init__(
        self,
        root: Path | str,
        *,
        landmarks: Path | str | None = None,
        detector: DetectorName | Detector | None = None,
        model: Path | str | None = None,
        onnx: OnnxSettings | Mapping[str, Any] | None = None,
        dense: Dense = "network",
        geometry: Geometry = "network",
        weights: Path | str | None = None,
        subjects: str = "folder",
        size: int = 384,
        licence: str = "unstated",
        edges: Edges = "reflect",
        tone: float = 0.5,
        min_eyes_px: float = MIN_EYES_PX,
        sha256: Mapping[str, str] | None = None,
    ) -> None:
        self.root = Path(root)
        if not self.root.is_dir():
            raise ConfigError(f"faces: {self.root} is no folder", wanted="a folder of photographs")
        self.landmarks = None if landmarks is None else Path(landmarks)
        self.subjects, self.licence = str(subjects), licence
        try:
            self.photo = PhotoSettings(size=size, edges=edges, tone=tone, min_eyes_px=min_eyes_px)
        except ValueError as error:
            raise ConfigError(f"faces: {error}") from error
        if detector == "sidecar" and landmarks is None:
            raise ConfigError("faces: detector is 'sidecar' without one", wanted="`landmarks:`, or another detector")
        self.reader = PhotoReader(
            detector or ("network" if landmarks is None else "sidecar"),
            model=model,
            onnx=onnx,
            dense=dense,
            geometry=geometry,
            weights=weights,
            min_eyes_px=min_eyes_px,
            sha256=sha256,
        )
        self.name = f"folder:{self.root.name or self.root.resolve().name}"
        self._refs: tuple[FaceRef, ...] | None = None

    def refs(self) -> Sequence[FaceRef]:
        """List every photograph, sorted by path; those that `load` will refuse are among them.

        Raises:
            DataError: the sidecar or the subjects' CSV is unreadable or wrong, or there is no photograph.
        """
        if self._refs is None:
            points = {} if self.landmarks is None else read_landmarks(self.landmarks)
            subjects = _read_subjects(Path(self.subjects)) if self.subjects not in ("folder", "file") else {}
            files = sorted(_photographs(self.root))
            if not files:
                raise DataError(f"{self.root}: no photograph", wanted=f"files ending in {', '.join(SUFFIXES)}")
            self._refs = tuple(self._ref(file, points.get(file), subjects) for file in files)
        return self._refs

    def load(self, ref: FaceRef) -> Face:
        """Read, check, decode, frame and turn one photograph into radiance.

        Raises:
            SkipSample: `bad_name`, `path_escape`, `unreadable`, `file_too_large`, `file_changed`, `no_landmarks`,
                `no_face`, `profile_face`, `face_too_small`, `face_out_of_frame`, or a reason of
                `spooflab.bounded_decoder.decode_untrusted`.
        """
        refusal = name_refusal(ref.record["path"])
        if refusal is not None:
            raise SkipSample("bad_name", f"{shown_name(ref.record['path'])}: {refusal}")
        data = read_confined(self.root, ref.record["path"])
        found = hashlib.sha256(data).hexdigest()
        if found != ref.record["sha256"]:
            raise SkipSample(
                "file_changed", f"{ref.record['path']}: SHA-256 {found[:12]}…, recorded {ref.record['sha256'][:12]}…"
            )
        points = ref.record["points"]
        seen = None if points is None else FacePoints.from_record(points)
        pixels = decode_untrusted(data)
        seen = self.reader.points(pixels, seen, found)
        face = face_from_photo(pixels, seen, self.photo, subject_id=ref.subject_id, source_id=ref.source_id)
        return self.reader.read(face)

    def settings(self) -> dict[str, Any]:
        """Return what rebuilds this source."""
        return {
            "kind": "folder",
            "root": str(self.root),
            "landmarks": None if self.landmarks is None else str(self.landmarks),
            **self.reader.settings(),
            "subjects": self.subjects,
            "licence": self.licence,
            "size": self.photo.size,
            "edges": self.photo.edges,
            "tone": self.photo.tone,
            "min_eyes_px": self.photo.min_eyes_px,
        }

    def _ref(self, file: str, points: FacePoints | None, subjects: dict[str, str]) -> FaceRef:
        try:
            digest = hashlib.sha256(read_confined(self.root, file)).hexdigest()
        except SkipSample:
            digest = ""  # `load` meets the same obstacle and gives the reason
        if name_refusal(file) is not None:
            # Listed under a name that can be written down, and that no other file has.
            shown = f"{shown_name(file)}#{hashlib.sha256(os.fsencode(file)).hexdigest()[:12]}"
            return FaceRef(shown, shown, self.licence, {"path": file, "sha256": digest, "points": None})
        parent = PurePosixPath(file).parent.as_posix()
        if self.subjects == "folder":
            subject = file if parent == "." else parent
        elif self.subjects == "file":
            subject = file
        elif file in subjects:
            subject = subjects[file]
        else:
            raise DataError(f"{self.subjects}: no row for {file}", wanted="a subject for every photograph")
        record = {"path": file, "sha256": digest, "points": None if points is None else points.to_record()}
        return FaceRef(subject, file, self.licence, record)


def read_confined(root: Path, relative: str) -> bytes:
    """Read a file that must lie under `root` once all links are followed.

    Raises:
        SkipSample: `path_escape`, `unreadable` or `file_too_large`.
    """
    try:
        return confined_file(root, relative, max_bytes=MAX_FILE_BYTES).read_bytes()
    except OSError as error:
        raise SkipSample("unreadable", f"{relative}: {error.strerror}") from error


def _photographs(root: Path) -> list[str]:
    found: list[str] = []
    for folder, inner, files in os.walk(root):
        inner[:] = sorted(name for name in inner if not name.startswith("."))
        for name in files:
            if name.lower().endswith(SUFFIXES) and not name.startswith("."):
                found.append((Path(folder) / name).relative_to(root).as_posix())
    return found


def _read_subjects(path: Path) -> dict[str, str]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: {error}", wanted="'folder', 'file' or a CSV with the columns file,subject") from error
    names, rows = csv_table(text, path)
    if set(names) != {"file", "subject"}:
        raise DataError(f"{path}: columns {', '.join(names)[:200]}", wanted="file,subject")
    found: dict[str, str] = {}
    for _, row in rows:
        file, subject = row["file"], row["subject"]
        if not file or not subject:
            raise DataError(f"{path}: row {row}", wanted="a file and a subject in every row")
        if file in found:
            raise DataError(f"{path}: {file} is named twice", wanted="each file once")
        found[file] = subject
    return found
