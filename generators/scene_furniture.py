"""What stands in a room or a street: shapes that one seed names, as seen from the instrument.

A shape is ten numbers: centre x, y, half width, half height, softness, opacity, kind, r, g, b. Coordinates are tangents
of angles (before and behind the instrument: x / |z|, y / |z|; on the ceiling: x / |y|, z / |y|). Kind 0 is a rectangle,
1 an ellipse, -1 an ellipse with a ragged edge (foliage).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

_FRONT_SHAPES = 12
_CEILING_SHAPES = 4
_NOISE = 32
_CLEAR = [0.0, 0.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0]
"""A shape that does not show."""


@dataclass(frozen=True)
class Furniture:
    """The rooms of a batch as tensors on one device.

    Attributes:
        noise: (B, 1, 32, 32) of unit variance, periodic.
        extent: (B, 4) metres: half width, up, depth, down.
        base: (B, 4, 3) linear colours of wall or sky and so on.
        back: (B, N, 10) shapes behind the instrument, the later over the earlier; rows with fewer end in clear ones.
        front: (B, 12, 10) shapes before it; the last three are whoever stands behind the camera.
        ceiling: (B, 4, 10).
    """

    noise: Tensor
    extent: Tensor
    base: Tensor
    back: Tensor
    front: Tensor
    ceiling: Tensor

    @classmethod
    def of(cls, rooms: "Sequence[Room]", device: torch.device, *, back: bool = True) -> "Furniture":
        """Collect rooms, which are made on the host, and send them to `device`; `back` False leaves that out."""
        longest = max(len(room.back) for room in rooms) if back else 0
        stacked = (
            torch.stack([room.noise for room in rooms]),
            torch.stack([room.extent for room in rooms]),
            torch.stack([room.base for room in rooms]),
            torch.tensor([(room.back + [_CLEAR] * longest)[:longest] for room in rooms]).reshape(
                len(rooms), longest, 10
            ),
            torch.stack([room.front for room in rooms]),
            torch.stack([room.ceiling for room in rooms]),
        )
        return cls(*(field.to(device, non_blocking=True) for field in stacked))


class Room:
    """The furniture that one seed names, as tensors; plain numbers, so that a row depends on its seed alone."""

    def __init__(self, gen: torch.Generator, outdoor: bool, depth_m: float) -> None:
        self._numbers: Iterator[float] = iter(torch.rand(640, generator=gen).tolist())
        field = torch.randn(_NOISE, _NOISE, generator=gen)
        field[:, -1] = field[:, 0]
        field[-1] = field[0]
        self.noise = field[None]
        depth = 1.0 if outdoor else depth_m
        self.extent = torch.tensor([self._u(1.2, 3.0), self._u(1.0, 1.6), depth, self._u(0.9, 1.3)])
        self.base = torch.tensor(self._street_base() if outdoor else self._wall_base())
        self.back = self._street() if outdoor else self._furniture(depth_m)
        self.front = self._pad(self._facing(outdoor), _FRONT_SHAPES - 3, last=self._person())
        self.ceiling = self._pad([] if outdoor else self._lamps(), _CEILING_SHAPES)

    def _u(self, low: float, high: float) -> float:
        return low + (high - low) * next(self._numbers)

    def _tint(self, value: float, spread: float) -> list[float]:
        return [max(0.01, value * (1 + self._u(-spread, spread))) for _ in range(3)]

    def _shade(self, rgb: list[float]) -> list[float]:
        factor = self._u(0.55, 1.2)
        return [c * factor for c in rgb]

    def _wall_base(self) -> list[list[float]]:
        wall = self._tint(self._u(0.25, 0.8), 0.06 if self._u(0, 1) < 0.75 else 0.22)
        wall = [wall[0] * 1.03, wall[1], wall[2] * 0.92]
        side = [c * self._u(0.6, 1.0) for c in wall]
        return [wall, self._tint(self._u(0.6, 0.9), 0.04), self._tint(self._u(0.08, 0.35), 0.3), side]

    def _street_base(self) -> list[list[float]]:
        cloud = self._u(0.0, 1.0)
        sky = [0.9 + 0.5 * cloud, 1.15 + 0.25 * cloud, 1.7 - 0.1 * cloud]
        ground = self._tint(self._u(0.1, 0.35), 0.12)
        return [ground, sky, ground, ground]

    def _furniture(self, depth: float) -> list[list[float]]:
        """Return shapes on the wall behind: one of five arrangements, then small things and lamps."""
        kind = int(self._u(0, 5))
        m = 1 / depth  # metres on the wall to tangents
        arrange = (self._shelf, self._pictures, self._window, self._door, self._desk)[kind]
        shapes = arrange(m)
        if self._u(0, 1) < 0.45:
            shapes += self._lamp(m)
        for _ in range(int(self._u(0, 7))):
            shapes.append(self._box(m, self._u(-0.9, 0.9), self._u(-0.5, 0.8), self._u(0.02, 0.16), self._u(0.02, 0.2),
                                    self._tint(self._u(0.03, 0.7), 0.8)))  # fmt: skip
        return shapes

    def _box(
        self, m: float, x: float, y: float, half_w: float, half_h: float, rgb: list[float], *, kind: float = 0.0
    ) -> list[float]:
        return [x * m, y * m, half_w * m, half_h * m, 0.012 * m, 1.0, kind, *rgb]

    def _shelf(self, m: float) -> list[list[float]]:
        left, wide = self._u(-0.9, -0.1), self._u(0.4, 0.8)
        wood = self._tint(self._u(0.05, 0.45), 0.25)
        wood = [wood[0] * 1.2, wood[1], wood[2] * 0.7]
        shapes = [self._box(m, left + wide / 2, 0.05, wide / 2 + 0.03, 0.62, [c * 0.35 for c in wood])]
        for level in range(3):
            foot = -0.25 + 0.4 * level
            shapes.append(self._box(m, left + wide / 2, foot, wide / 2 + 0.03, 0.015, wood))
            x = left
            while x < left + wide - 0.05 and len(shapes) < 30:
                thick, tall = self._u(0.025, 0.09), self._u(0.1, 0.17)
                shapes.append(self._box(m, x + thick / 2, foot - 0.015 - tall, thick / 2 - 0.002, tall,
                                        self._tint(self._u(0.05, 0.55), 0.9)))  # fmt: skip
                x += thick + (self._u(0, 0.12) if self._u(0, 1) < 0.25 else 0.0)
        return shapes

    def _pictures(self, m: float) -> list[list[float]]:
        shapes = []
        for _ in range(int(self._u(1, 4))):
            x, y, w, h = self._u(-0.8, 0.8), self._u(-0.5, 0.2), self._u(0.08, 0.3), self._u(0.08, 0.28)
            shapes.append(self._box(m, x, y, w + 0.02, h + 0.02, self._tint(self._u(0.02, 0.4), 0.3)))
            shapes.append(self._box(m, x, y, w, h, self._tint(self._u(0.2, 0.7), 0.6)))
            shapes.append(
                self._box(m, x, y + h * 0.4, w * 0.9, h * 0.5, self._tint(self._u(0.05, 0.4), 0.7), kind=-1.0)
            )
        shapes.append(
            self._box(m, self._u(-0.6, 0.6), 0.85, self._u(0.4, 0.9), 0.3, self._tint(self._u(0.04, 0.4), 0.6))
        )
        return shapes

    def _window(self, m: float) -> list[list[float]]:
        x, w, h, bright = self._u(-0.5, 0.5), self._u(0.25, 0.6), self._u(0.35, 0.7), self._u(1.5, 4.0)
        shapes = [self._box(m, x, -0.15, w + 0.05, h + 0.05, [0.75, 0.74, 0.72])]
        shapes.append(self._box(m, x, -0.15, w, h, [bright * 0.9, bright, bright * 1.1]))
        shapes.append(self._box(m, x, -0.15 + h * 0.7, w, h * 0.3, self._tint(bright * 0.25, 0.4)))
        shapes.append(self._box(m, x + w * 0.4, -0.1 + h * 0.5, w * 0.5, h * 0.5, [0.25, 0.45, 0.15], kind=-1.0))
        shapes.append(self._box(m, x, -0.15, 0.02, h, [0.6, 0.6, 0.6]))
        curtain = self._tint(self._u(0.15, 0.8), 0.22)
        for side in (-1, 1):
            for fold in range(5):
                at = x + side * (w + 0.02 + fold * 0.05)
                shapes.append(self._box(m, at, 0.0, 0.035, h + 0.35, self._shade(curtain)))
        return shapes

    def _door(self, m: float) -> list[list[float]]:
        x, rgb = self._u(-0.6, 0.6), self._tint(self._u(0.1, 0.7), 0.25)
        shapes = [
            self._box(m, x, 0.3, 0.44, 1.2, [min(0.85, c * 1.3) for c in rgb]),
            self._box(m, x, 0.3, 0.4, 1.15, rgb),
        ]
        for panel in (-0.45, 0.35):
            shapes.append(self._box(m, x, panel, 0.28, 0.3, [c * 0.8 for c in rgb]))
        shapes.append(self._box(m, x + 0.33, 0.05, 0.05, 0.015, [1.2, 1.1, 0.9]))
        shapes.append(self._box(m, x - 0.8, self._u(-0.2, 0.3), 0.15, 0.5, self._tint(0.1, 0.5), kind=-1.0))
        return shapes

    def _desk(self, m: float) -> list[list[float]]:
        shapes = [self._box(m, 0.0, 0.75, 1.3, 0.3, self._tint(self._u(0.1, 0.5), 0.3))]
        for _ in range(2):
            x, glow = self._u(-0.7, 0.7), self._u(0.6, 2.0)
            shapes.append(self._box(m, x, 0.18, 0.27, 0.17, [0.02, 0.02, 0.02]))
            shapes.append(self._box(m, x, 0.18, 0.25, 0.15, [glow * 0.8, glow * 0.95, glow * 1.2]))
            shapes.append(self._box(m, x + self._u(-0.1, 0.1), 0.2, 0.1, 0.08, self._tint(glow * 0.5, 0.8)))
            shapes.append(self._box(m, x, 0.4, 0.02, 0.08, [0.03, 0.03, 0.03]))
        for _ in range(8):
            size = self._u(0.02, 0.08)
            shapes.append(
                self._box(m, self._u(-0.9, 0.9), 0.45 - size, size * 0.6, size, self._tint(self._u(0.05, 0.7), 0.9))
            )
        return shapes

    def _lamp(self, m: float) -> list[list[float]]:
        x, y, size, bright = self._u(-0.9, 0.9), self._u(-0.6, 0.2), self._u(0.05, 0.14), self._u(3.0, 10.0)
        warm = [bright * 1.15, bright * 0.9, bright * 0.6]
        halo = [x * m, y * m, size * 4 * m, size * 4 * m, size * 5 * m, 0.35, 1.0, 1.3, 1.05, 0.75]
        return [
            halo,
            self._box(m, x, y, size, size * 0.8, warm),
            self._box(m, x, y + size * 2.6, 0.012, size * 1.8, [0.05] * 3),
        ]

    def _street(self) -> list[list[float]]:
        """Return buildings or trees along the horizon, bushes, people far off and points of light."""
        shapes: list[list[float]] = []
        horizon = self._u(-0.02, 0.05)
        town = self._u(0, 1) < 0.5
        for _ in range(9):
            x, w, h = self._u(-0.8, 0.8), self._u(0.05, 0.22), self._u(0.06, 0.5)
            if town:
                rgb = self._tint(self._u(0.12, 0.7), 0.15)
                shapes.append([x, horizon - h / 2, w, h / 2 + 0.03, 0.004, 1.0, 0.0, *rgb])
                shapes.append([x - w / 2, horizon - h / 2, w * 0.3, h * 0.35, 0.01, 0.6, 0.0, *[c * 0.5 for c in rgb]])
            else:
                green = self._u(0.06, 0.35)
                leaf = [green * self._u(0.5, 1.1), green, green * self._u(0.15, 0.45)]
                shapes.append([x, horizon - h / 2, 0.012, h / 2 + 0.03, 0.004, 1.0, 0.0, 0.07, 0.05, 0.04])
                shapes.append([x, horizon - h * 0.8, w, h * 0.5, 0.02, 1.0, -1.0, *leaf])
        for _ in range(6):
            green = self._u(0.05, 0.3)
            leaf = [green * self._u(0.5, 1.0), green, green * self._u(0.2, 0.5)]
            shapes.append([self._u(-0.7, 0.7), horizon + self._u(-0.02, 0.06), self._u(0.05, 0.25), self._u(0.02, 0.08),
                           0.02, 1.0, -1.0, *leaf])  # fmt: skip
        for _ in range(int(self._u(4, 18))):
            size, bright = self._u(0.003, 0.008), self._u(4, 18)
            rgb = [bright * self._u(0.7, 1.2), bright * self._u(0.7, 1.1), bright * self._u(0.4, 1.1)]
            shapes.append([self._u(-0.5, 0.5), horizon + self._u(-0.16, 0.03), size, size, 0.004, 1.0, 1.0, *rgb])
        return shapes

    def _facing(self, outdoor: bool) -> list[list[float]]:
        """Return shapes behind the camera: windows and dark furniture, or bright sky and dark trees."""
        shapes: list[list[float]] = []
        for _ in range(int(self._u(0, 3))):
            bright = self._u(2.0, 7.0)
            shapes.append([self._u(-1.6, 1.6), self._u(-0.9, 0.1), self._u(0.12, 0.5), self._u(0.2, 0.6), 0.02,
                           0.0 if outdoor else 1.0, 0.0, bright * 0.95, bright, bright * 1.1])  # fmt: skip
        for window in shapes[:2]:
            shapes.append([window[0], window[1], 0.02, window[3], 0.02, window[5], 0.0, 0.4, 0.4, 0.4])
        for _ in range(5):
            shapes.append([self._u(-1.5, 1.5), self._u(0.1, 1.0), self._u(0.1, 0.6), self._u(0.1, 0.6), 0.03, 0.9,
                           -1.0 if outdoor else 0.0, *self._tint(self._u(0.03, 0.3), 0.5)])  # fmt: skip
        return shapes

    def _person(self) -> list[list[float]]:
        """Return head, shoulders and camera of whoever stands behind it, about 0.7 m away: three shapes."""
        x, y, dark = self._u(-0.2, 0.2), self._u(-0.3, 0.02), self._u(0.02, 0.12)
        head = [x, y, 0.115, 0.16, 0.03, 1.0, 1.0, dark * 1.6, dark * 1.2, dark]
        torso = [x, y + 0.62, 0.36, 0.47, 0.05, 1.0, 1.0, dark, dark, dark * 1.1]
        size = self._u(0.35, 1.0)
        camera = [0.0, 0.02 * size, 0.09 * size, 0.17 * size, 0.02, 1.0, 0.0, 0.02, 0.02, 0.022]
        return [torso, head, camera]

    def _lamps(self) -> list[list[float]]:
        """Return ceiling lights, in tangents from straight up: long tubes, square panels or round downlights."""
        kind, bright = int(self._u(0, 3)), self._u(8.0, 30.0)
        half = ((0.05, 0.45), (0.2, 0.2), (0.06, 0.06))[kind]
        shapes = []
        for _ in range(1 + int(self._u(0, _CEILING_SHAPES))):
            shapes.append([self._u(-1.6, 1.6), self._u(-2.0, 0.3), *half, 0.03, 1.0, float(kind == 2),
                           bright * 1.02, bright, bright * 0.92])  # fmt: skip
        return shapes

    @staticmethod
    def _pad(shapes: list[list[float]], count: int, *, last: list[list[float]] | None = None) -> Tensor:
        return torch.tensor((shapes + [_CLEAR] * count)[:count] + (last or []))
