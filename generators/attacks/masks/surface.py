"""The mask's surface over the picture: cover, depth, normals, rest place and what is painted there."""

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional as F

from spooflab.errors import SkipSample
from spooflab.generators.attacks.masks.cover import jaw_line
from spooflab.generators.attacks.masks.filter import unit_planes
from spooflab.generators.attacks.masks.fit import Worn
from spooflab.generators.face import PARSING, Face
from spooflab.generators.faces.procedural import eyes
from spooflab.generators.faces.procedural.model import head_model
from spooflab.generators.geometry.head_basis import head_basis
from spooflab.generators.geometry.head_fit import HeadFit
from spooflab.generators.geometry.light import Light, shading
from spooflab.generators.geometry.mesh_maps import mesh_maps
from spooflab.generators.geometry.polygon import polygon_cover

_MARGIN_PX = 6
_COARSE = 4
_BLEED = 0.01
"""How far hair spreads, in widths of the head."""
_HAIR = PARSING.index("hair")
_COVERING = tuple(PARSING.index(name) for name in ("background", "clothes", "glasses"))


@dataclass(frozen=True, eq=False)
class Surface:
    """Maps over a window of the picture.

    Attributes:
        rows, columns: the window.
        cover: (h, w) share of the pixel that the whole mesh covers.
        depth_mm: (h, w) `inf` outside.
        normal: (3, h, w) unit, camera axes.
        rest: (3, h, w) place on the rest head, millimetres.
        sky: (h, w) share of ambient light that reaches the place on a bare head.
        ball: (h, w) 1 on the eyeballs.
        source: (C, h, w) further attributes that were asked for.
        mm_per_px: scale at the face.
    """

    rows: slice
    columns: slice
    cover: Tensor
    depth_mm: Tensor
    normal: Tensor
    rest: Tensor
    sky: Tensor
    ball: Tensor
    source: Tensor
    mm_per_px: float

    @property
    def window(self) -> tuple[slice, slice]:
        """Rows and columns."""
        return self.rows, self.columns


@dataclass(frozen=True, eq=False)
class Parts:
    """Fixed topology of a part of the head: triangles (with eyeballs) over coarse vertices, and their attributes."""

    triangles: Tensor
    fixed: Tensor


@lru_cache(maxsize=8)
def head_parts(below_jaw_mm: float, back_mm: float) -> Parts:
    """Return the head down to some millimetres below the jaw's line and back to a rest z, with its eyeballs.

    `fixed` is (N + 2 S, 5): rest place and open sky of the coarse vertices and of the two eyeballs' S points, and 1
    for the latter.
    """
    model, basis = head_model(), head_basis()
    count = len(basis.mean) // 3 - 4
    rest = model.rest[:count]
    shown = (rest[:, 1] > jaw_line(rest.T) - below_jaw_mm) & (rest[:, 2] > back_mm)
    keep = shown[basis.coarse_triangles].all(1) & ~model.teeth.repeat_interleave(2)
    sphere, faces = eyes.ball()
    pair = model.base[-4:].reshape(2, 2, 3)
    radius = (pair[:, 1] - pair[:, 0]).norm(dim=-1)
    balls = [sphere * radius[k] + pair[k, 0] for k in range(2)]
    triangles = torch.cat([basis.coarse_triangles[keep], faces + count, faces + count + len(sphere)])
    sky = torch.cat([model.open_sky[:count], torch.full((2 * len(sphere),), 0.75)])
    ball = torch.cat([torch.zeros(count), torch.ones(2 * len(sphere))])
    return Parts(triangles, torch.cat([torch.cat([rest, *balls]), sky[:, None], ball[:, None]], 1))


