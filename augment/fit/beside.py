"""Noise beside edges: what noise reduction leaves alone there tells it from sharpening.

A filter that spares edges leaves the noise within its window of one alone, whatever its strength. So the noise near an
edge over that further out, along lines parallel to it, shows how much of it was taken away; sharpening, which acts on
both alike, cancels. On flat places more noise behind more noise reduction and less sharpening looks nearly the same.
"""

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
"""Distances from an edge of the lines along which noise is measured: within a window of noise reduction, and beyond."""
_EDGES = 2000
"""Edges of one photograph that are measured."""
_HALF_PX = 5
"""Half the length of such a line, pixels."""
_BENT = 0.3
"""Trend along a line, over the contrast of its edge, from which it meets something else than noise."""
THIRDS = 3
"""Groups of equally many edges, by the luma of either side, that are compared."""
_FEWEST_PHOTOS, _FEWEST_SIDES = 8, 60
_EVERYWHERE_ERROR, _GROUP_ERROR = 0.02, 0.015
"""Standard deviations of a log ratio that scenes add to all groups alike, and to each: corners, textures, and the
colours that are simulated for those that were seen."""
_PARTS = 16
"""Parts of the photographs that are left out in turn to see how sure a ratio is."""
SIDE, _STRIPE_PX, _BORDER_PX = 128, 20.0, 28
"""Side of a simulated picture and its stripes, pixels. Near the picture's border noise is reduced otherwise, as far as
the filter of chroma reaches (`MARGIN_PX`); a line lies up to 9 px from its edge."""
_EACH, _TRIED = 48, 2
"""Edges of one simulated picture that are measured, and steep places that are tried for each."""


@dataclass(frozen=True)
class Beside:
    """Log ratio of noise variance near edges to that further out, by group: a third of the dark sides or bright ones.

    Attributes:
        ratio: (groups,) of the photographs; NaN where sides are few.
        covariance: (groups, groups) of `ratio` and of what it is compared with.
        cuts: (2, thirds - 1) luma in [0, 1] that parts the thirds of dark sides, and of bright ones.
        edges: that it rests on.
    """

    ratio: Vector
    covariance: Vector
    cuts: Vector
    edges: int


@dataclass(frozen=True)
class SideNoise:
    """Noise on both sides of N edges.

    Attributes:
        energy: (N, 2, 2) variance near and far, squared code values, of the darker side first.
        even: (N, 2) whether nothing but noise is seen on a side.
    """

    energy: FloatArray
    even: npt.NDArray[np.bool_]


def sides_of(photos: list[npt.NDArray[np.uint8]]) -> tuple[Edges, SideNoise]:
    """Return the edges of photographs (H, W, 3) and the noise on both sides of each."""
    edges, noise = [], []
    for photo in photos:
        luma = luma_of(photo)[None]
        edges.append(edges_of(luma, np.asarray(photo / np.float32(255), np.float32)[None], most=_EDGES))
        noise.append(side_noise(luma, edges[-1]))
    return Edges.join(edges), SideNoise(
        np.concatenate([one.energy for one in noise]), np.concatenate([one.even for one in noise])
    )


def side_noise(luma: npt.NDArray[np.float32], edges: Edges) -> SideNoise:
    """Return the noise of pictures (P, H, W) in [0, 1] along lines parallel to `edges`.

    Trends up to the second order are taken out of each line, for an edge may be bent and a side shaded; where they are
    large a line has met another edge. Trends are orthogonal to what is measured: choosing by them does not bias it.
    """
    along = np.arange(-_HALF_PX, _HALF_PX + 1.0)
    trends = np.linalg.qr(np.stack([along**0, along, along**2], 1))[0]
    energy, even = np.zeros((len(edges), 2, 2)), np.zeros((len(edges), 2), np.bool_)
    contrast = (edges.colours @ np.asarray(LUMA)) @ np.array([-255, 255])
    nx, ny = edges.normal.T[:, :, None, None]
    for side, sign in enumerate((-1, 1)):
        away = sign * np.array(NEAR_PX + FAR_PX)[:, None]
        x = edges.place[:, 0, None, None] + away * nx - along * ny
        y = edges.place[:, 1, None, None] + away * ny + along * nx
        lines = 255 * sample(luma, edges.picture[:, None, None], x, y)
        moved = lines @ trends
        variance = ((lines**2).sum(-1) - (moved**2).sum(-1)) / (len(along) - trends.shape[1])
        energy[:, side, 0] = variance[:, : len(NEAR_PX)].mean(1)
        energy[:, side, 1] = variance[:, len(NEAR_PX) :].mean(1)
        even[:, side] = np.sqrt((moved[..., 1:] ** 2).sum(-1)).max(1) < _BENT * contrast
    return SideNoise(energy, even)


