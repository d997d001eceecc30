"""Batches of randomised crops: another place, light, camera and occlusion for each rendered face, and pictures without.

The network never sees two pictures alike, and none as clean as a render: that is what makes it work on photographs
(Tobin et al. 2017, "Domain randomization"; Wood et al. 2021, "Fake it till you make it").
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from spooflab.generators.face_net.frame import extent
from spooflab.generators.face_net.network import INPUT, STRIDE
from spooflab.generators.face_net.predict import MIRROR
from spooflab.generators.face_net.training import camera, occlude
from spooflab.generators.face_net.training.render import Rendered, decode
from spooflab.params import log_uniform, uniform

MAP = INPUT // 2
"""Side of the maps in pixels."""
IGNORE = 255
"""Class of a map's pixel that counts for nothing."""
_NEGATIVE_SHARE = 0.12
_FULL = (0.35, 0.74)
"""Shares of the crop's side between which a face is one of the wanted size."""
_SOFT = (0.27, 0.9)
"""Shares between which it is neither that nor another."""


@dataclass(frozen=True)
class Batch:
    """Crops and what is true of them.

    Attributes:
        picture: (B, 3, `INPUT`, `INPUT`) sRGB codes in [0, 1].
        points: (B, 68, 2) in shares of the side.
        seen: (B, 68) 1 where the point lies in the crop of a face that counts, else 0.
        parsing: (B, `MAP`, `MAP`) int64 classes or `IGNORE`.
        depth_mm: (B, `MAP`, `MAP`) distance less the face's mean, nan where unknown.
        forward: (B, 2) direction that the head looks along, x and y in image axes.
        place: (B, h, w) 1 a face's middle, 0 none, -1 either.
        offset: (B, 2, h, w), log2_size: (B, h, w): see `Places`.
        face: (B,) 1 where the crop holds a face that counts.
    """

    picture: Tensor
    points: Tensor
    seen: Tensor
    parsing: Tensor
    depth_mm: Tensor
    forward: Tensor
    place: Tensor
    offset: Tensor
    log2_size: Tensor
    face: Tensor


def draw_batch(faces: Rendered, textures: Tensor, gen: torch.Generator) -> Batch:
    """Return a randomised crop of each face; some of them are pictures without a face instead.

    Args:
        faces: B rendered faces.
        textures: (T, 3, s, s) radiance of pictures without faces.
        gen: where all draws come from.
    """
    light, parsing = decode(torch.from_numpy(faces.image)), torch.from_numpy(faces.parsing)
    points = torch.from_numpy(faces.landmarks)
    size, batch = light.shape[-1], len(faces)
    light = _behind(light, parsing, occlude.scraps(textures, batch, size, gen), gen)
    warp, turn, flip = _warp(points, size, gen)
    scraps = occlude.scraps(textures, batch, INPUT, gen)
    light, depth, classes, inside = _warped(
        light, parsing, torch.from_numpy(faces.depth_mm), warp, scraps.roll(1, 0), gen
    )
    at = _points(points, warp, size, flip)
    pose = torch.deg2rad(torch.from_numpy(faces.pose_deg))
    forward = _forward(pose, turn, flip)
    negative = torch.rand(batch, generator=gen) < _NEGATIVE_SHARE
    light = torch.where(negative[:, None, None, None], scraps, light)
    light, covered = occlude.occlude(light, scraps.roll(2, 0), gen)
    hidden = F.avg_pool2d(covered, 2)[:, 0] > 0.3
    counts = ~negative
    share = extent(at)
    counts = counts & (share > _SOFT[0]) & (share < 1.05)
    off = hidden | ~inside
    classes = torch.where(off, IGNORE, classes)
    classes = torch.where(negative[:, None, None], torch.where(hidden, IGNORE, 0), classes)
    depth = torch.where(off | ~counts[:, None, None], torch.nan, depth)
    place, offset, log2_size = _places(at, share, ~negative)
    within = ((at > 0) & (at < 1)).all(-1) & counts[:, None]
    codes = camera.shoot(light, gen)
    return Batch(codes, at, within.float(), classes, depth, forward, place, offset, log2_size, counts.float())


def _behind(light: Tensor, parsing: Tensor, other: Tensor, gen: torch.Generator) -> Tensor:
    """Put a picture without faces behind half of the people."""
    batch = len(light)
    cover = camera.box_blur((parsing != 0).float()[:, None])
    swap = (torch.rand(batch, generator=gen) < 0.5).float()[:, None, None, None]
    return light + swap * (1 - cover) * (other - light)


