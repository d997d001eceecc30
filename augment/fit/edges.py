"""Clean step edges of photographs, and of what is simulated to be compared with them."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from spooflab.augment.box import box_mean

FloatArray = npt.NDArray[np.float64]
_REACH_PX, _FINE = 7.0, 0.25
_ACROSS = np.arange(-_REACH_PX, _REACH_PX + _FINE / 2, _FINE)
"""Positions along an edge's normal, pixels."""
_ALONG = (-1.5, -0.75, 0.0, 0.75, 1.5)
"""Positions along an edge whose profiles are averaged, pixels."""
_FLAT_PX = 3.5
"""How far out the sides of a clean step are flat."""
_CONTRAST = 0.12
"""Least difference of a clean step's sides, code values of one."""
_BESIDE_PX, _EVEN_PX, _LIKELY = 5.0, 2, 0.6
"""A steep place is noise, and that is known at little cost, where its sides differ by less than .6 of the least
contrast: means of squares of radius 2 px, 5 px off."""


@dataclass(frozen=True)
class Edges:
    """N clean step edges.

    Attributes:
        picture: (N,) which picture each lies in.
        place: (N, 2) x and y in pixels, whole.
        normal: (N, 2) unit vectors, from the darker side to the brighter.
        steepness: (N,) steepest slope over contrast, per pixel.
        colours: (N, 2, C) code values in [0, 1] of both sides, the darker first.
    """

    picture: npt.NDArray[np.int64]
    place: npt.NDArray[np.int64]
    normal: FloatArray
    steepness: FloatArray
    colours: FloatArray

    def __len__(self) -> int:
        return len(self.picture)

    def take(self, rows: npt.NDArray[np.int64]) -> "Edges":
        """Return some of the edges."""
        return Edges(self.picture[rows], self.place[rows], self.normal[rows], self.steepness[rows], self.colours[rows])

    @staticmethod
    def join(parts: list["Edges"]) -> "Edges":
        """Return the edges of several pictures, numbered in their order, as one set."""
        numbered = [np.full(len(part), place, np.int64) for place, part in enumerate(parts)]
        return Edges(
            np.concatenate(numbered),
            np.concatenate([p.place for p in parts]),
            np.concatenate([p.normal for p in parts]),
            np.concatenate([p.steepness for p in parts]),
            np.concatenate([p.colours for p in parts]),
        )


def edge_steepness(luma: npt.NDArray[np.float32], *, most: int = 400, seed: int = 0) -> FloatArray:
    """Return (N,) steepest slope over contrast, per pixel, of clean step edges of (H, W) or (pictures, H, W)."""
    pictures = luma.reshape(-1, *luma.shape[-2:])
    return edges_of(pictures, pictures[..., None], most=most, seed=seed).steepness


def edges_of(
    luma: npt.NDArray[np.float32],
    codes: npt.NDArray[np.float32],
    *,
    most: int = 400,
    tried: int = 40,
    border_px: int = int(_REACH_PX) + 2,
    seed: int = 0,
) -> Edges:
    """Return clean steps, at most `most` of each picture of `luma` (P, H, W), and colours of `codes` (P, H, W, C).

    A clean step has flat sides from 3 to 7 pixels out and stands out from all around.

    Args:
        luma, codes: the pictures.
        most: edges of one picture.
        tried: steep places that are looked at for each edge that is wanted.
        border_px: how far edges keep from a picture's border.
        seed: of what is left out of many.
    """
    gy, gx = np.gradient(luma, axis=1), np.gradient(luma, axis=2)
    strength: npt.NDArray[np.float32] = np.hypot(gx, gy)
    even = box_mean(torch.from_numpy(luma)[:, None], _EVEN_PX)[:, 0].numpy()
    inner = slice(border_px, -border_px)
    picture, ys, xs = np.nonzero(strength[:, inner, inner] > 0.02)
    ys, xs = ys + border_px, xs + border_px
    here = strength[picture, ys, xs]
    ux, uy = gx[picture, ys, xs] / here, gy[picture, ys, xs] / here
    peak = (here >= sample(strength, picture, xs + ux, ys + uy)) & (here > sample(strength, picture, xs - ux, ys - uy))
    steep = np.flatnonzero(peak)
    far = _BESIDE_PX * np.stack([ux[steep], uy[steep]])
    bright, dark = (sample(even, picture[steep], xs[steep] + s * far[0], ys[steep] + s * far[1]) for s in (1, -1))
    steep = steep[bright - dark > _LIKELY * _CONTRAST]
    steep = steep[_some(picture[steep], tried * most, seed)]
    picture, ys, xs, ux, uy = picture[steep], ys[steep], xs[steep], ux[steep], uy[steep]
    t = _ACROSS
    at = picture[:, None]
    x0, y0, dx, dy = (one[:, None] for one in (xs, ys, ux, uy))
    profiles = np.mean([sample(luma, at, x0 + dx * t - dy * o, y0 + dy * t + dx * o) for o in _ALONG], axis=0)
    low, high = profiles[:, t < -_FLAT_PX], profiles[:, t > _FLAT_PX]
    contrast = high.mean(1) - low.mean(1)
    rough = np.maximum(np.ptp(low, axis=1), np.ptp(high, axis=1))
    clean = (contrast > _CONTRAST) & (rough < 0.25 * contrast) & (high.mean(1) < 0.94) & (low.mean(1) > 0.03)
    step = int(1 / _FINE)
    slope = (profiles[:, step:] - profiles[:, :-step]).max(1)
    found = np.flatnonzero(clean)
    found = found[_some(picture[found], most, seed)]
    sides = np.stack([t[t < -_FLAT_PX], t[t > _FLAT_PX]])
    x, y = (start[found, None, None] + unit[found, None, None] * sides for start, unit in ((xs, ux), (ys, uy)))
    colours = [sample(codes[..., c], picture[found, None, None], x, y).mean(-1) for c in range(codes.shape[-1])]
    return Edges(
        picture[found],
        np.stack([xs, ys], 1)[found],
        np.stack([ux, uy], 1)[found].astype(np.float64),
        (slope / contrast.clip(1e-6))[found],
        np.stack(colours, -1),
    )


def sample(
    pictures: npt.NDArray[np.float32], picture: npt.NDArray[np.int64], x: FloatArray, y: FloatArray
) -> FloatArray:
    """Return values of (P, H, W) between pixels, bilinear, at places of one shape."""
    left = np.clip(np.floor(x).astype(np.int64), 0, pictures.shape[2] - 2)
    top = np.clip(np.floor(y).astype(np.int64), 0, pictures.shape[1] - 2)
    fx, fy = x - left, y - top
    upper = pictures[picture, top, left] * (1 - fx) + pictures[picture, top, left + 1] * fx
    lower = pictures[picture, top + 1, left] * (1 - fx) + pictures[picture, top + 1, left + 1] * fx
    value: FloatArray = upper * (1 - fy) + lower * fy
    return value


def _some(picture: npt.NDArray[np.int64], most: int, seed: int) -> npt.NDArray[np.int64]:
    """Return rows, in order: all of a picture's (N,) own, or `most` of them by chance."""
    rows = []
    for one in np.unique(picture):
        own = np.flatnonzero(picture == one)
        if len(own) > most:
            own = np.sort(np.random.default_rng(seed).choice(own, most, replace=False))
        rows.append(own)
    return np.concatenate(rows) if rows else np.zeros(0, np.int64)
