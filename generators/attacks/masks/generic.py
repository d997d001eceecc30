"""A face that is nobody's: the shape of masks that portray no one."""

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from spooflab.generators.faces.procedural.model import head_model
from spooflab.generators.geometry.head_basis import ASYMMETRY, head_basis, neutral_expression
from spooflab.seeds import generator

_SPREAD = 0.55
"""Standard deviations of the statistical head by which makers' faces differ: they are near the mean."""


@dataclass(frozen=True, eq=False)
class Anonymous:
    """A neutral, symmetric head: `local` (V, 3) fine mesh and `eyes` (2, 4) centres and radii, head frame."""

    local: Tensor
    eyes: Tensor


@lru_cache(maxsize=8)
def anonymous(seed: int) -> Anonymous:
    """Return the head that a seed names."""
    basis = head_basis()
    shape = _SPREAD * torch.randn(basis.shapes, generator=generator(seed, "mask", "anonymous"))
    shape[-ASYMMETRY:] = 0
    coarse = basis.coarse(shape, neutral_expression())
    pair = coarse[-4:].reshape(2, 2, 3)
    radius = (pair[:, 1] - pair[:, 0]).square().sum(-1, keepdim=True).sqrt()
    return Anonymous(head_model().fine(coarse), torch.cat([pair[:, 0], radius], 1))
