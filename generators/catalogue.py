"""Every species that can be made, by name: the one place where a name becomes an attack."""

from collections.abc import Sequence

from spooflab.errors import ConfigError
from spooflab.generators.attack import Attack
from spooflab.generators.attacks.chain import Chain
from spooflab.generators.attacks.injected import Injected
from spooflab.generators.attacks.print_a4 import PrintA4
from spooflab.generators.attacks.print_cut import PrintCut
from spooflab.generators.attacks.print_photo import PrintPhoto
from spooflab.generators.attacks.replay import ReplayMonitor, ReplayPhone
from spooflab.generators.attacks.swap_blend import SwapBlend
from spooflab.generators.bonafide import Bonafide
from spooflab.taxonomy import SPECIES

INSTRUMENT_ATTACKS: dict[str, type[PrintA4 | PrintPhoto | PrintCut | ReplayPhone | ReplayMonitor]] = {
    "print_a4": PrintA4,
    "print_photo": PrintPhoto,
    "print_cut": PrintCut,
    "replay_phone": ReplayPhone,
    "replay_monitor": ReplayMonitor,
}
"""Presentation attacks that show a face on an instrument from a bank."""

MANIPULATIONS = {"swap_blend": SwapBlend}
"""Changes of the face itself: injected under their own name, or shown as `manipulation+presentation`."""


def build_attack(species: str, *, instruments: Sequence[str] = ()) -> Attack:
    """Return the attack that makes `species`.

    Args:
        species: `bonafide`, a presentation, a manipulation, or a chain `manipulation+presentation`.
        instruments: ids that may be used; ids of other banks are ignored, an empty sequence allows all.

    Raises:
        ConfigError: nothing makes that species, or none of its bank's instruments is allowed.
    """
    if species == "bonafide":
        return Bonafide()
    if species in INSTRUMENT_ATTACKS:
        kind = INSTRUMENT_ATTACKS[species]
        if not instruments:
            return kind()
        allowed = tuple(i for i in kind.bank_ids() if i in set(instruments))
        if not allowed:
            raise ConfigError(
                f"attack {species}: none of the allowed instruments {list(instruments)} is in its bank",
                wanted=f"at least one of {', '.join(kind.bank_ids())}",
            )
        return kind(instruments=allowed)
    if species in MANIPULATIONS:
        return Injected(MANIPULATIONS[species]())
    first, _, second = species.partition("+")
    if first in MANIPULATIONS and second in INSTRUMENT_ATTACKS:
        return Chain(MANIPULATIONS[first](), build_attack(second, instruments=instruments))
    raise ConfigError(
        f"attack {species!r} is not known",
        wanted=f"one of {', '.join(known_attacks())}",
        next_step="spooflab list attacks",
    )


def known_attacks() -> tuple[str, ...]:
    """Return every species that `build_attack` makes and the taxonomy names, bona fide excepted."""
    return tuple(name for name in SPECIES if name != "bonafide")


def instruments() -> dict[str, tuple[str, ...]]:
    """Return the instrument ids of each instrument attack's bank."""
    return {species: tuple(kind.bank_ids()) for species, kind in INSTRUMENT_ATTACKS.items()}
