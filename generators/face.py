"""A face as the generators know it: scene radiance with the geometry that attacks need.

Coordinates everywhere are continuous image pixels, x right and y down, the first pixel's centre at (0.5, 0.5), so an
image of width W spans [0, W] and agrees with `torch.nn.functional.grid_sample(..., align_corners=False)`.
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, Self

import torch
from torch import Tensor

PARSING = (
    "background",
    "skin",
    "nose",
    "ears",
    "brows",
    "eyes",
    "lips",
    "mouth",
    "hair",
    "beard",
    "neck",
    "clothes",
    "glasses",
)
"""Class names of `Face.parsing`, by value."""


@dataclass(frozen=True)
class Face:
    """A batch of bona fide faces.

    Attributes:
        radiance: (B, 3, H, W) float32, linear sRGB primaries, diffuse white about 1, highlights may exceed it.
        landmarks: (B, 68, 2) float32 pixels, iBUG order (0-16 jaw from the image's left, 17-26 brows, 27-35 nose,
            36-41 the eye at the image's left, 42-47 the other, 48-67 mouth).
        box: (B, 4) float32 pixels: x, y, width, height of the face (chin to brow/hairline, cheek to cheek).
        subject_id: who is seen, one per sample.
        source_id: which photograph or rendered session, one per sample.
        depth_mm: (B, 1, H, W) distance from the camera plane, `inf` for background; None where unknown.
        normals: (B, 3, H, W) unit vectors in camera axes (x right, y down, z away from the camera); None where unknown.
        parsing: (B, 1, H, W) uint8 class index into `PARSING`; None where unknown.
        spoof_mask: (B, 1, H, W) in [0, 1]: what a manipulation has already changed; None for a genuine face.
        synthetic: whether the pixels were rendered rather than photographed.
    """

    radiance: Tensor
    landmarks: Tensor
    box: Tensor
    subject_id: tuple[str, ...]
    source_id: tuple[str, ...]
    depth_mm: Tensor | None = None
    normals: Tensor | None = None
    parsing: Tensor | None = None
    spoof_mask: Tensor | None = None
    synthetic: bool = True

    @property
    def batch_size(self) -> int:
        """Number of faces."""
        return int(self.radiance.shape[0])

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return int(self.radiance.shape[-2]), int(self.radiance.shape[-1])

    @property
    def landmarks5(self) -> Tensor:
        """(B, 5, 2): eye at the image's left, other eye, nose tip, mouth corners left and right in the image."""
        points = self.landmarks
        left, right = points[:, 36:42].mean(1), points[:, 42:48].mean(1)
        return torch.stack([left, right, points[:, 30], points[:, 48], points[:, 54]], dim=1)

    def replace(self, **changes: Any) -> Self:
        """Return a copy with some fields changed."""
        return dataclasses.replace(self, **changes)

    def row(self, index: int) -> Self:
        """Return one face as a batch of one; of a batch of one its only row is itself."""
        if self.batch_size == 1 and index == 0:
            return self
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return self.replace(**{n: v[index : index + 1] for n, v in values.items() if isinstance(v, Tensor | tuple)})

    @classmethod
    def stack(cls, faces: Sequence[Self]) -> Self:
        """Concatenate batches; an optional field that one batch lacks is dropped."""

        def cat(name: str) -> Tensor | None:
            values = [getattr(face, name) for face in faces]
            return None if any(v is None for v in values) else torch.cat(values)

        return cls(
            radiance=torch.cat([f.radiance for f in faces]),
            landmarks=torch.cat([f.landmarks for f in faces]),
            box=torch.cat([f.box for f in faces]),
            subject_id=tuple(s for f in faces for s in f.subject_id),
            source_id=tuple(s for f in faces for s in f.source_id),
            depth_mm=cat("depth_mm"),
            normals=cat("normals"),
            parsing=cat("parsing"),
            spoof_mask=cat("spoof_mask"),
            synthetic=all(f.synthetic for f in faces),
        )


@dataclass(frozen=True)
class FaceRef:
    """A face that a source can load: cheap to list, and enough, with the source's settings, to load it again.

    Attributes:
        subject_id: who is seen.
        source_id: which photograph or session of that subject; unique within the source.
        licence: licence of the photograph, or of the renderer's output.
        record: JSON-ready facts that `FaceSource.load` needs (a relative path and sha256, or subject and session
            numbers).
    """

    subject_id: str
    source_id: str
    licence: str
    record: dict[str, Any] = dataclasses.field(default_factory=dict)


class FaceSource(Protocol):
    """Where bona fide faces come from. Loading is a pure function of the source's settings and the reference."""

    name: str

    def refs(self) -> Sequence[FaceRef]:
        """List every face in a fixed order."""
        ...

    def load(self, ref: FaceRef) -> Face:
        """Return a batch of one.

        Raises:
            spooflab.errors.SkipSample: the face cannot be had; the reason becomes a skip record.
        """
        ...

    def settings(self) -> dict[str, Any]:
        """Return JSON-ready settings from which the source can be rebuilt (`kind` is its name in the configuration)."""
        ...
