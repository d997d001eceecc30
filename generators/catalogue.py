"""Every species that can be made, by name: the one place where a name becomes an attack."""

from collections.abc import Sequence
from typing import ClassVar, Protocol

from spooflab.errors import ConfigError
from spooflab.generators.attack import Attack, Manipulation
from spooflab.generators.attacks.adversarial.adversarial_patch import AdversarialPatch
from spooflab.generators.attacks.adversarial.adversarial_pixel import AdversarialPixel
from spooflab.generators.attacks.baselines.baseline_colour_jitter import BaselineColourJitter
from spooflab.generators.attacks.baselines.baseline_dots import BaselineDots
from spooflab.generators.attacks.baselines.baseline_sine_moire import BaselineSineMoire
from spooflab.generators.attacks.baselines.baseline_swirl_moire import BaselineSwirlMoire
from spooflab.generators.attacks.chain import Chain
from spooflab.generators.attacks.cutouts.mask_paper import MaskPaper
from spooflab.generators.attacks.cutouts.print_cut import PrintCut
from spooflab.generators.attacks.cutouts.region_upper_body import RegionUpperBody
from spooflab.generators.attacks.digital.attribute_diffusion import AttributeDiffusion
from spooflab.generators.attacks.digital.attribute_edit import AttributeEdit
from spooflab.generators.attacks.digital.morph import Morph
from spooflab.generators.attacks.digital.reenact import Reenact
from spooflab.generators.attacks.digital.swap_blend import SwapBlend
from spooflab.generators.attacks.digital.swap_diffusion import SwapDiffusion
from spooflab.generators.attacks.digital.swap_refine import SwapRefine
from spooflab.generators.attacks.disguises.tattoo import Tattoo
from spooflab.generators.attacks.disguises.wig import Wig
from spooflab.generators.attacks.live import Live
from spooflab.generators.attacks.makeups.makeup_cosmetic import MakeupCosmetic
from spooflab.generators.attacks.makeups.makeup_impersonation import MakeupImpersonation
from spooflab.generators.attacks.makeups.makeup_obfuscation import MakeupObfuscation
from spooflab.generators.attacks.masks.mannequin import Mannequin
from spooflab.generators.attacks.masks.mask_controlnet import MaskControlNet
from spooflab.generators.attacks.masks.mask_half import MaskHalf
from spooflab.generators.attacks.masks.mask_rigid import MaskRigid
from spooflab.generators.attacks.masks.mask_silicone import MaskSilicone
from spooflab.generators.attacks.masks.mask_transparent import MaskTransparent
from spooflab.generators.attacks.partials.partial_eye import PartialEye
from spooflab.generators.attacks.partials.partial_funny_eye import PartialFunnyEye
from spooflab.generators.attacks.partials.partial_mouth import PartialMouth
from spooflab.generators.attacks.partials.partial_paper_glasses import PartialPaperGlasses
from spooflab.generators.attacks.prints.print_a4 import PrintA4
from spooflab.generators.attacks.prints.print_photo import PrintPhoto
from spooflab.generators.attacks.prints.print_poster import PrintPoster
from spooflab.generators.attacks.recapture import Recapture
from spooflab.generators.attacks.replays.replay_monitor import ReplayMonitor
from spooflab.generators.attacks.replays.replay_phone import ReplayPhone
from spooflab.generators.attacks.replays.replay_tablet import ReplayTablet
from spooflab.generators.attacks.replays.replay_tv import ReplayTV
from spooflab.generators.bonafide import Bonafide
from spooflab.generators.diffusion.config import DiffusionConfig


class InstrumentAttack(Attack, Protocol):
    """A presentation that shows a face on an instrument from a bank."""

    EFFECTS: ClassVar[tuple[str, ...]]

    def __init__(self, *, instruments: Sequence[str] | None = None, ablate: Sequence[str] = ()) -> None: ...

    @classmethod
    def bank_ids(cls) -> tuple[str, ...]:
        """Return the ids of the shipped instruments that it may use."""
        ...


class WornAttack(Manipulation, Protocol):
    """Something worn on a live face, from a bank."""

    EFFECTS: ClassVar[tuple[str, ...]]

    def __init__(self, *, instruments: Sequence[str] | None = None, ablate: Sequence[str] = ()) -> None: ...

    @classmethod
    def bank_ids(cls) -> tuple[str, ...]:
        """Return the ids of the shipped instruments that it may use."""
        ...


