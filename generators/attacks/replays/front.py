"""The front of a shown device in the light of the room: glass, grease, dust and the coat's sparkle."""

import torch
from torch import Tensor
from torch.nn import functional as F

from spooflab.generators.attacks.replays.params import ReplayParams
from spooflab.generators.attacks.replays.placement import Placement
from spooflab.generators.hashed import hashed
from spooflab.generators.instruments.dust import covered, speck_places
from spooflab.generators.instruments.panel_figures import PanelFigures
from spooflab.generators.instruments.smears import smears
from spooflab.generators.pose import Hit, cast_points, project
from spooflab.generators.scene import Named, Scene
from spooflab.generators.smooth_map import enlarge, node_grid, spread
from spooflab.generators.some import some

_CELL_PX = 10
"""Sensor pixels to a cell of the room's mirror image."""
_MATTE_CELLS = 5
"""How far an anti-glare surface spreads it, in cells."""
_GREASE_HAZE = 0.03
"""Diffuse reflectance of a thick smear."""
_DUST_ALBEDO = 0.4
_TILE = 128
"""Cells a side of the sparkle's pattern, which repeats."""
_FAINT_SPARKLE = 0.004


def illumination(placed: Placement, params: ReplayParams) -> Tensor:
    """Return (B, 3): what falls on the front, in the scene's unit (a white diffuser's radiance)."""
    _, _, normal = placed.pose.axes()
    facing = (-(normal * params.scene.key_direction).sum(-1)).clamp(min=0)
    return params.scene.ambient_rgb + params.scene.key_rgb * facing[:, None]


def ray_at_nodes(placed: Placement, hit: Hit) -> Tensor:
    """Return (B, h, w, 3) float64 unit vectors from the camera to where the nodes' rays meet the plane."""
    u_axis, v_axis, _ = (axis.double()[:, None, None] for axis in placed.pose.axes())
    centre = placed.pose.centre_mm.double()[:, None, None]
    return F.normalize(centre + hit.uv_mm[..., :1] * u_axis + hit.uv_mm[..., 1:] * v_axis, dim=-1)


def mirrored(placed: Placement, ray: Tensor) -> Tensor:
    """Return (B, h, w, 3) unit vectors: where the front, as a mirror, shows the camera's rays the room.

    Args:
        placed: the geometry.
        ray: from `ray_at_nodes`.
    """
    n = placed.pose.axes()[2].double()[:, None, None]
    return ray - 2 * (ray * n).sum(-1, keepdim=True) * n


def veil(
    scene: Scene,
    placed: Placement,
    params: ReplayParams,
    panel: PanelFigures,
    hit: Hit,
    ray: Tensor,
    lit: Tensor,
    named: Named,
) -> Tensor:
    """Return (B, 3, H, W): the room's light that glass, grease and the panel behind them send to the camera.

    Fresnel's reflectance by Schlick (1994), R0 + (1 - R0)(1 - cos)^5. Evaluated on cells of some pixels: the room's
    mirror image is out of focus. `hit` and `ray` are at the nodes, `lit` is `illumination`, `named` is the scene's.
    """
    view = placed.view
    height, width = view.height, view.width
    cells = (max(1, height // _CELL_PX), max(1, width // _CELL_PX))
    towards = mirrored(placed, ray).permute(0, 3, 1, 2).float()
    directions = spread(towards, height, width, rows=cells[0], columns=cells[1])
    room = scene.reflection(params.scene, directions.permute(0, 2, 3, 1), every=True, named=named)
    if some(panel.matte > 0):
        scattered = F.pad(room, (_MATTE_CELLS,) * 4, mode="replicate")
        scattered = F.avg_pool2d(scattered, 2 * _MATTE_CELLS + 1, stride=1)
        room = torch.lerp(room, scattered, panel.matte[:, None, None, None])
    smooth = torch.cat([hit.cosine, hit.uv_mm.permute(0, 3, 1, 2)], 1).float()
    cosine, at = torch.split(spread(smooth, height, width, rows=cells[0], columns=cells[1]), [1, 2], 1)
    base = panel.reflectance[:, None, None, None]
    fresnel = (base + (1 - base) * (1 - cosine) ** 5) * panel.mirror[:, None, None, None]
    place = at * (2 / panel.body)[..., None, None]
    grease = F.grid_sample(
        smears(params.smear_seed, panel.body), place.permute(0, 2, 3, 1), padding_mode="border", align_corners=False
    )
    grease = grease * params.smear[:, None, None, None]
    diffuse = panel.haze[:, None, None, None] + _GREASE_HAZE * grease
    return enlarge(room * fresnel * (1 - 0.6 * grease) + diffuse * lit[..., None, None], height, width)


def dust(placed: Placement, params: ReplayParams, panel: PanelFigures, lit: Tensor) -> Tensor:
    """Return (B, 3, H, W), or (1, 1, 1, 1) where every row is clean: what specks scatter of the light `lit` (B, 3)."""
    if not some(params.dust > 0):
        return torch.zeros(1, 1, 1, 1, device=params.dust.device)
    view = placed.view
    place, area_mm2 = speck_places(params.smear_seed, panel.active)
    at = project(view, placed.pose, place + panel.active_centre[:, None])
    area_px = area_mm2 * params.dust[:, None] / placed.mm_per_px.square()[:, None]
    share = covered(at, area_px, view.height, view.width)
    return share * (_DUST_ALBEDO * lit)[..., None, None]


def sparkle(placed: Placement, params: ReplayParams, panel: PanelFigures, at: Tensor) -> Tensor | None:
    """Return (B, 1, H, W) of mean 1: how an anti-glare coat's grain modulates the pixels behind it; None for no row.

    The coat's lenslets brighten some of the panel's pixels and dim others. A sensor pixel that averages n of them a
    side sees an n-th of that contrast.

    Args:
        placed: the geometry.
        params: what was drawn.
        panel: the figures of each row's panel.
        at: (B, 2, H, W) millimetres on the plane.
    """
    grain_mm = torch.maximum(panel.pitch, placed.mm_per_px)
    contrast = panel.sparkle * panel.pitch / grain_mm
    if not some(contrast > _FAINT_SPARKLE):
        return None
    tile = 1 + (hashed(params.smear_seed, "sparkle", 1, _TILE, _TILE) - 0.5) * (12**0.5 * contrast)[:, None, None, None]
    place = at * (2 / (_TILE * grain_mm))[:, None, None, None]
    grid = torch.remainder(place, 2).sub_(1).permute(0, 2, 3, 1)
    grain = F.grid_sample(tile, grid, mode="nearest", padding_mode="border", align_corners=False)
    return torch.where((contrast > _FAINT_SPARKLE)[:, None, None, None], grain, 1.0)


def node_hit(placed: Placement) -> Hit:
    """Return where the nodes' rays meet the plane, float64."""
    view = placed.view
    nodes = node_grid(view.height, view.width, placed.mm_per_px.device).expand(view.batch_size, -1, -1, -1)
    return cast_points(view, placed.pose, view.undistort(nodes))
