"""Render a batch of prints row by row and stack what comes out."""

from collections.abc import Callable
from typing import TypeVar

import torch

from spooflab.augment.view import View
from spooflab.generators.attack import Rendered
from spooflab.generators.face import Face
from spooflab.params import Params

ParamsT = TypeVar("ParamsT", bound=Params)


def stack_rows(face: Face, view: View, params: ParamsT, render: Callable[[Face, View, ParamsT], Rendered]) -> Rendered:
    """Call `render` with each row as a batch of one, and concatenate.

    Raises:
        ValueError: face, view and params differ in batch size.
    """
    sizes = {face.batch_size, view.batch_size, params.batch_size}
    if len(sizes) != 1:
        raise ValueError(
            f"print: faces, views and params have batch sizes {face.batch_size}, {view.batch_size}, "
            f"{params.batch_size}; wanted equal ones"
        )
    rows = [render(face.row(i), view.row(i), params.row(i)) for i in range(face.batch_size)]
    if len(rows) == 1:
        return rows[0]
    return Rendered(
        irradiance=torch.cat([r.irradiance for r in rows]),
        mask=torch.cat([r.mask for r in rows]),
        depth_mm=torch.cat([r.depth_mm for r in rows]),
        landmarks=torch.cat([r.landmarks for r in rows]),
        box=torch.cat([r.box for r in rows]),
        facts={name: torch.cat([r.facts[name] for r in rows]) for name in rows[0].facts},
        instrument_id=tuple(name for r in rows for name in r.instrument_id),
    )