def noise_beside(edges: Edges, noise: SideNoise) -> Beside:
    """Return what the photographs' edges show. Sides of skin are left out, for cameras may smooth it unasked."""
    cuts = np.quantile(_luma_of(edges), np.arange(1, THIRDS) / THIRDS, axis=0).T
    group = _groups(edges, noise, cuts)
    photos = np.array([len(np.unique(edges.picture[(group == one).any(1)])) for one in range(2 * THIRDS)])
    part = edges.picture % _PARTS
    without = np.stack([_ratios(noise, np.where((part == one)[:, None], -1, group)) for one in range(_PARTS)])
    enough = (photos >= _FEWEST_PHOTOS) & np.isfinite(without).all(0)
    ratio = np.where(enough, _ratios(noise, group), np.nan)
    off = without - without.mean(0)
    covariance = (_PARTS - 1) / _PARTS * off.T @ off + _EVERYWHERE_ERROR**2  # jackknife (Quenouille 1956)
    return Beside(ratio, covariance + np.diag(np.full(len(ratio), _GROUP_ERROR**2)), cuts, len(edges))


class StepSimulator:
    """Steps between the colours of some of the photographs' edges: candidates in, log ratios out.

    Args:
        beside: what is compared.
        edges: whose colours and photographs are taken, as many pictures as there are.
        known: what is not sought.
        quality: (photos,) of JPEG.
        covers: (edges, 1, S, S) of `striped_covers`.
        b_power: see `Simulator`.
    """

    def __init__(
        self,
        beside: Beside,
        edges: Edges,
        known: Known,
        quality: npt.NDArray[np.int64],
        covers: Tensor,
        *,
        b_power: float = 1.5,
    ) -> None:
        self.beside, self.edges, self.known, self.quality = beside, edges, known, quality
        self.covers, self.b_power = covers, b_power

    def first(self, count: int) -> "StepSimulator":
        """Return the simulator of the first edges."""
        few = self.edges.take(np.arange(min(count, len(self.edges))))
        covers = self.covers[: len(few)]
        return StepSimulator(self.beside, few, self.known, self.quality, covers, b_power=self.b_power)

    def __call__(self, z: Vector, stops: Stops, draw: int = 0) -> Vector:
        """Return the log ratios (groups,) of the candidate `z`; NaN where it shows few clean sides."""
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
        found = found.with_colours(self.edges.colours[found.picture])
        noise = side_noise(luma, found)
        return _ratios(noise, _groups(found, noise, self.beside.cuts))


def striped_covers(count: int, lens: View, blur_px: float) -> Tensor:
    """Return covers (count, 1, S, S) of stripes behind the lens of a photograph's window, which blurs by `blur_px`."""
    return blurred(step_covers(count, SIDE, lens, stripe_px=_STRIPE_PX), blur_px, lens)


def _luma_of(edges: Edges) -> FloatArray:
    return edges.colours @ np.asarray(LUMA, np.float64)


def _groups(edges: Edges, noise: SideNoise, cuts: Vector) -> npt.NDArray[np.int64]:
    """Return (N, 2) the group of each side, -1 where it is not measured."""
    third = np.stack([np.digitize(one, cut) for one, cut in zip(_luma_of(edges).T, cuts, strict=True)], 1)
    plain = noise.even & ~skin_coloured(edges.colours)
    return np.where(plain, third + np.array([0, THIRDS]), -1)


def _ratios(noise: SideNoise, group: npt.NDArray[np.int64]) -> Vector:
    out = np.full(2 * THIRDS, np.nan)
    for one in range(2 * THIRDS):
        energy = noise.energy[group == one]
        if len(energy) >= _FEWEST_SIDES:
            near, far = log_energy(energy.astype(np.float32))[0]
            out[one] = near - far
    return out
