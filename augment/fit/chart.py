"""Tone curve, saturation and cast from photographs of a 24-patch colour chart: the only way to know the scene."""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional as F

from spooflab.augment.color import saturation_matrix
from spooflab.augment.tone import srgb_decode, srgb_encode, tone_curve
from spooflab.augment.view import View
from spooflab.augment.vignette import vignette

FloatArray = npt.NDArray[np.float64]
ROWS, COLUMNS = 4, 6
# The classic 24-patch chart as 8-bit sRGB, row by row from dark skin (X-Rite, colorimetric values of the ColorChecker).
CODES = (
    (115, 82, 68), (194, 150, 130), (98, 122, 157), (87, 108, 67), (133, 128, 177), (103, 189, 170),
    (214, 126, 44), (80, 91, 166), (193, 90, 99), (94, 60, 108), (157, 188, 64), (224, 163, 46),
    (56, 61, 150), (70, 148, 73), (175, 54, 60), (231, 199, 31), (187, 86, 149), (8, 133, 161),
    (243, 243, 242), (200, 200, 200), (160, 160, 160), (122, 122, 121), (85, 85, 85), (52, 52, 52),
)  # fmt: skip
_MIDDLE = (0.22, 0.78)
"""Share of a cell that is averaged; a patch of the printed chart fills .07 to .93 of its cell."""
_NAMES = ("tone", "gamma", "saturation", "corner_gain", "glare")
_START = np.array([0.4, 0.95, 1.05, 0.9, 1.0])
_PRIOR_STD = np.array([0.4, 0.15, 0.3, 0.3, 0.5])
_LOWER = np.array([0.0, 0.6, 0.3, 0.3, 0.0])
_UPPER = np.array([1.0, 1.5, 2.0, 1.1, 3.0])
_SHOT_STD = np.array([2.0, 0.3, 0.1])
"""Prior of each chart's exposure, warm-cool and magenta-green cast, stops."""
_DRIFT_STD = 0.04
"""How far a sensor's colours depart from what its matrix corrects (`ccm_spread` of shipped cameras: .015 to .06)."""
_DRIFTS = 6
_DARKEST, _DARK_ERROR = 0.03, 0.2
"""Code below which a patch's channel is left out, and where the error has grown by 40 %: there noise is rectified."""
_CODE_ERROR = 1.0 / 255
"""What a patch may be off by without the curve being wrong."""


@dataclass(frozen=True)
class ChartFit:
    """What the charts say.

    Attributes:
        tone, gamma, saturation: as in `DeviceParams`.
        cast_ev: stops on red, green, blue, mean over the charts.
        cast_spread_ev: scatter of the warm-cool cast from chart to chart, stops; NaN for one chart.
        departure: (3, 3) sensor's departure from its matrix, rows sum to zero.
        covariance: (3, 3) posterior, of tone, gamma, saturation.
        residual: root mean square of what is left, code values of 255.
        delta_e: mean CIE 1976 difference that is left.
    """

    tone: float
    gamma: float
    saturation: float
    cast_ev: tuple[float, float, float]
    cast_spread_ev: float
    departure: tuple[tuple[float, float, float], ...]
    covariance: tuple[tuple[float, float, float], ...]
    residual: float
    delta_e: float

    @property
    def std(self) -> tuple[float, float, float]:
        """Standard deviations of tone, gamma, saturation."""
        tone, gamma, saturation = (math.sqrt(self.covariance[i][i]) for i in range(3))
        return tone, gamma, saturation


def chart_light() -> FloatArray:
    """Return the (24, 3) linear sRGB of the chart's patches."""
    return srgb_decode(torch.tensor(CODES, dtype=torch.float64) / 255).numpy()


