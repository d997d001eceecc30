"""What is to be painted, one row for each picture, and whether it all fits together."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from spooflab.errors import DataError


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

    def check(self, *, controlnets: int, multiple: int, identity_width: int | None) -> None:
        """Raise `DataError` where shapes, ranges or numbers do not fit together.

        Args:
            controlnets: how many there are.
            multiple: what the sides of a picture must be multiples of, in pixels.
            identity_width: D; None where no adapter takes identities.
        """
        if self.images.ndim != 4 or self.images.shape[1] != 3 or len(self.images) < 1:
            raise DataError(f"pictures {tuple(self.images.shape)}", wanted="(B, 3, H, W)")
        count, _, height, width = self.images.shape
        if height % multiple or width % multiple:
            raise DataError(f"pictures of {height} x {width}", wanted=f"sides that are multiples of {multiple}")
        if len(self.conditions) != controlnets:
            raise DataError(f"{len(self.conditions)} conditions", wanted=f"{controlnets}, one for each ControlNet")
        named = [("pictures", self.images, 3), ("masks", self.masks, 1)]
        for name, value, channels in [*named, *((f"condition {i}", c, 3) for i, c in enumerate(self.conditions))]:
            _check_tensor(name, value, (count, channels, height, width))
            if not bool(((value >= 0) & (value <= 1)).all()):
                raise DataError(f"{name} from {float(value.min())} to {float(value.max())}", wanted="within [0, 1]")
        for name, words in (
            ("prompts", self.prompts), ("negative prompts", self.negative_prompts), ("seeds", self.seeds)
        ):  # fmt: skip
            if words is not None and (isinstance(words, str) or len(words) != count):
                raise DataError(f"{name} {words!r}", wanted=f"a list of {count}, one for each picture")
        self._check_identities(count, identity_width)

    def _check_identities(self, count: int, width: int | None) -> None:
        if self.identities is None:
            return
        if width is None:
            raise DataError("identities, and no adapter that takes them", wanted="Inpainter.load(..., identity=...)")
        _check_tensor("identities", self.identities, (count, width))
        if not bool(self.identities.isfinite().all()):
            raise DataError("identities that are no numbers", wanted="finite embeddings")

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


def _check_tensor(name: str, value: Tensor, shape: tuple[int, ...]) -> None:
    if value.shape != shape or value.dtype != torch.float32 or value.device.type != "cpu":
        raise DataError(
            f"{name} {tuple(value.shape)} {value.dtype} on {value.device}", wanted=f"{shape} float32 on the CPU"
        )
