"""The sensor as modules; they work on linear light (`srgb_decode`)."""

from dataclasses import dataclass

import torch
from torch import Tensor

from spooflab.augment.bayer import demosaic, mosaic
from spooflab.augment.noise import convert, sensor_noise
from spooflab.augment.prnu import prnu
from spooflab.augment.ranges import between, log_between
from spooflab.augment.stages.stage import Stage, check_range, seeds, table
from spooflab.params import Params


@dataclass(frozen=True)
class SensorNoiseParams(Params):
    """(B,) each: variance a x + b, row noise, and the int64 seed that the noise is drawn from."""

    a: Tensor
    b: Tensor
    row_std: Tensor
    seed: Tensor


class SensorNoise(Stage[SensorNoiseParams]):
    """Poisson-Gaussian noise, as a Gaussian of variance a x + b (Foi et al. 2008), and row noise.

    Noise is drawn on the CPU from each row's seed: the same for a seed in any batch and on any device.

    Args:
        a, b: shot and read noise, white = 1, drawn by their logarithm, together: dim light has more of both.
        row_share: standard deviation of row noise relative to sqrt(b).
    """

    on_host = ("seed",)

    def __init__(
        self,
        *,
        a: tuple[float, float] = (7e-5, 4e-3),
        b: tuple[float, float] = (2e-7, 4e-5),
        row_share: tuple[float, float] = (0.0, 0.1),
    ) -> None:
        super().__init__()
        self.a = check_range("a", a, low=1e-9, high=1.0)
        self.b = check_range("b", b, low=1e-12, high=1.0)
        self.row_share = check_range("row_share", row_share, low=0.0, high=10.0)

    def sample(self, batch_size: int, generator: torch.Generator) -> SensorNoiseParams:
        """Draw one level and one seed per picture."""
        dark, row, high, low = table(batch_size, 4, generator)
        b = log_between(self.b, dark)
        return SensorNoiseParams(
            log_between(self.a, dark), b, between(self.row_share, row) * b.sqrt(), seeds(high, low)
        )

    def process(self, x: Tensor, params: SensorNoiseParams) -> Tensor:
        """Add the noise."""
        return sensor_noise(x, a=params.a, b=params.b, row_std=params.row_std, seeds=params.seed)


@dataclass(frozen=True)
class PhotoResponseParams(Params):
    """(B,) each: the pattern's int64 seed and its relative standard deviation."""

    seed: Tensor
    std: Tensor


class PhotoResponse(Stage[PhotoResponseParams]):
    """Photo-response non-uniformity of one sensor (Lukáš, Fridrich, Goljan 2006).

    Args:
        sensor: seed of the sensor, whose pattern every picture gets.
        std: relative standard deviation; at most .05.
    """

    on_host = ("seed",)

    def __init__(self, *, sensor: int = 0, std: tuple[float, float] = (0.003, 0.009)) -> None:
        super().__init__()
        self.sensor = sensor
        self.std = check_range("std", std, low=0.0, high=0.05)

    def sample(self, batch_size: int, generator: torch.Generator) -> PhotoResponseParams:
        """Draw one deviation per picture."""
        share = table(batch_size, 1, generator)[0]
        return PhotoResponseParams(torch.full((batch_size,), self.sensor), between(self.std, share))

    def process(self, x: Tensor, params: PhotoResponseParams) -> Tensor:
        """Multiply by the pattern."""
        return x * prnu(x.shape[-2], x.shape[-1], params.seed, params.std)


@dataclass(frozen=True)
class ColourFilterParams(Params):
    """`bits` (B,) int64 of the converter behind the mosaic, 0 for none."""

    bits: Tensor


class ColourFilter(Stage[ColourFilterParams]):
    """An RGGB mosaic, a converter, and linear interpolation (Malvar, He, Cutler 2004).

    Args:
        bits: of the converter, 0 for none.
    """

    def __init__(self, *, bits: int = 10) -> None:
        super().__init__()
        self.bits = int(check_range("bits", (bits, bits), low=0, high=16)[0])

    def sample(self, batch_size: int, generator: torch.Generator) -> ColourFilterParams:
        """Return the same converter for all; nothing is drawn."""
        return ColourFilterParams(torch.full((batch_size,), self.bits))

    def process(self, x: Tensor, params: ColourFilterParams) -> Tensor:
        """Take one colour per photosite and fill in the others."""
        return demosaic(convert(mosaic(x), bits=params.bits, black_level=torch.zeros_like(params.bits)))
