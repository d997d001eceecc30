"""Blur of the lens from the steepest edges, matched by simulated ones."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from spooflab.augment.color import luma
from spooflab.augment.develop import develop
from spooflab.augment.fit.behind import luma_of
from spooflab.augment.fit.chain import Candidate, Known, device_rows, linear_light
from spooflab.augment.lens import resample, window_rays
from spooflab.augment.view import View

FloatArray = npt.NDArray[np.float64]
_SIDE, _REACH_PX, _FINE = 48, 7.0, 0.25
_ACROSS = np.arange(-_REACH_PX, _REACH_PX + _FINE / 2, _FINE)
"""Positions along an edge's normal, pixels."""
_FLAT_PX = 3.5
"""How far out the sides of a clean step are flat."""
_BLURS = np.array([0.15, 0.3, 0.45, 0.6, 0.8, 1.0, 1.3, 1.7, 2.2])
_FEWEST = 12
_STEEP = 0.75
_PLACES = np.array([0.7549, 0.5698])
"""Steps of an even sequence in the unit square (Roberts 2018)."""
_SIMULATED, _MARGIN = 192, 8
"""Edges that are simulated, for steepness differs between colours by more than between blurs; and how far their scenes
reach beyond what is seen of them, pixels."""


@dataclass(frozen=True)
class Sharpness:
    """Blur of single photographs (standard deviation, px; NaN where edges are few), beyond diffraction and pixel."""

    blur_px: FloatArray
    edges: int
    steepness: FloatArray
    """(blurs,) what simulated edges of `_BLURS` show."""


@dataclass(frozen=True)
class Edges:
    """N clean step edges of one picture.

    Attributes:
        steepness: (N,) steepest slope over contrast, per pixel.
        colours: (N, 2, 3) code values in [0, 1] of both sides, the darker first.
    """

    steepness: FloatArray
    colours: FloatArray


def edge_steepness(luma: npt.NDArray[np.float32], *, most: int = 400, seed: int = 0) -> FloatArray:
    """Return (N,) steepest slope over contrast, per pixel, of clean step edges of (H, W)."""
    return edges_of(luma, luma[..., None], most=most, seed=seed).steepness


def edges_of(luma: npt.NDArray[np.float32], codes: npt.NDArray[np.float32], *, most: int = 400, seed: int = 0) -> Edges:
    """Return clean steps of `luma` (H, W) and the colours of `codes` (H, W, C) beside them.

    A clean step has flat sides from 3 to 7 pixels out and stands out from all around.
    """
    gy, gx = np.gradient(luma, axis=0), np.gradient(luma, axis=1)
    strength: npt.NDArray[np.float32] = np.hypot(gx, gy)
    margin = int(_REACH_PX) + 2
    ys, xs = np.nonzero(strength[margin:-margin, margin:-margin] > 0.02)
    ys, xs = ys + margin, xs + margin
    here = strength[ys, xs]
    ux, uy = gx[ys, xs] / here, gy[ys, xs] / here
    peak = (here >= _at(strength, xs + ux, ys + uy)) & (here > _at(strength, xs - ux, ys - uy))
    ys, xs, ux, uy = ys[peak], xs[peak], ux[peak], uy[peak]
    if len(ys) > 40 * most:
        kept = np.random.default_rng(seed).choice(len(ys), 40 * most, replace=False)
        ys, xs, ux, uy = ys[kept], xs[kept], ux[kept], uy[kept]
    t = _ACROSS
    profiles = np.mean(
        [_at(luma, xs[:, None] + ux[:, None] * t - uy[:, None] * o, ys[:, None] + uy[:, None] * t + ux[:, None] * o)
         for o in (-1.5, -0.75, 0.0, 0.75, 1.5)], axis=0,
    )  # fmt: skip
    low, high = profiles[:, t < -_FLAT_PX], profiles[:, t > _FLAT_PX]
    contrast = high.mean(1) - low.mean(1)
    rough = np.maximum(np.ptp(low, axis=1), np.ptp(high, axis=1))
    clean = (contrast > 0.12) & (rough < 0.25 * contrast) & (high.mean(1) < 0.94) & (low.mean(1) > 0.03)
    step = int(1 / _FINE)
    slope = (profiles[:, step:] - profiles[:, :-step]).max(1)
    found = np.flatnonzero(clean)
    if len(found) > most:
        found = np.random.default_rng(seed).choice(found, most, replace=False)
    sides = np.stack([t[t < -_FLAT_PX], t[t > _FLAT_PX]])
    x, y = (start[found, None, None] + unit[found, None, None] * sides for start, unit in ((xs, ux), (ys, uy)))
    colours = np.stack([_at(codes[..., c], x, y).mean(-1) for c in range(codes.shape[-1])], -1)
    return Edges((slope / contrast.clip(1e-6))[found], colours)


