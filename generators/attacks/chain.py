"""A manipulated face shown on an instrument: a swap on a phone."""

from dataclasses import dataclass, replace
from typing import Any

import torch

from spooflab.augment.view import View
from spooflab.generators.attack import Attack, Manipulation, Rendered, wanted_donor
from spooflab.generators.attacks.injected import manipulation_facts
from spooflab.generators.face import Face
from spooflab.params import Params


@dataclass(frozen=True)
class ChainParams(Params):
    """Both links.

    Attributes:
        first: the manipulation's parameters.
        second: the presentation's.
    """

    first: Params
    second: Params


class Chain:
    """`manipulation`, then `attack`, under the species `manipulation+attack`.

    The ground truth (mask, depth, instrument) is the presentation's: the whole instrument is the attack. What the
    manipulation changed is told by the facts `<manipulation>.changed_share`; the presentation's facts keep their names.

    Args:
        manipulation: what changes the face.
        attack: the presentation that shows the result.

    Raises:
        ValueError: the presentation wants a donor of its own.
    """

    needs_donor = True

    def __init__(self, manipulation: Manipulation, attack: Attack) -> None:
        if attack.needs_donor:
            raise ValueError(f"Chain: {attack.species} wants a donor itself; wanted a plain presentation")
        self.manipulation, self.attack = manipulation, attack
        self.species = f"{manipulation.species}+{attack.species}"

    def sample(self, batch_size: int, generator: torch.Generator) -> ChainParams:
        """Draw the manipulation, then the presentation."""
        return ChainParams(
            first=self.manipulation.sample(batch_size, generator), second=self.attack.sample(batch_size, generator)
        )

    def parse(self, record: dict[str, Any]) -> ChainParams:
        """Rebuild parameters from a record's JSON."""
        return ChainParams(first=self.manipulation.parse(record["first"]), second=self.attack.parse(record["second"]))

    def render(self, face: Face, view: View, params: Params, donor: Face | None = None) -> Rendered:
        """Manipulate, then show.

        Raises:
            DataError: no donor.
        """
        assert isinstance(params, ChainParams)
        changed = self.manipulation.apply(face, wanted_donor(donor, self.species), params.first)
        rendered = self.attack.render(changed, view, params.second)
        return replace(rendered, facts={**rendered.facts, **manipulation_facts(self.manipulation.species, changed)})
