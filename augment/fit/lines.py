"""Edges of a photograph as chains of sub-pixel points: what straightness is judged on."""

import numpy as np
import numpy.typing as npt

from spooflab.augment.fit.edges import sample

FloatArray = npt.NDArray[np.float64]
_SHORTEST = 0.14
"""Length of a chain, as a share of the window's diagonal, from which its bend says something of the lens."""
_GAP = 2


def edge_chains(grey: npt.NDArray[np.float32], *, strongest: float = 0.06) -> list[FloatArray]:
    """Return chains (N, 2) of (x, y) along the long, smooth edges of (H, W) code values.

    Canny's maxima (1986) on a Gaussian gradient, each placed between pixels by the parabola through its neighbours
    (Devernay 1995), linked along the edge. The `strongest` share of pixels may start an edge.
    """
    smooth = _gaussian(grey, 1.2)
    gx, gy = np.gradient(smooth, axis=1), np.gradient(smooth, axis=0)
    strength = np.hypot(gx, gy)
    limit = max(float(np.quantile(strength, 1 - strongest)), 3.0)
    ys, xs, shift = _maxima(strength, gx, gy, limit * 0.5)
    if not len(xs):
        return []
    unit = np.stack([gx[ys, xs], gy[ys, xs]], 1) / strength[ys, xs][:, None]
    points = np.stack([xs + 0.5, ys + 0.5], 1) + shift[:, None] * unit
    shortest = _SHORTEST * float(np.hypot(*grey.shape))
    chains = _link(xs, ys, points, unit, strength[ys, xs] >= limit)
    return [piece for chain in chains for piece in _smooth_pieces(chain, shortest)]


def _maxima(
    strength: npt.NDArray[np.float32], gx: npt.NDArray[np.float32], gy: npt.NDArray[np.float32], limit: float
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], FloatArray]:
    """Return rows, columns and the offset along the gradient of pixels that are maxima across the edge."""
    ys, xs = np.nonzero(strength[2:-2, 2:-2] >= limit)
    ys, xs = ys + 2, xs + 2
    here = strength[ys, xs]
    ux, uy = gx[ys, xs] / here, gy[ys, xs] / here
    only = np.zeros(len(xs), np.int64)
    ahead, behind = (sample(strength[None], only, xs + step * ux, ys + step * uy) for step in (1, -1))
    peak = (here > ahead) & (here >= behind)
    ys, xs, here, ahead, behind = ys[peak], xs[peak], here[peak], ahead[peak], behind[peak]
    shift = 0.5 * (ahead - behind) / np.maximum(2 * here - ahead - behind, 1e-6)
    return ys, xs, np.clip(shift, -0.7, 0.7).astype(np.float64)


def _link(
    xs: npt.NDArray[np.int64],
    ys: npt.NDArray[np.int64],
    points: FloatArray,
    unit: FloatArray,
    seed: npt.NDArray[np.bool_],
) -> list[FloatArray]:
    """Walk both ways from every strong pixel, always to the neighbour that turns least."""
    place = {(int(x), int(y)): i for i, (x, y) in enumerate(zip(xs, ys, strict=True))}
    free = np.ones(len(xs), bool)
    chains = []
    for start in np.flatnonzero(seed):
        if not free[start]:
            continue
        free[start] = False
        halves = [_walk(int(start), sign, xs, ys, points, unit, place, free) for sign in (1, -1)]
        chain = halves[1][::-1] + [int(start)] + halves[0]
        if len(chain) >= 20:
            chains.append(points[chain])
    return chains


def _walk(
    start: int,
    sign: int,
    xs: npt.NDArray[np.int64],
    ys: npt.NDArray[np.int64],
    points: FloatArray,
    unit: FloatArray,
    place: dict[tuple[int, int], int],
    free: npt.NDArray[np.bool_],
) -> list[int]:
    found: list[int] = []
    at, heading = start, sign * np.array([-unit[start, 1], unit[start, 0]])
    while True:
        best, best_score = -1, 0.6
        x, y = int(xs[at]), int(ys[at])
        for dx in range(-_GAP, _GAP + 1):
            for dy in range(-_GAP, _GAP + 1):
                other = place.get((x + dx, y + dy))
                if other is None or not free[other] or unit[other] @ unit[at] < 0.9:
                    continue
                step = points[other] - points[at]
                length = float(np.hypot(*step))
                if length < 0.4:
                    continue
                score = float(step @ heading) / length - 0.1 * length
                if score > best_score:
                    best, best_score = other, score
        if best < 0:
            return found
        free[best] = False
        tangent = np.array([-unit[best, 1], unit[best, 0]])
        heading = tangent if tangent @ heading > 0 else -tangent
        found.append(best)
        at = best


def _smooth_pieces(chain: FloatArray, shortest: float) -> list[FloatArray]:
    """Cut a chain where no parabola fits it to half a pixel, and keep what is long and bends little."""
    length = float(np.hypot(*(chain[-1] - chain[0])))
    if length < shortest or len(chain) < 30:
        return []
    along, across = _frame(chain)
    fit = np.polynomial.polynomial.polyfit(along, across, 2)
    residual = across - np.polynomial.polynomial.polyval(along, fit)
    if float(np.sqrt(np.mean(residual**2))) <= 0.35:
        sagitta = abs(fit[2]) * (along.max() - along.min()) ** 2 / 4
        return [chain] if sagitta <= 0.08 * length else []
    middle = len(chain) // 2
    worst = int(np.argmax(np.abs(residual[middle // 2 : -middle // 2]))) + middle // 2 if middle > 4 else middle
    return _smooth_pieces(chain[:worst], shortest) + _smooth_pieces(chain[worst:], shortest)


def _frame(chain: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return coordinates along and across the chain's principal axis."""
    centred = chain - chain.mean(0)
    axes = np.linalg.svd(centred, full_matrices=False)[2]
    return centred @ axes[0], centred @ axes[1]


def _gaussian(grey: npt.NDArray[np.float32], std: float) -> npt.NDArray[np.float32]:
    half = int(3 * std + 0.5)
    kernel = np.exp(-0.5 * (np.arange(-half, half + 1) / std) ** 2)
    kernel = (kernel / kernel.sum()).astype(np.float32)
    padded = np.pad(grey, half, mode="edge")
    across = np.zeros((padded.shape[0], grey.shape[1]), np.float32)
    for shift, weight in enumerate(kernel):
        across += weight * padded[:, shift : shift + grey.shape[1]]
    down = np.zeros_like(grey, dtype=np.float32)
    for shift, weight in enumerate(kernel):
        down += weight * across[shift : shift + grey.shape[0]]
    return down
