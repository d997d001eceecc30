"""Classes, depth and normals of a photographed face, read by the network off the face picture itself."""

import math
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional as F

from spooflab.augment.tone import srgb_encode
from spooflab.generators.face import PARSING, Face
from spooflab.generators.face_net.collar import with_collar
from spooflab.generators.face_net.frame import Frame
from spooflab.generators.face_net.fringe import with_fringe
from spooflab.generators.face_net.predict import FaceNet

NOMINAL_MM = 500.0
"""Distance at which a photographed face is taken to have stood: a photograph does not tell it."""
EYES_MM = 63.0
"""Mean distance between adult pupils (Dodgson 2004)."""
_MOST_ROLL_DEG = 30.0
_TURNED_SIDE = 1.2
_SMOOTH_MM = 1.5


def with_geometry(face: Face, net: FaceNet, *, normals: bool = True) -> Face:
    """Return faces with `parsing`, `depth_mm` and, if wanted, `normals` read by the network, row by row.

    Depth is relative by nature: the face's mean distance is set to `NOMINAL_MM`, and millimetres are those of a head
    of mean size. Where the class is background, the depth is infinite and the normal looks at the camera.

    Args:
        face: pictures with landmarks; what they hold of geometry is replaced.
        net: the network.
        normals: whether to derive normals from the depth.
    """
    rows = [_read(face.radiance[i : i + 1], face.landmarks[i], net) for i in range(face.batch_size)]
    classes, depth = torch.cat([row[0] for row in rows]), torch.cat([row[1] for row in rows])
    eyes = (face.landmarks[:, 36:42].mean(1) - face.landmarks[:, 42:48].mean(1)).norm(dim=-1)
    facing = normals_of(depth, EYES_MM / eyes) if normals else None
    empty = classes == 0
    if facing is not None:
        facing = torch.where(empty, torch.tensor([0.0, 0.0, -1.0])[:, None, None], facing)
    return face.replace(parsing=classes, depth_mm=torch.where(empty, torch.inf, depth + NOMINAL_MM), normals=facing)


def _read(radiance: Tensor, points: Tensor, net: FaceNet) -> tuple[Tensor, Tensor]:
    """Return classes (1, 1, S, S) uint8 and relative depth (1, 1, S, S) of a square picture."""
    size = radiance.shape[-1]
    codes = srgb_encode(radiance.clamp(0, 1))
    line = points[42:48].mean(0) - points[36:42].mean(0)
    roll = math.atan2(float(line[1]), float(line[0]))
    whole = Frame(size / 2, size / 2, float(size))
    # The network has learned to read heads that lean by so much; one that leans further is read in a turned frame.
    turned = abs(roll) > math.radians(_MOST_ROLL_DEG)
    frame = Frame(size / 2, size / 2, size * _TURNED_SIDE, roll) if turned else whole
    seen = net.read(codes, frame)
    seen = replace(seen, parsing=attached(seen.parsing))
    chances, depth = seen.maps_on(whole, size)
    classes = with_fringe(chances.argmax(0).to(torch.uint8), radiance[0], points)
    classes = with_collar(classes, radiance[0], points)
    return classes[None, None], depth[None, None]


def attached(chances: Tensor) -> Tensor:
    """Return the probabilities (13, h, w) with islands of hair, skin and the like turned into background.

    What does not touch the piece that lies in the picture's middle belongs to nobody, or to somebody else. Clothes and
    neck stay: a collar or a hand may part them from the head.
    """
    best = chances.argmax(0)
    solid = (best != 0).float()[None, None]
    height, width = best.shape
    reached = torch.zeros_like(solid)
    middle = (slice(height // 2 - 2, height // 2 + 3), slice(width // 2 - 2, width // 2 + 3))
    reached[0, 0][middle] = solid[0, 0][middle]
    for _ in range(height + width):
        grown = F.max_pool2d(reached, 3, 1, 1) * solid
        if torch.equal(grown, reached):
            break
        reached = grown
    keeps = torch.isin(best, torch.tensor([PARSING.index(name) for name in ("background", "clothes", "neck")]))
    island = ~keeps & (reached[0, 0] == 0)
    nothing = F.one_hot(torch.zeros_like(best), len(PARSING)).permute(2, 0, 1).to(chances.dtype)
    return torch.where(island, nothing, chances)


def normals_of(depth_mm: Tensor, mm_per_px: Tensor) -> Tensor:
    """Return (B, 3, H, W) unit normals in camera axes of a depth map (B, 1, H, W) without gaps.

    The map is smoothed over `_SMOOTH_MM` first. A surface whose depth grows to the right looks to the right.

    Args:
        depth_mm: distance from the camera plane.
        mm_per_px: (B,) size of a pixel at the face.
    """
    rows = []
    for depth, pitch in zip(depth_mm, mm_per_px.tolist(), strict=True):
        sigma = max(_SMOOTH_MM / pitch, 0.5)
        reach = math.ceil(2.5 * sigma)
        taps = torch.exp(-0.5 * (torch.arange(-reach, reach + 1) / sigma) ** 2)
        taps = taps / taps.sum()
        smooth = F.pad(depth[None], (reach + 1,) * 4, mode="replicate")
        smooth = F.conv2d(F.conv2d(smooth, taps.reshape(1, 1, 1, -1)), taps.reshape(1, 1, -1, 1))[0, 0]
        across = (smooth[1:-1, 2:] - smooth[1:-1, :-2]) / (2 * pitch)
        down = (smooth[2:, 1:-1] - smooth[:-2, 1:-1]) / (2 * pitch)
        rows.append(torch.stack([across, down, -torch.ones_like(across)]))
    return F.normalize(torch.stack(rows), dim=1)
