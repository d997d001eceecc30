"""A halftone as a camera's pixels integrate it: each ink's Fourier series weighted by the view's transfer, then mixed.

Point sampling a 150 lpi screen on a sensor would make moiré that no lens lets through; drawing it and blurring it after
sampling would be wrong the same way. Here the periodic cell of every ink is filtered before it is sampled: its Fourier
coefficients at each coverage are multiplied by the view's transfer at their local image frequencies, brought back to a
table over (coverage, phase), and read at each pixel's own place on the sheet.

Mixing: with S the 1/n-domain mean of Yule-Nielsen and s(x) its value under the dots at x, the reflectance is taken as
S^(n-1) s(x): each ray enters anywhere and leaves at x. Its mean over the cells is the Yule-Nielsen value for every n;
it is Murray-Davies dots for n = 1 and complete light spread (Clapper & Yule 1953) for n = 2. The ratio s(x) / S is
formed ink by ink, which is exact where overprints multiply in the 1/n domain. Two inks' screens beat (the rosette): the
differences of their low harmonics pass a lens that stops both, so they get their own transfer.
"""

from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations

import torch
from torch import Tensor

from spooflab.augment.view import View
from spooflab.generators.instruments.halftone import CELL, LEVELS, LOW_ORDERS, cell_power, cell_spectra, low_harmonics

FAINT = 0.02
"""Dots (by four rms deviations) and beats below this share of the mean, at the worst coverage, are left out."""
_STRIP = 64  # rows at a time, so that intermediate planes stay in the cache
_SPARSE = 0.01
_DEEPEST = 0.995
_OFFSET = 4096.0  # cycles added to keep phases positive before truncation
_TWO_PI = 6.283185307179586


@dataclass(frozen=True)
class Screens:
    """Where and how four inks' screens lie on one sheet.

    Attributes:
        kind: a spot function's name, or `fm`.
        lattice: (4, 2, 2) cycles per millimetre along u and v of each ink's two lattice directions.
        phase: (4, 2) cycles at the sheet's origin.
        solid: (4, 3) reflectance of each ink's solid relative to bare paper.
        n: Yule-Nielsen factor.
    """

    kind: str
    lattice: Tensor
    phase: Tensor
    solid: Tensor
    n: float


@dataclass(frozen=True)
class Beat:
    """The difference (or sum) of a low harmonic of one ink and one of another.

    Attributes:
        first: ink and index into `LOW_ORDERS`.
        second: ink and index into `LOW_ORDERS`.
        sign: -1 for the difference of their phases, 1 for the sum.
        gain: twice its transfer beyond what the product of both filtered cells holds.
    """

    first: tuple[int, int]
    second: tuple[int, int]
    sign: float
    gain: float


@dataclass(frozen=True)
class Dots:
    """What a view can see of a sheet's screens.

    Attributes:
        screens: the screens.
        cells: each visible ink's filtered cell, and how its transfer varies over the window.
        beats: visible beats of two inks.
        strength: four rms of the strongest ink's filtered dots, in units of its contrast.
    """

    screens: Screens
    cells: dict[int, tuple[Tensor, Tensor | None]]
    beats: list[Beat]
    strength: float

    @property
    def visible(self) -> bool:
        """Whether any dot or beat can be seen."""
        return bool(self.cells or self.beats)


def am_lattice(lpi: Tensor | float, angles_deg: Tensor) -> Tensor:
    """Return (4, 2, 2) lattice frequencies, cycles per millimetre, of square screens at (4,) angles."""
    angle = torch.deg2rad(angles_deg)
    along = torch.stack([angle.cos(), angle.sin()], -1)
    across = torch.stack([-angle.sin(), angle.cos()], -1)
    return torch.stack([along, across], 1) * (lpi / 25.4)


def fm_lattice(dpi: float) -> Tensor:
    """Return (4, 2, 2) lattice frequencies of the dither mask's period, CELL dots."""
    return (torch.eye(2) * (dpi / 25.4 / CELL)).expand(4, 2, 2)


def image_frequencies(lattice: Tensor, footprint: Tensor) -> Tensor:
    """Return (4, ..., 2, 2): cycles per pixel (x, y) of each ink's lattice directions, from d(u, v)/d(x, y)."""
    return torch.einsum("kbi,...ij->k...bj", lattice, footprint)


def plan_dots(view: View, screens: Screens, footprint: Tensor, most: Tensor, *, faint: float = FAINT) -> Dots:
    """Filter every ink's cell through the view and find the beats that pass, leaving out what cannot be seen.

    Args:
        view: the camera, one row.
        screens: the sheet's screens.
        footprint: (m, m, 2, 2) millimetres per pixel at points spread evenly over the window, corners included.
        most: (4,) largest dot area of each ink in the picture.
        faint: modulations below this share of the mean are left out.
    """
    frequency = image_frequencies(screens.lattice, footprint)
    transfer = view.mtf(frequency[..., 0][None], frequency[..., 1][None])[0]  # (4, m, m, 2)
    cells: dict[int, tuple[Tensor, Tensor | None]] = {}
    strongest = 0.0
    for ink in range(4):
        if float(most[ink]) < _SPARSE:
            continue
        levels = min(LEVELS, int(float(most[ink]) * (LEVELS - 1)) + 3)
        table, local, peak = _filtered_cell(view, screens.kind, frequency[ink], transfer[ink], faint, levels)
        strongest = max(strongest, peak)
        if table is not None:
            cells[ink] = (table, local)
    beats = [] if screens.kind == "fm" else _beats(view, screens, frequency, transfer, most, faint)
    return Dots(screens, cells, beats, strongest)


