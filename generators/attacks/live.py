"""A changed face before the camera, photographed as a live one: injected past the camera, or worn before it."""

from dataclasses import dataclass, replace
from typing import Any

import torch

from spooflab.augment.view import View
from spooflab.errors import DataError
from spooflab.generators.attack import Changed, Manipulation, Rendered, wanted_donor
from spooflab.generators.bonafide import Bonafide, BonafideParams
from spooflab.generators.face import Face
from spooflab.params import Params


@dataclass(frozen=True)
class LiveParams(Params):
    """A manipulation and the shot that it passes for.

    Attributes:
        manipulation: the manipulation's own parameters.
        shot: the same draws as a bona fide presentation's.
    """

    manipulation: Params
    shot: BonafideParams


class Live:
    """An attack that takes the way of a live face: a digital change injected past the camera (CEN/TS 18099), or
    something worn before it (a mask, makeup, glasses).

    The lens, sensor and codec of the bona fide keep "was processed" from becoming the label.

    Args:
        manipulation: what changes the face; its species is the attack's.
    """

    def __init__(self, manipulation: Manipulation) -> None:
        self.manipulation = manipulation
        self.species = manipulation.species
        self.needs_donor = manipulation.needs_donor
        self._shot = Bonafide()

    def sample(self, batch_size: int, generator: torch.Generator) -> LiveParams:
        """Draw the manipulation, then the shot."""
        return LiveParams(
            manipulation=self.manipulation.sample(batch_size, generator),
            shot=self._shot.sample(batch_size, generator),
        )

    def parse(self, record: dict[str, Any]) -> LiveParams:
        """Rebuild parameters from a record's JSON."""
        return LiveParams(
            manipulation=self.manipulation.parse(record["manipulation"]), shot=self._shot.parse(record["shot"])
        )

    def render(self, face: Face, view: View, params: Params, donor: Face | None = None) -> Rendered:
        """Manipulate, then image as a live face; the mask is the manipulated region.

        Raises:
            DataError: no donor where one is needed.
        """
        assert isinstance(params, LiveParams)
        changed = change(self.manipulation, face, donor, params.manipulation)
        rendered = self._shot.render(changed.face, view, params.shot)
        return replace(
            rendered,
            facts={**rendered.facts, **changed.facts},
            instrument_id=changed.instrument_id or rendered.instrument_id,
            models=changed.models,
        )


def change(manipulation: Manipulation, face: Face, donor: Face | None, params: Params) -> Changed:
    """Apply a manipulation and add the fact `changed_share`, the share of the picture that it changed.

    Raises:
        DataError: no donor where one is needed, or a result without `spoof_mask`.
    """
    if manipulation.needs_donor:
        donor = wanted_donor(donor, manipulation.species)
    changed = manipulation.apply(face, donor if manipulation.needs_donor else None, params)
    mask = changed.face.spoof_mask
    if mask is None:
        raise DataError(f"{manipulation.species}: its result has no spoof_mask", wanted="a manipulation that sets it")
    return replace(changed, facts={**changed.facts, "changed_share": mask.mean((1, 2, 3))})
