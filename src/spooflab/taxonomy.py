"""The one list of species: what each is called, how it reaches the detector, what it is after.

Terms follow ISO/IEC 30107-1/-3 (presentation attacks) and CEN/TS 18099 (injection attacks); the tree of labels follows
UniAttackData (Fang et al. 2024), which joins physical and digital attacks.
"""

from dataclasses import dataclass
from typing import Literal

Label = Literal["bonafide", "attack"]
Channel = Literal["presentation", "injection"]
Goal = Literal["none", "impersonation", "concealment"]
Artefact = Literal["none", "complete", "partial", "altered"]
Role = Literal["", "claimed", "attacker"]


@dataclass(frozen=True)
class Species:
    """One presentation-attack-instrument species (or `bonafide`), as every record names it.

    Attributes:
        name: in every record; the steps of a chain are joined by `+`.
        family: coarser class, by which protocols hold out.
        channel: `presentation` (shown to the camera) or `injection` (past it).
        goal: ISO/IEC 30107-1: `impersonation` of somebody, or `concealment` of oneself.
        summary: one line.
        tree: labels from coarse to fine: `live`, or `physical`/`digital`, then the class and the kind.
        artefact: ISO/IEC 30107-1 instrument type: a `complete` or `partial` artificial artefact, an `altered` human
            characteristic (makeup, tattoo, wig), or `none` where nothing physical is shown.
        face_role: what the pictured face is: the identity that the attack `claimed`, or the `attacker` who wears,
            conceals or manipulates.
        donor_role: the same of the second face; empty where there is none.
    """

    name: str
    family: str
    channel: Channel
    goal: Goal
    summary: str
    tree: tuple[str, ...]
    artefact: Artefact
    face_role: Role = "claimed"
    donor_role: Role = ""

    @property
    def label(self) -> Label:
        """`bonafide` for the genuine presentation, else `attack`."""
        return "bonafide" if self.name == "bonafide" else "attack"

    def identities(self, subject: str, donor: str) -> tuple[str, str]:
        """Return who is claimed and who attacks, "" where nobody is or nobody is known."""
        named = {"": "", self.face_role: subject}
        if self.donor_role and donor:
            named[self.donor_role] = donor
        return named.get("claimed", ""), named.get("attacker", "")


def _flat(name: str, family: str, kind: str, summary: str, *, behind: bool = False) -> Species:
    donor: Role = "attacker" if behind else ""
    tree = ("physical", "2d", kind)
    return Species(name, family, "presentation", "impersonation", summary, tree, "complete", "claimed", donor)


def _worn(
    name: str, family: str, goal: Goal, kind: str, summary: str, artefact: Artefact, *, of: bool = False
) -> Species:
    tree = ("physical", "3d" if family == "mask" else "worn", kind)
    donor: Role = "claimed" if of else ""
    return Species(name, family, "presentation", goal, summary, tree, artefact, "attacker", donor)


def _digital(name: str, family: str, goal: Goal, tree: tuple[str, str], summary: str, donor: Role = "") -> Species:
    role: Role = "attacker" if goal == "concealment" or donor == "claimed" else "claimed"
    return Species(name, family, "injection", goal, summary, ("digital", *tree), "none", role, donor)


def _baseline(name: str, summary: str) -> Species:
    tree = ("physical", "2d", "baseline")
    return Species(name, "baseline", "presentation", "impersonation", summary, tree, "complete")


def _coarse(name: str, family: str, tree: tuple[str, ...], artefact: Artefact, summary: str) -> Species:
    channel: Channel = "injection" if tree[0] == "digital" else "presentation"
    role: Role = "attacker" if artefact in ("partial", "altered") or family in ("mask", "adversarial") else "claimed"
    donor: Role = "claimed" if family == "mask" else ""
    goal: Goal = "concealment" if artefact in ("partial", "altered") or family == "adversarial" else "impersonation"
    return Species(name, family, channel, goal, summary, tree, artefact, role, donor)


