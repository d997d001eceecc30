"""What a ControlNet is shown of a face: landmarks drawn, depth, normals, classes; each (B, 3, H, W) in [0, 1]."""

import colorsys
from typing import Literal, get_args

import torch
from torch import Tensor

from spooflab.errors import ConfigError, DataError
from spooflab.generators.face import PARSING, Face

Kind = Literal["landmarks", "depth", "normals", "segmentation"]

CURVES = (
    (0, 17, False), (17, 22, False), (22, 27, False), (27, 31, False), (31, 36, False),
    (36, 42, True), (42, 48, True), (48, 60, True), (60, 68, True),
)  # fmt: skip
"""First landmark, one past the last, whether the curve closes: jaw, brows, bridge and base of the nose, eyes, lips."""
_COLOURS = torch.tensor([colorsys.hsv_to_rgb(k / len(CURVES), 1.0, 1.0) for k in range(len(CURVES))])
_WIDTH = 0.03
_NARROWEST_PX = 1.5
_LEAST = 0.1
"""Grey of the furthest thing that there is."""

PALETTE: dict[str, tuple[float, float, float]] = {
    "background": (0.0, 0.0, 0.0),
    "skin": (1.0, 0.5, 0.5),
    "nose": (1.0, 1.0, 0.0),
    "ears": (0.5, 1.0, 0.5),
    "brows": (0.0, 1.0, 1.0),
    "eyes": (0.0, 0.0, 1.0),
    "lips": (1.0, 0.0, 0.0),
    "mouth": (1.0, 1.0, 1.0),
    "hair": (0.5, 0.0, 0.5),
    "beard": (0.0, 0.5, 0.5),
    "neck": (0.5, 0.5, 0.0),
    "clothes": (0.0, 1.0, 0.0),
    "glasses": (1.0, 0.0, 1.0),
}
"""Colour of each class of `PARSING`: corners and face centres of the RGB cube, so that any two are 0.7 apart or more.

No palette of face parts is a convention among ControlNets: this one serves a net that was trained on it."""


def condition(kind: Kind, face: Face) -> Tensor:
    """Return the map of one kind, float32 (B, 3, H, W) in [0, 1], from what the faces hold.

    Args:
        kind: `landmarks`, `depth`, `normals` or `segmentation`.
        face: rendered faces hold all of it; photographs whose source has `geometry: network` as our network reads it.

    Raises:
        DataError: the faces hold no such thing, or it is damaged.
        ConfigError: another kind.
    """
    if kind == "landmarks":
        return landmark_map(face.landmarks, face.size)
    if kind == "depth":
        return depth_map(_held(face.depth_mm, kind))
    if kind == "normals":
        return normal_map(_held(face.normals, kind))
    if kind == "segmentation":
        return segmentation_map(_held(face.parsing, kind))
    raise ConfigError(f"condition {kind!r}", wanted=f"one of {', '.join(get_args(Kind))}")


def landmark_map(landmarks: Tensor, size: tuple[int, int]) -> Tensor:
    """Return the landmarks' curves on black, each in a hue of its own so that a mirrored or turned face is told apart.

    Lines are 3 % of the distance between the eyes wide, 1.5 px at least, and antialiased.

    Args:
        landmarks: (B, 68, 2) pixels, iBUG order; points outside of the picture are right.
        size: height and width of the map, whose pixels the landmarks are given in.

    Raises:
        DataError: another shape, or points that are not finite.
    """
    if landmarks.ndim != 3 or landmarks.shape[1:] != (68, 2) or not bool(landmarks.isfinite().all()):
        raise DataError(f"landmarks {tuple(landmarks.shape)}", wanted="(B, 68, 2), finite")
    y, x = (torch.arange(side) + 0.5 for side in size)
    grid = torch.stack(torch.meshgrid(x, y, indexing="xy"), -1).reshape(1, 1, -1, 2)
    eyes = landmarks[:, 42:48].mean(1) - landmarks[:, 36:42].mean(1)
    width = (eyes.norm(dim=-1) * _WIDTH).clamp(min=_NARROWEST_PX)[:, None]
    out = torch.zeros(len(landmarks), 3, grid.shape[2])
    for (first, last, closed), colour in zip(CURVES, _COLOURS, strict=True):
        points = landmarks[:, first:last].float()
        ends = points.roll(-1, 1) if closed else points[:, 1:]
        far = _distance(grid, points[:, : ends.shape[1], None], ends[:, :, None])
        ink = (width / 2 - far + 0.5).clamp(0, 1)
        out = torch.lerp(out, colour[None, :, None].expand_as(out), ink[:, None])
    return out.reshape(len(landmarks), 3, *size)


