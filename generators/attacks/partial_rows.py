"""Row by row: read each face's geometry, change it, and stack what comes out."""

from collections.abc import Callable
from typing import TypeVar

import torch

from spooflab.generators.attack import Changed
from spooflab.generators.attacks.print_rows import face_row
from spooflab.generators.face import Face
from spooflab.generators.geometry.geometry import Geometry, read_geometry
from spooflab.params import Params

ParamsT = TypeVar("ParamsT", bound=Params)


def change_rows(
    face: Face, donor: Face, params: ParamsT, change: Callable[[Face, Face, ParamsT, Geometry], Changed]
) -> Changed:
    """Call `change` with each row as a batch of one and its geometry, and concatenate.

    Args:
        face: the wearers.
        donor: as many donors; the wearers again where there is none.
        params: as many.
        change: for one row.

    Raises:
        ValueError: batch sizes differ.
        SkipSample: no head can be fitted to a face.
    """
    sizes = (face.batch_size, donor.batch_size, params.batch_size)
    if len(set(sizes)) != 1:
        raise ValueError(f"faces, donors and params have batch sizes {sizes}; wanted equal ones")
    rows = []
    for i in range(face.batch_size):
        one = face_row(face, i)
        rows.append(change(one, face_row(donor, i), params.row(i), read_geometry(one)))
    return stacked(rows)


def stacked(rows: list[Changed]) -> Changed:
    """Concatenate changed faces of one kind."""
    if len(rows) == 1:
        return rows[0]
    return Changed(
        Face.stack([row.face for row in rows]),
        {name: torch.cat([row.facts[name] for row in rows]) for name in rows[0].facts},
        tuple(name for row in rows for name in row.instrument_id),
        tuple(dict.fromkeys(name for row in rows for name in row.models)),
    )
