"""Which unit of a fitted profile is most like the camera: signs are drawn per unit, not written in it."""

from dataclasses import dataclass

from spooflab.augment.identity import draw_identity
from spooflab.augment.profile import DeviceProfile


@dataclass(frozen=True)
class Traits:
    """Signed traits of the camera that a profile's ranges cannot hold; None where unknown."""

    red_scale: float | None = None
    blue_scale: float | None = None
    k1: float | None = None


def nearest_unit(profile: DeviceProfile, traits: Traits, *, units: int = 200) -> int:
    """Return the number below `units` whose lasting traits lie nearest, each in its own scale."""
    best, best_distance = 0, float("inf")
    for unit in range(units):
        identity = draw_identity(profile, unit)
        distance = 0.0
        for wanted, drawn in ((traits.red_scale, identity.red_scale), (traits.blue_scale, identity.blue_scale)):
            if wanted is not None:
                distance += ((wanted - drawn) / 1e-4) ** 2
        if traits.k1 is not None:
            distance += ((traits.k1 - identity.k1) / max(0.1 * abs(traits.k1), 2e-3)) ** 2
        if distance < best_distance:
            best, best_distance = unit, distance
    return best
