"""A manipulated face fed in place of the camera: the same camera chain as a live face, no instrument."""

from dataclasses import dataclass, replace
from typing import Any

import torch

from spooflab.augment.view import View
from spooflab.errors import DataError
from spooflab.generators.attack import Manipulation, Rendered, wanted_donor
from spooflab.generators.bonafide import Bonafide, BonafideParams
from spooflab.generators.face import Face
from spooflab.params import Params


@dataclass(frozen=True)
class InjectedParams(Params):
    """A manipulation and the shot that it passes for.

    Attributes:
        manipulation: the manipulation's own parameters.
        shot: the same draws as a bona fide presentation's.
    """

    manipulation: Params
    shot: BonafideParams


class Injected:
    """An injection attack (CEN/TS 18099): `manipulation`'s result, photographed as a live face is.

    Passing it through the lens, sensor and codec of the bona fide keeps "was processed" from becoming the label.

    Args:
        manipulation: what changes the face; its species is the attack's.
    """

    needs_donor = True

    def __init__(self, manipulation: Manipulation) -> None:
        self.manipulation = manipulation
        self.species = manipulation.species
        self._shot = Bonafide()

    def sample(self, batch_size: int, generator: torch.Generator) -> InjectedParams:
        """Draw the manipulation, then the shot."""
        return InjectedParams(
            manipulation=self.manipulation.sample(batch_size, generator),
            shot=self._shot.sample(batch_size, generator),
        )

    def parse(self, record: dict[str, Any]) -> InjectedParams:
        """Rebuild parameters from a record's JSON."""
        return InjectedParams(
            manipulation=self.manipulation.parse(record["manipulation"]), shot=self._shot.parse(record["shot"])
        )

    def render(self, face: Face, view: View, params: Params, donor: Face | None = None) -> Rendered:
        """Manipulate, then image as a live face; the mask is the manipulated region.

        Raises:
            DataError: no donor.
        """
        assert isinstance(params, InjectedParams)
        changed = self.manipulation.apply(face, wanted_donor(donor, self.species), params.manipulation)
        rendered = self._shot.render(changed, view, params.shot)
        return replace(rendered, facts={**rendered.facts, **manipulation_facts(self.manipulation.species, changed)})


def manipulation_facts(species: str, face: Face) -> dict[str, torch.Tensor]:
    """Return what a manipulation changed, each (B,), under its name: `swap_blend.changed_share` of the picture."""
    if face.spoof_mask is None:
        raise DataError(f"{species}: its result has no spoof_mask", wanted="a manipulation that sets it")
    return {f"{species}.changed_share": face.spoof_mask.mean((1, 2, 3))}