def depth_map(depth_mm: Tensor) -> Tensor:
    """Return inverse depth, grey: 1 for what is nearest, 0 for what is furthest or infinitely far.

    The convention of depth ControlNets, whose training maps are relative inverse depths (Ranftl et al. 2020). Each
    picture has its own scale: a finite distance never is 0, so that a face stands out of its background.

    Args:
        depth_mm: (B, 1, H, W) millimetres, positive; `inf` where nothing is.

    Raises:
        DataError: another shape, or distances that are not positive.
    """
    if depth_mm.ndim != 4 or depth_mm.shape[1] != 1 or not bool((depth_mm > 0).all()):
        raise DataError(f"depth {tuple(depth_mm.shape)}", wanted="(B, 1, H, W) of positive millimetres")
    inverse = depth_mm.reciprocal()
    known = inverse > 0
    near = inverse.amax((2, 3), keepdim=True)
    far = torch.where(known, inverse, torch.inf).amin((2, 3), keepdim=True)
    span = (near - far).clamp(min=1e-3 * near + 1e-12)
    grey = torch.where(known, _LEAST + (1 - _LEAST) * ((inverse - far) / span), 0.0)
    return grey.expand(-1, 3, -1, -1)


def normal_map(normals: Tensor) -> Tensor:
    """Return normals as colours: red to the right, green up, blue towards the camera, 0 to 1; grey where none is.

    The convention of normal ControlNets (after Bae et al. 2021), which turns two of our axes about.

    Args:
        normals: (B, 3, H, W) unit vectors in camera axes (x right, y down, z away from the camera), 0 where unknown.

    Raises:
        DataError: another shape, or longer than unit vectors.
    """
    if normals.ndim != 4 or normals.shape[1] != 3 or not bool((normals.square().sum(1) < 1.01).all()):
        raise DataError(f"normals {tuple(normals.shape)}", wanted="(B, 3, H, W) unit vectors")
    turned = normals * normals.new_tensor([1.0, -1.0, -1.0])[:, None, None]
    return (turned * 0.5 + 0.5).clamp(0, 1)


def segmentation_map(parsing: Tensor) -> Tensor:
    """Return classes as the colours of `PALETTE`.

    Args:
        parsing: (B, 1, H, W) uint8 indices into `PARSING`.

    Raises:
        DataError: another shape or type, or an index that names no class.
    """
    if parsing.ndim != 4 or parsing.shape[1] != 1 or parsing.dtype != torch.uint8:
        raise DataError(f"classes {tuple(parsing.shape)} {parsing.dtype}", wanted="(B, 1, H, W) uint8")
    if parsing.numel() and int(parsing.max()) >= len(PARSING):
        raise DataError(f"class {int(parsing.max())}", wanted=f"0-{len(PARSING) - 1}, indices into `PARSING`")
    colours = torch.tensor([PALETTE[name] for name in PARSING], device=parsing.device)
    return colours[parsing[:, 0].int()].permute(0, 3, 1, 2).contiguous()


def _held(value: Tensor | None, kind: str) -> Tensor:
    if value is None:
        raise DataError(
            f"the faces hold no {kind}",
            wanted=f"what a {kind} map is drawn from",
            next_step="set `geometry: network` for the photographs' source, or read it off the pictures with a model "
            "of your own (spooflab.generators.diffusion.photo_conditions)",
        )
    return value


def _distance(points: Tensor, start: Tensor, end: Tensor) -> Tensor:
    """Return (B, M): distance of points (1, 1, M, 2) to the nearest of the segments (B, N, 1, 2)."""
    along = end - start
    share = ((points - start) * along).sum(-1) / along.square().sum(-1).clamp(min=1e-12)
    nearest = start + share.clamp(0, 1)[..., None] * along
    far: Tensor = (points - nearest).norm(dim=-1).amin(1)
    return far