class DigitalAttack(Manipulation, Protocol):
    """A digital change of the picture."""

    EFFECTS: ClassVar[tuple[str, ...]]

    def __init__(self, *, ablate: Sequence[str] = ()) -> None: ...


class PaintedAttack(Manipulation, Protocol):
    """A change of the picture by a diffusion model."""

    EFFECTS: ClassVar[tuple[str, ...]]
    diffusion: DiffusionConfig

    def __init__(self, *, diffusion: DiffusionConfig | None = None, ablate: Sequence[str] = ()) -> None: ...


SHOWN: dict[str, type[InstrumentAttack]] = {
    "print_a4": PrintA4,
    "print_photo": PrintPhoto,
    "print_poster": PrintPoster,
    "print_cut": PrintCut,
    "region_upper_body": RegionUpperBody,
    "replay_phone": ReplayPhone,
    "replay_tablet": ReplayTablet,
    "replay_monitor": ReplayMonitor,
    "replay_tv": ReplayTV,
}
"""Presentations that show a face on a flat or bent instrument."""

WORN: dict[str, type[WornAttack]] = {
    "mask_paper": MaskPaper,
    "mask_rigid": MaskRigid,
    "mask_silicone": MaskSilicone,
    "mask_transparent": MaskTransparent,
    "mask_half": MaskHalf,
    "mannequin": Mannequin,
    "partial_funny_eye": PartialFunnyEye,
    "partial_paper_glasses": PartialPaperGlasses,
    "partial_mouth": PartialMouth,
    "partial_eye": PartialEye,
    "makeup_cosmetic": MakeupCosmetic,
    "makeup_impersonation": MakeupImpersonation,
    "makeup_obfuscation": MakeupObfuscation,
    "tattoo": Tattoo,
    "wig": Wig,
    "adversarial_patch": AdversarialPatch,
}
"""Presentations that somebody wears: masks, makeup, glasses, prints worn before the head."""

BASELINES: dict[str, type[WornAttack]] = {
    "baseline_swirl_moire": BaselineSwirlMoire,
    "baseline_sine_moire": BaselineSineMoire,
    "baseline_colour_jitter": BaselineColourJitter,
    "baseline_dots": BaselineDots,
}
"""Simulations in common use, for comparison: they change the picture and know no instrument."""

DIGITAL: dict[str, type[DigitalAttack]] = {
    "swap_blend": SwapBlend,
    "morph": Morph,
    "reenact": Reenact,
    "attribute_edit": AttributeEdit,
    "adversarial_pixel": AdversarialPixel,
}
"""Changes of the picture, injected past the camera."""

PAINTED: dict[str, type[PaintedAttack]] = {
    "swap_diffusion": SwapDiffusion,
    "swap_refine": SwapRefine,
    "attribute_diffusion": AttributeDiffusion,
    "mask_controlnet": MaskControlNet,
}
"""Faces and masks that a diffusion model paints; they need the `diffusion` extra."""

CHAINS = ("swap_blend+replay_phone", "replay_phone+print_a4", "print_photo+replay_monitor")
"""Chains that `spooflab list attacks` names; any other of known steps can be built as well."""


def build_attack(
    species: str,
    *,
    instruments: Sequence[str] = (),
    ablate: Sequence[str] = (),
    diffusion: DiffusionConfig | None = None,
) -> Attack:
    """Return the attack that makes `species`.

    Args:
        species: `bonafide`, a species, or a chain `first+second+...`: a digital or worn step changes the face, a shown
            step that is not the last is photographed, and the last step is what reaches the detector.
        instruments: ids that may be used; ids of other banks are ignored, an empty sequence allows all.
        ablate: physical effects to switch off, in every step that has them; see `effects_of`.
        diffusion: models of `PAINTED` steps; None for the one that comes with the package.

    Raises:
        ConfigError: nothing makes that species, none of a bank's instruments is allowed, an effect that no step has,
            or a chain with two steps that want a donor.
    """
    if species == "bonafide" and not ablate:
        return Bonafide()
    steps = species.split("+")
    if strange := sorted(set(ablate) - set(effects_of(species))):
        raise ConfigError(
            f"attack {species}: it has no effect {', '.join(strange)} to switch off",
            wanted=f"some of {', '.join(effects_of(species)) or '(none)'}",
        )
    attack = _last(steps[-1], instruments, ablate, diffusion)
    for step in reversed(steps[:-1]):
        try:
            attack = Chain(_link(step, instruments, ablate, diffusion), attack)
        except ValueError as error:
            raise ConfigError(f"attack {species}: {error}", wanted="a chain with one donor at most") from error
    return attack


