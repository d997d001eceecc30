"""Colour separation: RGB to CMYK by inverting the printer's own forward model, with gamut mapping and black generation.

A table over sRGB-encoded colours is solved once for each printer. Rendering intent: relative to paper white, with
black-point compensation; a colour outside the gamut goes to the nearest printable one in CIELAB, hue weighing most and
chroma least. Black: grey-component replacement (GCR) moves part of the common grey of C, M and Y into K.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional as F

from spooflab.generators.instruments.ink_colour import lab_planes, linear_to_lab, luminance, srgb_decode
from spooflab.generators.instruments.ink_model import InkModel

NODES = 17
_WEIGHTS = (1.0, 0.7, 1.8)  # lightness, chroma, hue: how much each counts where a colour cannot be printed
_STEPS = 28
_SETTLED = 1e-4  # of full coverage: a fortieth of a step of eight bits
_EXCESS = 60.0  # Lab units for each unit of ink over the limit


@dataclass(frozen=True)
class BlackGeneration:
    """How the separation uses black ink.

    Attributes:
        gcr: share of the grey component (above `start`) that black replaces, 0-1.
        start: grey component below which no black is printed, 0-1.
        ink_limit: largest sum of nominal coverages, 2-4 (total area coverage).
        has_black: False for dye prints of C, M and Y alone.
    """

    gcr: float = 0.6
    start: float = 0.15
    ink_limit: float = 3.2
    has_black: bool = True


def separation_table(model: InkModel, black: BlackGeneration, *, nodes: int = NODES) -> Tensor:
    """Return (4, nodes, nodes, nodes) nominal coverages over encoded red, green, blue in equal steps from 0 to 1."""
    axis = torch.linspace(0, 1, nodes)
    encoded = torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"), -1).reshape(-1, 3)
    return separate(model, black, encoded).T.reshape(4, nodes, nodes, nodes).contiguous()


def separate(model: InkModel, black: BlackGeneration, encoded: Tensor) -> Tensor:
    """Return the nominal coverages (N, 4) that print sRGB-encoded colours (N, 3): CMY, black by GCR, all."""
    target = linear_to_lab(print_target(model, black, srgb_decode(encoded)))
    start = torch.cat([1 - encoded, torch.zeros_like(encoded[:, :1])], -1)
    nothing = torch.zeros_like(start[:, 0])
    cmy = _solve(model, target, start, wanted_k=nothing, hold=1e3, limit=3.0)
    if not black.has_black:
        return cmy
    grey = cmy[:, :3].amin(-1)
    wanted = black.gcr * ((grey - black.start) / (1 - black.start)).clamp(0, 1)
    relieved = torch.cat([cmy[:, :3] - (0.8 * wanted)[:, None], wanted[:, None]], -1).clamp(0, 1)
    return _solve(model, target, relieved, wanted_k=wanted, hold=0.6, limit=black.ink_limit)


def print_target(model: InkModel, black: BlackGeneration, linear: Tensor) -> Tensor:
    """Return the reflectance (N, 3) that the print aims at: white to paper, black to the printer's darkest neutral."""
    solid = torch.tensor([0.75, 0.65, 0.65, 1.0] if black.has_black else [1.0, 1.0, 1.0, 0.0])
    floor = luminance(model.reflectance(solid)) / luminance(model.white)
    return model.white * (floor + (1 - floor) * linear)


def apply_table(table: Tensor, encoded: Tensor) -> Tensor:
    """Interpolate a separation table (4, N, N, N) at encoded images (B, 3, h, w): nominal coverages (B, 4, h, w)."""
    nodes = table.shape[-1]
    pairs = torch.cat([table[:, :-1], table[:, 1:]])  # lower and upper red
    atlas = pairs.permute(0, 2, 1, 3).reshape(1, 8, nodes, -1).expand(encoded.shape[0], -1, -1, -1)
    wide = nodes * (nodes - 1)
    red, green, blue = (encoded.clamp(0, 1) * (nodes - 1)).unbind(1)
    slab = red.floor().clamp_(max=nodes - 2)
    down = green * (2 / (nodes - 1)) - 1
    # 2-D sampling of slabs of red, side by side in an atlas, is three times as fast as 3-D
    across = (slab * nodes).add_(blue).mul_(2 / (wide - 1)).sub_(1)
    grid = torch.stack([across, down], 1).permute(0, 2, 3, 1)  # whole planes: writing pairs is slow
    lower, upper = F.grid_sample(atlas, grid, padding_mode="border", align_corners=True).chunk(2, 1)
    return torch.lerp(lower, upper, red.sub_(slab)[:, None])