def dots_ratio(dots: Dots, u: Tensor, v: Tensor, coverage: Tensor) -> Tensor:
    """Return what dots do to each pixel: reflectance over its dot-free mean (3, H, W).

    Args:
        dots: from `plan_dots`.
        u: (H, W) place on the sheet along u, mm.
        v: (H, W) along v.
        coverage: (4, H, W) physical dot areas.
    """
    height, width = u.shape
    local = {
        ink: _between(gain.shape[0], height) @ gain @ _between(gain.shape[1], width).T
        for ink, (_, gain) in dots.cells.items()
        if gain is not None
    }
    ratio = torch.empty(3, height, width)
    for first in range(0, height, _STRIP):
        rows = slice(first, first + _STRIP)
        fade = {ink: gain[rows] for ink, gain in local.items()}
        _mix_inks(ratio[:, rows], dots, u[rows], v[rows], coverage[:, rows], fade)
    return ratio.clamp_(min=0)


def _mix_inks(ratio: Tensor, dots: Dots, u: Tensor, v: Tensor, coverage: Tensor, fade: dict[int, Tensor]) -> None:
    """Write every ink's dots and the beats into `ratio` (3, h, w)."""
    screens = dots.screens
    lost = (1 - screens.solid ** (1 / screens.n)).clamp(max=_DEEPEST).tolist()
    mean = torch.ones(3, *u.shape)
    ratio.fill_(1)
    for ink, (table, _) in dots.cells.items():
        local = _read(table, coverage[ink], screens, ink, u, v)
        if ink in fade:
            local.mul_(fade[ink])
        local.add_(coverage[ink])
        for channel in range(3):
            share = -lost[ink][channel]
            ratio[channel].addcmul_(ratio[channel], local, value=share)
            mean[channel].addcmul_(mean[channel], coverage[ink], value=share)
    ratio.div_(mean)
    if not dots.beats:
        return
    inks = sorted({ink for beat in dots.beats for ink in (beat.first[0], beat.second[0])})
    phases = {ink: _phases(screens, ink, u, v) for ink in inks}
    leverage = {ink: [_leverage(coverage[ink], share) for share in lost[ink]] for ink in inks}
    _add_beats(ratio, dots, coverage, phases, leverage)


@lru_cache(maxsize=16)
def _between(nodes: int, size: int) -> Tensor:
    """Return (size, nodes): linear interpolation from nodes spread over the window, corners included, to its pixels."""
    with torch.inference_mode(False):
        at = torch.linspace(0, nodes - 1, size, dtype=torch.float64)[:, None]
        return (1 - (at - torch.arange(nodes)).abs()).clamp(min=0).float()


