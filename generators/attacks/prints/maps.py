"""The smooth fields of a shown sheet, at few nodes and spread over the pixels: where each pixel looks and its light."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional as F

from spooflab.generators.attacks.prints.creases import crease_slopes, creased
from spooflab.generators.attacks.prints.light import crease_light, light_sheet
from spooflab.generators.attacks.prints.params import PrintParams
from spooflab.generators.attacks.prints.place import Placement
from spooflab.generators.enlarge import enlarge
from spooflab.generators.instruments.paper import Paper
from spooflab.generators.instruments.paper_bend import cast_sheet
from spooflab.generators.scene import Scene

NODES = 49
"""Points a side at which geometry and light are computed; both are smooth in between."""
_BANDS = 8
_COVERED = 1.2  # picture pixels per sensor pixel above which the picture is averaged before it is sampled


@dataclass(frozen=True)
class Maps:
    """Fields at every sensor pixel (one row).

    Attributes:
        u, v: (H, W) sheet position, mm.
        depth_mm: (H, W) along the camera axis.
        shade: (3, H, W) illumination of the sheet.
        gloss: (3, H, W) radiance that its surface mirrors; None for none.
        footprint: (m, m, 2, 2) mm per pixel at the nodes.
        mm_per_px: median size of a sensor pixel on the sheet.
        low_mm, high_mm: (2,) the bounding box of what the frame sees of the sheet's plane.
    """

    u: Tensor
    v: Tensor
    depth_mm: Tensor
    shade: Tensor
    gloss: Tensor | None
    footprint: Tensor
    mm_per_px: float
    low_mm: Tensor
    high_mm: Tensor


def sheet_maps(
    params: PrintParams, paper: Paper, placement: Placement, scene: Scene, *, off: Collection[str] = ()
) -> Maps:
    """Cast rays at the nodes, light the sheet there, spread everything over the pixels, and add its creases.

    Args:
        params: the print's.
        paper: its instrument.
        placement: where it is.
        scene: the room.
        off: effects to leave out: `gloss`, `glare`, `shading`, `creases`.
    """
    view = placement.view
    height, width = view.height, view.width
    x = torch.linspace(0.5, width - 0.5, NODES)
    y = torch.linspace(0.5, height - 0.5, NODES)
    sensor = torch.stack(torch.meshgrid(x, y, indexing="xy"), -1)[None]
    hit = cast_sheet(view, placement.pose, params.bend, sensor)
    shade, gloss = light_sheet(hit, params, paper, placement, scene, off=off)
    step = torch.tensor([(width - 1) / (NODES - 1), (height - 1) / (NODES - 1)])
    uv = hit.uv_mm[0]
    footprint = torch.stack([torch.gradient(uv, dim=1)[0], torch.gradient(uv, dim=0)[0]], -1) / step
    fields = [uv.permute(2, 0, 1), hit.depth_mm, shade] + ([] if gloss is None else [gloss])
    full = spread(torch.cat(fields), height, width)
    area = (footprint[..., 0, 0] * footprint[..., 1, 1] - footprint[..., 0, 1] * footprint[..., 1, 0]).abs()
    coarse = footprint[:: NODES // 16, :: NODES // 16]
    size = float(area.median().sqrt())
    low, high = uv.amin((0, 1)), uv.amax((0, 1))
    maps = Maps(full[0], full[1], full[2], full[3:6], None if gloss is None else full[6:9], coarse, size, low, high)
    if creased(params.creases) and not {"creases", "shading"} & set(off):
        slope_u, slope_v = crease_slopes(params.creases, maps.u, maps.v, params.sheet_mm[0])
        crease_light(maps.shade, slope_u, slope_v, params.scene, placement.pose)
    return maps


@lru_cache(maxsize=16)
def _linear(size: int) -> Tensor:
    """Return (size, NODES): linear interpolation from the nodes to pixel centres."""
    with torch.inference_mode(False):
        at = torch.linspace(0, NODES - 1, size, dtype=torch.float64)[:, None]
        return (1 - (at - torch.arange(NODES)).abs()).clamp(min=0).float()


def spread(fields: Tensor, height: int, width: int) -> Tensor:
    """Return (C, height, width) of fields (C, NODES, NODES): linear between the nodes.

    A band of columns lies between few nodes, so only those are multiplied.
    """
    down, across = _linear(height), _linear(width)
    tall = (down @ fields).reshape(-1, NODES)
    full = torch.empty(len(fields) * height, width)
    for band in range(_BANDS):
        first, last = band * width // _BANDS, (band + 1) * width // _BANDS
        if first == last:
            continue
        low = max(0, (NODES - 1) * first // max(1, width - 1) - 1)
        high = min(NODES, (NODES - 1) * (last - 1) // max(1, width - 1) + 3)
        full[:, first:last] = tall[:, low:high] @ across[first:last, low:high].T
    return full.reshape(len(fields), height, width)


def sheet_cover(maps: Maps, sheet_mm: Tensor) -> Tensor:
    """Return (H, W): share of each pixel that a sheet of (2,) mm covers."""
    return box_cover(maps, -sheet_mm / 2, sheet_mm / 2)


def box_cover(maps: Maps, low_mm: Tensor, high_mm: Tensor) -> Tensor:
    """Return (H, W): share of each pixel that a rectangle of the sheet, given by two corners (2,), covers."""
    (cu, cv), (hu, hv) = ((low_mm + high_mm) / 2).tolist(), ((high_mm - low_mm) / 2).tolist()
    beyond = torch.maximum((maps.u - cu).abs_().sub_(hu), (maps.v - cv).abs_().sub_(hv))
    return beyond.mul_(-1 / maps.mm_per_px).add_(0.5).clamp_(0, 1)


def sample_picture(maps: Maps, planes: Tensor, corner_mm: Tensor, mm_per_px: float) -> Tensor:
    """Return (C, H, W) of printed planes (C, h, w) as the sensor's pixels see them; 0 outside.

    Args:
        maps: where each pixel looks.
        planes: in the photograph's pixels.
        corner_mm: (2,) sheet position of their upper left corner.
        mm_per_px: size of those pixels.
    """
    extent = torch.tensor([planes.shape[-1], planes.shape[-2]]) * mm_per_px
    shrink = maps.mm_per_px / mm_per_px
    if shrink > _COVERED:
        small = [max(8, round(s / shrink)) for s in planes.shape[-2:]]
        planes = F.interpolate(planes[None], size=small, mode="bilinear", antialias=True, align_corners=False)[0]
    grid = torch.empty(2, *maps.u.shape)  # whole planes: writing pairs is slow
    torch.sub(maps.u, float(corner_mm[0]), out=grid[0]).mul_(2 / float(extent[0])).sub_(1)
    torch.sub(maps.v, float(corner_mm[1]), out=grid[1]).mul_(2 / float(extent[1])).sub_(1)
    grid = grid.permute(1, 2, 0)
    return F.grid_sample(planes[None], grid[None], mode="bilinear", padding_mode="zeros", align_corners=False)[0]


def finely(depth: Callable[[Tensor, Tensor], Tensor], u: Tensor, v: Tensor, step: int) -> Tensor:
    """Return a depth at every point from every `step`-th: it is close to linear near the edge that it is for."""
    if u.shape[0] % step or u.shape[1] % step:
        return depth(u, v)
    return enlarge(depth(coarsely(u, step), coarsely(v, step)), step)


def coarsely(plane: Tensor, step: int) -> Tensor:
    """Return the values in the middle of each square of `step` x `step` pixels of a smooth field."""
    if step == 1:
        return plane
    near, far = step // 2 - 1, step // 2
    return (plane[near::step, near::step] + plane[far::step, far::step]).mul_(0.5)
