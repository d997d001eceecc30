"""Double JPEG: a picture that was coded, cropped or moved, and coded again, so that its two grids of blocks differ.

Recaptures, uploads and edits of files leave this trace (Fan and de Queiroz 2003; Bianchi and Piva 2012). Where the
grids meet, the second coding's coefficients keep the comb of the first; where they do not, only its block edges stay.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from spooflab.augment.codec import check_codes, check_jpeg, jpeg
from spooflab.augment.codec_module import CodecModule, check_range, check_sample, check_share, whole
from spooflab.augment.jpeg import pick, subsampling_codes
from spooflab.params import Params

_PERIOD = 16
"""Pixels after which the grid of luma and that of half-size chroma repeat together."""


@dataclass(frozen=True)
class DoubleJpegParams(Params):
    """Two passes and how their grids lie.

    Attributes:
        first, second: (B,) int64 quality of each pass, 1-100; 0 is no pass.
        dx, dy: (B,) int64 column and row, 0-15, of the first pass's block corners in the second one's grid. Luma's grid
            repeats after 8, that of chroma at half size after 16.
        subsampling: (B,) int64, 0 4:4:4, 1 4:2:2, 2 4:2:0, of both passes.
    """

    first: Tensor
    second: Tensor
    dx: Tensor
    dy: Tensor
    subsampling: Tensor


def double_jpeg(image: Tensor, params: DoubleJpegParams) -> Tensor:
    """Code uint8 (B, 3, H, W) twice and return the same size, the content where it was.

    The first pass sees the picture continued by its last pixels so far that its grid lies at (dx, dy).

    Raises:
        DataError: what `jpeg` raises, and a grid shift out of range.
    """
    check_jpeg(image, params.first, params.subsampling)
    for name, value in (("dx", params.dx), ("dy", params.dy)):
        check_codes(f"double_jpeg: {name}", value, len(image), low=0, high=_PERIOD - 1)
    height, width = image.shape[-2:]
    left, top = (-params.dx % _PERIOD)[:, None], (-params.dy % _PERIOD)[:, None]
    down, across = (torch.arange(n, device=image.device) for n in (height + _PERIOD - 1, width + _PERIOD - 1))
    moved = _take(image, (down - top).clamp(0, height - 1), (across - left).clamp(0, width - 1))
    once = jpeg(moved, quality=params.first, subsampling=params.subsampling)
    back = _take(once, down[:height] + top, across[:width] + left)
    return jpeg(back, quality=params.second, subsampling=params.subsampling)


def _take(image: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Return (B, C, h, w): the pixels of (B, C, H, W) at rows (B, h) and columns (B, w)."""
    batch = torch.arange(len(image), device=image.device)[:, None, None]
    return image[batch, :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2).contiguous()


class DoubleJpeg(CodecModule[DoubleJpegParams]):
    """Code pictures (B, 3, H, W) twice, the second time on another grid of blocks.

    Args:
        first, second: lowest and highest quality of each pass, 1-100.
        aligned: share of pictures whose two grids meet; the others' shift is one of the 255 that remain.
        subsampling: chroma formats, one per picture for both passes.

    >>> twice = DoubleJpeg()(torch.rand(2, 3, 32, 32), generator=torch.Generator().manual_seed(0))
    """

    def __init__(
        self,
        *,
        first: tuple[int, int] = (50, 90),
        second: tuple[int, int] = (70, 97),
        aligned: float = 0.25,
        subsampling: Sequence[str] = ("4:2:0",),
    ) -> None:
        super().__init__()
        check_range("first", first, low=1, high=100)
        check_range("second", second, low=1, high=100)
        check_share("aligned", aligned)
        self.first, self.second, self.aligned = first, second, aligned
        self.subsampling = subsampling_codes(subsampling)

    def sample(self, batch_size: int, generator: torch.Generator) -> DoubleJpegParams:
        """Draw the two passes of `batch_size` pictures."""
        check_sample(batch_size, generator)
        share = torch.rand(batch_size, 5, generator=generator)
        shift = whole((1, _PERIOD * _PERIOD - 1), share[:, 2])
        shift = torch.where(share[:, 3] < self.aligned, 0, shift)
        return DoubleJpegParams(
            first=whole(self.first, share[:, 0]),
            second=whole(self.second, share[:, 1]),
            dx=shift % _PERIOD,
            dy=shift // _PERIOD,
            subsampling=pick(self.subsampling, share[:, 4]),
        )

    def code(self, x: Tensor, params: DoubleJpegParams) -> Tensor:
        """Code and decode uint8 (B, 3, H, W)."""
        return double_jpeg(x, params)
