"""Device profiles: the ranges a class of cameras lives in, as strict YAML with a source for every group."""

from importlib import resources
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from spooflab.augment.ranges import NotNegative, Positive, PositiveShare, Range, Share
from spooflab.config import Config, load_config
from spooflab.errors import ConfigError

Row = tuple[float, float, float]
Subsampling = Literal["4:4:4", "4:2:2", "4:2:0"]
Quality = Annotated[int, Field(ge=1, le=100)]
Crf = Annotated[int, Field(ge=0, le=51)]
REFERENCE = "ideal"
"""The profile that changes nothing; it can be loaded, but it is no camera and is not listed."""


def _invertible(value: tuple[float, float]) -> tuple[float, float]:
    if value[0] < -0.3 or value[1] > 0.3:
        raise ValueError(f"edge_distortion wants shares in [-.3, .3], seen {list(value)}")
    return value


class LensProfile(Config):
    """Optics in front of the sensor window.

    Attributes:
        source: where the figures come from.
        focal_mm, f_number: as in `View`.
        edge_distortion: how far the lens moves what lands in the window's corner, share of its ideal distance from the
            centre; negative is barrel, and beyond -.3 the radial model would fold.
        blur_px: standard deviation of a unit's own aberrations, window pixels.
        focus_error_px: further blur of one shot, added in quadrature.
        corner_gain: illumination of the corner relative to the centre, after the camera's own correction.
        lateral_colour: scale of red or blue relative to green, less one, either sign; small values are commoner.
        tangential: p1 and p2 of a decentred lens, either sign, as in `View`.
        corner_blur_px: further standard deviation of the blur in the window's corners.
    """

    source: str
    focal_mm: Positive
    f_number: Positive
    edge_distortion: Annotated[Range, AfterValidator(_invertible)]
    blur_px: NotNegative
    focus_error_px: NotNegative
    corner_gain: PositiveShare
    lateral_colour: NotNegative
    tangential: NotNegative = (0.0, 0.0)
    corner_blur_px: NotNegative = (0.0, 0.0)


class SensorProfile(Config):
    """Photosites and converter.

    Attributes:
        source: where the figures come from.
        pitch_um: pixel pitch.
        cfa: colour filter array; `none` means three full planes.
        bits: resolution of the converter, 8 to 16, or 0 for none.
        black_level: pedestal as a share of full scale, which keeps the noise of black symmetric.
        prnu_std: photo-response non-uniformity, relative, below .01.
        red_gain, blue_gain: white-balance gains of a neutral scene, green = 1.
        aperture: share of a pixel's pitch, across and down, that gathers light; less where lines are skipped.
        defects: photosites that do not work, share of all; most are filled in by the camera.
    """

    source: str
    pitch_um: Positive
    cfa: Literal["rggb", "none"]
    bits: int = Field(ge=0, le=16)
    black_level: float = Field(ge=0, lt=0.25)
    prnu_std: NotNegative
    red_gain: Positive
    blue_gain: Positive
    aperture: tuple[Annotated[float, Field(gt=0, le=1)], Annotated[float, Field(gt=0, le=1)]] = (1.0, 1.0)
    defects: Share = (0.0, 0.0)

    @model_validator(mode="after")
    def _plausible(self) -> "SensorProfile":
        if 0 < self.bits < 8:
            raise ValueError(f"bits wants 8 to 16, or 0 for no converter; seen {self.bits}")
        if self.prnu_std[1] >= 0.01:
            raise ValueError(f"prnu_std wants values below .01, seen {list(self.prnu_std)}")
        return self


class NoiseProfile(Config):
    """Noise of the raw signal x (white = 1): variance a x + b; the light of the scene moves a and b together.

    Attributes:
        source: where the figures come from.
        lux: illuminance of the scene; the brightest goes with the least noise.
        a, b: shot and read noise.
        row_share: standard deviation of row noise relative to sqrt(b).
    """

    source: str
    lux: Positive
    a: NotNegative
    b: NotNegative
    row_share: NotNegative


class TimingProfile(Config):
    """Shutter and hand.

    Attributes:
        source: where the figures come from.
        exposure_ms: exposure of a row; long in dim light.
        readout_ms: first to last row of the whole frame.
        frame_rows: rows of the frame that the window is cut from.
        shake_deg_per_s: turning rate of the camera (or of the subject as seen by it).
    """

    source: str
    exposure_ms: Positive
    readout_ms: NotNegative
    frame_rows: int = Field(ge=1)
    shake_deg_per_s: NotNegative


class ExposureProfile(Config):
    """Auto-exposure.

    Attributes:
        source: where the figures come from.
        metering: 0 fixed exposure, 1 the metered mean always reaches the target; between: that power of the gain.
        target: centre-weighted mean that the camera aims at, linear, white = 1.
        highlight: where the brightest twentieth of the frame may lie, linear.
        error_ev: standard deviation of the error, stops.
    """

    source: str
    metering: Share
    target: Positive
    highlight: Positive
    error_ev: float = Field(ge=0, le=2)