def patch_colours(pixels: npt.NDArray[np.uint8]) -> FloatArray:
    """Return (24, 3) mean code values in [0, 1] of the middle of each cell of a chart that fills the picture.

    The mean is taken of light, not of code values: there noise does not move it.
    """
    light = _middles(srgb_decode(torch.from_numpy(pixels / 255)).numpy())
    return np.asarray(srgb_encode(torch.from_numpy(light)).numpy(), np.float64)


def fit_chart(charts: list[npt.NDArray[np.uint8]], ccm: FloatArray, lens: tuple[float, float] = (2.0, 1.4)) -> ChartFit:
    """Return the curve and colours of a camera from its pictures of the chart, each cropped to the chart's outer edge.

    Exposure and cast are fitted with each chart; curve, saturation, fall-off about the crop's centre, glare, and how
    far the sensor departs from its matrix are the camera's. Gauss-Newton on code values.

    Args:
        charts: (H, W, 3) pictures, dark skin at the top left.
        ccm: (3, 3) correction matrix, through which a cast acts.
        lens: f-number and pixel pitch (um), whose diffraction lightens dark patches beside bright ones; how much of it
            there is is fitted too.
    """
    seen = [patch_colours(chart) for chart in charts]
    shapes = [chart.shape[:2] for chart in charts]
    z, covariance, residual = _solve(seen, shapes, ccm, lens)
    values = dict(zip(_NAMES, z[: len(_NAMES)].tolist(), strict=True))
    widened = covariance[:3, :3] * max(1.0, residual / (255 * _CODE_ERROR)) ** 2
    shots = z[len(_NAMES) + _DRIFTS :].reshape(-1, 3)
    warm, magenta = (float(v) for v in shots[:, 1:].mean(0))
    left = to_lab(_predict(z, shapes, ccm, lens)) - to_lab(np.stack(seen))
    return ChartFit(
        values["tone"],
        values["gamma"],
        values["saturation"],
        (warm + magenta, 0.0, magenta - warm),
        float(np.std(shots[:, 1], ddof=1)) if len(shots) > 1 else math.nan,
        tuple((float(r), float(g), float(-r - g)) for r, g in z[len(_NAMES) : len(_NAMES) + _DRIFTS].reshape(3, 2)),
        tuple((float(row[0]), float(row[1]), float(row[2])) for row in widened),
        residual,
        float(np.sqrt((left**2).sum(-1)).mean()),
    )


def to_lab(encoded: FloatArray) -> FloatArray:
    """Return CIE L*a*b* (D65) of sRGB code values (..., 3) in [0, 1]."""
    linear = srgb_decode(torch.from_numpy(np.asarray(encoded, np.float64))).numpy()
    matrix = np.array(
        [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
    )
    ratio = linear @ matrix.T / matrix.sum(1)
    root = np.where(ratio > (6 / 29) ** 3, np.cbrt(ratio.clip(0)), ratio / (3 * (6 / 29) ** 2) + 4 / 29)
    x, y, z = root[..., 0], root[..., 1], root[..., 2]
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], -1)


def _predict(z: FloatArray, shapes: list[tuple[int, int]], ccm: FloatArray, lens: tuple[float, float]) -> FloatArray:
    tone, gamma, saturation, corner, glare = z[: len(_NAMES)]
    shots = z[len(_NAMES) + _DRIFTS :].reshape(-1, 3)
    first_two = z[len(_NAMES) : len(_NAMES) + _DRIFTS].reshape(3, 2)
    drift = np.concatenate([first_two, -first_two.sum(1, keepdims=True)], 1)  # rows sum to 0: grey stays grey
    saturate = saturation_matrix(torch.tensor([saturation]))[0].double().numpy()
    sensor = np.linalg.inv(ccm + drift)
    charts = []
    for (height, width), (exposure, warm, magenta) in zip(shapes, shots, strict=True):
        matrix = saturate @ ccm @ np.diag(np.exp2([warm + magenta, 0.0, magenta - warm])) @ sensor
        fall = vignette(height, width, torch.tensor([corner]).float())[0, 0].double().numpy()
        rows = [int(height * (r + 0.5) / ROWS) for r in range(ROWS)]
        columns = [int(width * (c + 0.5) / COLUMNS) for c in range(COLUMNS)]
        own = chart_light()
        spread = own + glare * (_spread_light(height, width, *lens) - own)
        light = spread * fall[np.ix_(rows, columns)].ravel()[:, None] * 2**exposure
        linear = torch.from_numpy((light @ matrix.T).clip(0, 1))
        encoded = tone_curve(
            srgb_encode(linear)[None, :, :, None].permute(0, 2, 1, 3),
            tone=torch.tensor([tone]),
            gamma=torch.tensor([gamma]),
        )
        charts.append(encoded[0, :, :, 0].T.numpy())
    return np.stack(charts)


