"""What a model learns from: crops of faces and of rendered masks with their conditions, kept in shards on disk."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, fields
from io import BytesIO
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from spooflab.atomic import write_once
from spooflab.errors import ConfigError, DataError, SkipSample
from spooflab.generators.attacks.digital.swap_mask import face_width, hull, soft_mask
from spooflab.generators.diffusion.face_frame import Frame, crop, face_frame, on_crop
from spooflab.generators.diffusion.identity_crop import SIDE as IDENTITY_SIDE
from spooflab.generators.diffusion.identity_crop import identity_crop
from spooflab.generators.diffusion.marked_normals import marked_normals
from spooflab.generators.diffusion.mask_frame import REGION, mask_frame
from spooflab.generators.diffusion.materials import MATERIALS, MaskGeometry, prompt_of
from spooflab.generators.diffusion.studio import encoded
from spooflab.generators.diffusion.training.captions import caption
from spooflab.generators.face import Face, FaceRef, FaceSource
from spooflab.params import uniform
from spooflab.seeds import generator

GROUP = 16
"""Subjects of one shard; donors and other pictures of a person come from the same shard."""
_EMPTY = 0.06
"""Share of faces whose whole crop is painted: the model learns to paint without surroundings too."""
_MARGIN = (1.12, 1.5)
FACE = "face"
"""Kind of an example without a mask; others are keys of `MATERIALS`."""


@dataclass(frozen=True)
class Examples:
    """Examples as a shard holds them.

    Attributes:
        picture: (N, 3, S, S) uint8 sRGB.
        region: (N, S, S) uint8, 255 what is to be painted, else 0.
        condition: (N, 3, S, S) uint8 map for the ControlNet.
        points: (N, 68, 2) float32 landmarks in pixels of the picture.
        likeness: (N, 3, I, I) uint8 inner face of the same person, in another picture where there is one.
        subject: (N,) person's name.
        kind: (N,) `FACE`, or the mask's material.
        caption: (N,) words.
    """

    picture: NDArray[np.uint8]
    region: NDArray[np.uint8]
    condition: NDArray[np.uint8]
    points: NDArray[np.float32]
    likeness: NDArray[np.uint8]
    subject: NDArray[np.str_]
    kind: NDArray[np.str_]
    caption: NDArray[np.str_]

    def __len__(self) -> int:
        return len(self.picture)

    @classmethod
    def cat(cls, parts: Sequence["Examples"]) -> "Examples":
        """Concatenate shards."""
        return cls(**{f.name: np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(cls)})


@dataclass(frozen=True)
class Prepared:
    """How examples are made.

    Attributes:
        size: side of a crop in pixels.
        masks: examples with a mask for each face, 0 or more; 1.5 is one of each face and another of every second.
        seed: root of all draws.
    """

    size: int
    masks: float
    seed: int


def make_group(source: FaceSource, refs: Sequence[FaceRef], how: Prepared, group: int) -> tuple[Examples, list[str]]:
    """Return the examples of some subjects, and why others could not be made.

    Args:
        source: loads the faces.
        refs: all pictures of these subjects, a subject's together.
        how: sizes and shares.
        group: number of the shard, names its draws.
    """
    faces, skipped = _load(source, refs)
    rows = []
    for k, (ref, face) in enumerate(faces):
        gen = generator(how.seed, "example", group, k)
        same = [f for r, f in faces if r.subject_id == ref.subject_id and r.source_id != ref.source_id]
        other = same[int(torch.randint(0, len(same), (1,), generator=gen))] if same else face
        likeness = identity_crop(encoded(other), other.landmarks)
        rows.append(_face(face, likeness, caption(source, ref, gen), how.size, gen))
        strangers = [f for r, f in faces if r.subject_id != ref.subject_id]
        count = int(how.masks) + int(float(torch.rand(1, generator=gen)) < how.masks % 1)
        for number in range(count):
            material = list(MATERIALS)[int(torch.randint(0, len(MATERIALS), (1,), generator=gen))]
            drawn = generator(how.seed, "mask", group, k, number)
            shown = strangers[int(torch.randint(0, len(strangers), (1,), generator=gen))] if strangers else None
            try:
                rows.append(_masked(face, shown, material, likeness, how.size, drawn))
            except (SkipSample, DataError) as error:
                skipped.append(f"{ref.source_id}: {material}: {error}")
    if not rows:
        return _nothing(how.size), skipped
    return Examples.cat(rows), skipped


def _load(source: FaceSource, refs: Sequence[FaceRef]) -> tuple[list[tuple[FaceRef, Face]], list[str]]:
    faces, skipped = [], []
    for ref in refs:
        try:
            with torch.inference_mode():
                faces.append((ref, source.load(ref)))
        except SkipSample as error:
            skipped.append(f"{ref.source_id}: {error}")
    return faces, skipped


def _face(face: Face, likeness: Tensor, words: str, size: int, gen: torch.Generator) -> Examples:
    points = face.landmarks[0]
    frame = _moved(face_frame(points, float(uniform(1, *_MARGIN, gen))), gen)
    at = on_crop(face.landmarks, frame, size)
    wide = face_width(at)
    soft = soft_mask(
        hull(at, uniform(1, 0.08, 0.6, gen)),
        uniform(1, -0.06, 0.05, gen) * wide,
        0.02 * wide,
        uniform(1, 0, 0.02, gen) * wide,
        torch.randint(0, 2**62, (1,), generator=gen),
        size,
        size,
    )
    empty = float(torch.rand(1, generator=gen)) < _EMPTY
    region = torch.ones_like(soft) if empty else (soft > 0).float()
    picture = crop(encoded(face), frame, size)
    condition = marked_normals(at, (size, size), None)
    return _example(picture, region, condition, at, likeness, face.subject_id[0], FACE, words)


def _masked(
    wearer: Face, shown: Face | None, material: str, likeness: Tensor, size: int, gen: torch.Generator
) -> Examples:
    mask = MaskGeometry(material)
    face = mask.worn(wearer, shown if mask.needs_donor else None, mask.sample(gen)).face
    frame = _moved(mask_frame(face, float(uniform(1, 1.05, 1.3, gen))), gen)
    assert face.spoof_mask is not None
    region = (crop(face.spoof_mask, frame, size) > REGION).float()
    normals = None if face.normals is None else crop(face.normals, frame, size)
    at = on_crop(face.landmarks, frame, size)
    condition = marked_normals(at, (size, size), normals)
    picture = crop(encoded(face), frame, size)
    # A paper mask's face goes by the name of whom it shows; the likeness is its wearer's.
    return _example(picture, region, condition, at, likeness, wearer.subject_id[0], material, prompt_of(material))


def _moved(frame: Frame, gen: torch.Generator) -> Frame:
    """Return the frame shifted and turned a little: landmarks are never exact."""
    dx, dy, turn = (torch.randn(3, generator=gen).clamp(-2, 2) * torch.tensor([0.015, 0.015, 0.03])).tolist()
    return Frame(frame.x + dx * frame.side, frame.y + dy * frame.side, frame.side, frame.angle_rad + turn)


def _example(
    picture: Tensor,
    region: Tensor,
    condition: Tensor,
    points: Tensor,
    likeness: Tensor,
    subject: str,
    kind: str,
    words: str,
) -> Examples:
    return Examples(
        picture=_bytes(picture),
        region=_bytes(region)[:, 0],
        condition=_bytes(condition),
        points=np.asarray(points.float().numpy()),
        likeness=_bytes(likeness),
        subject=np.array([subject], dtype=np.str_),
        kind=np.array([kind], dtype=np.str_),
        caption=np.array([words], dtype=np.str_),
    )


def _bytes(values: Tensor) -> NDArray[np.uint8]:
    return np.asarray((values.clamp(0, 1) * 255).round().to(torch.uint8).numpy())


def _nothing(size: int) -> Examples:
    maps, word = np.zeros((0, 3, size, size), np.uint8), np.zeros(0, np.str_)
    likeness = np.zeros((0, 3, IDENTITY_SIDE, IDENTITY_SIDE), np.uint8)
    return Examples(maps, maps[:, 0], maps, np.zeros((0, 68, 2), np.float32), likeness, word, word, word)


def shards_of(refs: Sequence[FaceRef]) -> list[list[FaceRef]]:
    """Return the pictures by groups of `GROUP` subjects, in the source's order."""
    by_subject: dict[str, list[FaceRef]] = {}
    for ref in refs:
        by_subject.setdefault(ref.subject_id, []).append(ref)
    subjects = list(by_subject.values())
    return [[ref for subject in subjects[k : k + GROUP] for ref in subject] for k in range(0, len(subjects), GROUP)]