class ColourProfile(Config):
    """Colour response and its correction.

    Attributes:
        source: where the figures come from.
        ccm: white-balanced sensor colours to linear sRGB; rows sum to one.
        ccm_spread: standard deviation by which a unit's sensor departs from what its matrix corrects.
        unit_balance_ev, shot_balance_ev: standard deviation of the white-balance error, stops: lasting, and per shot.
        saturation: chroma gain after correction.
        awb_strength: share of the light's colour, in stops, that auto-white-balance takes away.
        unit_departure, unit_cast_ev: what a camera that was measured is known to have, whatever its unit's number: the
            departure of its sensor from the matrix (rows sum to zero), and its lasting error of white balance in stops
            on red, green, blue. What the spreads draw is added to it.
    """

    source: str
    ccm: tuple[Row, Row, Row]
    ccm_spread: float = Field(ge=0, le=0.3)
    unit_balance_ev: float = Field(ge=0, le=1)
    shot_balance_ev: float = Field(ge=0, le=1)
    saturation: NotNegative
    awb_strength: Share = (0.0, 0.0)
    unit_departure: tuple[Row, Row, Row] | None = None
    unit_cast_ev: Row | None = None

    @model_validator(mode="after")
    def _rows_keep_grey(self) -> "ColourProfile":
        sums = [sum(row) for row in self.ccm]
        if any(abs(total - 1) > 1e-6 for total in sums):
            raise ValueError(f"ccm wants rows that sum to 1, so that grey stays grey; seen sums {sums}")
        if self.unit_departure and any(abs(sum(row)) > 1e-3 for row in self.unit_departure):
            raise ValueError(f"unit_departure wants rows that sum to 0, seen {self.unit_departure}")
        return self


class ProcessingProfile(Config):
    """What the camera's software does to the picture.

    Attributes:
        source: where the figures come from.
        smear: strength of noise reduction, which takes fine texture with it.
        beautify: strength of skin smoothing.
        halo: gain of the sharpening.
        halo_radius_px: standard deviation of the sharpening's blur.
        tone: contrast of the tone curve, 0 none, 1 the full smoothstep.
        gamma: exponent on the encoded signal, below 1 lifts the shadows.
    """

    source: str
    smear: Share
    beautify: Share
    halo: NotNegative
    halo_radius_px: Positive
    tone: Share
    gamma: Positive


class CodecProfile(Config):
    """Lossy coding.

    Attributes:
        source: where the figures come from.
        kind: `jpeg`, `mjpeg` (JPEG frame by frame), `h264` and `h265` (a frame out of a stream; they need the extra
            `video`), or `none`.
        quality: libjpeg's quality.
        subsampling: chroma formats of JPEG, one of which belongs to a unit.
        crf: constant rate factor of H.264 and H.265.
        gop: frames between key frames.
    """

    source: str
    kind: Literal["jpeg", "mjpeg", "h264", "h265", "none"]
    quality: tuple[Quality, Quality]
    subsampling: tuple[Subsampling, ...] = Field(min_length=1)
    crf: tuple[Crf, Crf] = (23, 40)
    gop: int = Field(default=30, ge=1)

    @model_validator(mode="after")
    def _ordered(self) -> "CodecProfile":
        if self.quality[0] > self.quality[1]:
            raise ValueError(f"quality wants low <= high, seen {list(self.quality)}")
        if self.crf[0] > self.crf[1]:
            raise ValueError(f"crf wants low <= high, seen {list(self.crf)}")
        return self


class DeviceProfile(Config):
    """A class of cameras: what its units and their shots are drawn from."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_]*$")
    summary: str
    lens: LensProfile
    sensor: SensorProfile
    noise: NoiseProfile
    timing: TimingProfile
    exposure: ExposureProfile
    colour: ColourProfile
    processing: ProcessingProfile
    codec: CodecProfile


def list_profiles() -> list[str]:
    """Return the names of the shipped cameras, sorted."""
    names = (entry.name for entry in resources.files("spooflab.configs").joinpath("devices").iterdir())
    return sorted(stem for name in names if name.endswith(".yaml") and (stem := name[:-5]) != REFERENCE)


def load_profile(name_or_path: str | Path) -> DeviceProfile:
    """Load a shipped profile by name, or a YAML file by path (anything with a suffix or a folder in it).

    Raises:
        ConfigError: no such profile, or a file that breaks the schema; every offending key is named.
    """
    path = Path(name_or_path)
    if path.suffix or len(path.parts) > 1:
        return load_config(path, DeviceProfile)
    shipped = resources.files("spooflab.configs").joinpath("devices", f"{name_or_path}.yaml")
    if not shipped.is_file():
        raise ConfigError(
            f"no device profile is called {str(name_or_path)!r}",
            wanted=f"one of {', '.join([*list_profiles(), REFERENCE])}, or the path of a YAML file",
        )
    with resources.as_file(shipped) as file:
        return load_config(file, DeviceProfile)