@lru_cache(maxsize=64)
def _spread_light(height: int, width: int, f_number: float, pitch_um: float) -> FloatArray:
    """Return the (24, 3) light of the patches' middles behind a lens that diffraction limits.

    The tails of its spread function carry light over a patch's width: little of a bright one, much for a dark one.
    """
    cells = torch.from_numpy(chart_light()).float().T.reshape(1, 3, ROWS, COLUMNS)
    scene = F.interpolate(cells, size=(height, width), mode="nearest")
    spread = View.ideal(height, width, f_number=f_number, pitch_um=pitch_um).blur(scene)[0].permute(1, 2, 0)
    return _middles(spread.double().numpy())


def _middles(image: FloatArray) -> FloatArray:
    height, width = image.shape[:2]
    means = []
    for row in range(ROWS):
        for column in range(COLUMNS):
            top, bottom = (int(height * (row + share) / ROWS) for share in _MIDDLE)
            left, right = (int(width * (column + share) / COLUMNS) for share in _MIDDLE)
            means.append(image[top:bottom, left:right].reshape(-1, image.shape[2]).mean(0))
    return np.stack(means)


def _solve(
    seen: list[FloatArray], shapes: list[tuple[int, int]], ccm: FloatArray, lens: tuple[float, float]
) -> tuple[FloatArray, FloatArray, float]:
    """Return parameters (drift and the charts' exposures at the end), covariance, rms residual in codes of 255."""
    target = np.stack(seen)
    usable = (target.max(-1, keepdims=True) < 0.985) & (target > _DARKEST)
    weight = (usable / (_CODE_ERROR * np.hypot(1, _DARK_ERROR / target.clip(_DARKEST)))).ravel()
    shots = np.tile(_SHOT_STD, len(seen))
    rest = np.zeros(_DRIFTS)
    start = np.concatenate([_START, rest, 0 * shots])
    precision = np.concatenate([_PRIOR_STD**-2.0, rest + _DRIFT_STD**-2.0, shots**-2.0])
    lower = np.concatenate([_LOWER, rest - 0.2, -3 * shots])
    upper = np.concatenate([_UPPER, rest + 0.2, 3 * shots])
    z, normal = start.copy(), np.diag(precision)
    step = 1e-3
    for _ in range(25):
        here = _predict(z, shapes, ccm, lens)
        scaled = (target - here).ravel() * weight
        robust = np.minimum(1, 2.5 / np.abs(scaled).clip(1e-9))
        columns = [
            (_predict(z + step * unit, shapes, ccm, lens) - here).ravel() * weight / step for unit in np.eye(len(z))
        ]
        jacobian = np.stack(columns, 1)
        normal = jacobian.T @ (robust[:, None] * jacobian) + np.diag(precision)
        move = np.linalg.solve(normal, jacobian.T @ (robust * scaled) - precision * (z - start))
        z = np.clip(z + 0.7 * move, lower, upper)
    left = (target - _predict(z, shapes, ccm, lens))[usable]
    return z, np.asarray(np.linalg.inv(normal), np.float64), float(np.sqrt(np.mean(left**2))) * 255
