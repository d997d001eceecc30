"""Landmarks from files: 68 points as they are, or a mean head posed on five; boxes; sidecar CSV and JSON.

Pixels are continuous, x right, y down, of the upright photograph (EXIF orientation applied).
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spooflab.csv_text import csv_table
from spooflab.errors import DataError
from spooflab.json_text import parse_json

Points = NDArray[np.float64]

FIVE = ("right_eye", "left_eye", "nose", "mouth_right", "mouth_left")
"""The five points' names in order; right and left are the person's own, so the right eye is at the image's left."""
BOX = ("x", "y", "w", "h")

_HALF = (  # the half at the image's left and the middle: (x, y, z), unit: distance between the eyes' centres
    (-1.03, 0.02, -0.95), (-1.015, 0.28, -0.88), (-0.975, 0.54, -0.80), (-0.915, 0.80, -0.68), (-0.81, 1.04, -0.50),
    (-0.655, 1.27, -0.28), (-0.46, 1.47, -0.08), (-0.24, 1.62, 0.08), (0.0, 1.67, 0.14),
)  # fmt: skip
_BROW = ((-0.86, -0.23, -0.25), (-0.70, -0.34, -0.08), (-0.51, -0.37, 0.03), (-0.32, -0.33, 0.09), (-0.15, -0.26, 0.12))
_BRIDGE = ((0.0, -0.05, 0.15), (0.0, 0.15, 0.27), (0.0, 0.33, 0.40), (0.0, 0.50, 0.52))
_NOSTRILS = ((-0.20, 0.64, 0.22), (-0.10, 0.67, 0.30), (0.0, 0.70, 0.36))
_EYE = ((-0.70, 0.01, -0.14), (-0.585, -0.065, -0.02), (-0.425, -0.065, 0.03), (-0.30, 0.02, -0.02),
        (-0.42, 0.055, 0.02), (-0.58, 0.055, -0.03))  # fmt: skip
_LIPS_OVER = ((-0.42, 0.93, 0.08), (-0.26, 0.85, 0.22), (-0.10, 0.81, 0.29), (0.0, 0.83, 0.30))
_LIPS_UNDER = ((0.0, 1.10, 0.27), (-0.11, 1.09, 0.26), (-0.27, 1.04, 0.19))
_GAP_OVER = ((-0.35, 0.93, 0.12), (-0.11, 0.905, 0.25), (0.0, 0.91, 0.26))
_GAP_UNDER = ((0.0, 0.955, 0.25), (-0.11, 0.95, 0.24))

_PRIOR_DEG = {"yaw": 45.0, "pitch": 10.0}
_FIT_NOISE = 0.04
"""How far a real face's five points lie from the mean head's, in eye distances."""


def _mean_head() -> Points:
    def other(points: tuple[tuple[float, float, float], ...]) -> list[tuple[float, float, float]]:
        return [(-x, y, z) for x, y, z in points]

    left_eye = other(_EYE)
    rows = [
        *_HALF, *other(_HALF[:-1])[::-1],
        *_BROW, *other(_BROW)[::-1],
        *_BRIDGE, *_NOSTRILS, *other(_NOSTRILS[:-1])[::-1],
        *_EYE, *(left_eye[i] for i in (3, 2, 1, 0, 5, 4)),
        *_LIPS_OVER, *other(_LIPS_OVER[:-1])[::-1], *other(_LIPS_UNDER[1:])[::-1], *_LIPS_UNDER,
        *_GAP_OVER, *other(_GAP_OVER[:-1])[::-1], *other(_GAP_UNDER[1:])[::-1], *_GAP_UNDER,
    ]  # fmt: skip
    return np.array(rows)


MEAN_HEAD = _mean_head()
"""(68, 3) approximate mean adult head in iBUG order, neutral face: x right, y down, z towards the camera, in distances
between the eyes' centres, whose midpoint is the origin. Set by hand from facial proportions, good to about a tenth;
jaw and brows of a real face may lie further off."""


@dataclass(frozen=True)
class FacePoints:
    """What a sidecar tells of one photograph: five or 68 points (N, 2) and, where known, the box x, y, w, h."""

    points: Points
    box: tuple[float, float, float, float] | None = None

    def to_record(self) -> dict[str, Any]:
        """Return JSON-ready values."""
        return {"points": self.points.tolist(), "box": None if self.box is None else list(self.box)}

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> "FacePoints":
        """Rebuild from `to_record`."""
        box = record["box"]
        return cls(np.array(record["points"], dtype=np.float64), None if box is None else (*map(float, box),))  # type: ignore[arg-type]  # four by construction

    def dense(self) -> Points:
        """Return 68 points: its own, or the mean head posed on the five."""
        return self.points if len(self.points) == 68 else pose_mean_head(self.points)


