"""Which light is likely on a face: statistics of the light that sessions are drawn with."""

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from spooflab.generators.faces.procedural.sample import sample_nuisance
from spooflab.seeds import generator

_SESSIONS, _SEED = 1500, 20240611
_WIDER = 1.5
"""Real light varies more than drawn light does."""


@dataclass(frozen=True, eq=False)
class LightPrior:
    """Normal distribution of the coefficients of irradiance, relative to its mean over surfaces that face the camera.

    Attributes:
        mean: (9,) float64.
        precision: (9, 9) inverse covariance.
        key: (3, 9) linear regression of the key lamp's irradiance times its direction on the coefficients.
    """

    mean: Tensor
    precision: Tensor
    key: Tensor


def harmonics(normals: Tensor) -> Tensor:
    """Return (9, …) polynomials of (3, …) unit normals: 1; x, y, z; xy, yz, 3z² − 1, xz, x² − y².

    They span the spherical harmonics up to order 2, which hold 99 % of any irradiance (Ramamoorthi & Hanrahan 2001).
    """
    x, y, z = normals
    return torch.stack([torch.ones_like(x), x, y, z, x * y, y * z, 3 * z * z - 1, x * z, x * x - y * y])


def lamp(direction: Tensor) -> Tensor:
    """Return (9, …) coefficients of the irradiance of a distant lamp, 1 on a facing surface, towards (3, …).

    The clamped cosine is 1/4 + P₁/2 + 5/16 P₂ + … in Legendre polynomials, which the addition theorem spreads over
    the harmonics.
    """
    scale = torch.tensor(
        [1 / 4, *[1 / 2] * 3, *(5 / 16 * k for k in (3.0, 3.0, 0.25, 3.0, 0.75))], dtype=direction.dtype
    )
    return harmonics(direction) * scale.reshape(9, *[1] * (direction.dim() - 1))


@lru_cache(maxsize=1)
def light_prior() -> LightPrior:
    """Build the prior from drawn sessions and their mirror images."""
    drawn = sample_nuisance(_SESSIONS, generator(_SEED, "geometry light"))
    axes = torch.tensor([1.0, -1.0, -1.0])
    lamps = ((drawn.key_direction, drawn.key_level), (drawn.fill_direction, drawn.fill_level))
    total = (drawn.ambient_level * _ambient()[:, None]).double()
    for direction, level in (*lamps, (drawn.rim_direction, drawn.rim_level)):
        total = total + lamp((direction * axes).T.double()) * level.double()
    key = ((drawn.key_direction * axes).T * drawn.key_level).double()
    mirror = torch.tensor([1.0, -1, 1, 1, -1, 1, 1, -1, 1], dtype=torch.float64)[:, None]
    total = torch.cat([total, total * mirror], 1)
    key = torch.cat([key, key * mirror[1:4]], 1)
    # Mean over the hemisphere before the camera, by how much of the picture each part takes: ∫ −z · basis.
    seen = torch.tensor([1.0, 0, 0, -2 / 3, 0, 0, 0.5, 0, 0], dtype=torch.float64)
    level = seen @ total
    total, key = total / level, key / level
    mean = total.mean(1)
    off = total - mean[:, None]
    spread = off @ off.T / total.shape[1]
    slope = torch.linalg.solve(total @ total.T + 1e-3 * total.shape[1] * torch.eye(9).double(), total @ key.T).T
    precision = torch.linalg.inv(spread * _WIDER**2 + 0.02**2 * torch.eye(9, dtype=torch.float64))
    return LightPrior(mean, precision, slope)


def _ambient() -> Tensor:
    """Return (9,) coefficients of the sky-and-ground light at level 1 (`procedural.light.ambient`), camera axes."""
    sky, ground = 1.25, 0.45
    out = torch.zeros(9)
    middle, rise = (sky + ground) / 2, (sky - ground) / 2
    # (middle − rise · y) (0.8 − 0.2 z), y pointing down and z away.
    out[0], out[2], out[3], out[5] = 0.8 * middle, -0.8 * rise, -0.2 * middle, 0.2 * rise
    return out
