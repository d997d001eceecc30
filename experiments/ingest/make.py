"""From an item to samples of the store: frames, the face's place, the crop, the figures."""

from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from spooflab.errors import SkipSample
from spooflab.experiments.ingest.clip import Shot, read_clip
from spooflab.experiments.ingest.config import IngestConfig
from spooflab.experiments.ingest.crop import Box, Cut, face_square, whole_frame
from spooflab.experiments.ingest.key import key_of
from spooflab.experiments.phash import phash
from spooflab.experiments.readers.face_files import FaceTrack, read_track
from spooflab.experiments.readers.item import RealItem
from spooflab.generators.faces.detect.reader import PhotoReader
from spooflab.generators.qc import measure
from spooflab.images import encode_png
from spooflab.provenance import GENERATOR, code_version
from spooflab.sample import Sample, Skip

Points = NDArray[np.float32]
_NO_POINTS = np.zeros((0, 2), dtype=np.float32)
_FOREHEAD = 0.15
"""How far the box goes over the highest of 68 landmarks (a brow), in heights of their own box."""


class Face(NamedTuple):
    """Where a face is in the source, and who says so: `annotation`, `network`, `picture` (was cropped) or `none`."""

    box: Box
    points: Points
    told_by: str
    told_for: int


class Maker:
    """Makes the samples of one data set's items.

    Args:
        config: the ingest.
    """

    def __init__(self, config: IngestConfig) -> None:
        self.config, self.root = config, Path(config.root)
        self.version = code_version()

    def make(self, index: int, item: RealItem) -> tuple[list[Sample], list[Skip]]:
        """Return the samples of item number `index`, and what of it had to be skipped, with reasons."""
        try:
            clip = read_clip(self.root, item, self.config)
            track = self._track(item)
        except SkipSample as skip:
            return [], [self.skip(index, 0, item, skip)]
        samples, skips = [], []
        for shot in clip.shots:
            try:
                samples.append(self._sample(index, item, shot, clip.frames, track))
            except SkipSample as skip:
                skips.append(self.skip(index, shot.frame, item, skip))
        return samples, skips

    def skip(self, index: int, frame: int, item: RealItem, skip: SkipSample) -> Skip:
        """Return the record of a frame that cannot be made."""
        name = self.config.reader
        return Skip(
            key_of(index, frame),
            item.species,
            skip.reason,
            f"frame {frame}: {skip.detail}",
            name,
            f"{name}/{item.subject}",
        )

    @cached_property
    def network(self) -> PhotoReader:
        """The shipped network, loaded when the first face is looked for."""
        return PhotoReader("network", geometry="none")

    def _track(self, item: RealItem) -> FaceTrack | None:
        if self.config.faces == "network":
            return None
        if item.box is not None:
            return FaceTrack({0: item.box}, everywhere=True)
        return None if item.face is None else read_track(self.root, item.face)

    def _face(self, item: RealItem, shot: Shot, pixels: NDArray[np.uint8], track: FaceTrack | None) -> Face:
        height, width = pixels.shape[:2]
        given = None if track is None else track.at(shot.frame, width, height)
        if given is not None:
            return Face(given[0], _NO_POINTS, "annotation", shot.frame if track and track.everywhere else given[1])
        if item.crop_given and self.config.faces != "network":
            return Face((0.0, 0.0, float(width), float(height)), _NO_POINTS, "picture", shot.frame)
        if self.config.faces == "given":
            raise SkipSample("no_annotation", f"{shot.path} frame {shot.frame}: the data set tells no box of its face")
        found = self.network.points(pixels, None, f"{shot.sha256}:{shot.frame}")
        assert found is not None  # only the template detector finds nothing without a reason
        low, high = found.points.min(0), found.points.max(0)
        top = low[1] - _FOREHEAD * (high[1] - low[1])
        box = (float(low[0]), float(top), float(high[0] - low[0]), float(high[1] - top))
        return Face(box, found.points.astype(np.float32), "network", shot.frame)

    def _cut(self, item: RealItem, shot: Shot, pixels: NDArray[np.uint8], track: FaceTrack | None) -> tuple[Cut, Face]:
        config = self.config
        if config.crop == "frame":
            height, width = pixels.shape[:2]
            try:
                face = self._face(item, shot, pixels, track)
            except SkipSample:
                face = Face((0.0, 0.0, float(width), float(height)), _NO_POINTS, "none", shot.frame)
            return whole_frame(pixels, size=config.size), face
        face = self._face(item, shot, pixels, track)
        if face.told_by == "picture":
            return whole_frame(pixels, size=config.size), face
        cut = face_square(pixels, face.box, size=config.size, margin=config.margin, min_face_px=config.min_face_px)
        return cut, face

    def _sample(self, index: int, item: RealItem, shot: Shot, frames: int, track: FaceTrack | None) -> Sample:
        if isinstance(shot.pixels, SkipSample):
            raise shot.pixels
        cut, face = self._cut(item, shot, shot.pixels, track)
        box = np.asarray(cut.box(face.box), dtype=np.float32)
        points = (face.points - np.array([cut.x, cut.y], dtype=np.float32)) * np.float32(cut.scale)
        name = self.config.reader
        return Sample.create(
            key=key_of(index, shot.frame),
            species=item.species,
            image=encode_png(cut.pixels),
            params=self._params(item, shot, frames, cut, face),
            qc=measure(cut.pixels, box),
            landmarks=points,
            box=() if face.told_by == "none" else box,
            seed=0,
            device_id=f"{name}/{item.device}",
            device_profile=f"{name}/{item.device}",
            subject_id=f"{name}/{item.subject}",
            subject_group=f"{name}/{item.group or item.subject}",
            source_id=f"{name}/{item.name}",
            face_source=name,
            digital_source_type=item.source_type,
            licence=self.config.licence,
            code_version=self.version,
            instrument_id=f"{name}/{item.instrument}" if item.instrument else "",
            donor_id=f"{name}/{item.donor}" if item.donor else "",
            generator=f"{name}, read by {GENERATOR}",
        )

    def _params(self, item: RealItem, shot: Shot, frames: int, cut: Cut, face: Face) -> dict[str, Any]:
        splits = {
            name: part for name, part in item.splits.items() if shot.frame < item.first_frames.get(name, shot.frame + 1)
        }
        return {
            "dataset": self.config.reader,
            "path": shot.path,
            "file_sha256": shot.sha256,
            "file": dict(shot.file),
            "frame": shot.frame,
            "frames_in_clip": frames,
            "own_class": item.own_class,
            "session": item.session,
            "splits": splits,
            "facts": dict(item.facts),
            "crop": {"x": cut.x, "y": cut.y, "scale": cut.scale},
            "face": {"told_by": face.told_by, "told_for_frame": face.told_for, "box": [round(v, 3) for v in face.box]},
            "orientation": item.orientation,
            "phash": f"{phash(cut.pixels):016x}",
        }
