"""The front of a shown device in the light of the room: glass, grease, bezel and frame."""

import torch
from torch import Tensor
from torch.nn import functional as F

from spooflab.generators.attacks.replay_params import ReplayParams
from spooflab.generators.attacks.replay_placement import Placement
from spooflab.generators.instruments.panel_figures import PanelFigures
from spooflab.generators.instruments.smears import smears
from spooflab.generators.pose import Hit, cast_points
from spooflab.generators.scene import Scene
from spooflab.generators.smooth_map import enlarge, node_grid, spread

_CELL_PX = 8
"""Sensor pixels to a cell of the room's mirror image."""
_MATTE_CELLS = 5
"""How far an anti-glare surface spreads it, in cells."""
_GREASE_HAZE = 0.03
"""Diffuse reflectance of a thick smear."""


def illumination(placed: Placement, params: ReplayParams) -> Tensor:
    """Return (B, 3): what falls on the front, in the scene's unit (a white diffuser's radiance)."""
    _, _, normal = placed.pose.axes()
    facing = (-(normal * params.scene.key_direction).sum(-1)).clamp(min=0)
    return params.scene.ambient_rgb + params.scene.key_rgb * facing[:, None]


def mirrored(placed: Placement, hit: Hit) -> Tensor:
    """Return (B, h, w, 3) unit vectors: where the front, as a mirror, shows the camera's rays the room.

    Args:
        placed: the geometry.
        hit: `cast_points` at the nodes.
    """
    u_axis, v_axis, normal = (axis.double() for axis in placed.pose.axes())
    uv = hit.uv_mm
    point = (
        placed.pose.centre_mm.double()[:, None, None]
        + uv[..., :1] * u_axis[:, None, None]
        + uv[..., 1:] * v_axis[:, None, None]
    )
    ray = F.normalize(point, dim=-1)
    n = normal[:, None, None]
    return ray - 2 * (ray * n).sum(-1, keepdim=True) * n


def veil(scene: Scene, placed: Placement, params: ReplayParams, panel: PanelFigures, hit: Hit) -> Tensor:
    """Return (B, 3, H, W): the room's light that glass, grease and the panel behind them send to the camera.

    Fresnel's reflectance by Schlick (1994), R0 + (1 - R0)(1 - cos)^5. Evaluated on cells of some pixels: the room's
    mirror image is far out of focus.
    """
    view = placed.view
    height, width = view.height, view.width
    cells = (max(1, height // _CELL_PX), max(1, width // _CELL_PX))
    towards = mirrored(placed, hit).permute(0, 3, 1, 2).float()
    directions = spread(towards, height, width, rows=-(-cells[0] // 2), columns=-(-cells[1] // 2))
    room = scene.reflection(params.scene, directions.permute(0, 2, 3, 1), every=True)
    room = F.interpolate(room, size=cells, mode="bilinear", align_corners=False)
    if bool((panel.matte > 0).any()):
        scattered = F.pad(room, (_MATTE_CELLS,) * 4, mode="replicate")
        scattered = F.avg_pool2d(scattered, 2 * _MATTE_CELLS + 1, stride=1)
        room = torch.lerp(room, scattered, panel.matte[:, None, None, None])
    smooth = torch.cat([hit.cosine, hit.uv_mm.permute(0, 3, 1, 2)], 1).float()
    cosine, at = torch.split(spread(smooth, height, width, rows=cells[0], columns=cells[1]), [1, 2], 1)
    base = panel.reflectance[:, None, None, None]
    fresnel = base + (1 - base) * (1 - cosine) ** 5
    place = at * (2 / panel.body)[..., None, None]
    grease = F.grid_sample(
        smears(params.smear_seed, panel.body), place.permute(0, 2, 3, 1), padding_mode="border", align_corners=False
    )
    grease = grease * params.smear[:, None, None, None]
    lit = illumination(placed, params)[..., None, None]
    diffuse = panel.haze[:, None, None, None] + _GREASE_HAZE * grease
    return enlarge(room * fresnel * (1 - 0.6 * grease) + diffuse * lit, height, width)


def node_hit(placed: Placement) -> Hit:
    """Return where the nodes' rays meet the plane, float64."""
    view = placed.view
    nodes = node_grid(view.height, view.width).expand(view.batch_size, -1, -1, -1)
    return cast_points(view, placed.pose, view.undistort(nodes))