_ROWS = (
    Species("bonafide", "bonafide", "presentation", "none", "a live person before the camera", ("live",), "none"),
    _flat("print_a4", "print", "print", "face printed on office paper: AM or FM halftone"),
    _flat("print_photo", "print", "print", "face on photo paper: continuous tone"),
    _flat("print_poster", "print", "print", "large-format poster or banner, life-size or larger"),
    _flat("print_cut", "cutout", "cutout", "print with eyes or mouth cut out, live ones behind", behind=True),
    _flat("mask_paper", "cutout", "cutout", "printed face worn before the head, bent around it", behind=True),
    _flat(
        "region_upper_body", "cutout", "cutout", "print cut along head and shoulders, or a part of a face", behind=True
    ),
    _flat("replay_phone", "replay", "replay", "face shown on a phone"),
    _flat("replay_tablet", "replay", "replay", "face shown on a tablet"),
    _flat("replay_monitor", "replay", "replay", "face shown on a desktop monitor or laptop"),
    _flat("replay_tv", "replay", "replay", "face shown on a television"),
    _worn(
        "mask_rigid",
        "mask",
        "impersonation",
        "rigid",
        "hard mask of resin, plaster or printed plastic",
        "complete",
        of=True,
    ),
    _worn("mask_silicone", "mask", "impersonation", "silicone", "soft mask of silicone or latex", "complete", of=True),
    _worn(
        "mask_transparent", "mask", "concealment", "transparent", "clear plastic mask over the live face", "complete"
    ),
    _worn("mask_half", "mask", "concealment", "half", "mask over the upper or the lower half of the face", "partial"),
    Species(
        "mannequin",
        "mask",
        "presentation",
        "impersonation",
        "dummy head before the camera",
        ("physical", "3d", "mannequin"),
        "complete",
        "claimed",
    ),
    _worn("makeup_cosmetic", "makeup", "concealment", "makeup", "everyday to heavy cosmetics", "altered"),
    _worn(
        "makeup_impersonation", "makeup", "impersonation", "makeup", "painted to look like another", "altered", of=True
    ),
    _worn(
        "makeup_obfuscation", "makeup", "concealment", "makeup", "painted wrinkles, scars, beard, patterns", "altered"
    ),
    _worn("partial_funny_eye", "partial", "concealment", "partial", "novelty glasses with printed eyes", "partial"),
    _worn(
        "partial_paper_glasses",
        "partial",
        "impersonation",
        "partial",
        "glasses cut from a print of another's eyes",
        "partial",
        of=True,
    ),
    _worn(
        "partial_mouth",
        "partial",
        "impersonation",
        "partial",
        "printed mouth and nose region worn on the face",
        "partial",
        of=True,
    ),
    _worn(
        "partial_eye", "partial", "impersonation", "partial", "printed eye region worn on the face", "partial", of=True
    ),
    _worn("tattoo", "disguise", "concealment", "altered", "ink on the face", "altered"),
    _worn("wig", "disguise", "concealment", "altered", "false hair, and its hairline", "altered"),
    _worn(
        "adversarial_patch",
        "adversarial",
        "concealment",
        "adversarial",
        "printed patch that attacks a given detector",
        "partial",
    ),
    _digital(
        "swap_blend",
        "swap",
        "impersonation",
        ("editing", "face_swap"),
        "landmark-warped face blended onto another",
        "claimed",
    ),
    _digital(
        "swap_diffusion",
        "swap",
        "impersonation",
        ("generation", "face_swap"),
        "face inpainted by diffusion with another's identity",
        "claimed",
    ),
    _digital(
        "swap_refine",
        "swap",
        "impersonation",
        ("generation", "face_swap"),
        "blended face swap re-synthesised by diffusion",
        "claimed",
    ),
    Species(
        "mask_controlnet",
        "mask",
        "presentation",
        "impersonation",
        "worn mask drawn by a ControlNet",
        ("physical", "3d", "generated"),
        "complete",
        "attacker",
        "claimed",
    ),
    _digital("morph", "morph", "impersonation", ("editing", "morph"), "average of two aligned faces", "claimed"),
    _digital(
        "reenact",
        "reenact",
        "impersonation",
        ("editing", "video_driven"),
        "a photograph warped to another expression or pose",
    ),
    _digital(
        "attribute_edit", "attribute_edit", "concealment", ("editing", "attribute"), "age, hair, skin or glasses edited"
    ),
    _digital(
        "attribute_diffusion",
        "attribute_edit",
        "concealment",
        ("generation", "attribute"),
        "age, beard, glasses or expression edited by diffusion",
    ),
    _digital(
        "adversarial_pixel",
        "adversarial",
        "concealment",
        ("adversarial", "pixel"),
        "norm-bounded perturbation against a given detector",
    ),
    _baseline("baseline_swirl_moire", "swirl-warp moire of public augmentation code, for comparison"),
    _baseline("baseline_sine_moire", "added sinusoids, for comparison"),
    _baseline("baseline_colour_jitter", "colour jitter as a print simulation, for comparison"),
    _baseline("baseline_dots", "visible dot screen laid over the picture, for comparison"),
)

