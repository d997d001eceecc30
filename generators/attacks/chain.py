"""A changed or photographed face shown again: a swap on a phone, a print of a screen, a recapture of a recapture."""

from dataclasses import dataclass, replace
from typing import Any

import torch

from spooflab.augment.view import View
from spooflab.generators.attack import Attack, Manipulation, Rendered
from spooflab.generators.attacks.live import change
from spooflab.generators.face import Face
from spooflab.params import Params


@dataclass(frozen=True)
class ChainParams(Params):
    """Both links.

    Attributes:
        first: the manipulation's parameters.
        second: the attack's; a chain's own where it is one.
    """

    first: Params
    second: Params


class Chain:
    """`manipulation`, then `attack`, under the species `manipulation+attack`; the attack may be a chain itself.

    The ground truth (mask, depth, instrument) is the attack's: the whole instrument is the attack. The facts of the
    manipulation carry its species (`swap_blend.changed_share`); the attack's keep their names.

    Args:
        manipulation: what changes the face (a `Recapture` where an instrument is shown again).
        attack: what the result is shown or injected by.

    Raises:
        ValueError: both want a donor: a sample has two faces, not three.
    """

    def __init__(self, manipulation: Manipulation, attack: Attack) -> None:
        if manipulation.needs_donor and attack.needs_donor:
            raise ValueError(
                f"Chain: {manipulation.species} and {attack.species} both want a donor; wanted one of them at most"
            )
        self.manipulation, self.attack = manipulation, attack
        self.needs_donor = manipulation.needs_donor or attack.needs_donor
        self.species = f"{manipulation.species}+{attack.species}"

    def sample(self, batch_size: int, generator: torch.Generator) -> ChainParams:
        """Draw the manipulation, then the attack."""
        return ChainParams(
            first=self.manipulation.sample(batch_size, generator), second=self.attack.sample(batch_size, generator)
        )

    def parse(self, record: dict[str, Any]) -> ChainParams:
        """Rebuild parameters from a record's JSON."""
        return ChainParams(first=self.manipulation.parse(record["first"]), second=self.attack.parse(record["second"]))

    def render(self, face: Face, view: View, params: Params, donor: Face | None = None) -> Rendered:
        """Manipulate, then show.

        Raises:
            DataError: no donor where a link needs one.
        """
        assert isinstance(params, ChainParams)
        changed = change(self.manipulation, face, donor, params.first)
        rendered = self.attack.render(changed.face, view, params.second, donor if self.attack.needs_donor else None)
        earlier = {f"{self.manipulation.species}.{name}": value for name, value in changed.facts.items()}
        models = tuple(dict.fromkeys((*changed.models, *rendered.models)))
        return replace(rendered, facts={**rendered.facts, **earlier}, models=models)
