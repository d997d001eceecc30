"""A camera as an `nn.Module`: a unit of a device profile, its shots, and what it makes of the light."""

from collections.abc import Callable
from pathlib import Path
from typing import Self, overload

import torch
from torch import Tensor, nn

from spooflab.augment.clip import film, sample_clip
from spooflab.augment.develop import develop
from spooflab.augment.device_params import DeviceParams
from spooflab.augment.draw import check_draw, draw_shots
from spooflab.augment.gentle import gentle_shots
from spooflab.augment.identity import draw_identity
from spooflab.augment.lens import through_lens
from spooflab.augment.photograph import check_photograph, check_window, from_photograph, to_photograph
from spooflab.augment.profile import REFERENCE, DeviceProfile, load_profile
from spooflab.augment.quick import Fidelity, check_fidelity, quick_photograph
from spooflab.augment.tone import inverse_tone_curve, srgb_decode
from spooflab.errors import ConfigError, DataError


class CaptureDevice(nn.Module):
    """One unit of a camera. What is drawn once per unit (sensor pattern, lens, colours) its name alone decides.

    Args:
        profile: a shipped profile's name, a YAML path, or a profile.
        unit: number of the unit, >= 0.
        fidelity: `full` for the whole chain, `quick` for the one of `quick_photograph`, in `forward` alone.

    >>> device = CaptureDevice("front_phone", unit=3)
    >>> device.device_id
    'front_phone/u03'
    >>> photo = device(torch.rand(1, 3, 64, 64), generator=torch.Generator().manual_seed(1))
    """

    def __init__(self, profile: str | Path | DeviceProfile, *, unit: int = 0, fidelity: Fidelity = "full") -> None:
        super().__init__()
        if unit < 0:
            raise ConfigError(f"CaptureDevice: unit {unit}", wanted="a unit number >= 0")
        self.fidelity = check_fidelity(fidelity)
        self.profile = profile if isinstance(profile, DeviceProfile) else load_profile(profile)
        self.unit = unit
        with torch.autocast("cpu", enabled=False):  # a unit's colours are those of float32, wherever it is made
            self.identity = draw_identity(self.profile, unit)

    @classmethod
    def ideal(cls) -> "CaptureDevice":
        """Return the device that changes nothing but the 8-bit rounding: the reference of tests."""
        return cls(REFERENCE)

    @property
    def profile_name(self) -> str:
        """Name of the profile."""
        return self.profile.name

    @property
    def device_id(self) -> str:
        """Profile and unit, as records name it."""
        return f"{self.profile.name}/u{self.unit:02d}"

    def extra_repr(self) -> str:
        """Show which unit this is."""
        return self.device_id

    def sample(
        self, batch_size: int, generator: torch.Generator, *, size: tuple[int, int] = (512, 512)
    ) -> DeviceParams:
        """Draw `batch_size` shots on the CPU.

        Args:
            batch_size: number of shots, >= 1.
            generator: CPU generator; equal states give equal shots, and row i does not depend on the batch size.
            size: height and width of the sensor window, pixels.
        """
        check_draw(batch_size, size)
        return draw_shots(self.profile, self.identity, self.unit, batch_size, generator, size)

    @overload
    def apply(self, fn: Callable[[nn.Module], None], /) -> Self: ...

    @overload
    def apply(self, irradiance: Tensor, params: DeviceParams) -> Tensor: ...

    def apply(
        self, irradiance: Tensor | Callable[[nn.Module], None], params: DeviceParams | None = None
    ) -> Tensor | Self:
        """Develop sensor irradiance (lens already applied) to a photo; deterministic.

        Args:
            irradiance: (B, 3, H, W) float32 linear sRGB, diffuse white about 1; negative light counts as none.
            params: what `sample` drew, for the same B, H, W.

        Returns:
            (B, 3, H, W) float32 sRGB in [0, 1], on the grid of 1/255.

        A function alone is applied to this module, as `nn.Module.apply` would: a model that holds a device calls it so.
        """
        if not isinstance(irradiance, Tensor):
            return super().apply(irradiance)
        if params is None:
            raise DataError("apply: light without parameters", wanted="apply(irradiance, params), params from sample()")
        return develop(irradiance, params)

    def forward(self, x: Tensor, *, generator: torch.Generator, gentle: bool | Tensor = False) -> Tensor:
        """Photograph a photograph: undo its curve, see it through this unit's lens, and develop it.

        Args:
            x: (B, 3, H, W) sRGB photographs, floating point in [0, 1] or uint8; computed in float32, returned in
                `x`'s own type.
            generator: CPU generator that the shots are drawn from.
            gentle: for all rows, or (B,) bool: a second pass mild enough that a bona fide photograph stays one.
        """
        check_photograph(x)
        params = self.sample(x.shape[0], generator, size=(x.shape[-2], x.shape[-1]))
        return retake(x, gentle_shots(params, gentle), self.fidelity)

    def clip(self, x: Tensor, *, frames: int, fps: float = 30.0, generator: torch.Generator) -> Tensor:
        """Film photographs (B, 3, H, W), as `forward` takes them, with an unsteady hand: (B, frames, 3, H, W)."""
        source = from_photograph(x)
        size = (x.shape[-2], x.shape[-1])
        params = sample_clip(self, x.shape[0], frames=frames, fps=fps, generator=generator, size=size)
        return to_photograph(film(source, params.to(x.device)), x.dtype)


def rephotograph(photo: Tensor, params: DeviceParams) -> Tensor:
    """Return `photo`, float32 sRGB (B, 3, H, W) in [0, 1], taken again with `params`.

    A photograph has been through a curve already: it is undone first (`source_tone`, `source_gamma`, then the sRGB
    transfer), as Brooks et al. 2019 unprocess. Balance and matrix need no undoing, for the sensor's own are inverses.

    Raises:
        DataError: another type, shape or range, or not the shape that `params` were drawn for.
    """
    check_window(photo, params.view)
    return _taken_again(photo, params)


def _taken_again(photo: Tensor, params: DeviceParams) -> Tensor:
    with torch.autocast(photo.device.type, enabled=False):
        flat = inverse_tone_curve(photo, tone=params.source_tone, gamma=params.source_gamma)
        return develop(through_lens(srgb_decode(flat), params.view), params)


def retake(x: Tensor, params: DeviceParams, fidelity: Fidelity) -> Tensor:
    """Return checked photographs (B, 3, H, W), taken again with `params` (which lie on the CPU), in their own type."""
    with torch.autocast(x.device.type, enabled=False):
        if fidelity == "quick":
            return to_photograph(quick_photograph(x if x.dtype == torch.uint8 else x.float(), params), x.dtype)
        return to_photograph(_taken_again(from_photograph(x), params.to(x.device)), x.dtype)
