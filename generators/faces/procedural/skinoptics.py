"""The colour of skin from its pigments: a melanin layer over a scattering, blood-filled dermis."""

import math
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn.functional import grid_sample

from spooflab.generators.faces.procedural.light import matching, xyz_to_rgb

MELANIN = (0.005, 0.6)
BLOOD = (0.004, 0.16)
_STEPS = 48
# Jacques fits 3.33, which makes dark skin more saturated than it is measured (b* 35 instead of 15 to 20 at L* 40).
_MELANIN_SLOPE = 2.0
# Molar extinction (1/cm per mol/l) of oxygenated and reduced haemoglobin every 20 nm from 400 nm (Prahl 1998).
_HBO2 = (266232, 480360, 102580, 44480, 26629, 20932, 24202, 53236, 32613, 50104, 3200, 942, 442, 320, 278, 290)
_HB = (223296, 407560, 413280, 23389, 14550, 20862, 31590, 46592, 53788, 37020, 14677, 6510, 4345, 3227, 2407, 1794)


def reflectance(melanin: Tensor, blood: Tensor) -> Tensor:
    """Return (N, 3) linear sRGB albedo under daylight-balanced light, for (N,) volume fractions.

    Light crosses the epidermis twice (Beer–Lambert, 60 µm with slant) and is scattered back by the dermis (diffuse
    reflectance of a half space, Flock/Farrell). Absorption and scattering after Jacques 1998, "Skin optics summary";
    haemoglobin after Prahl 1998, 150 g/l, 75 % oxygenated.
    """
    nm = torch.arange(400.0, 701.0, 20.0, dtype=torch.float64)
    hbo2, hb = torch.tensor(_HBO2, dtype=torch.float64), torch.tensor(_HB, dtype=torch.float64)
    whole_blood = 2.303 * 150 / 64500 * (0.75 * hbo2 + 0.25 * hb)
    base = 0.244 + 85.3 * torch.exp(-(nm - 154) / 66.2)
    m, b = melanin.to(torch.float64)[:, None], blood.to(torch.float64)[:, None]
    epidermis = m * 494.0 * (nm / 550) ** -_MELANIN_SLOPE + (1 - m) * base
    dermis = b * whole_blood * 0.5 + (1 - b) * base
    scatter = 1.1e12 * nm**-4 + 73.7 * nm**-0.22
    albedo = scatter / (scatter + dermis)
    # Diffuse reflectance of a half space with matched boundary (Hapke 1981's two-stream form).
    gamma = torch.sqrt(1 - albedo)
    back = (1 - gamma) / (1 + gamma)
    through = torch.exp(-epidermis * 0.006 * 1.55)
    spectrum = 0.96 * through * back + 0.012
    weight = matching(nm)
    xyz = (spectrum[..., None] * weight).sum(1) / weight[:, 1].sum()
    white = weight.sum(0) / weight[:, 1].sum()
    d65 = torch.tensor([0.9505, 1.0, 1.089], dtype=torch.float64)
    return xyz_to_rgb(xyz / white * d65).clamp(min=0.003).to(torch.float32)


@lru_cache(maxsize=1)
def _table() -> Tensor:
    """Return (1, 3, blood, melanin) reflectances on logarithmic axes."""
    m, b = (torch.linspace(math.log(low), math.log(high), _STEPS).exp() for low, high in (MELANIN, BLOOD))
    grid_b, grid_m = torch.meshgrid(b, m, indexing="ij")
    return reflectance(grid_m.reshape(-1), grid_b.reshape(-1)).T.reshape(1, 3, _STEPS, _STEPS)


def albedo(melanin: Tensor, blood: Tensor) -> Tensor:
    """Return (N, 3) like `reflectance`, from a table: within 1 % of it inside `MELANIN` × `BLOOD`."""
    return albedo_planes(melanin, blood).T


def albedo_planes(melanin: Tensor, blood: Tensor) -> Tensor:
    """Return `albedo` as (3, N) planes."""

    def axis(values: Tensor, low: float, high: float) -> Tensor:
        span = math.log(high / low)
        return values.log().sub_(math.log(low)).mul_(2 / span).sub_(1)

    grid = torch.stack([axis(melanin, *MELANIN), axis(blood, *BLOOD)], -1)[None, None]
    return grid_sample(_table(), grid, "bilinear", "border", align_corners=True)[0, :, 0]