SPECIES: dict[str, Species] = {row.name: row for row in _ROWS}
"""Every single species that is made here, by name; `species_of` also knows `COARSE` and chains."""

_COARSE_ROWS = (
    _coarse("print_unspecified", "print", ("physical", "2d", "print"), "complete", "print on a paper that is not told"),
    _coarse(
        "replay_unspecified", "replay", ("physical", "2d", "replay"), "complete", "face on a screen that is not told"
    ),
    _coarse("mask_unspecified", "mask", ("physical", "3d", "unspecified"), "complete", "worn mask, material not told"),
    _coarse(
        "makeup_unspecified", "makeup", ("physical", "worn", "makeup"), "altered", "makeup whose purpose is not told"
    ),
    _coarse("partial_unspecified", "partial", ("physical", "worn", "partial"), "partial", "part of the face covered"),
    _coarse(
        "physical_unspecified",
        "unspecified",
        ("physical", "unspecified"),
        "complete",
        "presentation attack, kind not told",
    ),
    _coarse(
        "swap_unspecified", "swap", ("digital", "editing", "face_swap"), "none", "face swapped by a method not told"
    ),
    _coarse(
        "adversarial_unspecified",
        "adversarial",
        ("digital", "adversarial", "unspecified"),
        "none",
        "adversarial pixels or attributes, method not told",
    ),
    _coarse(
        "generated_unspecified",
        "generated",
        ("digital", "generation", "unspecified"),
        "none",
        "face from a generative model",
    ),
    _coarse(
        "digital_unspecified", "unspecified", ("digital", "unspecified"), "none", "injection attack, kind not told"
    ),
)

COARSE: dict[str, Species] = {row.name: row for row in _COARSE_ROWS}
"""What data sets of others tell no more closely. Nothing here makes them; a picture that is read may be one."""

_KNOWN = SPECIES | COARSE


def species_of(name: str) -> Species:
    """Return a species, or what a chain `first+second+...` is.

    A chain is a presentation where its last step is one, and takes that step's family and instrument type; its tree
    names the first step's kind below the last's. It claims somebody where any of its steps does.

    Raises:
        KeyError: the name, or a step of it, is unknown, or a chain has the bona fide presentation as a step.
    """
    steps = name.split("+")
    rows = [_KNOWN[step] for step in steps]
    if len(rows) == 1:
        return rows[0]
    if "bonafide" in steps:
        raise KeyError(name)
    last = rows[-1]
    giver = next((row for row in rows if row.donor_role), None)
    return Species(
        name=name,
        family=last.family,
        channel=last.channel,
        goal="impersonation" if any(row.goal == "impersonation" for row in rows) else last.goal,
        summary=", then ".join(row.summary for row in rows),
        tree=(*last.tree, *(row.tree[-1] for row in rows[:-1])),
        artefact=last.artefact,
        face_role=rows[0].face_role if giver is None else giver.face_role,
        donor_role="" if giver is None else giver.donor_role,
    )


def is_species(name: str) -> bool:
    """Whether `species_of` knows the name."""
    steps = name.split("+")
    return all(step in _KNOWN for step in steps) and (len(steps) == 1 or "bonafide" not in steps)
