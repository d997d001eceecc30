"""Lens and shutter as modules; they work on linear light (`srgb_decode`), and nearly as well on encoded pictures."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from spooflab.augment.field_blur import field_blur
from spooflab.augment.identity import radial_terms
from spooflab.augment.lateral_colour import lateral_colour
from spooflab.augment.lens import resample, window_rays
from spooflab.augment.ranges import between
from spooflab.augment.stages.stage import Stage, check_range, either_sign, table
from spooflab.augment.view import View
from spooflab.augment.vignette import vignette
from spooflab.params import Params


@dataclass(frozen=True)
class _Window(View):
    """A view whose size is known without reading a tensor."""

    pixels: tuple[int, int] = (0, 0)

    @property
    def height(self) -> int:
        """Rows of the window."""
        return self.pixels[0]

    @property
    def width(self) -> int:
        """Columns of the window."""
        return self.pixels[1]


def _window(x: Tensor) -> _Window:
    """Return the ideal view of pictures, without diffraction, where they lie."""
    height, width = x.shape[-2:]
    view = View.ideal(height, width, batch_size=len(x), f_number=1e-4)
    fields = {name: value.to(x.device) for name, value in view.__dict__.items() if value is not None}
    return _Window(**fields, pixels=(height, width))


@dataclass(frozen=True)
class LensParams(Params):
    """(B,) each: distortion and rolling-shutter shear as in `View`."""

    k1: Tensor
    k2: Tensor
    p1: Tensor
    p2: Tensor
    skew: Tensor


class LensDistortion(Stage[LensParams]):
    """Radial and tangential distortion and the shear of a rolling shutter, enlarged so that no border shows.

    Args:
        edge: how far the corner moves, share of its distance from the centre; negative is barrel; within [-.3, .3].
        tangential: p1 and p2, of either sign; at most .02.
        skew: horizontal displacement per row, of either sign; at most .2.
    """

    def __init__(
        self,
        *,
        edge: tuple[float, float] = (-0.05, 0.03),
        tangential: tuple[float, float] = (0.0, 5e-4),
        skew: tuple[float, float] = (0.0, 0.01),
    ) -> None:
        super().__init__()
        self.edge = check_range("edge", edge, low=-0.3, high=0.3)
        self.tangential = check_range("tangential", tangential, low=0.0, high=0.02)
        self.skew = check_range("skew", skew, low=0.0, high=0.2)

    def sample(self, batch_size: int, generator: torch.Generator) -> LensParams:
        """Draw one lens and one shear per picture."""
        edge, waviness, p1, p2, skew = table(batch_size, 5, generator)
        pairs = [
            radial_terms(e, w)
            for e, w in zip(between(self.edge, edge).tolist(), between((0.0, 0.3), waviness).tolist(), strict=True)
        ]
        k1, k2 = torch.tensor(pairs).unbind(1)
        lean = (either_sign(self.tangential, p1), either_sign(self.tangential, p2))
        return LensParams(k1, k2, *lean, either_sign(self.skew, skew))

    def process(self, x: Tensor, params: LensParams) -> Tensor:
        """Resample at the rays of the lens."""
        view = replace(_window(x), k1=params.k1, k2=params.k2, p1=params.p1, p2=params.p2, skew=params.skew)
        return resample(x, window_rays(view)[0])


@dataclass(frozen=True)
class PointSpreadParams(Params):
    """`blur_px` (B,) standard deviation of defocus, `motion_px` (B, 2), `corner_blur_px` (B,), see `field_blur`."""

    blur_px: Tensor
    motion_px: Tensor
    corner_blur_px: Tensor


class PointSpread(Stage[PointSpreadParams]):
    """Defocus, linear motion, and softness that grows towards the corners.

    Args:
        blur_px: standard deviation of the defocus; at most 4.
        motion_px: length of the motion, in any direction; at most 12.
        corner_blur_px: further standard deviation in the corners; at most 1.5.
    """

    def __init__(
        self,
        *,
        blur_px: tuple[float, float] = (0.3, 1.2),
        motion_px: tuple[float, float] = (0.0, 3.0),
        corner_blur_px: tuple[float, float] = (0.0, 0.8),
    ) -> None:
        super().__init__()
        self.blur_px = check_range("blur_px", blur_px, low=0.0, high=4.0)
        self.motion_px = check_range("motion_px", motion_px, low=0.0, high=12.0)
        self.corner_blur_px = check_range("corner_blur_px", corner_blur_px, low=0.0, high=1.5)

    def sample(self, batch_size: int, generator: torch.Generator) -> PointSpreadParams:
        """Draw one spread function per picture."""
        blur, motion, heading, corner = table(batch_size, 4, generator)
        length, angle = between(self.motion_px, motion), 2 * torch.pi * heading
        return PointSpreadParams(
            between(self.blur_px, blur),
            torch.stack([length * angle.cos(), length * angle.sin()], 1),
            between(self.corner_blur_px, corner),
        )

    def process(self, x: Tensor, params: PointSpreadParams) -> Tensor:
        """Filter with the transfer function of the view, without diffraction, then soften the corners."""
        view = replace(_window(x), blur_px=params.blur_px, motion_px=params.motion_px)
        return field_blur(view.blur(x), corner_blur_px=params.corner_blur_px)


@dataclass(frozen=True)
class LateralColourParams(Params):
    """(B,) each: scale of red and of blue relative to green, less one."""

    red: Tensor
    blue: Tensor


class LateralColour(Stage[LateralColourParams]):
    """Lateral chromatic aberration.

    Args:
        scale: of red and blue relative to green, less one, either sign; at most .004.
    """

    def __init__(self, *, scale: tuple[float, float] = (0.0, 1e-3)) -> None:
        super().__init__()
        self.scale = check_range("scale", scale, low=0.0, high=4e-3)

    def sample(self, batch_size: int, generator: torch.Generator) -> LateralColourParams:
        """Draw two scales per picture."""
        red, blue = table(batch_size, 2, generator)
        return LateralColourParams(either_sign(self.scale, red), either_sign(self.scale, blue))

    def process(self, x: Tensor, params: LateralColourParams) -> Tensor:
        """Scale red and blue."""
        return lateral_colour(x, red=params.red, blue=params.blue)


@dataclass(frozen=True)
class VignetteParams(Params):
    """`corner_gain` (B,), centre = 1."""

    corner_gain: Tensor


class Vignette(Stage[VignetteParams]):
    """Fall-off towards the corners.

    Args:
        corner_gain: illumination of the corners, centre = 1; above 0.
    """

    def __init__(self, *, corner_gain: tuple[float, float] = (0.5, 0.95)) -> None:
        super().__init__()
        self.corner_gain = check_range("corner_gain", corner_gain, low=1e-3, high=1.0)

    def sample(self, batch_size: int, generator: torch.Generator) -> VignetteParams:
        """Draw one gain per picture."""
        return VignetteParams(between(self.corner_gain, table(batch_size, 1, generator)[0]))

    def process(self, x: Tensor, params: VignetteParams) -> Tensor:
        """Multiply by the fall-off."""
        return x * vignette(x.shape[-2], x.shape[-1], params.corner_gain)
