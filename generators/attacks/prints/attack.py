"""What the species of whole printed sheets share: everything but the papers that they are printed on."""

from collections.abc import Sequence
from typing import Any, ClassVar

import torch

from spooflab.augment.view import View
from spooflab.generators.ablation import ablation
from spooflab.generators.attack import Rendered
from spooflab.generators.attacks.prints.params import PRINT_EFFECTS, PrintParams, sample_print
from spooflab.generators.attacks.prints.rows import stack_rows
from spooflab.generators.attacks.prints.sheet import render_print
from spooflab.generators.face import Face
from spooflab.generators.instruments.paper import Use, choose_papers
from spooflab.generators.scene import Scene
from spooflab.params import Params


class PrintAttack:
    """A face printed on a sheet and shown to the camera.

    Args:
        instruments: ids of the papers that may be used; None or empty for all of the bank's for this use.
        ablate: names of `EFFECTS` to switch off.

    Raises:
        ConfigError: an id is not such a paper of the bank, or an effect is not known.
    """

    species: str
    needs_donor = False
    EFFECTS: ClassVar[tuple[str, ...]] = PRINT_EFFECTS
    USES: ClassVar[tuple[Use, ...]]

    def __init__(self, *, instruments: Sequence[str] | None = None, ablate: Sequence[str] = ()) -> None:
        self.papers = choose_papers(instruments, self.USES)
        self.ablate = tuple(ablate)
        ablation(self.species, self.EFFECTS, self.ablate, 1)
        self.scene = Scene()

    @classmethod
    def bank_ids(cls) -> tuple[str, ...]:
        """Return the ids of every paper that this attack can use."""
        return tuple(paper.id for paper in choose_papers(None, cls.USES))

    def sample(self, batch_size: int, generator: torch.Generator) -> PrintParams:
        """Draw prints."""
        off = ablation(self.species, self.EFFECTS, self.ablate, batch_size)
        return sample_print(self.papers, self.scene, batch_size, generator, ablated=off)

    def parse(self, record: dict[str, Any]) -> PrintParams:
        """Rebuild parameters from a record's JSON."""
        return PrintParams.from_json(record)

    def render(self, face: Face, view: View, params: Params, donor: Face | None = None) -> Rendered:
        """Show the printed face to the camera."""
        assert isinstance(params, PrintParams)
        return stack_rows(face, view, params, lambda f, v, p: render_print(f, v, p, self.scene))
