"""What makes one unit of a device itself: drawn once from seeds that profile and unit number name, never stored."""

from dataclasses import dataclass

import torch
from torch import Tensor

from spooflab.augment.color import saturation_matrix
from spooflab.augment.profile import DeviceProfile
from spooflab.augment.ranges import between
from spooflab.params import choice
from spooflab.seeds import generator, seed

_ROOT = 0
_SUBSAMPLING = {"4:4:4": 0, "4:2:2": 1, "4:2:0": 2}


@dataclass(frozen=True)
class Identity:
    """The lasting traits of a unit; names and units as in `View` and `DeviceParams`.

    Attributes:
        speed: offset of the unit's sensitivity within the profile's noise range, share of its logarithm.
        readout_ms: first to last row of the whole frame.
    """

    focal_mm: float
    pitch_um: float
    f_number: float
    k1: float
    k2: float
    blur_px: float
    corner_gain: float
    red_scale: float
    blue_scale: float
    readout_ms: float
    prnu_seed: int
    prnu_std: float
    sensor_matrix: Tensor
    ccm: Tensor
    balance: Tensor
    balance_error_ev: Tensor
    speed: float
    tone: float
    gamma: float
    halo_radius_px: float
    subsampling: int
    p1: float
    p2: float
    corner_blur_px: float
    defect_seed: int
    defect_share: float
    defect_left: float


def draw_identity(profile: DeviceProfile, unit: int) -> Identity:
    """Return the traits of unit `unit` of `profile`: the same for the same profile and number, always.

    Each trait has a seed of its own name, so that a trait added later leaves the others as they are.
    """
    lens, sensor, colour, processing = profile.lens, profile.sensor, profile.colour, profile.processing

    def own(trait: str) -> torch.Generator:
        return generator(_ROOT, "device", profile.name, unit, trait)

    def share(trait: str) -> Tensor:
        return torch.rand(1, generator=own(trait))

    def draw(limits: tuple[float, float], trait: str) -> float:
        return float(between(limits, share(trait)))

    def fringe(trait: str) -> float:
        side = 2 * share(trait) - 1
        return float(between(lens.lateral_colour, side * side) * side.sign())

    def lean(trait: str) -> float:
        side = 2 * share(trait) - 1
        return float(between(lens.tangential, side * side) * side.sign())

    k1, k2 = radial_terms(draw(lens.edge_distortion, "distortion"), draw((0.0, 0.3), "waviness"))
    corrected, sensor_matrix = _matrices(profile, own("matrix"))
    saturation = saturation_matrix(between(colour.saturation, share("saturation")))[0]
    formats = profile.codec.subsampling
    return Identity(
        focal_mm=draw(lens.focal_mm, "focal"),
        pitch_um=draw(sensor.pitch_um, "pitch"),
        f_number=draw(lens.f_number, "f_number"),
        k1=k1,
        k2=k2,
        blur_px=draw(lens.blur_px, "blur"),
        corner_gain=draw(lens.corner_gain, "corner"),
        red_scale=fringe("red_fringe"),
        blue_scale=fringe("blue_fringe"),
        readout_ms=draw(profile.timing.readout_ms, "readout"),
        prnu_seed=seed(_ROOT, "device", profile.name, unit, "prnu"),
        prnu_std=draw(sensor.prnu_std, "prnu_std"),
        sensor_matrix=sensor_matrix,
        ccm=saturation @ corrected,
        balance=torch.tensor([draw(sensor.red_gain, "red_gain"), 1.0, draw(sensor.blue_gain, "blue_gain")]),
        balance_error_ev=_cast(profile, own("balance")),
        speed=draw((-0.1, 0.1), "speed"),
        tone=draw(processing.tone, "tone"),
        gamma=draw(processing.gamma, "gamma"),
        halo_radius_px=draw(processing.halo_radius_px, "halo_radius"),
        subsampling=_SUBSAMPLING[formats[int(choice(1, len(formats), own("subsampling")))]],
        p1=lean("p1"),
        p2=lean("p2"),
        corner_blur_px=draw(lens.corner_blur_px, "corner_blur"),
        defect_seed=seed(_ROOT, "device", profile.name, unit, "defects"),
        defect_share=draw(sensor.defects, "defect_share"),
        defect_left=draw((0.0, 0.03), "defect_left"),
    )


def radial_terms(edge: float, waviness: float) -> tuple[float, float]:
    """Return k1, k2 of a lens that displaces what lands in the window's corner by the share `edge` of its ideal radius.

    That point's ideal radius is u = 1 / (1 + edge), so the gain there is 1 + k1 u^2 + k2 u^4 = 1 + edge; `waviness` is
    how much of the first term the second takes back. The map stays monotonic for edge > -1/3.

    >>> k1, k2 = radial_terms(-0.2, 0.3)
    >>> round(1.25 * (1 + k1 * 1.25**2 + k2 * 1.25**4), 6)
    1.0
    """
    ideal2 = (1 + edge) ** -2
    return edge * (1 + waviness) / ideal2, -edge * waviness / ideal2**2


def balance_shift(axes: Tensor) -> Tensor:
    """Return (B, 3) stops on red, green, blue for (B, 2) positions on the warm-cool and the magenta-green axis.

    Errors of white balance lie along the daylight locus, three times as far as across it.
    """
    warm, magenta = axes[:, 0], axes[:, 1] / 3
    return torch.stack([warm + magenta, torch.zeros_like(warm), magenta - warm], 1)


def _cast(profile: DeviceProfile, gen: torch.Generator) -> Tensor:
    colour = profile.colour
    drawn = colour.unit_balance_ev * balance_shift(torch.randn(1, 2, generator=gen))[0]
    return drawn if colour.unit_cast_ev is None else drawn + torch.tensor(colour.unit_cast_ev)


def _matrices(profile: DeviceProfile, gen: torch.Generator) -> tuple[Tensor, Tensor]:
    """Return the correction that the camera applies, and the sensor's true matrix, which it corrects nearly."""
    ccm = torch.tensor(profile.colour.ccm)
    drift = profile.colour.ccm_spread * torch.randn(3, 3, generator=gen)
    if profile.colour.unit_departure is not None:
        drift += torch.tensor(profile.colour.unit_departure)
    drift -= drift.mean(1, keepdim=True)  # a row that sums to 0 leaves grey grey
    return ccm, torch.linalg.inv(ccm + drift)
