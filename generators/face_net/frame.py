"""Square frames round faces: where they lie in a picture, and the crops that the network reads."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from spooflab.generators.face_net.network import INPUT, SHARE


@dataclass(frozen=True)
class Frame:
    """A square in a picture.

    Attributes:
        x, y: its middle in pixels.
        side: pixels.
        angle_rad: turn of its x axis, clockwise as seen.
    """

    x: float
    y: float
    side: float
    angle_rad: float = 0.0

    @property
    def matrix(self) -> Tensor:
        """(2, 3) map from shares of the side (0-1, from the frame's corner) to pixels of the picture."""
        c, s = math.cos(self.angle_rad) * self.side, math.sin(self.angle_rad) * self.side
        return torch.tensor([[c, -s, self.x - (c - s) / 2], [s, c, self.y - (s + c) / 2]])

    def to_picture(self, points: Tensor) -> Tensor:
        """Return (..., 2) pixels for points in shares of the side."""
        m = self.matrix
        return points @ m[:, :2].T + m[:, 2]

    def from_picture(self, points: Tensor) -> Tensor:
        """Return (..., 2) shares of the side for pixels."""
        m = self.matrix
        return (points - m[:, 2]) @ m[:, :2] / self.side**2


def extent(points: Tensor) -> Tensor:
    """Return the (...) size of faces (..., 68, 2) in pixels: their width, or 1.1 times their height where that is more.

    The width of a turned head shrinks, the height does not.
    """
    spans = points.amax(-2) - points.amin(-2)
    return torch.maximum(spans[..., 0], 1.1 * spans[..., 1])


def frame_of(points: Tensor) -> Frame:
    """Return the upright frame in which a face (68, 2) has the share of the side that the network wants."""
    line = points[42:48].mean(0) - points[36:42].mean(0)
    angle = math.atan2(float(line[1]), float(line[0]))
    c, s = math.cos(angle), math.sin(angle)
    upright = points @ torch.tensor([[c, -s], [s, c]])
    middle = (upright.amax(0) + upright.amin(0)) / 2
    x, y = float(middle[0]), float(middle[1])
    return Frame(c * x - s * y, s * x + c * y, float(extent(upright)) / SHARE, angle)


def crop(picture: Tensor, frame: Frame, size: int = INPUT) -> Tensor:
    """Return (1, 3, size, size): the frame's part of a picture (1, 3, H, W), mirrored past the picture's edges.

    Pixels are averaged before they are thinned, so that a large face does not alias.
    """
    reach = frame.side * 0.75
    x0, y0 = max(math.floor(frame.x - reach), 0), max(math.floor(frame.y - reach), 0)
    part = picture[..., y0 : math.ceil(frame.y + reach) + 1, x0 : math.ceil(frame.x + reach) + 1]
    step = min(max(int(frame.side / size), 1), *part.shape[-2:])
    if step > 1:
        part = F.avg_pool2d(part, step, ceil_mode=True)
    share = (torch.arange(size) + 0.5) / size
    at = frame.to_picture(torch.stack(torch.meshgrid(share, share, indexing="xy"), -1)) - torch.tensor([x0, y0])
    scale = torch.tensor([part.shape[-1], part.shape[-2]]) * (step / 2)
    return F.grid_sample(part, (at / scale - 1)[None], mode="bilinear", padding_mode="reflection", align_corners=False)
