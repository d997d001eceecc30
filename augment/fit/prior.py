"""What is believed before the photographs are seen: a shipped profile, as centre and spread of what is fitted."""

import math

import numpy as np
import numpy.typing as npt

from spooflab.augment.fit.chain import Known
from spooflab.augment.fit.simulator import Simulator, Stops
from spooflab.augment.fit.sought import LOWER, NAMES, UPPER, Prior, from_values
from spooflab.augment.fit.surfaces import Surfaces
from spooflab.augment.profile import DeviceProfile, list_profiles, load_profile

_WIDEST = np.array([1.2, 1.6, 0.05, 0.2, 0.4, 0.25, 0.25, 0.06, 0.12, 0.05, 0.05, 0.3])
"""Standard deviations, in the fit's units, below which no profile narrows the search: a camera may lie outside."""
_SHARE = np.array([0.5] * 9 + [12**-0.5] * 2 + [0.5])
"""Standard deviation over the width of a range: half, or that of an even spread where the range holds most cameras."""


def prior_of(profile: DeviceProfile) -> Prior:
    """Return the centre of each range, and half its width or more as the standard deviation."""
    noise, processing = profile.noise, profile.processing
    ranges = {"a": noise.a, "b": noise.b, "row_share": noise.row_share}
    ranges |= {"saturation": profile.colour.saturation}
    ranges |= {"red_gain": profile.sensor.red_gain, "blue_gain": profile.sensor.blue_gain}
    ranges |= {"prnu_std": profile.sensor.prnu_std}
    ranges |= {name: getattr(processing, name) for name in NAMES if name not in ranges}
    low, high = (
        np.clip(from_values({name: limits[side] for name, limits in ranges.items()}), LOWER, UPPER) for side in (0, 1)
    )
    return Prior((low + high) / 2, np.diag(np.maximum((high - low) * _SHARE, _WIDEST) ** 2))


def known_of(profile: DeviceProfile, subsampling: int) -> Known:
    """Return the profile's converter and matrix."""
    return Known(
        ccm=np.array(profile.colour.ccm),
        cfa=profile.sensor.cfa == "rggb",
        bits=profile.sensor.bits,
        black_level=profile.sensor.black_level,
        subsampling=subsampling,
    )


def b_power(profile: DeviceProfile) -> float:
    """Return how much faster than a the profile's b changes with the light (1 to 2 on real sensors)."""
    (a_low, a_high), (b_low, b_high) = profile.noise.a, profile.noise.b
    if a_low <= 0 or b_low <= 0 or a_high <= a_low or b_high <= b_low:
        return 1.5
    return min(2.2, max(1.0, math.log(b_high / b_low) / math.log(a_high / a_low)))


def choose_prior(surfaces: Surfaces, quality: npt.NDArray[np.int64], subsampling: int) -> DeviceProfile:
    """Return the shipped profile nearest in what is known: its coding, and how its noise is spread over bands."""
    best: tuple[float, DeviceProfile] | None = None
    for name in list_profiles():
        profile = load_profile(name)
        simulate = Simulator(surfaces, known_of(profile, subsampling), quality)
        distance = 0.0
        if len(surfaces):
            seen = simulate(prior_of(profile).mean, Stops.none(len(quality)))
            apart = surfaces.log_energy - seen
            level = float(np.median(apart[:, :3]))
            distance = float(np.mean(np.abs(apart - level))) + 0.1 * abs(level)
        coded = quality[quality > 0]
        if len(coded):
            low, high = profile.codec.quality
            typical = float(np.median(coded))
            distance += 0.02 * max(low - typical, typical - high, 0.0)
        if best is None or distance < best[0]:
            best = (distance, profile)
    assert best is not None  # profiles are shipped
    return best[1]
