"""What the codecs as modules share: pictures in either type, a draw, and a deterministic pass."""

from abc import abstractmethod
from collections.abc import Callable
from typing import Generic, Self, TypeVar, overload

import torch
from torch import Tensor, nn

from spooflab.augment.photograph import from_photograph
from spooflab.errors import ConfigError, DataError
from spooflab.params import Params, check_generator

P = TypeVar("P", bound=Params)


class CodecModule(nn.Module, Generic[P]):
    """A codec: `sample` draws parameters on the CPU from a generator, `apply` codes with them.

    Pictures are uint8, or floating point in [0, 1] that is rounded to the grid of 1/255, and come back as they came.
    """

    @abstractmethod
    def sample(self, batch_size: int, generator: torch.Generator) -> P:
        """Draw the parameters of `batch_size` rows; row i does not depend on the batch size."""

    @abstractmethod
    def code(self, x: Tensor, params: P) -> Tensor:
        """Code and decode uint8."""

    @overload
    def apply(self, fn: Callable[[nn.Module], None], /) -> Self: ...

    @overload
    def apply(self, x: Tensor, params: P) -> Tensor: ...

    def apply(self, x: Tensor | Callable[[nn.Module], None], params: P | None = None) -> Tensor | Self:
        """Code and decode `x` with `params`; a function alone is applied to this module, as `nn.Module.apply` would."""
        if not isinstance(x, Tensor):
            return super().apply(x)
        if params is None:
            raise DataError("apply: pictures without parameters", wanted="apply(x, params), params from sample()")
        coded = self.code(to_codes(x), params.to(x.device))
        return coded if x.dtype == torch.uint8 else (coded.float() / 255).to(x.dtype)

    def forward(self, x: Tensor, *, generator: torch.Generator) -> Tensor:
        """Code and decode each row of `x` with parameters of its own."""
        return self.apply(x, self.sample(len(x), generator))


def to_codes(x: Tensor) -> Tensor:
    """Return pictures (B, 3, H, W) or clips (B, T, 3, H, W) as uint8; floating point in [0, 1] is rounded."""
    if x.dtype == torch.uint8:
        return x
    pictures = x.flatten(0, 1) if x.ndim == 5 else x
    return (from_photograph(pictures) * 255).round_().to(torch.uint8).reshape(x.shape)


def check_range(name: str, limits: tuple[int, int], *, low: int, high: int) -> None:
    """Raise `ConfigError` unless these are two ints, low <= limits[0] <= limits[1] <= high."""
    whole_numbers = len(limits) == 2 and all(isinstance(limit, int) for limit in limits)
    if not whole_numbers or not low <= limits[0] <= limits[1] <= high:
        raise ConfigError(f"{name} {limits}", wanted=f"two whole numbers, {low} <= first <= second <= {high}")


def check_sample(batch_size: int, generator: torch.Generator) -> None:
    """Raise `DataError` for an empty batch, `ConfigError` for what is no CPU generator."""
    check_generator(generator)
    if batch_size < 1:
        raise DataError(f"sample: batch_size {batch_size}", wanted="batch_size >= 1")


def whole(limits: tuple[int, int], share: Tensor) -> Tensor:
    """Return int64 between limits, both included, each equally likely, from shares in [0, 1)."""
    low, high = limits
    return (low + (share * (high - low + 1)).floor().to(torch.int64)).clamp(low, high)


def check_share(name: str, value: float) -> None:
    """Raise `ConfigError` unless 0 <= value <= 1."""
    if not 0 <= value <= 1:
        raise ConfigError(f"{name} {value}", wanted="a share in [0, 1]")
