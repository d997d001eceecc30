"""A small U-shaped network: one crop in, landmarks, classes, relief, pose and the places of faces out.

Landmarks are the means of heat maps ("integral regression", Sun et al. 2018), each with a spread that the network
states itself (Kendall & Gal 2017; so do Wood et al. 2022, "3D face reconstruction with dense landmarks").
Places of faces are read from the coarsest features, cell by cell ("Objects as points", Zhou et al. 2019), which makes
the search over a whole photograph one convolution per level of a pyramid.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from spooflab.generators.face import PARSING

INPUT = 128
"""Side of the network's input in pixels."""
STRIDE = 16
"""Input pixels to a cell of the places' grid."""
SHARE = 0.5
"""Share of the input's side that a well-framed face's extent takes; see `spooflab.generators.face_net.frame`."""
DEPTH_MM = 50.0
"""Millimetres to a unit of the depth head."""
POINTS = 68
_WIDTHS, _BLOCKS = (16, 32, 64, 128), (2, 3, 3)
_MIDDLE, _FINE = 48, 24
_LEAST_SPREAD = 0.15 / INPUT


@dataclass(frozen=True)
class Places:
    """Where faces may be, on a grid of cells of `STRIDE` input pixels.

    Attributes:
        logit: (B, h, w) whether a face of about the wanted size has its middle in this cell.
        offset: (B, 2, h, w) from the cell's middle to the face's, in cells, x and y.
        log2_size: (B, h, w) binary logarithm of the face's extent over `SHARE * INPUT` input pixels.
    """

    logit: Tensor
    offset: Tensor
    log2_size: Tensor


@dataclass(frozen=True)
class Reading:
    """What the network says of crops.

    Attributes:
        points: (B, 68, 2) landmarks in shares of the crop's side, 0-1.
        spread: (B, 68) standard deviation of each landmark per axis, in the same unit.
        parsing: (B, 13, 64, 64) logits of the classes of `PARSING`.
        depth_mm: (B, 1, 64, 64) distance less the face's mean distance.
        forward: (B, 2) x and y, in image axes, of the unit vector that the head looks along.
        places: where faces are.
    """

    points: Tensor
    spread: Tensor
    parsing: Tensor
    depth_mm: Tensor
    forward: Tensor
    places: Places


class Conv(nn.Sequential):
    """Convolution, batch norm and, if wanted, a rectifier."""

    def __init__(self, inner: int, outer: int, *, kernel: int = 3, stride: int = 1, active: bool = True) -> None:
        layers: list[nn.Module] = [
            nn.Conv2d(inner, outer, kernel, stride, kernel // 2, bias=False),
            nn.BatchNorm2d(outer),
        ]
        super().__init__(*layers, *([nn.ReLU(inplace=True)] if active else []))


class _Block(nn.Module):
    """Two convolutions beside a shortcut (He et al. 2016)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.second = Conv(width, width), Conv(width, width, active=False)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.second(self.first(x)))


class _Join(nn.Module):
    """Coarse features enlarged twice, joined to the fine ones of the way down."""

    def __init__(self, coarse: int, fine: int, outer: int) -> None:
        super().__init__()
        self.mix, self.smooth = Conv(coarse + fine, outer, kernel=1), Conv(outer, outer)

    def forward(self, coarse: Tensor, fine: Tensor) -> Tensor:
        large = F.interpolate(coarse, scale_factor=2.0, mode="bilinear", align_corners=False)
        out: Tensor = self.smooth(self.mix(torch.cat([large, fine], 1)))
        return out


class Network(nn.Module):
    """The network; `forward` takes crops of `INPUT` pixels, `places` pictures of any size.

    Input: (B, 3, H, W) sRGB codes in [0, 1].
    """

    def __init__(self) -> None:
        super().__init__()
        a, b, c, d = _WIDTHS
        self.stem = Conv(3, a, stride=2)
        self.down = nn.ModuleList(
            nn.Sequential(Conv(inner, outer, stride=2), *(_Block(outer) for _ in range(count)))
            for inner, outer, count in zip(_WIDTHS, _WIDTHS[1:], _BLOCKS, strict=False)
        )
        self.up = nn.ModuleList([_Join(d, c, c), _Join(c, b, _MIDDLE), _Join(_MIDDLE, a, _FINE)])
        self.place = nn.Conv2d(d, 4, 1)
        self.turn = nn.Linear(d, 2)
        self.heat = nn.Conv2d(_MIDDLE, POINTS, 1)
        self.doubt = nn.Conv2d(_MIDDLE, POINTS, 1)
        self.maps = nn.Conv2d(_FINE, len(PARSING) + 1, 1)
        nn.init.constant_(self.place.bias, -3.0) if self.place.bias is not None else None
        nn.init.constant_(self.doubt.bias, -3.5) if self.doubt.bias is not None else None

    def forward(self, picture: Tensor) -> Reading:
        """Read crops (B, 3, `INPUT`, `INPUT`)."""
        if picture.shape[1:] != (3, INPUT, INPUT):
            raise ValueError(f"picture is {tuple(picture.shape)}, wanted (B, 3, {INPUT}, {INPUT})")
        features = self._encode(picture)
        coarse = self.up[0](features[3], features[2])
        middle = self.up[1](coarse, features[1])
        maps = self.maps(self.up[2](middle, features[0]))
        points, spread = _integrate(self.heat(middle), self.doubt(middle))
        return Reading(
            points=points,
            spread=spread,
            parsing=maps[:, :-1],
            depth_mm=maps[:, -1:] * DEPTH_MM,
            forward=self.turn(features[3].mean((2, 3))),
            places=self._places(features[3]),
        )

    def places(self, picture: Tensor) -> Places:
        """Look for faces in pictures (B, 3, H, W) whose sides are multiples of `STRIDE`."""
        if picture.shape[-1] % STRIDE or picture.shape[-2] % STRIDE:
            raise ValueError(f"picture is {tuple(picture.shape)}, wanted sides in multiples of {STRIDE}")
        return self._places(self._encode(picture)[3])

    def stages(self, picture: Tensor) -> list[Tensor]:
        """Return the encoder's features of pictures (B, 3, H, W), finest first, at strides 2, 4, 8 and 16."""
        return self._encode(picture)

    def _encode(self, picture: Tensor) -> list[Tensor]:
        out = [self.stem((picture - 0.5) * 4)]
        for stage in self.down:
            out.append(stage(out[-1]))
        return out

    def _places(self, features: Tensor) -> Places:
        raw = self.place(features)
        return Places(raw[:, 0], raw[:, 1:3], raw[:, 3])


def _integrate(heat: Tensor, doubt: Tensor) -> tuple[Tensor, Tensor]:
    """Return the heat maps' mean places (B, 68, 2) in [0, 1], and the spread (B, 68) that the network states there."""
    batch, count, height, width = heat.shape
    weight = torch.softmax(heat.flatten(2), -1)
    y = (torch.arange(height, dtype=heat.dtype) + 0.5) / height
    x = (torch.arange(width, dtype=heat.dtype) + 0.5) / width
    grid = weight.reshape(batch, count, height, width)
    points = torch.stack([grid.sum(2) @ x, grid.sum(3) @ y], -1)
    spread = (weight * doubt.flatten(2)).sum(-1).clamp(-8, 2).exp()
    return points, spread + _LEAST_SPREAD
