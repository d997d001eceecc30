"""A face printed on photo paper and held before the camera (species `print_photo`)."""

from collections.abc import Sequence
from typing import Any

import torch

from spooflab.augment.view import View
from spooflab.generators.attack import Rendered
from spooflab.generators.attacks.print_params import PrintParams, sample_print
from spooflab.generators.attacks.print_rows import stack_rows
from spooflab.generators.attacks.print_sheet import render_print
from spooflab.generators.face import Face
from spooflab.generators.instruments.paper import choose_papers
from spooflab.generators.scene import Scene
from spooflab.params import Params


class PrintPhoto:
    """Photo prints of 10 x 15 and 13 x 18 cm: continuous tone or a photo inkjet's fine dots; glossy or lustre.

    Args:
        instruments: ids of the papers that may be used; None or empty for all of the bank's photo papers.

    Raises:
        ConfigError: an id is not a photo paper of the bank.
    """

    species = "print_photo"
    needs_donor = False

    def __init__(self, *, instruments: Sequence[str] | None = None) -> None:
        self.papers = choose_papers(instruments, ("photo",))
        self.scene = Scene()

    @staticmethod
    def bank_ids() -> tuple[str, ...]:
        """Return the ids of every paper that this attack can use."""
        return tuple(paper.id for paper in choose_papers(None, ("photo",)))

    def sample(self, batch_size: int, generator: torch.Generator) -> PrintParams:
        """Draw prints."""
        return sample_print(self.papers, self.scene, batch_size, generator)

    def parse(self, record: dict[str, Any]) -> PrintParams:
        """Rebuild parameters from a record's JSON."""
        return PrintParams.from_json(record)

    def render(self, face: Face, view: View, params: Params, donor: Face | None = None) -> Rendered:
        """Show the printed face to the camera."""
        assert isinstance(params, PrintParams)
        return stack_rows(face, view, params, lambda f, v, p: render_print(f, v, p, self.scene))