def _solve(model: InkModel, target: Tensor, start: Tensor, *, wanted_k: Tensor, hold: float, limit: float) -> Tensor:
    """Minimise the weighted colour difference over the box [0, 1]^4 by projected Levenberg-Marquardt steps.

    `hold` pulls K towards `wanted_k` (in Lab units for a full change of K): among the many CMYK that print one colour
    it picks the one that GCR wants, yet gives way where the colour needs more black. A colour is finished once a step
    would move no ink by `_SETTLED`; most are after a few steps.
    """
    task = _Task(model, target.T, _hue_frame(target), wanted_k, hold, limit)
    solved = start.T.clone()
    left = torch.arange(len(target))
    x, damping = solved.clone(), torch.ones_like(wanted_k)
    residual, jacobian = task.linearised(x)
    for _ in range(_STEPS):
        gradient = (jacobian * residual[:, None]).sum(0)
        stuck = ((x <= 0) & (gradient > 0)) | ((x >= 1) & (gradient < 0))
        free = jacobian.masked_fill(stuck, 0.0)
        normal = (free[:, :, None] * free[:, None]).sum(0) + torch.diag_embed(damping.expand(4, -1).T).permute(1, 2, 0)
        step = torch.linalg.solve(normal.permute(2, 0, 1), (free * residual[:, None]).sum(0).T).T
        trial = (x - step.clamp(-0.4, 0.4)).clamp(0, 1)
        fresh, slope = task.linearised(trial)
        better = (fresh**2).sum(0) < (residual**2).sum(0)
        going = (trial - x).abs().amax(0) >= _SETTLED
        x = torch.where(better, trial, x)
        residual = torch.where(better, fresh, residual)
        jacobian = torch.where(better, slope, jacobian)
        damping = torch.where(better, damping * 0.3, damping * 6).clamp(1e-3, 1e6)
        solved[:, left] = x
        if not bool(going.any()):
            break
        left, task = left[going], task.of(going)
        x, residual, jacobian, damping = (plane[..., going] for plane in (x, residual, jacobian, damping))
    return solved.T.contiguous()


@dataclass(frozen=True)
class _Task:
    """What `_solve` minimises, in planes: one column for each colour."""

    model: InkModel
    target: Tensor  # (3, N) CIELAB
    frame: Tensor  # (2, 2, N)
    wanted_k: Tensor  # (N,)
    hold: float
    limit: float

    def of(self, columns: Tensor) -> "_Task":
        target, frame, wanted_k = (plane[..., columns] for plane in (self.target, self.frame, self.wanted_k))
        return replace(self, target=target, frame=frame, wanted_k=wanted_k)

    def linearised(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the residual (5, N) at the coverages (4, N) and its derivatives (5, 4, N)."""
        colour, by_ink = self.model.linearised(x)
        lab, by_lab = lab_planes(colour, by_ink)
        weigh = lab.new_tensor(_WEIGHTS)[:, None]
        residual, jacobian = lab.new_empty(5, x.shape[1]), lab.new_zeros(5, *x.shape)
        residual[:3] = self._turned(lab - self.target) * weigh
        jacobian[:3] = self._turned(by_lab) * weigh[..., None]
        residual[3] = self.hold * (x[3] - self.wanted_k)
        jacobian[3, 3] = self.hold
        excess = x.sum(0) - self.limit
        residual[4] = _EXCESS * excess.clamp(min=0)
        jacobian[4] = _EXCESS * (excess > 0)
        return residual, jacobian

    def _turned(self, lab: Tensor) -> Tensor:
        """Return lightness, chroma and hue (3, ..., N) of differences in CIELAB."""
        frame = self.frame if lab.dim() == 2 else self.frame[:, :, None]
        return torch.cat([lab[:1], frame[:, 0] * lab[1] + frame[:, 1] * lab[2]])


def _hue_frame(target: Tensor) -> Tensor:
    """Return (2, 2, N): the directions of chroma and of hue in the a*b* plane at each target (N, 3)."""
    chroma = target[:, 1:].norm(dim=-1, keepdim=True)
    radial = torch.where(chroma > 1e-3, target[:, 1:] / chroma.clamp(min=1e-3), target.new_tensor([1.0, 0.0]))
    along_a, along_b = radial.T
    return torch.stack([torch.stack([along_a, along_b]), torch.stack([-along_b, along_a])])
