"""From ink on paper to reflectance: Demichel, Neugebauer and Yule-Nielsen for dots, Beer-Lambert for dyes.

Coverages are (..., 4) in the order C, M, Y, K, each in [0, 1]. A Neugebauer primary's index has bit 0 set for cyan,
bit 1 for magenta, bit 2 for yellow, bit 3 for black: 0 is bare paper, 15 all four inks.

Sources: Demichel (1924); Neugebauer (1937); Yule & Nielsen, TAGA Proceedings 3 (1951) 65-76; Viggiano, TAGA 1985 for
the n-modified Neugebauer equation; Wyble & Berns, Color Res. Appl. 25 (2000) 4-19 for a review.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

INKS = ("c", "m", "y", "k")
_LN_10 = 2.302585093
_STRIP = 16384  # pixels at a time, so that intermediate planes stay in the cache


@dataclass(frozen=True)
class InkModel:
    """What one printer's colourants do on one paper.

    Attributes:
        primaries: (16, 3) linear reflectance of every overprint of solid inks, > 0.
        n: Yule-Nielsen factor, 1 (no light spread in the paper) to about 3.
        dot_gain: mechanical growth of a 50 % dot, 0-0.3, by which the press's own dots exceed the nominal ones.
        density: (4, 3) optical density over white of each dye at full amount, for continuous tone; None for dots.
    """

    primaries: Tensor
    n: float = 1.0
    dot_gain: float = 0.0
    density: Tensor | None = None

    @property
    def white(self) -> Tensor:
        """(3,) reflectance of bare paper."""
        return self.primaries[0]

    def reflectance(self, nominal: Tensor) -> Tensor:
        """Return the mean linear reflectance (..., 3) of nominal coverages (..., 4)."""
        if self.density is not None:
            return contone(nominal, self.density, self.white)
        return neugebauer(grow_dots(nominal, self.dot_gain), self.primaries, self.n)

    def linearised(self, nominal: Tensor) -> tuple[Tensor, Tensor]:
        """Return `reflectance` (3, N) at planes of nominal coverages (4, N), and its derivatives by them (3, 4, N)."""
        if self.density is not None:
            colour = contone(nominal.T, self.density, self.white).T
            return colour, -_LN_10 * colour[:, None] * self.density.T[..., None]
        mixed, by_dot = _linearised_mix(grow_dots(nominal, self.dot_gain), self.primaries ** (1 / self.n))
        # Above a gain of a quarter dots close before they are nominally full, and grow no further.
        closed = nominal * (1 + 4 * self.dot_gain * (1 - nominal)) > 1
        growth = (1 + 4 * self.dot_gain * (1 - 2 * nominal)).masked_fill(closed, 0.0).clamp(min=0)
        lift = mixed ** (self.n - 1)
        return lift * mixed, self.n * lift[:, None] * by_dot * growth


def demichel(coverage: Tensor) -> Tensor:
    """Return the area shares (..., 16) of the Neugebauer primaries where independent screens overlap at random."""
    weights = torch.ones_like(coverage[..., :1])
    for ink in range(4):
        a = coverage[..., ink : ink + 1]
        weights = torch.cat([weights * (1 - a), weights * a], dim=-1)
    return weights


def neugebauer(coverage: Tensor, primaries: Tensor, n: float) -> Tensor:
    """Return the mean reflectance (..., 3): R = (sum_i w_i R_i^(1/n))^n, the Yule-Nielsen modified Neugebauer equation.

    Args:
        coverage: (..., 4) effective (physical) dot areas.
        primaries: (16, 3) reflectances, > 0.
        n: Yule-Nielsen factor, >= 1.
    """
    mixed: Tensor = demichel(coverage) @ primaries ** (1 / n)
    return mixed**n


def neugebauer_planes(coverage: Tensor, primaries: Tensor, n: float) -> Tensor:
    """Return `neugebauer` for planes: (4, h, w) to (3, h, w), as a polynomial in the coverages, far faster."""
    polynomial = _multilinear(primaries ** (1 / n))
    inks = coverage.reshape(4, -1)
    count = inks.shape[1]
    result = torch.empty(3, count, dtype=coverage.dtype)
    for first in range(0, count, _STRIP):
        c, m, y, k = inks[:, first : first + _STRIP].unbind(0)
        basis = torch.stack([torch.ones_like(c), c, m, c * m])
        free, by_y, by_k, by_yk = (polynomial @ basis).reshape(4, 3, -1).unbind(0)
        with_k = by_k.addcmul_(by_yk, y)
        mixed = free.addcmul_(by_y, y).addcmul_(with_k, k)
        if n != 1:
            mixed.log_().mul_(n).exp_()  # a power, three times faster
        result[:, first : first + _STRIP] = mixed
    return result.reshape(3, *coverage.shape[1:])


def _linearised_mix(coverage: Tensor, corners: Tensor) -> tuple[Tensor, Tensor]:
    """Return Demichel's mean (3, N) of the values (16, 3) at coverages (4, N), and its derivatives (3, 4, N)."""
    c, m, y, k = coverage.unbind(0)
    one, none = torch.ones_like(c), torch.zeros_like(c)
    # the value and its slopes by c and by m, each as polynomials in y and k
    basis = torch.stack(
        [torch.stack([one, c, m, c * m]), torch.stack([none, one, none, m]), torch.stack([none, none, one, c])], 1
    )
    free, by_y, by_k, by_yk = (_multilinear(corners) @ basis.reshape(4, -1)).reshape(4, 3, 3, -1).unbind(0)
    value, by_c, by_m = torch.addcmul(torch.addcmul(free, by_y, y), torch.addcmul(by_k, by_yk, y), k).unbind(1)
    slopes = [by_c, by_m, torch.addcmul(by_y[:, 0], by_yk[:, 0], k), torch.addcmul(by_k[:, 0], by_yk[:, 0], y)]
    return value, torch.stack(slopes, 1)


