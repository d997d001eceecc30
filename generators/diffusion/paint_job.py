"""What is to be painted, one row for each picture, and whether it all fits together."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from torch import Tensor

from spooflab.generators.diffusion.pictures import check_identities, check_lists, check_pictures


@dataclass(frozen=True)
class PaintJob:
    """Rows of `Inpainter.paint`, whose docstring gives their meaning.

    Attributes:
        images: (B, 3, H, W).
        masks: (B, 1, H, W).
        conditions: one (B, 3, H, W) for each ControlNet.
        prompts: B of them.
        negative_prompts: B of them, or None.
        seeds: B of them.
        identities: (B, D), or None.
    """

    images: Tensor
    masks: Tensor
    conditions: Sequence[Tensor]
    prompts: Sequence[str]
    negative_prompts: Sequence[str] | None
    seeds: Sequence[int]
    identities: Tensor | None

    def check(self, *, channels: Sequence[int], multiple: int, identity_width: int | None) -> None:
        """Raise `DataError` unless everything has the shapes, types and ranges that the class's docstring names.

        Args:
            channels: of the picture that each ControlNet is shown.
            multiple: what the sides of a picture must be multiples of, in pixels.
            identity_width: D; None where no adapter takes identities.
        """
        check_pictures(self.images, self.masks, self.conditions, multiple=multiple, channels=channels)
        lists = {"prompts": self.prompts, "negative prompts": self.negative_prompts, "seeds": self.seeds}
        check_lists(len(self.images), lists)
        check_identities(len(self.images), self.identities, identity_width)

    def split(self, rows: int) -> Iterator["PaintJob"]:
        """Yield the job in parts of `rows` pictures; the last may have fewer."""
        for start in range(0, len(self.images), rows):
            part = slice(start, start + rows)
            yield PaintJob(
                self.images[part],
                self.masks[part],
                [condition[part] for condition in self.conditions],
                self.prompts[part],
                None if self.negative_prompts is None else self.negative_prompts[part],
                self.seeds[part],
                None if self.identities is None else self.identities[part],
            )
