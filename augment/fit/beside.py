"""What lies beside edges: noise that was not reduced there, and the halo of sharpening.

On flat places more noise behind more noise reduction and less sharpening looks nearly the same. A filter that spares
edges leaves the noise within its window of one alone, whatever its strength: noise near an edge over that further out,
along lines parallel to it, shows how much of it was taken away, and sharpening, which acts on both alike, cancels. And
the halo three pixels out, where no lens's blur reaches, tells how wide sharpening is when the codec left no fine noise.
"""

import dataclasses
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from torch import Tensor

from spooflab.augment.color import LUMA
from spooflab.augment.fit.behind import luma_of
from spooflab.augment.fit.chain import Known
from spooflab.augment.fit.edges import Edges, edges_of, sample
from spooflab.augment.fit.simulator import Stops
from spooflab.augment.fit.skin import skin_coloured
from spooflab.augment.fit.sought import Vector, to_candidate
from spooflab.augment.fit.steps import blurred, photographed_steps, step_covers
from spooflab.augment.fit.surfaces import log_energy
from spooflab.augment.view import View

FloatArray = npt.NDArray[np.float64]
NEAR_PX, FAR_PX = (2.0, 2.5, 3.0), (5.5, 6.0, 6.5, 7.0)
"""Distances from an edge of the lines that are measured: within a window of noise reduction, and beyond. The halo is
that of the last near one."""
_EDGES = 2000
"""Edges of one photograph that are measured."""
_HALF_PX = 5
"""Half the length of such a line, pixels."""
_BENT = 0.3
"""Trend along a line, over the contrast of its edge, from which it meets something else than noise."""
THIRDS = 3
"""Dark sides and bright ones are compared in thirds, by luma, of equally many."""
GROUPS = 2 * THIRDS
_FEWEST_PHOTOS, _FEWEST_SIDES = 8, 40
_EVERYWHERE_ERROR, _GROUP_ERROR = (0.02, 0.0015), (0.015, 0.002)
"""Standard deviations of a log ratio and of a halo that scenes add to all groups alike, and to each: corners, textures,
and the colours that are simulated for those that were seen."""
_TRIM = 0.1
"""Share of the least and of the largest halos that is left out of their mean."""
_PARTS = 16
"""Parts of the photographs that are left out in turn to see how sure a ratio is."""
SIDE, _STRIPE_PX, _BORDER_PX = 128, 32.0, 28
"""Side of a simulated picture and its stripes, pixels. Near the picture's border noise is reduced otherwise, as far as
the filter of chroma reaches (`MARGIN_PX`); a line lies up to 9 px from its edge. Stripes of 20 px raised the ratios of
noise by .03 and halos by .002: the next edge was too near."""
_EACH, _TRIED = 48, 2
"""Edges of one simulated picture that are measured, and steep places that are tried for each."""


@dataclass(frozen=True)
class Beside:
    """What is seen beside edges, by group: a third of the dark sides, or of the bright ones.

    Attributes:
        terms: (2 groups,) log ratios of noise variance near edges to that further out, and halos as shares of the
            edges' contrast, less what is seen further out. NaN where sides are few.
        covariance: (2 groups, 2 groups) of `terms` and of what they are compared with.
        cuts: (2, thirds - 1) luma in [0, 1] that parts the thirds of dark sides, and of bright ones.
        edges: that it rests on.
    """

    terms: Vector
    covariance: Vector
    cuts: Vector
    edges: int


@dataclass(frozen=True)
class Sides:
    """Both sides of N edges, the darker one first.

    Attributes:
        energy: (N, 2, 2) variance of noise near and far, squared code values.
        halo: (N, 2) how far code values near the edge lie beyond those further out, share of its contrast.
        even: (N, 2) whether nothing but noise is seen on a side.
    """

    energy: FloatArray
    halo: FloatArray
    even: npt.NDArray[np.bool_]


def sides_of(photos: list[npt.NDArray[np.uint8]]) -> tuple[Edges, Sides]:
    """Return the edges of photographs (H, W, 3) and both sides of each."""
    edges, sides = [], []
    for photo in photos:
        luma = luma_of(photo)[None]
        edges.append(edges_of(luma, np.asarray(photo / np.float32(255), np.float32)[None], most=_EDGES))
        sides.append(measured_sides(luma, edges[-1]))
    return Edges.join(edges), Sides(
        np.concatenate([one.energy for one in sides]),
        np.concatenate([one.halo for one in sides]),
        np.concatenate([one.even for one in sides]),
    )


def measured_sides(luma: npt.NDArray[np.float32], edges: Edges) -> Sides:
    """Return what pictures (P, H, W) in [0, 1] show along lines parallel to `edges`.

    Trends up to the second order are taken out of each line, for an edge may be bent and a side shaded; where they are
    large a line has met another edge. Trends are orthogonal to what is measured: choosing by them does not bias it.
    """
    along = np.arange(-_HALF_PX, _HALF_PX + 1.0)
    trends = np.linalg.qr(np.stack([along**0, along, along**2], 1))[0]
    near, far = slice(0, len(NEAR_PX)), slice(len(NEAR_PX), None)
    energy, halo = np.zeros((len(edges), 2, 2)), np.zeros((len(edges), 2))
    even = np.zeros((len(edges), 2), np.bool_)
    contrast = (edges.colours @ np.asarray(LUMA)) @ np.array([-255, 255])
    nx, ny = edges.normal.T[:, :, None, None]
    for side, sign in enumerate((-1, 1)):
        away = sign * np.array(NEAR_PX + FAR_PX)[:, None]
        x = edges.place[:, 0, None, None] + away * nx - along * ny
        y = edges.place[:, 1, None, None] + away * ny + along * nx
        lines = 255 * sample(luma, edges.picture[:, None, None], x, y)
        moved = lines @ trends
        variance = ((lines**2).sum(-1) - (moved**2).sum(-1)) / (len(along) - trends.shape[1])
        energy[:, side] = np.stack([variance[:, near].mean(1), variance[:, far].mean(1)], 1)
        level = lines.mean(-1)
        halo[:, side] = sign * (level[:, near][:, -1] - level[:, far].mean(1)) / contrast
        even[:, side] = np.sqrt((moved[..., 1:] ** 2).sum(-1)).max(1) < _BENT * contrast
    return Sides(energy, halo, even)


