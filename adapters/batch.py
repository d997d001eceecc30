"""One minibatch as algorithms see it: images, labels, domains, and the names that its randomness comes from."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from spooflab.errors import DataError

BONAFIDE, ATTACK = 1, 0
"""Label values: the score is the likelihood of class 1."""


@dataclass(frozen=True)
class Batch:
    """One (micro-)batch. `Algorithm.update` is a function of the weights and of this alone.

    Attributes:
        images: (B, 3, H, W) float in [0, 1], sRGB; the backbone normalises.
        label: (B,) int64, 1 = bona fide, 0 = attack.
        domain: (B,) int64 in 0…D−1.
        seed: names every draw of this batch (`spooflab.seeds.generator(batch.seed, ...)`).
        progress: share of the training done, in [0, 1); schedules read it.
        keys: the samples' names, for error messages.
        species: PAI species of each sample, where known.
        maps: (B, 5, m, m) `spooflab.adapters.pixel_maps.CHANNELS`, moved as the images are; for pixel-wise supervision.
        target: (T, 3, H, W) unlabelled images of the domain that is adapted to; for unsupervised adaptation alone.
        target_rows: (T,) int64, each target image's row in its set, for methods that remember images.
        cached: whether `images` and `target` are not images but what the backbone's frozen part made of them.
    """

    images: Tensor
    label: Tensor
    domain: Tensor
    seed: int = 0
    progress: float = 0.0
    keys: Sequence[str] = ()
    species: Sequence[str] = ()
    maps: Tensor | None = None
    target: Tensor | None = None
    target_rows: Tensor | None = None
    cached: bool = False

    def __post_init__(self) -> None:
        size = self.images.shape[0]
        shaped = self.images.ndim >= 2 if self.cached else self.images.ndim == 4 and self.images.shape[1] == 3
        if not shaped or not self.images.is_floating_point():
            raise ValueError(f"images: seen {self.images.dtype} {tuple(self.images.shape)}, wanted float (B, 3, H, W)")
        if self.target is not None and self.target.shape[1:] != self.images.shape[1:]:
            raise ValueError(
                f"target: seen {tuple(self.target.shape)}, wanted (T, {', '.join(map(str, self.images.shape[1:]))})"
            )
        if self.maps is not None and (self.maps.ndim != 4 or len(self.maps) != size):
            raise ValueError(f"maps: seen {tuple(self.maps.shape)}, wanted ({size}, C, m, m)")
        lengths = {"label": size, "domain": size}
        if self.target_rows is not None:
            lengths["target_rows"] = 0 if self.target is None else self.target.shape[0]
        for name, length in lengths.items():
            value = getattr(self, name)
            if value.shape != (length,) or value.dtype != torch.int64:
                raise ValueError(f"{name}: seen {value.dtype} {tuple(value.shape)}, wanted int64 ({length},)")

    def unlabelled(self) -> Tensor:
        """Return `target`.

        Raises:
            DataError: there is none.
        """
        if self.target is None:
            raise DataError("no unlabelled target images in the batch", wanted="a target set: `fit(..., target=…)`")
        return self.target

    def __len__(self) -> int:
        return int(self.images.shape[0])
