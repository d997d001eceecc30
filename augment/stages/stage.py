"""What the camera's stages as modules share: types at the border, a draw, and a deterministic pass."""

import dataclasses
from abc import abstractmethod
from collections.abc import Callable
from typing import Any, Generic, Self, TypeVar, overload

import torch
from torch import Tensor, nn

from spooflab.augment.photograph import check_photograph
from spooflab.augment.ranges import between
from spooflab.errors import ConfigError, DataError
from spooflab.params import Params

P = TypeVar("P", bound=Params)


class Stage(nn.Module, Generic[P]):
    """One stage of a camera: `sample` draws parameters on the CPU, `apply` runs where the pictures lie.

    Pictures are (B, 3, H, W), uint8 or floating point in [0, 1]; they are computed in float32 and come back in their
    own type, uint8 rounded. Values are looked at once, at the border: for an accelerator that is the one wait of the
    host, and `process` alone has none. Seeds (`on_host`) stay on the CPU, where they are read.
    """

    on_host: tuple[str, ...] = ()

    @abstractmethod
    def sample(self, batch_size: int, generator: torch.Generator) -> P:
        """Draw the parameters of `batch_size` pictures; row i does not depend on the batch size."""

    @abstractmethod
    def process(self, x: Tensor, params: P) -> Tensor:
        """Return float32 (B, 3, H, W) after this stage; nothing is checked or read back."""

    @overload
    def apply(self, fn: Callable[[nn.Module], None], /) -> Self: ...

    @overload
    def apply(self, x: Tensor, params: P) -> Tensor: ...

    def apply(self, x: Tensor | Callable[[nn.Module], None], params: P | None = None) -> Tensor | Self:
        """Return `x` after this stage; a function alone is applied to this module, as `nn.Module.apply` would."""
        if not isinstance(x, Tensor):
            return super().apply(x)
        if params is None or params.batch_size != len(x):
            seen = "none" if params is None else f"those of {params.batch_size}"
            raise DataError(
                f"{type(self).__name__}.apply: {len(x)} pictures, parameters: {seen}", wanted="sample(B, generator)"
            )
        check_photograph(x)
        kept: dict[str, Any] = {name: getattr(params, name) for name in self.on_host}
        moved = dataclasses.replace(params.to(x.device), **kept)
        made = self.process(x.float() / 255 if x.dtype == torch.uint8 else x.float(), moved).clamp(0, 1)
        return (made * 255).round().to(torch.uint8) if x.dtype == torch.uint8 else made.to(x.dtype)

    def forward(self, x: Tensor, *, generator: torch.Generator) -> Tensor:
        """Draw and apply."""
        return self.apply(x, self.sample(len(x), generator))


def table(batch_size: int, columns: int, generator: torch.Generator) -> tuple[Tensor, ...]:
    """Return `columns` uniforms (B,) of each row, drawn row by row."""
    if batch_size < 1:
        raise DataError(f"sample: batch_size {batch_size}", wanted="batch_size >= 1")
    return torch.rand(batch_size, columns, generator=generator).unbind(1)


def seeds(share: Tensor, other: Tensor) -> Tensor:
    """Return (B,) int64 of 48 bits from two columns of uniforms."""
    return (share * 2**24).to(torch.int64) * 2**24 + (other * 2**24).to(torch.int64)


def either_sign(limits: tuple[float, float], share: Tensor) -> Tensor:
    """Return values whose size lies in `limits`, of either sign."""
    side = 2 * share - 1
    return between(limits, side.abs()) * side.sign()


def check_range(name: str, limits: tuple[float, float], *, low: float, high: float) -> tuple[float, float]:
    """Return `limits`, or raise `ConfigError` unless low <= limits[0] <= limits[1] <= high."""
    if not low <= limits[0] <= limits[1] <= high:
        raise ConfigError(f"{name} {limits}", wanted=f"{low:g} <= first <= second <= {high:g}")
    return limits