def quantised(points: Any) -> Points:
    """Return points on a grid of 1/64 pixel: two processors' last bits are no two framings."""
    return np.round(np.asarray(points, dtype=np.float64) * 64) / 64


def five_of(points68: Points) -> Points:
    """Return the five points (…, 5, 2 or 3) that detectors give, from 68."""
    eyes = [points68[..., a : a + 6, :].mean(-2) for a in (36, 42)]
    return np.stack([*eyes, points68[..., 30, :], points68[..., 48, :], points68[..., 54, :]], -2)


def similarity(source: Points, target: Points) -> tuple[Points, Points]:
    """Return the matrix (2, 2) and shift (2,) of the least-squares similarity from `source` to `target`, both (N, 2).

    Closed form in the complex plane; no reflection.
    """
    a, b = source @ (1, 1j), target @ (1, 1j)
    centred = a - a.mean()
    factor = (centred.conj() * (b - b.mean())).sum() / (abs(centred) ** 2).sum()
    shift = b.mean() - factor * a.mean()
    return np.array([[factor.real, -factor.imag], [factor.imag, factor.real]]), np.array([shift.real, shift.imag])


def pose_mean_head(five: Points) -> Points:
    """Return 68 approximate points (68, 2) for the five of `FIVE` (5, 2).

    The mean head is turned, scaled and shifted (scaled orthographic projection, Gauss-Newton from a similarity fit,
    with a prior on yaw and pitch), then moved smoothly so that the five points are met exactly.
    """
    model = five_of(MEAN_HEAD)
    matrix, shift = similarity(model[:, :2], five)
    scale = math.hypot(*matrix[:, 0])
    state = np.array([0.0, 0.0, math.atan2(matrix[1, 0], matrix[0, 0]), 1.0, 0.0, 0.0])
    target = (five - shift) / scale
    for _ in range(12):
        residual = _residual(state, model, target)
        jacobian = np.stack(
            [(_residual(state + step, model, target) - residual) / 1e-5 for step in 1e-5 * np.eye(6)], 1
        )
        change = np.linalg.lstsq(jacobian, residual, rcond=None)[0]
        state = state - np.asarray(change, dtype=np.float64)
    dense = _project(state, MEAN_HEAD) * scale + shift
    for _ in range(3):  # the eyes' centres are means of six points, so one correction leaves a little
        dense = dense + _smooth_correction(five_of(dense), five - five_of(dense), dense, scale)
    return dense


def _project(state: Points, points: Points) -> Points:
    yaw, pitch, roll, scale, dx, dy = state
    cy, sy, cp, sp, cr, sr = (f(a) for a in (yaw, pitch, roll) for f in (np.cos, np.sin))
    turn_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    turn_x = np.array([[1, 0, 0], [0, cp, sp], [0, -sp, cp]])
    turned = (points @ (turn_x @ turn_y).T)[:, :2] * scale
    return np.asarray(turned @ np.array([[cr, sr], [-sr, cr]]) + (dx, dy))


def _residual(state: Points, model: Points, target: Points) -> Points:
    prior = [math.degrees(state[0]) / _PRIOR_DEG["yaw"], math.degrees(state[1]) / _PRIOR_DEG["pitch"]]
    return np.concatenate([(_project(state, model) - target).ravel() / _FIT_NOISE, prior])


def _smooth_correction(at: Points, moves: Points, points: Points, scale: float) -> Points:
    """Interpolate the moves (N, 2) of `at` (N, 2) over `points` with Gaussians half an eye distance wide."""

    def weight(a: Points, b: Points) -> Points:
        return np.asarray(np.exp(-((a[:, None] - b[None]) ** 2).sum(-1) / (2 * (0.5 * scale) ** 2)))

    return np.asarray(weight(points, at) @ np.linalg.solve(weight(at, at), moves))


def box_of(points68: Points) -> tuple[float, float, float, float]:
    """Return x, y, w, h of a face from chin to hairline, cheek to cheek.

    The hairline is taken to lie as far above the brows as a third of the distance from brows to chin.
    """
    low, high = points68.min(0), points68.max(0)
    top = low[1] - (high[1] - low[1]) / 3
    return float(low[0]), float(top), float(high[0] - low[0]), float(high[1] - top)


