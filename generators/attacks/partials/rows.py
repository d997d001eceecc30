"""Row by row: read each face's geometry, change it, and stack what comes out."""

from collections.abc import Callable
from typing import TypeVar

from spooflab.generators.attack import Changed
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
        one = face.row(i)
        rows.append(change(one, donor.row(i), params.row(i), read_geometry(one)))
    return Changed.stack(rows)
