"""The masks that a prompt can name: each material's species, its instruments, and its words."""

from dataclasses import dataclass

import torch

from spooflab.errors import ConfigError
from spooflab.generators.attack import Changed, wanted_donor
from spooflab.generators.attacks.cutouts.mask_paper import MaskPaper
from spooflab.generators.attacks.masks.mask_half import MaskHalf
from spooflab.generators.attacks.masks.mask_rigid import MaskRigid
from spooflab.generators.attacks.masks.mask_silicone import MaskSilicone
from spooflab.generators.attacks.masks.mask_transparent import MaskTransparent
from spooflab.generators.face import Face
from spooflab.params import Params

_WORN = {kind.species: kind for kind in (MaskHalf, MaskPaper, MaskRigid, MaskSilicone, MaskTransparent)}


@dataclass(frozen=True)
class Material:
    """One kind of mask.

    Attributes:
        species: the worn attack that renders it: its geometry conditions the painting.
        instruments: ids of that attack's bank; empty for all of it.
        words: what a prompt says after "a person wearing".
    """

    species: str
    instruments: tuple[str, ...]
    words: str


MATERIALS: dict[str, Material] = {
    "silicone": Material(
        "mask_silicone", ("silicone_premium", "silicone_budget", "silicone_uniform"), "a silicone mask"
    ),
    "latex": Material("mask_silicone", ("latex_painted",), "a latex mask"),
    "resin": Material("mask_rigid", ("rigid_resin_airbrush", "rigid_resin_white"), "a hard resin mask"),
    "transparent": Material("mask_transparent", (), "a transparent plastic mask"),
    "half": Material("mask_half", (), "a half mask"),
    "paper": Material("mask_paper", (), "a printed paper mask"),
}
"""By the name that configurations and records give it."""

FACE_PROMPT = "a photo of a face"
"""The prompt of a face without a mask, and its caption where nothing is said of it."""


def prompt_of(material: str) -> str:
    """Return the whole prompt of a material."""
    return f"a photo of a person wearing {MATERIALS[material].words}"


class MaskGeometry:
    """A mask of one material on a face, rendered for its shape: region, depth, normals, classes.

    Args:
        material: a key of `MATERIALS`.
        openings: whether it is cut open, for eyes and breath.

    Raises:
        ConfigError: no such material.
    """

    def __init__(self, material: str, *, openings: bool = True) -> None:
        if material not in MATERIALS:
            raise ConfigError(f"mask material {material!r}", wanted=f"one of {', '.join(MATERIALS)}")
        self.material = material
        self._attack = _WORN[MATERIALS[material].species](
            instruments=MATERIALS[material].instruments or None, ablate=() if openings else ("openings",)
        )

    @property
    def needs_donor(self) -> bool:
        """Whether a second face is wanted: whom the mask shows."""
        return self._attack.needs_donor

    def sample(self, generator: torch.Generator) -> Params:
        """Draw one mask and how it sits."""
        return self._attack.sample(1, generator)

    def worn(self, wearer: Face, shown: Face | None, params: Params) -> Changed:
        """Return the wearer behind the mask; batches of one.

        Raises:
            SkipSample: a head cannot be fitted, or the sheet does not reach the face.
        """
        if MATERIALS[self.material].species == "mask_paper":  # which prints its first face, and puts it on the donor
            return self._attack.apply(wanted_donor(shown, self.material), wearer, params)
        return self._attack.apply(wearer, shown, params)
