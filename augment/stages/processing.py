"""What a camera's software does, as modules: balance and `Smear` on linear light, the rest on encoded pictures."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from spooflab.augment.auto_balance import adapt
from spooflab.augment.beautify import beautify
from spooflab.augment.color import mix, saturation_matrix
from spooflab.augment.denoise import smear
from spooflab.augment.identity import balance_shift
from spooflab.augment.ranges import between
from spooflab.augment.sharpen import sharpen
from spooflab.augment.stages.stage import Stage, check_range, table
from spooflab.augment.tone import tone_curve
from spooflab.params import Params


@dataclass(frozen=True)
class ColourBalanceParams(Params):
    """(B,) each: exposure error in stops, saturation, adaptation; `gains` (B, 3), the error of the white balance."""

    error_ev: Tensor
    gains: Tensor
    saturation: Tensor
    awb_strength: Tensor


class ColourBalance(Stage[ColourBalanceParams]):
    """Errors of exposure and white balance, adaptation to the frame's light, and saturation.

    Args:
        error_ev: exposure error, stops, either sign by the range.
        balance_ev: standard deviation of the white-balance error, stops, along daylight (a third of it across).
        saturation: gain of chroma.
        awb_strength: share of a cast that is taken away, see `adapt`.
    """

    def __init__(
        self,
        *,
        error_ev: tuple[float, float] = (-0.4, 0.4),
        balance_ev: float = 0.06,
        saturation: tuple[float, float] = (0.85, 1.2),
        awb_strength: tuple[float, float] = (0.0, 0.0),
    ) -> None:
        super().__init__()
        self.error_ev = check_range("error_ev", error_ev, low=-6.0, high=6.0)
        self.balance_ev = check_range("balance_ev", (balance_ev, balance_ev), low=0.0, high=1.0)[0]
        self.saturation = check_range("saturation", saturation, low=0.0, high=4.0)
        self.awb_strength = check_range("awb_strength", awb_strength, low=0.0, high=1.0)

    def sample(self, batch_size: int, generator: torch.Generator) -> ColourBalanceParams:
        """Draw one error per picture."""
        error, warm, tint, saturation, adaptation = table(batch_size, 5, generator)
        axes = torch.special.ndtri(torch.stack([warm, tint], 1)).clamp(-2.5, 2.5)
        return ColourBalanceParams(
            between(self.error_ev, error),
            torch.exp2(self.balance_ev * balance_shift(axes)),
            between(self.saturation, saturation),
            between(self.awb_strength, adaptation),
        )

    def process(self, x: Tensor, params: ColourBalanceParams) -> Tensor:
        """Expose, balance and mix."""
        neutral = torch.ones_like(params.gains)
        gains = params.gains * torch.exp2(params.error_ev)[:, None] * adapt(x, neutral, params.awb_strength)
        return mix((x * gains[:, :, None, None]).clamp(max=1), saturation_matrix(params.saturation))


@dataclass(frozen=True)
class SmearParams(Params):
    """(B,) each: strength, and the noise model that the filter expects."""

    strength: Tensor
    a: Tensor
    b: Tensor


class Smear(Stage[SmearParams]):
    """Noise reduction that takes fine texture with it, see `smear`.

    Args:
        strength: in [0, 1].
        a, b: noise that the camera expects, variance a x + b.
    """

    def __init__(self, *, strength: tuple[float, float] = (0.2, 0.7), a: float = 1e-3, b: float = 1e-5) -> None:
        super().__init__()
        self.strength = check_range("strength", strength, low=0.0, high=1.0)
        self.a, self.b = (check_range(name, (v, v), low=0.0, high=1.0)[0] for name, v in (("a", a), ("b", b)))

    def sample(self, batch_size: int, generator: torch.Generator) -> SmearParams:
        """Draw one strength per picture."""
        strength = between(self.strength, table(batch_size, 1, generator)[0])
        return SmearParams(strength, torch.full_like(strength, self.a), torch.full_like(strength, self.b))

    def process(self, x: Tensor, params: SmearParams) -> Tensor:
        """Denoise."""
        return smear(x, strength=params.strength, a=params.a, b=params.b)


@dataclass(frozen=True)
class ToneParams(Params):
    """(B,) each: contrast and gamma as in `tone_curve`."""

    tone: Tensor
    gamma: Tensor


class Tone(Stage[ToneParams]):
    """A camera's contrast curve.

    Args:
        tone: share of the smoothstep, in [0, 1].
        gamma: exponent on encoded values; above 0.
    """

    def __init__(self, *, tone: tuple[float, float] = (0.0, 0.7), gamma: tuple[float, float] = (0.85, 1.1)) -> None:
        super().__init__()
        self.tone = check_range("tone", tone, low=0.0, high=1.0)
        self.gamma = check_range("gamma", gamma, low=0.05, high=20.0)

    def sample(self, batch_size: int, generator: torch.Generator) -> ToneParams:
        """Draw one curve per picture."""
        tone, gamma = table(batch_size, 2, generator)
        return ToneParams(between(self.tone, tone), between(self.gamma, gamma))

    def process(self, x: Tensor, params: ToneParams) -> Tensor:
        """Apply the curve."""
        return tone_curve(x, tone=params.tone, gamma=params.gamma)


@dataclass(frozen=True)
class SharpenParams(Params):
    """(B,) each: gain and radius as in `sharpen`."""

    gain: Tensor
    radius_px: Tensor


class Sharpen(Stage[SharpenParams]):
    """Unsharp mask on luma, with its halos.

    Args:
        gain: of the detail that is added; at most 8.
        radius_px: standard deviation of the blur, .3 to 1.8, which seven taps hold.
    """

    def __init__(self, *, gain: tuple[float, float] = (0.2, 1.2), radius_px: tuple[float, float] = (0.8, 1.6)) -> None:
        super().__init__()
        self.gain = check_range("gain", gain, low=0.0, high=8.0)
        self.radius_px = check_range("radius_px", radius_px, low=0.3, high=1.8)

    def sample(self, batch_size: int, generator: torch.Generator) -> SharpenParams:
        """Draw one mask per picture."""
        gain, radius = table(batch_size, 2, generator)
        return SharpenParams(between(self.gain, gain), between(self.radius_px, radius))

    def process(self, x: Tensor, params: SharpenParams) -> Tensor:
        """Sharpen."""
        return sharpen(x, gain=params.gain, radius_px=params.radius_px)


@dataclass(frozen=True)
class BeautifyParams(Params):
    """`strength` (B,) in [0, 1]."""

    strength: Tensor


class Beautify(Stage[BeautifyParams]):
    """Skin smoothing, see `beautify`.

    Args:
        strength: in [0, 1].
    """

    def __init__(self, *, strength: tuple[float, float] = (0.0, 0.6)) -> None:
        super().__init__()
        self.strength = check_range("strength", strength, low=0.0, high=1.0)

    def sample(self, batch_size: int, generator: torch.Generator) -> BeautifyParams:
        """Draw one strength per picture."""
        return BeautifyParams(between(self.strength, table(batch_size, 1, generator)[0]))

    def process(self, x: Tensor, params: BeautifyParams) -> Tensor:
        """Smooth skin."""
        return beautify(x, strength=params.strength)


@dataclass(frozen=True)
class DigitalZoomParams(Params):
    """`zoom` (B,), at least 1, and `centre` (B, 2): x and y in [-1, 1], of the room that the crop leaves."""

    zoom: Tensor
    centre: Tensor


class DigitalZoom(Stage[DigitalZoomParams]):
    """Crop and enlarge to the same size, bicubic, as a camera without a zoom lens does.

    Args:
        zoom: 1 to 8.
    """

    def __init__(self, *, zoom: tuple[float, float] = (1.0, 1.6)) -> None:
        super().__init__()
        self.zoom = check_range("zoom", zoom, low=1.0, high=8.0)

    def sample(self, batch_size: int, generator: torch.Generator) -> DigitalZoomParams:
        """Draw one crop per picture."""
        zoom, x, y = table(batch_size, 3, generator)
        return DigitalZoomParams(between(self.zoom, zoom), 2 * torch.stack([x, y], 1) - 1)

    def process(self, x: Tensor, params: DigitalZoomParams) -> Tensor:
        """Resample the crop."""
        share = 1 / params.zoom
        shift = params.centre * (1 - share)[:, None]
        still = torch.zeros_like(share)
        theta = torch.stack(
            [torch.stack([share, still, shift[:, 0]], 1), torch.stack([still, share, shift[:, 1]], 1)], 1
        )
        rays = F.affine_grid(theta, list(x.shape), align_corners=False)
        return F.grid_sample(x, rays, mode="bicubic", padding_mode="border", align_corners=False)
