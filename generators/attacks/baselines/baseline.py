"""What the `baseline_*` species share: simulations in common use, kept for comparison with those of instruments.

They change the stored picture, as public augmentation code does: code values in, code values out, rounded to eight bits
before and after. Nothing is in front of a camera, so the only "instrument" is the formula itself.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from spooflab.augment.tone import srgb_decode, srgb_encode
from spooflab.errors import ConfigError
from spooflab.generators.ablation import ablation
from spooflab.generators.attack import Changed
from spooflab.generators.face import Face
from spooflab.params import Params


class Baseline(ABC):
    """A change of the whole encoded picture.

    Args:
        instruments: ids that may be used: the baseline's own name, or None.
        ablate: there is nothing to switch off.

    Raises:
        ConfigError: another instrument, or any effect.
    """

    species: str
    needs_donor = False
    EFFECTS: ClassVar[tuple[str, ...]] = ()

    def __init__(self, *, instruments: Sequence[str] | None = None, ablate: Sequence[str] = ()) -> None:
        strange = sorted(set(instruments or ()) - set(self.bank_ids()))
        if strange:
            raise ConfigError(f"attack {self.species}: no instrument {', '.join(strange)}", wanted=self.species)
        ablation(self.species, self.EFFECTS, ablate, 1)

    @classmethod
    def bank_ids(cls) -> tuple[str, ...]:
        """Return the only id: the baseline's name."""
        return (cls.species,)

    @abstractmethod
    def sample(self, batch_size: int, generator: torch.Generator) -> Params:
        """Draw the formula's numbers."""

    @abstractmethod
    def parse(self, record: dict[str, Any]) -> Params:
        """Rebuild parameters from a record's JSON."""

    @abstractmethod
    def change(self, picture: Tensor, params: Params) -> Tensor:
        """Return code values (1, 3, H, W) in [0, 1] of code values and parameters of one picture."""

    def apply(self, face: Face, donor: Face | None, params: Params) -> Changed:
        """Return the face under the formula; the mask is the whole picture."""
        rows = [self._light(face.radiance[i : i + 1], params.row(i)) for i in range(face.batch_size)]
        whole = torch.ones_like(face.radiance[:, :1])
        return Changed(
            face.replace(radiance=torch.cat(rows), spoof_mask=whole), instrument_id=(self.species,) * face.batch_size
        )

    def _light(self, radiance: Tensor, params: Params) -> Tensor:
        changed = self.change(_eight_bits(srgb_encode(radiance)), params)
        return srgb_decode(_eight_bits(changed)).clamp_(min=0)  # rounding leaves -1e-9 at black


def _eight_bits(picture: Tensor) -> Tensor:
    return (picture * 255).round_().clamp_(0, 255).div_(255)
