"""What is true at each place of a training image, kept small: where it is an attack, and how a face stands out."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
import torch.nn.functional as F
from torch import Tensor

from spooflab.images import decode_own_png
from spooflab.reader import iter_images

SIDE = 32
"""Places along a side of the maps that are kept; a network's own maps are no finer as a rule."""

RELIEF_MM = 50.0
"""One unit of relief. A nose stands 20 to 30 mm out of the plane of its face, an ear as much behind it."""

_FACE_DEPTH_MM = 150.0
"""Depths farther than this from a face's median belong to something else, and do not tilt its plane."""

CHANNELS = ("covered", "mask_known", "relief", "relief_known", "face")
"""Shares of a place's area: what is covered by an instrument or manipulation, where that is known, where relief is
known, and what lies in the face's box. `relief` is the mean over what is known of it, times `relief_known`. All five
are plain area averages, so shrinking or moving them is linear, and unknown parts never leak into a mean."""


def read_maps(store_root: Path, table: pa.Table) -> Tensor:
    """Return (N, 5, SIDE, SIDE) float16 `CHANNELS` of a table's samples, from their masks, depths and boxes.

    Args:
        store_root: folder of the store.
        table: rows of its index.

    Raises:
        DataError: a mask or depth that does not decode.
    """
    rows = table.select(["key", "label", "width", "height", "box"]).to_pylist()
    slot = {row["key"]: i for i, row in enumerate(rows)}
    maps = torch.zeros(len(rows), len(CHANNELS), SIDE, SIDE, dtype=torch.float16)
    for i, row in enumerate(rows):
        maps[i, 1] = float(row["label"] == "bonafide")  # covered by nothing, whether a mask says so or not
        maps[i, 4] = area_shares(inside_box(row["box"], (row["height"], row["width"])))
    for key, data in iter_images(store_root, slot, column="mask"):
        maps[slot[key], 0] = area_shares(torch.from_numpy(decode_own_png(data)) / 255)
        maps[slot[key], 1] = 1
    for key, data in iter_images(store_root, slot, column="depth"):
        depth = torch.from_numpy(decode_own_png(data).astype(np.float64))
        relief, known = face_relief(depth, inside_box(rows[slot[key]]["box"], (depth.shape[0], depth.shape[1])))
        maps[slot[key], 2:4] = area_shares(torch.stack([relief, known]))
    return maps


def area_shares(planes: Tensor) -> Tensor:
    """Return the mean of each place's area, (…, SIDE, SIDE) float16, from (…, H, W)."""
    return (
        F.adaptive_avg_pool2d(planes.double().reshape(1, -1, *planes.shape[-2:]), SIDE)
        .half()
        .view(*planes.shape[:-2], SIDE, SIDE)
    )


def face_relief(depth_mm: Tensor, inside: Tensor) -> tuple[Tensor, Tensor]:
    """Return how far each pixel of a face stands out of the face's plane towards the camera, and where that is known.

    The plane is the least-squares one of the known pixels inside. Inverse depth of a plane is linear in the pixel's
    position under perspective, so the fit is of 1/z, and a flat print has relief 0 at any tilt, up to the rounding of
    stored depths to millimetres.

    Args:
        depth_mm: (H, W) float64, 0 = unknown.
        inside: (H, W) bool, the face's box.

    Returns:
        (H, W) relief in units of `RELIEF_MM`, cut to [-1, 1] and 0 where unknown; (H, W) bool.
    """
    known = inside & (depth_mm > 0)
    if not bool(known.any()):
        return torch.zeros_like(depth_mm), known
    middle = depth_mm[known].median()
    height, width = depth_mm.shape
    rows = torch.linspace(-1, 1, height, dtype=torch.float64)[:, None].expand(height, width)
    columns = torch.linspace(-1, 1, width, dtype=torch.float64)[None].expand(height, width)
    design = torch.stack([torch.ones_like(rows), columns, rows], -1)
    near = known & ((depth_mm - middle).abs() <= _FACE_DEPTH_MM)
    rows_of_plane, inverse = design[near], middle / depth_mm[near]
    # A pseudo-inverse, because few pixels, or a line of them, do not span a plane.
    plane = torch.linalg.pinv(rows_of_plane.T @ rows_of_plane) @ (rows_of_plane.T @ inverse)
    distance = middle / (design @ plane).clamp(min=1e-3)
    relief = ((distance - depth_mm) / RELIEF_MM).clamp(-1, 1)
    return torch.where(known, relief, 0.0), known


def inside_box(box: Sequence[float], shape: tuple[int, int]) -> Tensor:
    """Return (H, W) bool: pixels whose centre is in the box (x, y, width, height); none for an empty one."""
    if not len(box):
        return torch.zeros(shape, dtype=torch.bool)
    x, y, width, height = box
    rows, columns = torch.arange(shape[0]) + 0.5, torch.arange(shape[1]) + 0.5
    return ((rows >= y) & (rows < y + height))[:, None] & ((columns >= x) & (columns < x + width))[None]
