"""Radial distortion from edges that ought to be straight (after Devernay and Faugeras 2001)."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from spooflab.augment.identity import radial_terms

FloatArray = npt.NDArray[np.float64]
_WAVINESS = 0.15
"""Share of the first radial term that the second takes back: the middle of what units draw; lines hardly show it."""
_LIMIT = 0.27
_SCALE_PX = 0.35
_FEWEST_CHAINS = 12
_SAMPLES = 24


@dataclass(frozen=True)
class Distortion:
    """What the lines say.

    Attributes:
        edge: displacement of what lands in the window's corner, share of its ideal radius.
        k1, k2: as in `View`.
        std: of `edge`, from resampled photographs.
        chains: how many edges it rests on.
        straight_share: share of them that are straight within the noise once the lens is undone.
        reason: why it must not be used; empty if it may.
    """

    edge: float
    k1: float
    k2: float
    std: float
    chains: int
    straight_share: float
    reason: str


def fit_distortion(
    chains: list[list[FloatArray]], size: tuple[int, int], *, resamples: int = 40, seed: int = 0
) -> Distortion:
    """Return the distortion under which most of the chains, one list a photograph, become straight.

    Each chain votes with a redescending weight (Geman and McClure), so that a curve that is round in the world is
    outvoted by lines that agree; and by the square of its length, by which the bend of a given curve grows, for what
    is short looks straight. Whether they agree is then tested: straight chains must be common, and resampled
    photographs must lead to the same value.
    """
    photo, flat = [], []
    for number, of_photo in enumerate(chains):
        for chain in of_photo:
            photo.append(number)
            flat.append(_even(chain, size))
    if len(flat) < _FEWEST_CHAINS:
        reason = f"{len(flat)} long smooth edges, at least {_FEWEST_CHAINS} are wanted"
        return Distortion(0.0, 0.0, 0.0, float("inf"), len(flat), 0.0, reason)
    edges = np.linspace(-_LIMIT, _LIMIT, 109)
    points = np.stack(flat)
    bend = np.stack([_bend_px(points, e, size) for e in edges])  # (edges, chains)
    long2 = ((points[:, -1] - points[:, 0]) ** 2).sum(1)
    votes = long2 / long2.mean() * bend**2 / (bend**2 + _SCALE_PX**2)
    owner = np.asarray(photo)
    best = _minimum(edges, votes.sum(1))
    rng = np.random.default_rng(seed)
    owners = np.unique(owner)
    drawn = []
    for _ in range(resamples):
        count = np.bincount(rng.choice(owners, len(owners)), minlength=owner.max() + 1)[owner]
        drawn.append(_minimum(edges, votes @ count))
    std = 1.4826 * float(np.median(np.abs(np.asarray(drawn) - np.median(drawn))))
    std = max(std, 0.5 * float(np.std(drawn)))
    straight = float((_bend_px(points, best, size) < _SCALE_PX).mean())
    k1, k2 = radial_terms(best, _WAVINESS)
    reason = ""
    if std > 0.02:
        reason = f"photographs disagree (± {std:.3f})"
    elif straight < 0.3:
        reason = f"only {100 * straight:.0f} % of {len(flat)} long edges can be straight together"
    return Distortion(best, k1, k2, std, len(flat), straight, reason)


def undistorted(points: FloatArray, edge: float, size: tuple[int, int]) -> FloatArray:
    """Return where sensor points (..., 2) would lie behind a pinhole, pixels."""
    height, width = size
    centre, half = np.array([width / 2, height / 2]), float(np.hypot(height, width)) / 2
    seen = (points - centre) / half
    seen_radius = np.sqrt((seen**2).sum(-1, keepdims=True)).clip(1e-9)
    k1, k2 = radial_terms(edge, _WAVINESS)
    radius = seen_radius.copy()
    for _ in range(12):
        r2 = radius**2
        error = radius * (1 + r2 * (k1 + k2 * r2)) - seen_radius
        radius = radius - error / (1 + r2 * (3 * k1 + 5 * k2 * r2)).clip(0.1)
    result: FloatArray = seen * (radius / seen_radius) * half + centre
    return result


def _bend_px(points: FloatArray, edge: float, size: tuple[int, int]) -> FloatArray:
    """Return (chains,) how far each undistorted chain departs from a line: its sagitta by a parabola, pixels."""
    ideal = undistorted(points, edge, size)
    centred = ideal - ideal.mean(1, keepdims=True)
    covariance = centred.swapaxes(1, 2) @ centred
    axis = np.linalg.eigh(covariance)[1][:, :, 1]
    along = (centred * axis[:, None]).sum(2)
    across = centred[..., 1] * axis[:, None, 0] - centred[..., 0] * axis[:, None, 1]
    square = along**2
    square = square - square.mean(1, keepdims=True)
    square = square - along * ((square * along).sum(1) / (along**2).sum(1))[:, None]
    curve = (across * square).sum(1) / (square**2).sum(1)
    sagitta: FloatArray = np.abs(curve) * (np.ptp(along, axis=1) / 2) ** 2
    return sagitta


def _even(chain: FloatArray, size: tuple[int, int]) -> FloatArray:
    """Return `_SAMPLES` points evenly along the chain, each the mean of its neighbourhood."""
    groups = np.array_split(chain, _SAMPLES)
    return np.stack([group.mean(0) for group in groups])


def _minimum(grid: FloatArray, cost: FloatArray) -> float:
    """Return the minimum, refined by a parabola."""
    place = int(np.clip(np.argmin(cost), 1, len(grid) - 2))
    left, middle, right = cost[place - 1 : place + 2]
    bow = left - 2 * middle + right
    return float(grid[place] + (0.5 * (left - right) / bow if bow > 0 else 0.0) * (grid[1] - grid[0]))
