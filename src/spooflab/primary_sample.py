"""Primary sample space: every drawn parameter as a point of the unit cube, so that a search can move it.

`attack.sample(1, generator)` turns a stream of uniforms into physical parameters. Put at the stream's place, a point u
of [0, 1)^d gives parameters that are physical by construction: ranges, choices and what depends on them hold, and the
uniform distribution on the cube is the prior. The idea is that of primary sample space in light transport (Kelemen et
al. 2002, "A simple and robust mutation strategy for the Metropolis light transport algorithm", section 2).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, Literal

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from spooflab.errors import ConfigError

Kind = Literal["uniform", "normal", "integer", "category"]
MOST_CHOICES = 4096
"""A whole number out of more than these is a seed, which no search can follow: the generator draws it."""
MOST_NUMBERS = 64
"""A tensor of more numbers is a random field: the generator draws it."""
_BELOW_ONE = 1 - 2.0**-24


@dataclass(frozen=True)
class Axis:
    """One coordinate of the cube.

    Attributes:
        kind: what the drawn number is.
        choices: how many values it has; 0 for a continuous one.
    """

    kind: Kind
    choices: int = 0


class PrimarySample(TorchFunctionMode):
    """While open, one generator's small draws follow a point; all else, and all other generators, draw as ever.

    The k-th number drawn is the k-th coordinate: `rand` takes u, `randint` ⌊u·n⌋, `randn` Φ⁻¹(u), `multinomial` (with
    replacement) the inverse of its distribution function. The generator advances as if nobody had touched it, so that
    seeds and random fields do not depend on the point, and a point that equals what the generator draws by itself gives
    what the generator gives. Where a draw is made or not depending on an earlier one, coordinates are matched by order.

    Args:
        generator: the one whose draws follow the point.
        point: coordinates in [0, 1); NaN, or a point that ends early, leaves a draw to the generator.

    Attributes:
        values: after use, every coordinate that was drawn, in order.
        axes: what each of them is.

    Raises:
        ConfigError: a coordinate outside of [0, 1).

    >>> gen = torch.Generator().manual_seed(1)
    >>> with PrimarySample(gen, [0.25, 0.5, 0.999]) as drawn:
    ...     (torch.rand(1, generator=gen), torch.randn(1, generator=gen), torch.randint(0, 10, (1,), generator=gen))
    (tensor([0.2500]), tensor([0.]), tensor([9]))
    >>> [axis.kind for axis in drawn.axes]
    ['uniform', 'normal', 'integer']
    """

    def __init__(self, generator: torch.Generator, point: Sequence[float] = ()) -> None:
        super().__init__()
        wrong = [u for u in point if not 0 <= u < 1 and u == u]
        if wrong:
            raise ConfigError(
                f"coordinate {wrong[0]}", wanted="a number in [0, 1), or NaN to leave it to the generator"
            )
        self.generator, self.point = generator, tuple(point)
        self.values: list[float] = []
        self.axes: list[Axis] = []

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        follow = _FOLLOW.get(func) if kwargs.get("generator") is self.generator else None
        return out if follow is None or out.numel() > MOST_NUMBERS else follow(self, out, args)

    def _uniform(self, out: Tensor, args: tuple[Any, ...]) -> Tensor:
        return self._replaced(out, Axis("uniform"), out.double(), lambda u: u)

    def _normal(self, out: Tensor, args: tuple[Any, ...]) -> Tensor:
        own = torch.special.ndtr(out.double()).clamp(2.0**-53, 1 - 2.0**-53)
        return self._replaced(out, Axis("normal"), own, lambda u: torch.special.ndtri(u.clamp(2.0**-53, 1 - 2.0**-53)))

    def _integer(self, out: Tensor, args: tuple[Any, ...]) -> Tensor:
        ends = [a for a in args if isinstance(a, int)]
        low, high = (0, ends[0]) if len(ends) == 1 else (ends[0], ends[1])
        count = high - low
        if count > MOST_CHOICES:
            return out
        own = (out.double() - low + 0.5) / count
        return self._replaced(out, Axis("integer", count), own, lambda u: (u * count).floor() + low)

    def _category(self, out: Tensor, args: tuple[Any, ...]) -> Tensor:
        weights = args[0].double()
        if weights.ndim != 1:
            return out
        ends = weights.cumsum(0) / weights.sum()
        own = ends[out] - 0.5 * (weights / weights.sum())[out]
        return self._replaced(
            out, Axis("category", len(weights)), own, lambda u: torch.searchsorted(ends, u, right=True).double()
        )

    def _replaced(self, out: Tensor, axis: Axis, own: Tensor, value: Callable[[Tensor], Tensor]) -> Tensor:
        """Record the coordinates of one draw, and put the point's values where it has some."""
        first = len(self.values)
        asked = list(self.point[first : first + out.numel()])
        asked += [float("nan")] * (out.numel() - len(asked))
        wanted = torch.tensor(asked, dtype=torch.float64).view(out.shape)
        given = ~wanted.isnan()
        coordinates = torch.where(given, wanted, own)
        self.values += coordinates.flatten().tolist()
        self.axes += [axis] * prod(out.shape)
        if not bool(given.any()):
            return out
        new = value(wanted.nan_to_num(0.5))
        if axis.kind == "uniform":
            new = new.clamp(max=_BELOW_ONE)
        return torch.where(given, new.to(out.dtype), out)


_FOLLOW: dict[Any, Callable[[PrimarySample, Tensor, tuple[Any, ...]], Tensor]] = {
    torch.rand: PrimarySample._uniform,
    torch.randn: PrimarySample._normal,
    torch.randint: PrimarySample._integer,
    torch.multinomial: PrimarySample._category,
}
