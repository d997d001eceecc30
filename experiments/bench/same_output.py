"""Whether chains of different libraries do the same to a picture, read from what they return."""

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

TOLERANCES = {
    "edge, 10 to 90 %, px": 0.2,
    "noise at mid grey, codes": 0.2,
    "corner over centre": 0.05,
    "mean red, codes": 0.06,
    "mean green, codes": 0.06,
    "mean blue, codes": 0.06,
    "steps at block borders": 0.35,
}
"""Relative difference up to which a figure counts as the same."""
_TILT = math.tan(math.radians(5))


def output_figures(chain: Callable[[Tensor], Tensor], faces: Tensor) -> dict[str, float]:
    """Return the figures of `TOLERANCES` for a chain, from flat fields, slanted edges and photographs.

    Flat fields and edges go in as batches of 8; the last figure, the mean step across borders of 8 x 8 blocks
    over that elsewhere (on photographs), follows the codec's quality.
    """
    side = faces.shape[-1]
    flat = chain(torch.full((8, 3, side, side), 118, dtype=torch.uint8)).float()
    edges = chain(_slanted_edge(side).expand(8, 3, -1, -1).contiguous()).float()
    pictures = chain(faces).float()
    centre = slice(side // 2 - 32, side // 2 + 32)
    grey = flat[..., centre, centre].mean(1)
    corner = torch.stack([flat[..., ys, xs].mean() for ys in (slice(0, 16), slice(-16, None))
                          for xs in (slice(0, 16), slice(-16, None))])  # fmt: skip
    red, green, blue = pictures.mean((0, 2, 3)).tolist()
    figures = (
        _rise(edges.mean((0, 1))),
        float((grey - _smooth(grey)).std()),
        float(corner.mean() / flat[..., centre, centre].mean()),
        red, green, blue, _blocking(pictures.mean(1)),
    )  # fmt: skip
    return dict(zip(TOLERANCES, figures, strict=True))


def agrees(figure: str, ours: float, theirs: float) -> bool:
    """Return whether two figures differ by no more than the stated share."""
    return abs(theirs - ours) <= TOLERANCES[figure] * abs(ours)


def _slanted_edge(side: int) -> Tensor:
    """Return uint8 (side, side), an edge 5 degrees off the vertical through the middle, without aliasing."""
    position = torch.arange(side) + 0.5 - side / 2
    distance = position[None, :] - _TILT * position[:, None]
    return (70 + 110 * (distance + 0.5).clamp(0, 1)).round().to(torch.uint8)


def _rise(image: Tensor) -> float:
    """Return the width over which the middle of (H, W) goes from a tenth to nine tenths of the edge's height."""
    side = image.shape[-1]
    rows = slice(side // 2 - 32, side // 2 + 32)
    position = torch.arange(side) + 0.5 - side / 2
    distance = (position[None, :] - _TILT * position[rows, None]).flatten()
    values = image[rows].flatten()
    bins = (distance * 4).floor().long()
    profile = torch.stack([values[bins == k].mean() for k in range(-40, 40)])
    low, high = profile[:12].mean(), profile[-12:].mean()
    share = (profile - low) / (high - low)
    return (_crossing(share, 0.9) - _crossing(share, 0.1)) / 4


def _crossing(share: Tensor, level: float) -> float:
    after = int((share >= level).nonzero()[0])
    before = share[after - 1]
    return after - 1 + float((level - before) / (share[after] - before))


def _smooth(images: Tensor) -> Tensor:
    return F.avg_pool2d(F.pad(images[:, None], (8, 8, 8, 8), mode="reflect"), 17, stride=1)[:, 0]


def _blocking(luma: Tensor) -> float:
    steps = (luma[..., 1:] - luma[..., :-1]).abs().mean((0, 1))
    border = torch.arange(1, luma.shape[-1]) % 8 == 0
    return float(steps[border].mean() / steps[~border].mean())