def read_landmarks(path: Path) -> dict[str, FacePoints]:
    """Read a sidecar: file name (relative, `/` between folders) to its points.

    CSV has a header: `file`, then `right_eye_x, right_eye_y, left_eye_x, …, mouth_left_y` (see `FIVE`) or `x0, y0, …,
    x67, y67`, then optionally `box_x, box_y, box_w, box_h`. JSON is an object of file names to
    `{"points": [[x, y], …], "box": [x, y, w, h]}`, the box optional, with five or 68 points.

    Raises:
        DataError: unreadable, other columns, a wrong count, a value that is no finite number, a file named twice.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: {error}", wanted="a readable UTF-8 CSV or JSON file of landmarks") from error
    return _from_json(text, path) if path.suffix.lower() == ".json" else _from_csv(text, path)


def _from_csv(text: str, path: Path) -> dict[str, FacePoints]:
    header, rows = csv_table(text, path)
    five = [f"{name}_{axis}" for name in FIVE for axis in "xy"]
    dense = [f"{axis}{i}" for i in range(68) for axis in "xy"]
    box = [f"box_{name}" for name in BOX]
    layouts: dict[tuple[str, ...], tuple[int, bool]] = {
        ("file", *names, *tail): (len(names), bool(tail)) for names in (five, dense) for tail in ([], box)
    }
    if tuple(header) not in layouts:
        raise DataError(
            f"{path}: columns {', '.join(header)[:200]}",
            wanted=f"{', '.join(['file', *five, *box])} or file, x0, y0 … x67, y67 (the box may be left out)",
        )
    count, boxed = layouts[tuple(header)]
    found: dict[str, FacePoints] = {}
    for _, cells in rows:
        row = list(cells.values())
        where = f"{path}: {row[0]!r:.200}"
        points, rest = row[1 : 1 + count], row[1 + count :]
        _add(found, row[0], _face_points(points, rest if boxed else None, where), where)
    return found


def _from_json(text: str, path: Path) -> dict[str, FacePoints]:
    try:
        data = parse_json(text)
    except ValueError as error:
        raise DataError(f"{path}: not valid JSON: {error}", wanted="an object of file names to points") from error
    if not isinstance(data, dict):
        raise DataError(f"{path}: holds {type(data).__name__}", wanted="an object of file names to points")
    found: dict[str, FacePoints] = {}
    for name, entry in data.items():
        where = f"{path}: {name!r}"
        if not isinstance(entry, dict) or "points" not in entry or set(entry) - {"points", "box"}:
            raise DataError(f"{where}: {str(entry)[:80]}", wanted='{"points": [[x, y], …], "box": [x, y, w, h]}')
        _add(found, name, parse_points(entry["points"], entry.get("box"), where), where)
    return found


def parse_points(points: Any, box: Any, where: str) -> FacePoints:
    """Check points given as nested or flat numbers, and a box or None; `where` names them in the error."""
    try:
        flat = np.asarray(points, dtype=np.float64).ravel().tolist()
        edges = None if box is None else np.asarray(box, dtype=np.float64).ravel().tolist()
    except (OverflowError, TypeError, ValueError) as error:
        raise DataError(f"{where}: {str(points)[:80]}", wanted="five or 68 pairs of numbers") from error
    return _face_points(flat, edges, where)


def _face_points(flat: list[Any], box: list[Any] | None, where: str) -> FacePoints:
    try:
        values = [float(v) for v in flat]
        edges = None if box is None else [float(v) for v in box]
    except (OverflowError, TypeError, ValueError) as error:
        raise DataError(f"{where}: {error}", wanted="numbers") from error
    if len(values) not in (10, 136) or (edges is not None and len(edges) != 4):
        raise DataError(f"{where}: {len(values)} coordinates", wanted="10 or 136, and none or 4 of a box")
    if not all(map(math.isfinite, values + (edges or []))):
        raise DataError(f"{where}: a coordinate is not finite", wanted="finite pixels")
    if edges is not None and not (edges[2] > 0 and edges[3] > 0):
        raise DataError(f"{where}: box {edges}", wanted="a box of positive width and height")
    points = np.array(values).reshape(-1, 2)
    return FacePoints(points, None if edges is None else (edges[0], edges[1], edges[2], edges[3]))


def _add(found: dict[str, FacePoints], name: str, points: FacePoints, where: str) -> None:
    if name in found:
        raise DataError(f"{where} is named twice", wanted="each file once")
    found[name] = points