def _phases(screens: Screens, ink: int, u: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    (a, b), (c, d) = screens.lattice[ink].tolist()
    along, across = screens.phase[ink].tolist()
    return (u * a).add_(v, alpha=b).add_(along), (u * c).add_(v, alpha=d).add_(across)


def _filtered_cell(
    view: View, kind: str, frequency: Tensor, transfer: Tensor, faint: float, levels: int
) -> tuple[Tensor | None, Tensor | None, float]:
    """Return the cell's deviation from its mean (levels, CELL, CELL), filtered where it is seen best (None where it is
    too faint); for AM, how the first harmonics' transfer elsewhere compares (m, m); and four rms deviations."""
    first = transfer.abs().mean(-1)
    best = int(first.argmax())
    at = frequency.reshape(-1, 2, 2)[best]
    if kind != "fm":  # no harmonic is lower than the first ones, and a lens passes less of the higher
        ceiling = 2 * float(view.lens_mtf(at[None, :, 0], at[None, :, 1]).amax())
        if ceiling < faint:
            return None, None, ceiling
    order = torch.fft.fftfreq(CELL, 1 / CELL)
    along = torch.fft.rfftfreq(CELL, 1 / CELL)
    fx = along[None] * at[0, 0] + order[:, None] * at[1, 0]
    fy = along[None] * at[0, 1] + order[:, None] * at[1, 1]
    gain = view.mtf(fx[None], fy[None])[0]
    gain[0, 0] = 0.0
    peak = 4 * float((2 * (cell_power(kind) @ gain.square().flatten()).amax()).sqrt())
    if peak < faint:
        return None, None, peak
    spectra = cell_spectra(kind)[:levels] * gain.mul_(CELL**2)
    table = torch.fft.irfft2(spectra, s=(CELL, CELL))
    local = None if kind == "fm" else (first / first.flatten()[best].clamp(min=1e-6)).clamp(max=1.0)
    return table, local, peak


def _read(table: Tensor, coverage: Tensor, screens: Screens, ink: int, u: Tensor, v: Tensor) -> Tensor:
    """Look the table up at the nearest coverage and phase; each of the three is masked where its bits belong."""
    lattice, phase = screens.lattice[ink].tolist(), screens.phase[ink].tolist()
    cell = CELL * CELL
    index = (coverage * ((LEVELS - 1) * cell)).add_(cell / 2).to(torch.int32).bitwise_and_(-cell)
    for (a, b), start, scale in zip(lattice, phase, (CELL, cell), strict=True):
        place = (u * (a * scale)).add_(v, alpha=b * scale).add_((start + _OFFSET) * scale)
        index.add_(place.to(torch.int32).bitwise_and_(scale - scale // CELL))
    return table.flatten().index_select(0, index.flatten()).reshape(coverage.shape)


def _leverage(coverage: Tensor, lost: float) -> Tensor:
    """Return d(s/S) per unit of local ink: -l / (1 - a l), l what a solid takes away in the 1/n domain."""
    return (coverage * lost).sub_(1).reciprocal_().mul_(lost)


def _beats(view: View, screens: Screens, frequency: Tensor, transfer: Tensor, most: Tensor, faint: float) -> list[Beat]:
    """Return the beats of two inks that the product of their filtered cells misses by more than can be seen."""
    absorbed = 1 - screens.solid ** (1 / screens.n)
    middle = frequency.shape[1] // 2
    orders = torch.tensor(LOW_ORDERS, dtype=frequency.dtype)
    at = orders @ frequency[:, middle, middle]  # (4, orders, 2)
    alone = view.mtf(at[None, ..., 0], at[None, ..., 1])[0]
    harmonics = low_harmonics(screens.kind).abs()
    peak = torch.stack([harmonics[: int(a * (LEVELS - 1)) + 2].amax(0) for a in most.tolist()])
    pairs = list(combinations([ink for ink in range(4) if float(most[ink]) >= _SPARSE], 2))
    if not pairs:
        return []
    i, j = (list(side) for side in zip(*pairs, strict=True))
    reach = peak[i][:, :, None] * peak[j][:, None] * (absorbed[i] * absorbed[j]).amax(-1)[:, None, None]
    signs = torch.tensor([1.0, -1.0])
    between = at[i][:, None, :, None] + signs[:, None, None, None] * at[j][:, None, None]  # pairs, signs, orders twice
    passed = view.mtf(between[None, ..., 0], between[None, ..., 1])[0]
    gain = 2 * (passed - (alone[i][:, :, None] * alone[j][:, None])[:, None])
    visible = (gain.abs() * reach[:, None] > faint).nonzero().tolist()
    return [
        Beat((i[pair], a), (j[pair], b), float(signs[sign]), float(gain[pair, sign, a, b]))
        for pair, sign, a, b in visible
    ]


def _add_beats(
    ratio: Tensor, dots: Dots, coverage: Tensor, phases: dict[int, tuple[Tensor, Tensor]],
    leverage: dict[int, list[Tensor]],
) -> None:  # fmt: skip
    """Add each beat's cosine, weighted by both inks' harmonics at their coverage and by what they absorb."""
    harmonics = low_harmonics(dots.screens.kind)
    sides = {side for beat in dots.beats for side in (beat.first, beat.second)}
    amplitude = {side: _amplitude(harmonics[:, side[1]], coverage[side[0]]) for side in sorted(sides)}
    turns = {(i, a): _harmonic_phase(phases[i], LOW_ORDERS[a]) for i, a in sorted(sides)}
    waves: dict[tuple[int, int], Tensor] = {}
    for beat in dots.beats:
        pair = beat.first[0], beat.second[0]
        wave = torch.cos(turns[beat.first].add(turns[beat.second], alpha=beat.sign)).mul_(beat.gain)
        wave.mul_(amplitude[beat.first]).mul_(amplitude[beat.second])
        waves[pair] = waves[pair].add_(wave) if pair in waves else wave
    for (i, j), wave in waves.items():
        for channel in range(3):
            ratio[channel].add_((leverage[i][channel] * leverage[j][channel]).mul_(wave))


def _harmonic_phase(phase: tuple[Tensor, Tensor], order: tuple[int, int]) -> Tensor:
    """Return radians of a harmonic from the dot's centre, half a cell in."""
    turned = (phase[0] * (_TWO_PI * order[0])).add_(phase[1], alpha=_TWO_PI * order[1])
    return turned.sub_(_TWO_PI / 2 * (order[0] + order[1]))


def _amplitude(harmonic: Tensor, coverage: Tensor) -> Tensor:
    level = (coverage * (LEVELS - 1) + 0.5).to(torch.int32)
    return harmonic.index_select(0, level.flatten()).reshape(coverage.shape)
