"""What a reader tells of one clip or picture, and of a file that it cannot place."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, NamedTuple

from spooflab.errors import DataError
from spooflab.provenance import DIGITAL_CAPTURE, SOURCE_TYPES
from spooflab.taxonomy import is_species

Kind = Literal["image", "frames", "video", "hdf5", "parquet"]
"""A picture; a folder of pictures that are one clip; a video file; a clip in HDF5; one row of a Parquet file."""
Part = Literal["train", "dev", "test"]
Orientation = Literal["display", "rot180", "rot90ccw", "transpose"]
"""How stored frames are turned upright: by the file's own display matrix, or as the data set's owner says."""
FaceForm = Literal["box_xywh", "box_frame_xywh", "box_frame_ltrb", "box_ltrb", "eyes_frame", "box_celeba_spoof"]
"""Form of an annotation file, see `face_files`."""


class FaceFile(NamedTuple):
    """An annotation file that tells where the face is.

    Attributes:
        path: under the data set's root.
        form: how it is read.
    """

    path: str
    form: FaceForm


@dataclass(frozen=True, kw_only=True)
class RealItem:
    """One clip or picture of a data set, by what its name and lists say.

    Attributes:
        path: file or folder under the root, with `/`.
        kind: how its pixels are read.
        species: name in our taxonomy, the nearest where the data set's class is another.
        own_class: the data set's own name of that class.
        subject: whose face is shown or worn, as the data set names them.
        device: capture device, as the data set names it.
        donor: the second person, where the species has one and the data set tells.
        group: subjects that a split must not part; the subject's own name by default.
        instrument: the physical instrument, where the data set tells.
        session: capture session, scene or light.
        splits: part that each official protocol gives the item to; protocols that leave it out are absent.
        first_frames: protocols that use only so many frames from the start of the clip.
        face: annotation file of the face, if the data set has one.
        box: x, y, width, height of the face in pixels, where a list tells it.
        orientation: how frames are turned upright.
        source_type: IPTC term, `digitalCapture` unless the picture was made or changed by a program.
        crop_given: the pictures are already cropped to the face.
        row: row of a Parquet file.
        facts: whatever else the data set tells, kept as it is.
    """

    path: str
    kind: Kind
    species: str
    own_class: str
    subject: str
    device: str
    donor: str = ""
    group: str = ""
    instrument: str = ""
    session: str = ""
    splits: Mapping[str, Part] = field(default_factory=dict)
    first_frames: Mapping[str, int] = field(default_factory=dict)
    face: FaceFile | None = None
    box: tuple[float, float, float, float] | None = None
    orientation: Orientation = "display"
    source_type: str = DIGITAL_CAPTURE
    crop_given: bool = False
    row: int = -1
    facts: Mapping[str, str | int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not is_species(self.species):
            raise DataError(f"{self.path}: species {self.species!r}", wanted="a name of the taxonomy")
        if self.source_type not in SOURCE_TYPES:
            raise DataError(f"{self.path}: source type {self.source_type!r}", wanted="one of SOURCE_TYPES")
        for name in ("path", "own_class", "subject", "device"):
            if not getattr(self, name):
                raise DataError(f"{self.path}: {name} is empty", wanted="a name")

    @property
    def attack(self) -> bool:
        """Whether it is an attack."""
        return self.species != "bonafide"

    @property
    def name(self) -> str:
        """Name of the clip or picture, unique within the data set."""
        return self.path if self.row < 0 else f"{self.path}#{self.row}"

    def to_record(self) -> dict[str, Any]:
        """Return JSON-ready values."""
        return {**asdict(self), "face": None if self.face is None else list(self.face)}


@dataclass(frozen=True)
class Broken:
    """A file that does not fit the layout, or that a list names and the disk lacks.

    Attributes:
        path: under the root.
        reason: short code in snake_case that reports count by.
        detail: one sentence for a person.
    """

    path: str
    reason: str
    detail: str = ""
