"""The detector under attack: any module, with what it takes to ask it for a bona fide score."""

from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from spooflab.errors import ConfigError


@dataclass(frozen=True, eq=False)
class Detector:
    """A presentation-attack detector.

    Attributes:
        module: maps normalised pictures (B, 3, *size) to (B,) or (B, 1) scores, or to (B, K) logits of classes; an
            output with the attribute `logits` (as `transformers` models give) will do.
        id: name for records.
        size: height and width of its input.
        mean: what is taken off each colour of pictures in [0, 1].
        std: by what they are divided then.
        sign: 1 where a higher score means bona fide, −1 where it means an attack.
        bonafide: class index of bona fide where the output has several logits.
        weights_sha256: of its parameters and buffers; computed where empty.
    """

    module: nn.Module
    id: str
    size: tuple[int, int]
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)
    sign: float = 1.0
    bonafide: int | None = None
    weights_sha256: str = ""

    def __post_init__(self) -> None:
        if self.sign not in (1.0, -1.0) or min(self.size) < 8 or min(self.std) <= 0 or not self.id:
            raise ConfigError(
                f"detector {self.id!r}: sign {self.sign}, size {self.size}, std {self.std}",
                wanted="a name, sign 1 or -1, a size of at least 8 x 8 and positive standard deviations",
            )
        if not self.weights_sha256:
            object.__setattr__(self, "weights_sha256", weights_sha256(self.module))

    @property
    def number(self) -> int:
        """The weights' hash as an int64, by which a record knows its detector again."""
        return int(self.weights_sha256[:16], 16) >> 1

    @property
    def model_id(self) -> str:
        """`id@` and the start of the weights' hash, for records."""
        return f"{self.id}@{self.weights_sha256[:16]}"

    def score(self, images: Tensor) -> Tensor:
        """Return (B,) the bona fide score (a logit: higher is more genuine) of sRGB pictures (B, 3, H, W) in [0, 1].

        Raises:
            ConfigError: the output is not one score, or K logits with `bonafide` among them.
        """
        if images.shape[-2:] != self.size:
            images = F.interpolate(images, self.size, mode="bilinear", antialias=True, align_corners=False)
        mean, std = (images.new_tensor(v)[:, None, None] for v in (self.mean, self.std))
        return self.sign * self._read(self.module((images - mean) / std))

    def _read(self, output: Any) -> Tensor:
        logits: Tensor = getattr(output, "logits", output)
        if logits.ndim == 2 and logits.shape[1] == 1:
            logits = logits[:, 0]
        if logits.ndim == 1 and self.bonafide is None:
            return logits
        if logits.ndim != 2 or self.bonafide is None or not 0 <= self.bonafide < logits.shape[1]:
            raise ConfigError(
                f"detector {self.id}: output of shape {tuple(logits.shape)}, bonafide class {self.bonafide}",
                wanted="(B,) or (B, 1) without a class, or (B, K) with the index of bona fide",
            )
        others = torch.cat([logits[:, : self.bonafide], logits[:, self.bonafide + 1 :]], 1)
        return logits[:, self.bonafide] - torch.logsumexp(others, 1)  # the log odds of bona fide


def weights_sha256(module: nn.Module) -> str:
    """Return the SHA-256 of all parameters and buffers by name, type, shape and bytes."""
    digest = sha256()
    for name, value in sorted(module.state_dict().items()):
        digest.update(f"{name}:{value.dtype}:{tuple(value.shape)}".encode())
        # A view as bytes: NumPy has no bfloat16.
        digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