class ExampleFolder:
    """Examples on disk: `examples.json` says of what they were made, `NNNNN.npz` hold them.

    A shard appears whole or not at all, so that a stopped run goes on, and several processes may fill one folder.

    Args:
        folder: where; made if missing.
        source: the faces.
        how: sizes and shares.

    Raises:
        ConfigError: the folder holds examples that were made otherwise, or the source is empty.
    """

    def __init__(self, folder: Path, source: FaceSource, how: Prepared) -> None:
        self.folder, self._source, self._how = folder, source, how
        self._groups = shards_of(source.refs())
        if not self._groups:
            raise ConfigError("the source has no faces", wanted="at least one")
        facts = json.dumps({"faces": source.settings(), **vars(how)}, sort_keys=True)
        folder.mkdir(parents=True, exist_ok=True)
        about = folder / "examples.json"
        if not about.exists():
            write_once(folder, about, facts.encode())
        if about.read_text(encoding="utf-8") != facts:
            raise ConfigError(
                f"{folder} holds examples of other faces or sizes", wanted=facts, next_step="name another folder"
            )

    def __len__(self) -> int:
        return len(self._groups)

    def path(self, group: int) -> Path:
        """Return where a shard lies."""
        return self.folder / f"{group:05d}.npz"

    def fill(self, group: int) -> list[str]:
        """Make a shard if it is missing; return why some of its examples could not be made."""
        if self.path(group).exists():
            return []
        made, skipped = make_group(self._source, self._groups[group], self._how, group)
        held = BytesIO()
        np.savez(held, **vars(made))
        write_once(self.folder, self.path(group), held.getvalue())
        return skipped

    def read(self) -> Examples:
        """Return all examples.

        Raises:
            DataError: a shard is missing or damaged, or all of them are empty.
        """
        found = Examples.cat([read_shard(self.path(group)) for group in range(len(self))])
        if not len(found):
            raise DataError(f"{self.folder}: no face could be made an example of", next_step="see what was left out")
        return found


def read_shard(path: Path) -> Examples:
    """Return one shard.

    Raises:
        DataError: it is missing or damaged.
    """
    try:
        # Opened here: numpy leaves a damaged file open.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as data:
            return Examples(**{f.name: data[f.name] for f in fields(Examples)})
    except (OSError, EOFError, KeyError, ValueError, BadZipFile) as error:
        raise DataError(f"{path}: no readable examples: {error}", next_step="remove it: it is made again") from error