def contone(amount: Tensor, density: Tensor, white: Tensor) -> Tensor:
    """Return the reflectance (..., 3) of dyes in one layer: R = R_white 10^-(amount @ density), Beer-Lambert.

    Args:
        amount: (..., 4) dye amounts relative to the maximum.
        density: (4, 3) density of each dye in red, green, blue, over white.
        white: (3,) reflectance of the undyed paper.
    """
    reflectance: Tensor = white * torch.exp(-_LN_10 * (amount @ density))
    return reflectance


def grow_dots(nominal: Tensor, gain: Tensor | float) -> Tensor:
    """Return the physical dot area of a nominal one: a + 4 g a (1 - a), the parabolic gain curve with g at 50 %."""
    return (1 - nominal).mul_(4 * gain).add_(1).mul_(nominal).clamp_(0, 1)


def murray_davies(reflectance: Tensor, paper: Tensor, solid: Tensor) -> Tensor:
    """Return the apparent dot area (R_p - R) / (R_p - R_s): Murray & Davies (1936), what a densitometer reports."""
    return (paper - reflectance) / (paper - solid)


def overprints(singles: Tensor, pairs: Tensor, black_through: float = 0.35) -> Tensor:
    """Complete the 16 primaries from the nine that a press characterisation lists.

    Args:
        singles: (5, 3) reflectance of paper, C, M, Y, K.
        pairs: (4, 3) reflectance of C+M, C+Y, M+Y and C+M+Y.
        black_through: exponent (0-1) by which what lies under black still colours it, 0 for opaque black.

    Returns:
        (16, 3) reflectances.
    """
    paper, c, m, y, k = singles.unbind(0)
    cm, cy, my, cmy = pairs.unbind(0)
    base = torch.stack([paper, c, m, cm, y, cy, my, cmy])
    black = k * (base / paper).clamp(0.01, 1.0) ** black_through
    return torch.cat([base, black])


def _multilinear(corners: Tensor) -> Tensor:
    """Return (12, 4): the coefficients of the multilinear function with the given values (16, 3) at its corners.

    Rows are 1, y, k, yk by channel; columns are 1, c, m, cm.
    """
    values = corners.double().reshape(2, 2, 2, 2, 3)  # k, y, m, c
    for axis in range(4):
        low, high = values.unbind(axis)
        values = torch.stack([low, high - low], axis)
    return values.reshape(4, 4, 3).transpose(1, 2).reshape(12, 4).to(corners.dtype)