def draw(wearer: HeadFit, worn: Worn, parts: Parts, extra: Tensor | None = None) -> Surface:
    """Rasterise a mask over the wearer's picture.

    Args:
        wearer: gives camera and picture size.
        worn: the mask.
        parts: what of the head it comprises; the outline is cut later.
        extra: (N + 2 S, C) further attributes of the vertices.

    Raises:
        SkipSample: `mask_outside`: nothing of it falls into the picture.
    """
    count = len(head_basis().mean) // 3 - 4
    sphere, _ = eyes.ball()
    balls = [sphere @ worn.turn.T * worn.eyes[k, 3] + worn.eyes[k, :3] for k in range(2)]
    points = torch.cat([worn.points[:count], *balls])
    facing = torch.cat([worn.normals[:count], *[sphere @ worn.turn.T] * 2])
    attributes = torch.cat([facing, parts.fixed] + ([] if extra is None else [extra]), 1)
    triangles = parts.triangles
    pixel = wearer.project(points)[torch.unique(triangles)]
    height, width = wearer.size
    low, high = pixel.amin(0) - _MARGIN_PX, pixel.amax(0) + _MARGIN_PX
    high[1] = high[1] + 0.12 * (high[1] - low[1])  # for the shadow below the chin
    left, top = max(0, int(low[0]) // 2 * 2), max(0, int(low[1]) // 2 * 2)
    right, bottom = min(width, int(high[0])), min(height, int(high[1]))
    if right - left < 16 or bottom - top < 16:
        raise SkipSample("mask_outside", "the mask falls outside of the picture")
    centre = (wearer.centre_px[0] - left, wearer.centre_px[1] - top)
    size = (bottom - top, right - left)
    maps = mesh_maps(points, triangles, attributes, wearer.focal_px, centre, size, supersample=2, step=1)
    values = maps.attributes
    normal = unit_planes(values[:3])
    scale = float(worn.points[:count, 2].amin()) / wearer.focal_px
    return Surface(
        slice(top, bottom), slice(left, right), maps.cover, maps.depth_mm, normal, values[3:6], values[6],
        values[7], values[8:], scale,
    )  # fmt: skip


def painted_from(face: Face, fit: HeadFit, light: Light) -> Tensor:
    """Return (N + 2 S, 6) attributes by which a face's picture is laid on a mask.

    Position in the picture (in `grid_sample`'s unit), irradiance there (so that paint is radiance over irradiance), and
    how well the place is seen: 0 where it turns away, lies outside of the picture or is hidden by hair or glasses.
    """
    count = len(head_basis().mean) // 3 - 4
    sphere, _ = eyes.ball()
    balls = [fit.to_camera(sphere * fit.eyes[k, 3] + fit.eyes[k, :3]) for k in range(2)]
    points = torch.cat([fit.points[:count], *balls])
    normals = torch.cat([fit.normals[:count], *[sphere @ fit.rotation.T] * 2])
    size = torch.tensor([face.size[1], face.size[0]])
    at = fit.project(points) / size * 2 - 1
    eye = -points / points.norm(dim=1, keepdim=True)
    seen = (((normals * eye).sum(1) - 0.12) / 0.25).clamp(0, 1)
    seen = seen * ((1.0 - at.abs().amax(1)) * 20).clamp(0, 1)
    lit = shading(light, normals.T.contiguous())
    seen[:count] *= _bare(face, at[:count], lit[:, :count], light)
    return torch.cat([at, lit.T, seen[:, None]], 1)


def _bare(face: Face, at: Tensor, lit: Tensor, light: Light) -> Tensor:
    """Return (N,) how likely the picture shows the face itself at coarse vertices: not hair over it, nor glasses."""
    rest = head_model().rest[: len(at)]
    if face.parsing is not None:
        # A picture's blur and the painter's carry hair's colour some millimetres over its edge.
        few = face.parsing[0, :, ::_COARSE, ::_COARSE]
        spreads = (few == _HAIR).float()
        wide = max(1, round(_BLEED * float(at.amax(0)[0] - at.amin(0)[0]) * few.shape[-1]))
        across = F.max_pool2d(spreads[None], (1, 2 * wide + 1), 1, (0, wide))
        grown = F.max_pool2d(across, (2 * wide + 1, 1), 1, (wide, 0))
        for kind in _COVERING:
            grown = torch.maximum(grown, (few == kind).float())
        return 1 - F.grid_sample(grown, at[None, None], "bilinear", "border", align_corners=False)[0, 0, 0]
    colour = F.grid_sample(face.radiance, at[None, None], "bilinear", "border", align_corners=False)[0, :, 0]
    ratio = (colour.clamp(min=1e-3) / lit / light.skin_albedo[:, None]).log()
    chroma = ratio - ratio.mean(0)
    alike = torch.exp(-(chroma.square().sum(0) / 0.05) - (ratio.mean(0).abs() - 0.35).clamp(min=0).square() / 0.05)
    x, y, z = rest.unbind(1)
    outer = torch.maximum(torch.maximum((y - 24) / 8, (x.abs() - 50) / 10), (-z + 5) / 15).clamp(0, 1)
    under = ((-y - 98) / 6).clamp(0, 1)
    doubt = torch.maximum(outer, under)
    return 1 - doubt * (1 - alike)


@lru_cache(maxsize=1)
def _neck() -> Tensor:
    """Return coarse vertices at the jaw's corners and at the neck's foot: the neck's outline."""
    rest = head_model().rest[: len(head_basis().mean) // 3 - 4]
    wanted = torch.tensor([[54.0, -72, -42], [60.0, -150, -60], [-60.0, -150, -60], [-54.0, -72, -42]])
    return torch.cdist(wanted, rest).argmin(1)


def neck_cover(wearer: HeadFit, surface: Surface) -> Tensor:
    """Return (h, w): where the wearer's own neck is in the window, on which a mask's chin casts its shadow."""
    outline = wearer.project(wearer.points[_neck()])
    outline = outline - torch.tensor([float(surface.columns.start), float(surface.rows.start)])
    size = (surface.cover.shape[0], surface.cover.shape[1])
    return polygon_cover(outline, size, feather_px=6.0)


def head_cover(wearer: HeadFit, rows: slice, columns: slice, *, shrink: int = 1) -> Tensor:
    """Return where the wearer's head and neck are in a window, at 1 / `shrink` of the picture's resolution."""
    basis = head_basis()
    points = wearer.points[: len(basis.mean) // 3 - 4]
    centre = ((wearer.centre_px[0] - columns.start) / shrink, (wearer.centre_px[1] - rows.start) / shrink)
    size = ((rows.stop - rows.start) // shrink, (columns.stop - columns.start) // shrink)
    return mesh_maps(
        points, basis.coarse_triangles, points[:, :1], wearer.focal_px / shrink, centre, size, supersample=1, step=2
    ).cover
