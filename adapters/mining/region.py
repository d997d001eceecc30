"""The found region as a distribution: what the next training set is drawn from."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from spooflab.adapters.mining.point import Coordinate, Cube, Point, Space
from spooflab.errors import ConfigError
from spooflab.seeds import generator
from spooflab.seeds import seed as named_seed


@dataclass(frozen=True)
class Region:
    """A mixture over found points, and the prior.

    With probability `floor` a draw is the prior's: a species and a device at even odds, all coordinates free, so that
    nothing possible is ever lost. Else one of the found points is taken at even odds; each of its searched continuous
    coordinates moves by a Gaussian of `width`, reflected at the ends of the interval (the kernel density's boundary
    rule, Silverman 1986, section 2.10), choices stay, and each coordinate is freed with probability `freed`, so that
    one that had no part in the finding does not stay pinned. All else, faces included, follows the draw's own seed.

    Attributes:
        found: the points.
        floor: share of the prior, in (0, 1].
        width: standard deviation of the move, in units of the coordinate's whole range.
        freed: share of coordinates that the prior takes back.
    """

    found: tuple[Point, ...]
    floor: float = 0.2
    width: float = 0.1
    freed: float = 0.1

    def __post_init__(self) -> None:
        if not 0 < self.floor <= 1 or not 0 <= self.freed <= 1 or not self.width >= 0:
            raise ConfigError(
                f"region: floor {self.floor}, width {self.width}, freed {self.freed}",
                wanted="a floor in (0, 1], a width ≥ 0, a share in [0, 1]",
            )

    def draw(self, spaces: dict[str, Space], devices: Sequence[str], seed: int) -> Point:
        """Return the draw that `seed` names.

        Args:
            spaces: cubes of every species that the prior has.
            devices: ids that the prior has.
            seed: names the draw, and becomes the point's.
        """
        gen = generator(seed, "region")
        if not self.found or float(torch.rand(1, generator=gen)) < self.floor:
            return prior_point(tuple(spaces), devices, seed)
        chosen = self.found[int(torch.randint(len(self.found), (1,), generator=gen))]
        space = spaces[chosen.species]
        return Point(
            chosen.species,
            chosen.device,
            named_seed(seed, "sample"),
            self._moved(chosen.attack, space.attack, gen),
            self._moved(chosen.shot, space.shot, gen),
        )

    def _moved(self, cube: Cube, axes: Sequence[Coordinate], gen: torch.Generator) -> Cube:
        if not cube:
            return ()
        u = torch.tensor(cube, dtype=torch.float64)
        step = self.width * torch.randn(len(u), generator=gen, dtype=torch.float64)
        free = torch.rand(len(u), generator=gen) < self.freed
        choice = torch.tensor([coordinate.axis.choices > 0 for coordinate in axes])
        fixed = torch.tensor([coordinate.searched for coordinate in axes])
        moved = torch.where(choice, u, reflected(u + step))
        moved = torch.where(free | ~fixed, math.nan, moved)
        return tuple(moved.tolist())


def prior_point(species: Sequence[str], devices: Sequence[str], seed: int) -> Point:
    """Return the prior's draw that `seed` names: a species and a device at even odds, every coordinate free."""
    gen = generator(seed, "prior")
    kind = species[int(torch.randint(len(species), (1,), generator=gen))]
    device = devices[int(torch.randint(len(devices), (1,), generator=gen))]
    return Point(kind, device, named_seed(seed, "sample"))


def reflected(u: Tensor) -> Tensor:
    """Fold the real line into [0, 1) at both ends: a point outside goes as far inside."""
    folded = (u % 2.0 - 1).abs()
    return (1 - folded).clamp(0, 1 - 2.0**-24)
