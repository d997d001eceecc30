"""JPEG as a module: one pass at a drawn quality and chroma format."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from spooflab.augment.codec import SUBSAMPLING, jpeg
from spooflab.augment.codec_module import CodecModule, check_range, check_sample, whole
from spooflab.errors import ConfigError
from spooflab.params import Params


@dataclass(frozen=True)
class JpegParams(Params):
    """One pass.

    Attributes:
        quality: (B,) int64 of libjpeg, 1-100; 0 is no codec.
        subsampling: (B,) int64, 0 4:4:4, 1 4:2:2, 2 4:2:0.
    """

    quality: Tensor
    subsampling: Tensor


class Jpeg(CodecModule[JpegParams]):
    """Code and decode pictures (B, 3, H, W) with libjpeg's JPEG.

    Args:
        quality: lowest and highest quality, 1-100, drawn uniformly.
        subsampling: chroma formats, drawn with equal probability.

    >>> coded = Jpeg(quality=(60, 90))(torch.rand(2, 3, 32, 32), generator=torch.Generator().manual_seed(0))
    """

    def __init__(
        self, *, quality: tuple[int, int] = (50, 95), subsampling: Sequence[str] = ("4:4:4", "4:2:2", "4:2:0")
    ) -> None:
        super().__init__()
        check_range("quality", quality, low=1, high=100)
        self.quality = quality
        self.subsampling = subsampling_codes(subsampling)

    def sample(self, batch_size: int, generator: torch.Generator) -> JpegParams:
        """Draw the passes of `batch_size` pictures."""
        check_sample(batch_size, generator)
        share = torch.rand(batch_size, 2, generator=generator)
        return JpegParams(quality=whole(self.quality, share[:, 0]), subsampling=pick(self.subsampling, share[:, 1]))

    def code(self, x: Tensor, params: JpegParams) -> Tensor:
        """Code and decode uint8 (B, 3, H, W)."""
        return jpeg(x, quality=params.quality, subsampling=params.subsampling)


def subsampling_codes(names: Sequence[str]) -> Tensor:
    """Return the codes of chroma formats by name."""
    unknown = [name for name in names if name not in SUBSAMPLING]
    if unknown or not names:
        raise ConfigError(f"subsampling {list(names)}", wanted=f"one or more of {', '.join(SUBSAMPLING)}")
    return torch.tensor([SUBSAMPLING[name] for name in names])


def pick(values: Tensor, share: Tensor) -> Tensor:
    """Return one of `values` for each share in [0, 1), with equal probability."""
    return values[whole((0, len(values) - 1), share)]
