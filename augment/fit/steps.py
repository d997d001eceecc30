"""Straight steps between two colours, photographed by candidates: what clean edges of photographs are compared with."""

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from spooflab.augment.color import luma
from spooflab.augment.develop import develop
from spooflab.augment.fit.chain import Candidate, Known, device_rows, linear_light
from spooflab.augment.lens import resample, window_rays
from spooflab.augment.view import View

FloatArray = npt.NDArray[np.float64]
_PLACES = np.array([0.7549, 0.5698])
"""Steps of an even sequence in the unit square (Roberts 2018)."""
_FINE, _MARGIN = 4, 8
"""Samples of a scene's pixel along each side, and how far scenes reach beyond what is seen of them, pixels."""
_CHUNK = 32
"""Pictures that are developed at once: fewer cost calls, more leave a core's cache."""


def step_covers(count: int, side: int, lens: View, *, stripe_px: float = 1e6) -> Tensor:
    """Return (N, 1, side, side): share of each pixel that lies on the bright side, at all angles, all over a window.

    Args:
        count, side: of pictures, and of each, pixels.
        lens: one window, whose distortion resamples them. It does not blur.
        stripe_px: width of the stripes that the steps part; by default each picture has one step.
    """
    width = side + 2 * _MARGIN
    axis = (torch.arange(width * _FINE) + 0.5) / _FINE - width / 2
    rays = _pieces_of(lens, count, side) / (width / 2)
    covers = torch.empty(count, 1, side, side)
    for start in range(0, count, _CHUNK):
        rows = slice(start, start + _CHUNK)
        angle = (torch.arange(count)[rows] * (torch.pi * (5**0.5 - 1)))[:, None, None]
        across = axis[None, None, :] * angle.cos() + axis[None, :, None] * angle.sin()
        bright = torch.remainder(torch.floor(across / stripe_px), 2) == 0
        covers[rows] = resample(torch.nn.functional.avg_pool2d(bright.float()[:, None], _FINE), rays[rows])
    return covers


def blurred(covers: Tensor, blur_px: float, lens: View) -> Tensor:
    """Return covers (N, 1, S, S) behind a lens of the aperture and pitch of `lens` that blurs by `blur_px` besides."""
    count, _, height, width = covers.shape
    view = View.ideal(
        height, width, batch_size=count, blur_px=blur_px, f_number=float(lens.f_number[0]),
        pitch_um=float(lens.pitch_um[0]),
    )  # fmt: skip
    return view.blur(covers)


def photographed_steps(
    colours: FloatArray,
    covers: Tensor,
    candidate: Candidate,
    known: Known,
    quality: npt.NDArray[np.int64],
    *,
    stops: npt.NDArray[np.float64] | None = None,
    b_power: float = 1.0,
    draw: int = 0,
) -> npt.NDArray[np.float32]:
    """Return luma (N, S, S) in [0, 1] of photographs of steps.

    Args:
        colours: (N, 2, 3) code values in [0, 1] of both sides, the darker first.
        covers: (N, 1, S, S) blurred.
        candidate, known: the camera.
        quality: (N,) of JPEG.
        stops, b_power, draw: see `device_rows`.
    """
    dark, bright = (
        linear_light(torch.from_numpy(colours[:, side, :, None, None]).float(), candidate) for side in (0, 1)
    )
    count, _, height, width = covers.shape
    params = device_rows(
        candidate, known, count, (height, width), quality=quality, stops=np.zeros(count) if stops is None else stops,
        b_power=b_power, draw=draw,
    )  # fmt: skip
    seen = torch.empty(count, height, width)
    for start in range(0, count, _CHUNK):
        rows = slice(start, start + _CHUNK)
        photo = develop(dark[rows] + (bright[rows] - dark[rows]) * covers[rows], params.rows(rows))
        seen[rows] = luma(photo)[:, 0]
    return np.asarray(seen.numpy(), np.float32)


def _pieces_of(lens: View, count: int, side: int) -> Tensor:
    """Return rays (N, side, side, 2) of pieces of the window, scene pixels from a corner of one near its middle."""
    half = torch.tensor([lens.width, lens.height]) / 2
    rays = window_rays(lens)[0][0] * half
    room = np.array([lens.width, lens.height]) - side
    corners = np.floor(np.arange(1, count + 1)[:, None] * _PLACES % 1 * (room + 1)).astype(int)
    pieces = torch.stack([rays[y : y + side, x : x + side] for x, y in corners])
    return pieces - (pieces.mean((1, 2), keepdim=True) + half).round() + half
