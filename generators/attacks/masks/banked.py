"""What the species of masks share: instruments of the bank, and one face after the other."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, Generic, TypeVar

import torch

from spooflab.generators.attack import Changed, wanted_donor
from spooflab.generators.attacks.masks.params import MaskParams
from spooflab.generators.attacks.masks.worn import rows_of
from spooflab.generators.face import Face
from spooflab.generators.instruments.mask_material import choose_masks
from spooflab.params import Params

ParamsT = TypeVar("ParamsT", bound=MaskParams)


class BankedMask(ABC, Generic[ParamsT]):
    """A species that is worn, or stands for a wearer, and whose instruments are those of the mask bank.

    A species says its name, its effects and its parameters, draws them (`sample`), and puts one mask on one face
    (`_one`).

    Args:
        instruments: ids of the instruments that may be used; None or empty for all of the bank.
        ablate: names of `EFFECTS` to switch off.

    Raises:
        ConfigError: an id is not in the bank, or an effect is not known.
    """

    species: str
    needs_donor: bool
    EFFECTS: ClassVar[tuple[str, ...]]
    PARAMS: type[ParamsT]

    def __init__(self, *, instruments: Sequence[str] | None = None, ablate: Sequence[str] = ()) -> None:
        self.masks = choose_masks(instruments, self.species)
        self.ablate = tuple(ablate)
        self.sample(1, torch.Generator())  # which names an unknown effect

    @classmethod
    def bank_ids(cls) -> tuple[str, ...]:
        """Return the ids of every instrument of this species."""
        return tuple(mask.id for mask in choose_masks(None, cls.species))

    @abstractmethod
    def sample(self, batch_size: int, generator: torch.Generator) -> ParamsT:
        """Draw instruments and how they sit."""

    def parse(self, record: dict[str, Any]) -> ParamsT:
        """Rebuild parameters from a record's JSON."""
        return self.PARAMS.from_json(record)

    def apply(self, face: Face, donor: Face | None, params: Params) -> Changed:
        """Return the wearer behind the instrument, whose landmarks are those of the face that it shows.

        Raises:
            DataError: there is no donor, where the species `needs_donor`.
            SkipSample: a head cannot be fitted.
        """
        assert isinstance(params, self.PARAMS)
        return rows_of(face, wanted_donor(donor, self.species) if self.needs_donor else None, params, self._one)

    @abstractmethod
    def _one(self, face: Face, donor: Face | None, params: ParamsT) -> Changed:
        """Put one instrument on one face."""