def fit_sharpness(
    photos: list[npt.NDArray[np.uint8]],
    candidate: Candidate,
    known: Known,
    quality: npt.NDArray[np.int64],
    lens: View,
) -> Sharpness:
    """Return each photograph's blur: the one whose simulated edges, of the same colours, are as steep as its own.

    A scene's edges are sharp or softer, never sharper than the lens: upper quartiles are compared, which noise lifts in
    both alike. `lens` is a photograph's window with its distortion, aperture and pitch. A finished device resamples
    what it photographs where its lens bends: so are these edges, for the blur of that is not to be found twice.
    """
    measured = [edges_of(luma_of(photo), np.asarray(photo / np.float32(255), np.float32)) for photo in photos]
    colours = np.concatenate([m.colours for m in measured])
    if len(colours) < _FEWEST or min(lens.height, lens.width) < _SIDE:
        return Sharpness(np.full(len(photos), np.nan), len(colours), np.zeros(0))
    pairs = colours[np.linspace(0, len(colours) - 1, _SIMULATED).astype(int)]
    middle = np.full(len(pairs), int(np.median(quality)), np.int64)
    scenes = edge_scenes(pairs, candidate, lens)
    curve = []
    for blur in _BLURS:
        edges = photographed_edges(scenes, float(blur), candidate, known, middle, lens)
        joined = np.concatenate([edge_steepness(edge, most=60) for edge in edges])
        curve.append(float(np.quantile(joined, _STEEP)) if len(joined) else np.nan)
    steepness = np.minimum.accumulate(np.nan_to_num(np.asarray(curve), nan=1e-3))
    own = np.array([np.quantile(m.steepness, _STEEP) if len(m.steepness) >= _FEWEST else np.nan for m in measured])
    blur_px = np.interp(-own, -steepness, _BLURS)
    return Sharpness(np.where(np.isnan(own), np.nan, blur_px), len(colours), steepness)


def edge_scenes(colours: FloatArray, candidate: Candidate, lens: View) -> Tensor:
    """Return light (N, 3, _SIDE, _SIDE) of straight edges at all angles, all over a window, before the lens blurs it.

    Args:
        colours: (N, 2, 3) code values in [0, 1] of both sides.
        candidate: by whose curve they are turned into light.
        lens: one window, whose distortion resamples them.
    """
    count, fine, width = len(colours), 4, _SIDE + 2 * _MARGIN
    angle = torch.arange(count) * (torch.pi * (5**0.5 - 1))
    axis = (torch.arange(width * fine) + 0.5) / fine - width / 2
    across = axis[None, None, :] * angle.cos()[:, None, None] + axis[None, :, None] * angle.sin()[:, None, None]
    cover = torch.nn.functional.avg_pool2d((across > 0).float()[:, None], fine)
    dark, bright = (
        linear_light(torch.from_numpy(colours[:, side, :, None, None]).float(), candidate) for side in (0, 1)
    )
    return resample(dark + (bright - dark) * cover, _pieces_of(lens, count) / (width / 2))


def photographed_edges(
    scenes: Tensor, blur: float, candidate: Candidate, known: Known, quality: npt.NDArray[np.int64], lens: View
) -> npt.NDArray[np.float32]:
    """Return luma (N, _SIDE, _SIDE) of photographs of `edge_scenes`.

    Args:
        scenes: the light.
        blur: standard deviation beside that of `lens`, px.
        candidate, known: the camera.
        quality: (N,) of JPEG.
        lens: whose aperture and pitch count.
    """
    count = len(scenes)
    view = View.ideal(
        _SIDE, _SIDE, batch_size=count, blur_px=blur, f_number=float(lens.f_number[0]), pitch_um=float(lens.pitch_um[0])
    )
    params = device_rows(candidate, known, count, (_SIDE, _SIDE), quality=quality, stops=np.zeros(count))
    photo = develop(view.blur(scenes), params)
    return np.asarray(luma(photo)[:, 0].numpy(), np.float32)


def _pieces_of(lens: View, count: int) -> Tensor:
    """Return rays (N, _SIDE, _SIDE, 2) of pieces of the window, scene pixels from a corner of one near its middle."""
    half = torch.tensor([lens.width, lens.height]) / 2
    rays = window_rays(lens)[0][0] * half
    room = np.array([lens.width, lens.height]) - _SIDE
    corners = np.floor(np.arange(1, count + 1)[:, None] * _PLACES % 1 * (room + 1)).astype(int)
    pieces = torch.stack([rays[y : y + _SIDE, x : x + _SIDE] for x, y in corners])
    return pieces - (pieces.mean((1, 2), keepdim=True) + half).round() + half


def _at(image: npt.NDArray[np.float32], x: FloatArray, y: FloatArray) -> FloatArray:
    left = np.clip(np.floor(x).astype(np.int64), 0, image.shape[1] - 2)
    top = np.clip(np.floor(y).astype(np.int64), 0, image.shape[0] - 2)
    fx, fy = x - left, y - top
    upper = image[top, left] * (1 - fx) + image[top, left + 1] * fx
    lower = image[top + 1, left] * (1 - fx) + image[top + 1, left + 1] * fx
    value: FloatArray = upper * (1 - fy) + lower * fy
    return value
