"""Read a face whose place is known: landmarks, classes, relief and direction from one crop and its mirror image."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import torch
from torch import Tensor
from torch.nn import functional as F

from spooflab.errors import ConfigError
from spooflab.generators.face_net.frame import Frame, crop, frame_of
from spooflab.generators.face_net.network import INPUT, STRIDE, Network, Places, Reading
from spooflab.generators.face_net.weights import SHIPPED, read_weights

MIRROR = (
    *range(16, -1, -1), *range(26, 16, -1), *range(27, 31), *range(35, 30, -1), *range(45, 41, -1), 47, 46,
    *range(39, 35, -1), 41, 40, *range(54, 47, -1), *range(59, 54, -1), *range(64, 59, -1), 67, 66, 65,
)  # fmt: skip
"""Where each of the 68 points is found in a mirrored picture."""


@dataclass(frozen=True)
class FaceReading:
    """One face as the network reads it.

    Attributes:
        frame: the crop that was read.
        points: (68, 2) landmarks in pixels of the picture.
        spread: (68,) standard deviation of each, in pixels, as the network states it.
        presence: 0-1, whether a face of the crop's size has its middle in the crop's middle.
        forward: (2,) x and y, in the crop's axes, of the unit vector that the head looks along.
        parsing: (13, 64, 64) probabilities of the classes of `PARSING` over the crop.
        depth_mm: (64, 64) distance less the face's mean distance over the crop.
    """

    frame: Frame
    points: Tensor
    spread: Tensor
    presence: float
    forward: Tensor
    parsing: Tensor
    depth_mm: Tensor

    @property
    def yaw_deg(self) -> float:
        """Turn of the head about its own upright axis, positive to the image's right."""
        return float(torch.rad2deg(torch.asin(self.forward[0].clamp(-1, 1))))

    def scaled(self, factor: float) -> Self:
        """Return the reading in the pixels of a picture `factor` times as large."""
        f = self.frame
        frame = Frame(f.x * factor, f.y * factor, f.side * factor, f.angle_rad)
        return replace(self, frame=frame, points=self.points * factor, spread=self.spread * factor)

    def maps_on(self, target: Frame, size: int) -> tuple[Tensor, Tensor]:
        """Return probabilities (13, size, size) and depth (size, size) on another frame's pixels."""
        share = (torch.arange(size) + 0.5) / size
        at = target.to_picture(torch.stack(torch.meshgrid(share, share, indexing="xy"), -1))
        grid = self.frame.from_picture(at)[None] * 2 - 1
        maps = torch.cat([self.parsing, self.depth_mm[None]])[None]
        out = F.grid_sample(maps, grid, mode="bilinear", padding_mode="border", align_corners=False)[0]
        return out[:-1], out[-1]


class FaceNet:
    """The network with its weights.

    Args:
        network: in evaluation mode.
        sha256: of the file of weights.
    """

    def __init__(self, network: Network, sha256: str) -> None:
        self.network, self.sha256 = network, sha256

    @classmethod
    def load(cls, path: Path | str | None = None, *, sha256: str | None = None) -> Self:
        """Read the shipped weights, or those of `path`; files are read once and kept.

        Args:
            path: safetensors file, None for the package's own.
            sha256: refuse a file with another digest.

        Raises:
            ConfigError: see `read_weights`; another digest.
        """
        where = SHIPPED if path is None else Path(path)
        network, found = read_weights(where)
        if sha256 is not None and found != sha256:
            raise ConfigError(
                f"{where}: SHA-256 {found[:12]}…",
                wanted=f"the weights {sha256[:12]}… that the record was made with",
                next_step="install the release that made the record, or name its file of weights",
            )
        return cls(network, found)

    def read(self, picture: Tensor, frame: Frame, *, mirrored: bool = True) -> FaceReading:
        """Read one crop of a picture (1, 3, H, W) of sRGB codes in [0, 1].

        Args:
            picture: the whole picture.
            frame: where to look.
            mirrored: take the mean with the reading of the mirrored crop: twice the work, fewer errors.
        """
        pixels = crop(picture, frame)
        if mirrored:
            pixels = torch.cat([pixels, pixels.flip(-1)])
        with torch.inference_mode():
            return _mean(self.network(pixels), frame)

    def refine(self, picture: Tensor, frame: Frame, *, rounds: int = 2) -> FaceReading:
        """Read a crop, put the frame where the points are, and read again; the last round with the mirror image."""
        for _ in range(rounds):
            frame = frame_of(self.read(picture, frame, mirrored=False).points)
        return self.read(picture, frame)

    def places(self, picture: Tensor) -> Places:
        """Look for faces everywhere in a picture whose sides are multiples of 16."""
        with torch.inference_mode():
            return self.network.places(picture)


def _mean(reading: Reading, frame: Frame) -> FaceReading:
    """Return the mean over a crop and, where there is a second row, its mirror image turned back."""
    points, spread, parsing = reading.points, reading.spread, torch.softmax(reading.parsing, 1)
    depth, forward, logit = reading.depth_mm, reading.forward, reading.places.logit
    if len(points) == 2:
        back = points[1:, list(MIRROR)]
        back = torch.stack([1 - back[..., 0], back[..., 1]], -1)
        points = torch.cat([points[:1], back])
        spread = torch.cat([spread[:1], spread[1:, list(MIRROR)]])
        parsing, depth, logit = (torch.cat([t[:1], t[1:].flip(-1)]) for t in (parsing, depth, logit))
        forward = forward * torch.tensor([[1.0, 1.0], [-1.0, 1.0]])
    rim = INPUT // STRIDE // 4
    inner = torch.sigmoid(logit.mean(0))[rim:-rim, rim:-rim]
    return FaceReading(
        frame=frame,
        points=frame.to_picture(points.mean(0)),
        spread=spread.mean(0) * frame.side,
        presence=float(inner.max()),
        forward=forward.mean(0),
        parsing=parsing.mean(0),
        depth_mm=depth.mean(0)[0],
    )
