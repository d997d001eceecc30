"""The bank of display panels: what replay attacks are shown on, one strict entry for each panel."""

from collections.abc import Sequence
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from spooflab.config import Config, load_config
from spooflab.errors import ConfigError


def _chromaticity(value: tuple[float, float]) -> tuple[float, float]:
    if min(value) <= 0 or sum(value) >= 1:
        raise ValueError(f"wanted CIE x, y > 0 with x + y < 1, seen {list(value)}")
    return value


Positive = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(ge=0, le=1)]
Chromaticity = Annotated[tuple[float, float], AfterValidator(_chromaticity)]
Millimetres = Annotated[float, Field(ge=0)]


class Primaries(Config):
    """CIE 1931 x, y of the three subpixels and of white, as the panel shows sRGB content."""

    red: Chromaticity
    green: Chromaticity
    blue: Chromaticity
    white: Chromaticity


LAYOUTS = Literal[
    "rgb_stripe",
    "bgr_stripe",
    "pentile_diamond",
    "rgbw_quad",
    "rgbw_pentile",
    "rgbw_stripe",
    "rwbg_stripe",
    "rgwb_stripe",
]
"""Arrangements of emitters: see `Subpixels`."""


_ABREAST = {
    "rgb_stripe": 3, "bgr_stripe": 3, "pentile_diamond": 2, "rgbw_quad": 2, "rgbw_pentile": 2, "rgbw_stripe": 3,
    "rwbg_stripe": 4, "rgwb_stripe": 4,
}  # fmt: skip
"""Emitters beside each other in the width of a pixel."""


class Subpixels(Config):
    """Where each pixel emits.

    Attributes:
        layout: `rgb_stripe`, `bgr_stripe`: three vertical stripes from the left. `pentile_diamond`: green on every
            pixel, red and blue on alternate ones, all turned by 45 degrees. `rgbw_quad`: red and green above blue and
            white. `rgbw_pentile`: two emitters a pixel, R G | B W in one row and B W | R G in the next.
            `rgbw_stripe`: three stripes a pixel out of the endless row R G B W, every second row shifted by two.
            `rwbg_stripe`, `rgwb_stripe`: four stripes a pixel in that order.
        black_matrix_um: opaque gap between neighbouring emitters.
        chevron_deg: tilt of a stripe, alternating from row to row (two-domain in-plane switching); 0 for none.
        size: linear size of red, green, blue (and white) emitters relative to what the black matrix leaves; PenTile
            panels have small greens.
    """

    layout: LAYOUTS
    black_matrix_um: Annotated[float, Field(ge=0, le=60)]
    chevron_deg: Annotated[float, Field(ge=0, le=25)] = 0.0
    size: tuple[Share, Share, Share] | tuple[Share, Share, Share, Share] = (1.0, 1.0, 1.0)

    @property
    def white(self) -> bool:
        """Whether there is a white emitter."""
        return "w" in self.layout.partition("_")[0]


class WhiteEmitter(Config):
    """The fourth emitter and how the panel's driver uses it.

    Attributes:
        xy: chromaticity of its light.
        share: of the luminance of the panel's full white that it can give; the colours alone reach the rest.
        extraction: share of a pixel's neutral part that the driver hands to it.
    """

    xy: Chromaticity
    share: Annotated[float, Field(gt=0, lt=0.9)]
    extraction: Share


class Light(Config):
    """How bright, how dark, and how it flickers.

    Attributes:
        white_nits: luminance of white at full brightness, cd/m².
        contrast: luminance of white over that of black, in a dark room.
        gamma: exponent of the electro-optical transfer.
        falloff: exponents a of cos(angle)^a by which red, green and blue dim off axis, relative to a Lambertian source.
        dimming: `pwm` shortens the lit share of each period with brightness; `dc` lowers the current.
        pulse_hz: frequency of the flicker.
        pulse_duty: lit share of a period at full brightness.
        pulse_depth: 1 where the panel is dark between pulses, 0 for steady light.
        refresh_hz: pictures per second.
        rolling: whether the flicker is scanned down the panel with the picture (emissive panels) or is the same all
            over it (a backlight).
        washout: how far mid tones lift off axis (see `panel_angle`): 1 for four-domain vertical alignment, 0.45 for
            eight domains, about 0.1 for in-plane switching, 0 for emissive panels.
        glow: share of the light through tilted crossed polarisers that compensation films leave.
    """

    white_nits: Positive
    contrast: Annotated[float, Field(gt=1)]
    gamma: Annotated[float, Field(ge=1.6, le=2.8)]
    falloff: tuple[float, float, float]
    dimming: Literal["pwm", "dc"]
    pulse_hz: Positive
    pulse_duty: Annotated[float, Field(gt=0, le=1)]
    pulse_depth: Share
    refresh_hz: Positive
    rolling: bool
    washout: Annotated[float, Field(ge=0, le=1.2)] = 0.0
    glow: Share = 0.0