def seen_beside(edges: Edges, sides: Sides) -> Beside:
    """Return what the photographs' edges show. Sides of skin are left out, for cameras may smooth it unasked."""
    cuts = np.quantile(_luma_of(edges), np.arange(1, THIRDS) / THIRDS, axis=0).T
    group = _groups(edges, sides, cuts)
    photos = np.array([len(np.unique(edges.picture[(group == one).any(1)])) for one in range(GROUPS)])
    part = edges.picture % _PARTS
    without = np.stack([_terms(sides, np.where((part == one)[:, None], -1, group)) for one in range(_PARTS)])
    enough = np.tile(photos >= _FEWEST_PHOTOS, 2) & np.isfinite(without).all(0)
    terms = np.where(enough, _terms(sides, group), np.nan)
    off = without - without.mean(0)
    covariance = (_PARTS - 1) / _PARTS * off.T @ off  # jackknife (Quenouille 1956)
    for kind, (everywhere, own) in enumerate(zip(_EVERYWHERE_ERROR, _GROUP_ERROR, strict=True)):
        block = slice(kind * GROUPS, (kind + 1) * GROUPS)
        covariance[block, block] += everywhere**2 + own**2 * np.eye(GROUPS)
    return Beside(terms, covariance, cuts, len(edges))


class StepSimulator:
    """Steps between the colours of some of the photographs' edges: candidates in, terms of `Beside` out.

    Args:
        seen: what is compared.
        edges: whose colours and photographs are taken, as many pictures as there are.
        known: what is not sought.
        quality: (photos,) of JPEG.
        covers: (edges, 1, S, S) of `striped_covers`.
        b_power: see `Simulator`.
    """

    def __init__(
        self,
        seen: Beside,
        edges: Edges,
        known: Known,
        quality: npt.NDArray[np.int64],
        covers: Tensor,
        *,
        b_power: float = 1.5,
    ) -> None:
        self.seen, self.edges, self.known, self.quality = seen, edges, known, quality
        self.covers, self.b_power = covers, b_power

    def first(self, count: int) -> "StepSimulator":
        """Return the simulator of the first edges."""
        few = self.edges.take(np.arange(min(count, len(self.edges))))
        covers = self.covers[: len(few)]
        return StepSimulator(self.seen, few, self.known, self.quality, covers, b_power=self.b_power)

    def __call__(self, z: Vector, stops: Stops, draw: int = 0) -> Vector:
        """Return the terms (2 groups,) of the candidate `z`; NaN where it shows few clean sides."""
        photo = self.edges.picture
        luma = photographed_steps(
            self.edges.colours,
            self.covers,
            to_candidate(z),
            self.known,
            self.quality[photo],
            stops=stops.drawn(draw)[photo],
            b_power=self.b_power,
            draw=draw,
        )
        found = edges_of(luma, luma[..., None], most=_EACH, tried=_TRIED, border_px=_BORDER_PX)
        found = dataclasses.replace(found, colours=self.edges.colours[found.picture])
        sides = measured_sides(luma, found)
        return _terms(sides, _groups(found, sides, self.seen.cuts))


def striped_covers(count: int, lens: View, blur_px: float) -> Tensor:
    """Return covers (count, 1, S, S) of stripes behind the lens of a photograph's window, which blurs by `blur_px`."""
    return blurred(step_covers(count, SIDE, lens, stripe_px=_STRIPE_PX), blur_px, lens)


def _luma_of(edges: Edges) -> FloatArray:
    return edges.colours @ np.asarray(LUMA, np.float64)


def _groups(edges: Edges, sides: Sides, cuts: Vector) -> npt.NDArray[np.int64]:
    """Return (N, 2) the group of each side, -1 where it is not measured."""
    third = np.stack([np.digitize(one, cut) for one, cut in zip(_luma_of(edges).T, cuts, strict=True)], 1)
    plain = sides.even & ~skin_coloured(edges.colours)
    return np.where(plain, third + np.array([0, THIRDS]), -1)


def _terms(sides: Sides, group: npt.NDArray[np.int64]) -> Vector:
    out = np.full((2, GROUPS), np.nan)
    for one in range(GROUPS):
        rows = group == one
        if rows.sum() >= _FEWEST_SIDES:
            near, far = log_energy(sides.energy[rows].astype(np.float32))[0]
            halo = np.sort(sides.halo[rows])
            out[:, one] = near - far, halo[int(_TRIM * len(halo)) : len(halo) - int(_TRIM * len(halo))].mean()
    return out.ravel()