def _warp(points: Tensor, size: int, gen: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Return maps (B, 2, 3) from crop to picture in [-1, 1] coordinates, the turn in radians, and what is mirrored."""
    batch = len(points)
    share = log_uniform(batch, 0.36, 0.72, gen)
    # Half are framed nearly as they are at the last look, some hardly hold a face.
    tidy = torch.rand(batch, generator=gen) < 0.5
    share = torch.where(tidy, log_uniform(batch, 0.45, 0.6, gen), share)
    wild = torch.rand(batch, generator=gen) < 0.1
    share = torch.where(wild, log_uniform(batch, 0.15, 1.5, gen), share)
    own = extent(points) / size
    side = own / share
    side = torch.where((side > 1.2) & ~wild, uniform(batch, 0.85, 1.2, gen), side)
    # The middle wanders by shares of the crop: a search never hits it exactly.
    wander = (
        torch.randn(batch, 2, generator=gen)
        * torch.where(wild, 0.25, torch.where(tidy, 0.02, 0.06))[:, None]
        * side[:, None]
    )
    middle = (points.amax(1) + points.amin(1)) / size - 1
    turn = (torch.randn(batch, generator=gen) * 12).clamp(-35, 35) * (math.pi / 180)
    turn = torch.where(tidy, turn * 0.4, torch.where(torch.rand(batch, generator=gen) < 0.2, turn * 2, turn))
    flip = torch.rand(batch, generator=gen) < 0.5
    squeeze = 1 + 0.06 * torch.randn(batch, generator=gen).clamp(-2, 2)
    c, s, sign = turn.cos() * side, turn.sin() * side, torch.where(flip, -1.0, 1.0)
    rows = torch.stack(
        [
            torch.stack([c * sign * squeeze, -s], -1),
            torch.stack([s * sign * squeeze, c], -1),
        ],
        1,
    )
    return torch.cat([rows, (middle + 2 * wander)[..., None]], -1), turn, flip


def _warped(
    light: Tensor, parsing: Tensor, depth_mm: Tensor, warp: Tensor, scraps: Tensor, gen: torch.Generator
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return the crops' radiance, and at the maps' size depth, classes and where the render reaches."""
    batch = len(light)
    grid, coarse = _grid(warp, INPUT), _grid(warp, MAP)
    beyond = torch.rand(batch, generator=gen)
    plain = (torch.rand(batch, 3, 1, 1, generator=gen) ** 2).expand_as(scraps)
    crops = torch.empty(batch, 3, INPUT, INPUT)
    for rows, mode, outer in ((beyond < 0.5, "reflection", None), (beyond >= 0.75, "zeros", scraps),
                              ((beyond >= 0.5) & (beyond < 0.75), "zeros", plain)):  # fmt: skip
        if not bool(rows.any()):
            continue
        found = F.grid_sample(light[rows], grid[rows], padding_mode=mode, align_corners=False)
        if outer is not None:
            found = found + (grid[rows].abs() > 1).any(-1)[:, None] * outer[rows]
        crops[rows] = found
    depth = F.grid_sample(depth_mm.float()[:, None], coarse, mode="nearest", align_corners=False)[:, 0]
    classes = F.grid_sample(parsing.float()[:, None], coarse, mode="nearest", align_corners=False)[:, 0].long()
    return crops, depth, classes, (coarse.abs() <= 1).all(-1)


def _grid(warp: Tensor, size: int) -> Tensor:
    """Return (B, size, size, 2) places in the picture, [-1, 1]."""
    axis = (torch.arange(size) + 0.5) * (2 / size) - 1
    across, down = warp[:, None, None, :, 0], warp[:, None, None, :, 1]
    return axis[None, None, :, None] * across + axis[None, :, None, None] * down + warp[:, None, None, :, 2]


def _points(points: Tensor, warp: Tensor, size: int, flip: Tensor) -> Tensor:
    """Return the landmarks in shares of the crop's side."""
    flat = points * (2 / size) - 1
    inverse = torch.linalg.inv(warp[:, :, :2])
    at = torch.einsum("bij,bnj->bni", inverse, flat - warp[:, None, :, 2])
    at = torch.where(flip[:, None, None], at[:, list(MIRROR)], at)
    return (at + 1) / 2


def _forward(pose_rad: Tensor, turn: Tensor, flip: Tensor) -> Tensor:
    """Return where heads of yaw and pitch (B, 2) look, x and y in the axes of crops that `turn` turned."""
    yaw, pitch = pose_rad.unbind(-1)
    x, y = yaw.sin() * pitch.cos(), -pitch.sin()
    c, s = turn.cos(), turn.sin()
    across, down = c * x + s * y, c * y - s * x
    return torch.stack([torch.where(flip, -across, across), down], -1)


def _places(at: Tensor, share: Tensor, present: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return what `Places` should say; see `Batch`."""
    cells = INPUT // STRIDE
    middle = (at.amax(1) + at.amin(1)) / 2 * cells
    axis = torch.arange(cells) + 0.5
    dx, dy = middle[:, 0, None, None] - axis[None, None], middle[:, 1, None, None] - axis[None, :, None]
    dx, dy = dx.expand(-1, cells, -1), dy.expand(-1, -1, cells)
    away = torch.hypot(dx, dy)
    full = (present & (share > _FULL[0]) & (share < _FULL[1]))[:, None, None]
    some = (present & (share > _SOFT[0]) & (share < _SOFT[1]))[:, None, None]
    place = torch.zeros_like(away)
    place = torch.where(some & (away < 1.7), -1.0, place)
    place = torch.where(full & (away < 0.8), 1.0, place)
    size = torch.log2(share / 0.5)[:, None, None].expand_as(away)
    return place, torch.stack([dx, dy], 1), size