class Glass(Config):
    """What the front does with light from the room.

    Attributes:
        reflectance: mirror reflectance at normal incidence, 0.003 (coated) to 0.05 (bare glass with air gap).
        haze: diffuse reflectance of panel and surface, which lifts black.
        matte: share of the mirror reflection that an anti-glare surface spreads out.
        sparkle: standard deviation of the light of single pixels behind such a surface, relative to its mean.
    """

    reflectance: Annotated[float, Field(ge=0, le=0.12)]
    haze: Annotated[float, Field(ge=0, le=0.1)]
    matte: Share
    sparkle: Annotated[float, Field(ge=0, le=0.15)] = 0.0


class Body(Config):
    """The device around the active area.

    Attributes:
        bezel_mm: from the active area to the outer edge: at either side, above, below.
        corner_mm: radius of the body's corners.
        active_corner_mm: radius of the active area's corners.
        rim_mm: width of the frame around the glass (or of the whole plastic bezel's edge).
        glass_bezel: whether the front glass covers the bezel.
        bezel_rgb: linear albedo of the bezel.
        rim_rgb: linear albedos of the frame that the model comes in; one is drawn.
    """

    bezel_mm: tuple[Millimetres, Millimetres, Millimetres]
    corner_mm: Millimetres
    active_corner_mm: Millimetres
    rim_mm: Millimetres
    glass_bezel: bool
    bezel_rgb: tuple[Share, Share, Share]
    rim_rgb: Annotated[tuple[tuple[Share, Share, Share], ...], Field(min_length=1)]


class Panel(Config):
    """One model of display.

    Attributes:
        id: the instrument's name in every record.
        kind: what it is part of.
        technology: liquid crystal or organic light-emitting diodes.
        source: where the figures come from.
        ppi: pixels per inch.
        active_mm: width and height of the lit area in the device's own position (phones and tablets upright).
        white: the fourth emitter; wanted for layouts that have one, and for no other.
    """

    id: str = Field(pattern=r"^[a-z0-9][a-z0-9_]*$")
    kind: Literal["phone", "tablet", "monitor", "laptop", "tv"]
    technology: Literal["lcd", "oled"]
    source: str = Field(min_length=10)
    ppi: Annotated[float, Field(ge=30, le=700)]
    active_mm: tuple[Positive, Positive]
    subpixels: Subpixels
    light: Light
    primaries: Primaries
    glass: Glass
    body: Body
    white: WhiteEmitter | None = None

    @property
    def pitch_mm(self) -> float:
        """Side of a pixel."""
        return 25.4 / self.ppi

    @model_validator(mode="after")
    def _emitters_exist(self) -> "Panel":
        room_um = self.pitch_mm * 1000 / _ABREAST[self.subpixels.layout]
        if self.subpixels.black_matrix_um >= 0.8 * room_um:
            raise ValueError(
                f"{self.id}: black_matrix_um {self.subpixels.black_matrix_um} leaves no emitter in {room_um:.1f} um"
            )
        return self

    @model_validator(mode="after")
    def _white_belongs(self) -> "Panel":
        emitters = 4 if self.subpixels.white else 3
        if (self.white is not None) != self.subpixels.white or len(self.subpixels.size) != emitters:
            raise ValueError(
                f"{self.id}: layout {self.subpixels.layout} wants {emitters} sizes and "
                f"{'a' if self.subpixels.white else 'no'} white emitter, seen {len(self.subpixels.size)} sizes and "
                f"white {'missing' if self.white is None else 'given'}"
            )
        return self


class PanelBank(Config):
    """Panels in a fixed order: parameters name a panel by its place, so append and never reorder."""

    panels: Annotated[tuple[Panel, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _unique(self) -> "PanelBank":
        ids = [panel.id for panel in self.panels]
        twice = sorted({i for i in ids if ids.count(i) > 1})
        if twice:
            raise ValueError(f"panel ids must differ; {twice} appear twice")
        return self

    def ids(self, kinds: Sequence[str]) -> tuple[str, ...]:
        """Return the ids of the panels of these kinds, in order."""
        return tuple(panel.id for panel in self.panels if panel.kind in kinds)

    def places(self, kinds: Sequence[str], allowed: Sequence[str] | None) -> tuple[int, ...]:
        """Return the places of the panels of these kinds that may be drawn.

        Args:
            kinds: kinds of panel.
            allowed: ids that may be drawn; None for all of them.

        Raises:
            ConfigError: an id that is no panel of these kinds, or none at all.
        """
        known = self.ids(kinds)
        chosen = known if allowed is None else tuple(allowed)
        strange = sorted(set(chosen) - set(known))
        if strange or not chosen:
            raise ConfigError(
                f"panels: {strange or 'an empty list'} is not in the bank for {'/'.join(kinds)}",
                wanted=f"some of {', '.join(known)}",
                next_step="spooflab list instruments",
            )
        return tuple(place for place, panel in enumerate(self.panels) if panel.id in chosen)


def load_panels(path: Path | None = None) -> PanelBank:
    """Load a bank strictly; without a path, the shipped one.

    Raises:
        ConfigError: the file breaks the schema; every offending key is named.
    """
    return _shipped() if path is None else load_config(path, PanelBank)


@lru_cache(maxsize=1)
def _shipped() -> PanelBank:
    shipped = resources.files("spooflab.configs").joinpath("instruments", "panels.yaml")
    with resources.as_file(shipped) as file:
        return load_config(file, PanelBank)
