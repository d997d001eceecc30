"""Parameters as plain dataclasses of tensors: drawn once, stored as JSON, replayed to the same pixels.

Every field is a tensor whose first axis is the batch, a nested `Params`, or None. JSON keeps float32 exactly:
each value is a binary fraction that a decimal float64 literal restores.
"""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor

from spooflab.errors import ConfigError

_DTYPES = {
    str(d).removeprefix("torch."): d for d in (torch.float32, torch.float64, torch.int64, torch.bool, torch.uint8)
}


@dataclass(frozen=True)
class Params:
    """Base of all drawn parameters. Subclasses are frozen dataclasses; see the module's text for the fields."""

    @property
    def batch_size(self) -> int:
        """Length of the first axis."""
        for value in self._values():
            return value.batch_size if isinstance(value, Params) else int(value.shape[0])
        raise ValueError(f"{type(self).__name__} has no field to read a batch size from")

    def row(self, index: int) -> Self:
        """Return the parameters of one sample, batch size kept as 1."""
        return self._map(lambda t: t[index : index + 1].clone())

    def rows(self, rows: slice) -> Self:
        """Return the parameters of some samples that follow one another, as views."""
        return self._map(lambda t: t[rows])

    def to(self, device: torch.device | str) -> Self:
        """Return a copy on `device`; what the CPU sends to a CUDA device is not waited for."""
        cuda = torch.device(device).type == "cuda"
        return self._map(lambda t: t.to(device, non_blocking=cuda and t.is_cpu))

    def to_json(self) -> dict[str, Any]:
        """Return the one sample of a batch of 1 as JSON-ready values; floats are exact."""
        if self.batch_size != 1:
            raise ValueError(f"to_json wants a batch of 1, seen {self.batch_size}: take row(i) first")
        out: dict[str, Any] = {}
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if isinstance(value, Params):
                out[field.name] = value.to_json()
            elif value is None:
                out[field.name] = None
            else:
                out[field.name] = {
                    "dtype": str(value.dtype).removeprefix("torch."),
                    "value": value[0].tolist(),
                }
        return out

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        """Rebuild a batch of 1 from `to_json`; a key too many or too few is an error that names it.

        A field with a default may be missing: it was added after the record was written.
        """
        hints = typing.get_type_hints(cls)
        names = {field.name for field in dataclasses.fields(cls)}
        optional = {f.name for f in dataclasses.fields(cls) if f.default is not dataclasses.MISSING}
        if set(data) - names or names - set(data) - optional:
            raise ValueError(
                f"{cls.__name__}: unknown {sorted(set(data) - names)}, missing {sorted(names - set(data) - optional)}"
            )
        built: dict[str, Any] = {}
        for name, value in data.items():
            nested = _params_type(hints[name])
            if value is None:
                built[name] = None
            elif nested is not None:
                built[name] = nested.from_json(value)
            else:
                built[name] = torch.tensor(value["value"], dtype=_DTYPES[value["dtype"]])[None]
        return cls(**built)

    @classmethod
    def stack(cls, rows: Sequence[Self]) -> Self:
        """Concatenate batches along the first axis."""
        built: dict[str, Any] = {}
        for field in dataclasses.fields(cls):
            values = [getattr(row, field.name) for row in rows]
            if values[0] is None:
                built[field.name] = None
            elif isinstance(values[0], Params):
                built[field.name] = type(values[0]).stack(values)
            else:
                built[field.name] = torch.cat(values)
        return cls(**built)

    def _values(self) -> list[Any]:
        return [v for f in dataclasses.fields(self) if (v := getattr(self, f.name)) is not None]

    def _map(self, change: typing.Callable[[Tensor], Tensor]) -> Self:
        built: dict[str, Any] = {}
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if isinstance(value, Params):
                built[field.name] = value._map(change)
            else:
                built[field.name] = None if value is None else change(value)
        return type(self)(**built)


def check_generator(generator: object) -> None:
    """Raise `ConfigError` unless this is a generator on the CPU: torch takes None for its global random state."""
    if not isinstance(generator, torch.Generator) or generator.device.type != "cpu":
        seen = f"on {generator.device}" if isinstance(generator, torch.Generator) else repr(generator)
        raise ConfigError(f"generator: {seen}", wanted="a CPU generator, such as torch.Generator().manual_seed(7)")


def uniform(size: int, low: float, high: float, generator: torch.Generator) -> Tensor:
    """Draw `size` float32 values from U[low, high)."""
    check_generator(generator)
    return low + (high - low) * torch.rand(size, generator=generator)


def log_uniform(size: int, low: float, high: float, generator: torch.Generator) -> Tensor:
    """Draw `size` float32 values whose logarithm is uniform between those of `low` and `high` (both > 0)."""
    return torch.exp(uniform(size, float(torch.tensor(low).log()), float(torch.tensor(high).log()), generator))


def choice(size: int, count: int, generator: torch.Generator) -> Tensor:
    """Draw `size` int64 indices from 0…count−1."""
    check_generator(generator)
    return torch.randint(0, count, (size,), generator=generator)


def _params_type(hint: Any) -> type[Params] | None:
    for candidate in (hint, *typing.get_args(hint)):
        if isinstance(candidate, type) and issubclass(candidate, Params):
            return candidate
    return None
