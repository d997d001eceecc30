"""What painting a face leaves behind, and how it goes back into a `Face`."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from spooflab.generators.attack import Changed
from spooflab.generators.face import PARSING, Face
from spooflab.generators.masked import either

_GLASSES = PARSING.index("glasses")


@dataclass(frozen=True)
class Painted:
    """One painted face.

    Attributes:
        radiance: (3, H, W).
        cover: (H, W) share of each pixel under product.
        facts: figures of shape (1,), units in the name.
        instrument: id.
    """

    radiance: Tensor
    cover: Tensor
    facts: dict[str, Tensor]
    instrument: str


def painted_face(face: Face, rows: Sequence[Painted]) -> Changed:
    """Return the changed batch; where a row's cover is 0, and on glasses, the radiance keeps its bits."""
    cover = torch.stack([row.cover for row in rows])[:, None].clamp_(0, 1)
    if face.parsing is not None:
        # Frames are thinner than the blocks in which smooth layers are laid.
        cover *= face.parsing != _GLASSES
    radiance = torch.stack([row.radiance for row in rows]).clamp_(min=0)
    changed = face.replace(
        radiance=either(cover > 0, radiance, face.radiance),
        spoof_mask=cover if face.spoof_mask is None else torch.maximum(cover, face.spoof_mask),
    )
    facts = {name: torch.cat([row.facts[name] for row in rows]) for name in rows[0].facts}
    return Changed(changed, facts, tuple(row.instrument for row in rows))