def effects_of(species: str) -> tuple[str, ...]:
    """Return the physical effects that a species, or the steps of a chain, can switch off.

    Raises:
        ConfigError: nothing makes that species.
    """
    if species == "bonafide":
        return ()
    kinds = [_kind(step, species) for step in species.split("+")]
    return tuple(dict.fromkeys(effect for kind in kinds for effect in kind.EFFECTS))


def known_attacks() -> tuple[str, ...]:
    """Return every species that `build_attack` makes by itself, in the taxonomy's order, then the named chains."""
    from spooflab.taxonomy import SPECIES

    made = (*SHOWN, *WORN, *DIGITAL, *PAINTED, *BASELINES)
    return (*(name for name in SPECIES if name in made), *CHAINS)


def instruments() -> dict[str, tuple[str, ...]]:
    """Return the instrument ids of each species that has a bank."""
    banks = SHOWN | WORN | BASELINES | {"mask_controlnet": MaskControlNet}
    return {species: kind.bank_ids() for species, kind in banks.items()}


def paints(species: str) -> bool:
    """Return whether a species, or a step of a chain, needs a diffusion model."""
    return any(step in PAINTED for step in species.split("+"))


def _kind(
    step: str, species: str
) -> type[InstrumentAttack] | type[WornAttack] | type[DigitalAttack] | type[PaintedAttack]:
    kind = SHOWN.get(step) or WORN.get(step) or DIGITAL.get(step) or PAINTED.get(step) or BASELINES.get(step)
    if kind is not None:
        return kind
    where = "" if step == species else f" (a step of {species!r})"
    raise ConfigError(
        f"attack {step!r}{where} is not known",
        wanted=f"one of {', '.join((*SHOWN, *WORN, *DIGITAL, *PAINTED, *BASELINES))}, or a chain of them joined by +",
        next_step="spooflab list attacks",
    )


def _last(step: str, instruments: Sequence[str], ablate: Sequence[str], diffusion: DiffusionConfig | None) -> Attack:
    if step in SHOWN:
        return _shown(step, instruments, ablate)
    return Live(_manipulation(step, instruments, ablate, diffusion))


def _link(
    step: str, instruments: Sequence[str], ablate: Sequence[str], diffusion: DiffusionConfig | None
) -> Manipulation:
    if step in SHOWN:
        return Recapture(_shown(step, instruments, ablate))
    return _manipulation(step, instruments, ablate, diffusion)


def _shown(step: str, instruments: Sequence[str], ablate: Sequence[str]) -> Attack:
    kind = SHOWN[step]
    return kind(instruments=_allowed(step, kind.bank_ids(), instruments), ablate=_own(kind.EFFECTS, ablate))


def _manipulation(
    step: str, instruments: Sequence[str], ablate: Sequence[str], diffusion: DiffusionConfig | None
) -> Manipulation:
    worn = WORN.get(step) or BASELINES.get(step)
    if worn is not None:
        return worn(instruments=_allowed(step, worn.bank_ids(), instruments), ablate=_own(worn.EFFECTS, ablate))
    if step == "mask_controlnet":
        allowed = _allowed(step, MaskControlNet.bank_ids(), instruments)
        return MaskControlNet(instruments=allowed, diffusion=diffusion, ablate=_own(MaskControlNet.EFFECTS, ablate))
    if step in PAINTED:
        painted = PAINTED[step]
        return painted(diffusion=diffusion, ablate=_own(painted.EFFECTS, ablate))
    digital = DIGITAL[step]
    return digital(ablate=_own(digital.EFFECTS, ablate))


def _own(effects: tuple[str, ...], ablate: Sequence[str]) -> tuple[str, ...]:
    return tuple(name for name in effects if name in set(ablate))


def _allowed(step: str, bank: Sequence[str], instruments: Sequence[str]) -> tuple[str, ...] | None:
    if not instruments:
        return None
    allowed = tuple(name for name in bank if name in set(instruments))
    if not allowed:
        raise ConfigError(
            f"attack {step}: none of the allowed instruments {list(instruments)} is in its bank",
            wanted=f"at least one of {', '.join(bank)}",
        )
    return allowed
