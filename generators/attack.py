"""What every attack is: `sample` draws its physics, `render` turns a face into what the sensor receives."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, Self, runtime_checkable

import torch
from torch import Tensor

from spooflab.augment.view import View
from spooflab.errors import DataError
from spooflab.generators.face import Face
from spooflab.params import Params


@dataclass(frozen=True)
class Rendered:
    """What reaches the sensor, with its ground truth.

    Attributes:
        irradiance: (B, 3, H, W) float32 linear, diffuse white about 1, on the sensor's grid *after* the lens
            (distortion, blur, pixel aperture) and before vignetting, colour filters and noise.
        mask: (B, 1, H, W) in [0, 1]: share of each pixel that the attack instrument (or manipulated region) covers.
        depth_mm: (B, 1, H, W) distance of what is seen, `inf` for far background.
        landmarks: (B, 68, 2) the face's landmarks, in sensor pixels.
        box: (B, 4) the face's box, in sensor pixels.
        facts: derived physical figures for the record, each (B,), units in the name (`distance_mm`).
        instrument_id: one per sample; empty where there is no instrument.
        models: ids of the trained models that had a part in it.
    """

    irradiance: Tensor
    mask: Tensor
    depth_mm: Tensor
    landmarks: Tensor
    box: Tensor
    facts: dict[str, Tensor] = field(default_factory=dict)
    instrument_id: tuple[str, ...] = ()
    models: tuple[str, ...] = ()


@runtime_checkable
class Attack(Protocol):
    """A presentation or injection attack (or the bona fide presentation) of one species.

    `render` must treat samples independently: row i of a batch equals the batch of row i alone.

    Attributes:
        species: name in the taxonomy.
        needs_donor: whether a second subject's face is wanted.
    """

    species: str
    needs_donor: bool

    def sample(self, batch_size: int, generator: torch.Generator) -> Params:
        """Draw physical parameters on the CPU."""
        ...

    def parse(self, record: dict[str, Any]) -> Params:
        """Rebuild parameters from a record's JSON (`Params.to_json`)."""
        ...

    def render(self, face: Face, view: View, params: Params, donor: Face | None = None) -> Rendered:
        """Return the sensor irradiance; deterministic. `donor` is another subject's face where `needs_donor`."""
        ...


@dataclass(frozen=True)
class Changed:
    """A face after a manipulation.

    Attributes:
        face: with its `spoof_mask` set; pixels where that is 0 keep their bits.
        facts: derived physical figures for the record, each (B,), units in the name.
        instrument_id: one per face; empty where nothing physical is worn.
        models: ids of the trained models that had a part in it.
    """

    face: Face
    facts: dict[str, Tensor] = field(default_factory=dict)
    instrument_id: tuple[str, ...] = ()
    models: tuple[str, ...] = ()

    @classmethod
    def stack(cls, rows: Sequence[Self]) -> Self:
        """Concatenate faces that one manipulation changed."""
        if len(rows) == 1:
            return rows[0]
        return cls(
            face=Face.stack([row.face for row in rows]),
            facts={name: torch.cat([row.facts[name] for row in rows]) for name in rows[0].facts},
            instrument_id=tuple(name for row in rows for name in row.instrument_id),
            models=tuple(dict.fromkeys(name for row in rows for name in row.models)),
        )


@runtime_checkable
class Manipulation(Protocol):
    """A change of the face itself: digital (a swap, a morph) or worn (a mask, makeup, glasses).

    It is injected or photographed as a live face is, or shown on an instrument by `Chain`.

    Attributes:
        species: name in the taxonomy.
        needs_donor: whether a second subject's face is wanted.
    """

    species: str
    needs_donor: bool

    def sample(self, batch_size: int, generator: torch.Generator) -> Params:
        """Draw parameters on the CPU."""
        ...

    def parse(self, record: dict[str, Any]) -> Params:
        """Rebuild parameters from a record's JSON (`Params.to_json`)."""
        ...

    def apply(self, face: Face, donor: Face | None, params: Params) -> Changed:
        """Return the manipulated face; deterministic, and row by row."""
        ...


def wanted_donor(donor: Face | None, species: str) -> Face:
    """Return the donor.

    Raises:
        DataError: there is none.
    """
    if donor is None:
        raise DataError(f"{species}: no donor", wanted="another subject's face", next_step="pass donor=")
    return donor
