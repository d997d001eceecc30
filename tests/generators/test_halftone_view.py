"""The filtered halftone against brute force: thousands of sub-samples of the binary dots per pixel."""

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from spooflab.augment.view import View
from spooflab.generators.instruments.halftone import CELL, blue_noise_mask, point_sample, threshold_cell
from spooflab.generators.instruments.halftone_view import FAINT, Screens, am_lattice, dots_ratio, fm_lattice, plan_dots
from spooflab.generators.instruments.ink_model import demichel

FINE = 0.002
ANGLES = torch.tensor([15.0, 75.0, 0.0, 45.0])


def view_of(size: int, blur_px: float = 0.4) -> View:
    return View.ideal(size, size, blur_px=blur_px, pitch_um=2.0)  # diffraction stays mild


def grid(size: int, mm_per_px: float, turn_deg: float = 0.0) -> tuple[Tensor, Tensor, Tensor]:
    """Sheet positions of pixel centres under a turned similarity, and its footprint at 3 x 3 points."""
    c, s = math.cos(math.radians(turn_deg)), math.sin(math.radians(turn_deg))
    matrix = torch.tensor([[c, -s], [s, c]]) * mm_per_px
    at = torch.arange(size) + 0.5 - size / 2
    y, x = torch.meshgrid(at, at, indexing="ij")
    u, v = matrix[0, 0] * x + matrix[0, 1] * y, matrix[1, 0] * x + matrix[1, 1] * y
    return u, v, matrix.expand(3, 3, 2, 2)


def transparent(absorption: Tensor) -> Tensor:
    """Primaries of inks whose overprints multiply, (16, 3), from (4, 3) single absorptions."""
    rows = []
    for index in range(16):
        row = torch.ones(3)
        for ink in range(4):
            if index >> ink & 1:
                row = row * (1 - absorption[ink])
        rows.append(row)
    return torch.stack(rows)


INKS = transparent(torch.tensor([[0.9, 0.35, 0.1], [0.25, 0.92, 0.4], [0.03, 0.12, 0.9], [0.93, 0.93, 0.93]]))


def screens_of(lattice: Tensor, kind: str = "euclidean", n: float = 1.7) -> Screens:
    solid = torch.stack([INKS[1 << ink] for ink in range(4)])
    phase = torch.tensor([[0.1, 0.7], [0.35, 0.2], [0.8, 0.45], [0.55, 0.9]])
    return Screens(kind, lattice, phase, solid, n)


def brute_force(view: View, screens: Screens, size: int, mm_per_px: float, coverage: Tensor, sub: int = 16) -> Tensor:
    """Reflectance over its mean (3, size, size): S^(n-1) s(x) of binary dots, lens and pixel by FFT on sub-samples."""
    fine = size * sub
    at = (torch.arange(fine, dtype=torch.float64) + 0.5 - fine / 2) * (mm_per_px / sub)
    v, u = torch.meshgrid(at, at, indexing="ij")
    thresholds = blue_noise_mask() if screens.kind == "fm" else threshold_cell(screens.kind)
    dots = []
    for ink in range(4):
        lattice = screens.lattice[ink].double()
        phase = torch.stack([u * lattice[k, 0] + v * lattice[k, 1] + screens.phase[ink, k] for k in range(2)], -1)
        dots.append(point_sample(thresholds, phase, coverage[ink]))
    local = demichel(torch.stack(dots, -1)) @ INKS ** (1 / screens.n)  # binary: picks one primary
    mean = demichel(coverage) @ INKS ** (1 / screens.n)
    ratio = (local / mean).permute(2, 0, 1).double()
    f = torch.fft.fftfreq(fine, 1 / sub, dtype=torch.float64)  # cycles per pixel
    fy, fx = torch.meshgrid(f, f, indexing="ij")
    filtered = torch.fft.ifft2(torch.fft.fft2(ratio) * view.mtf(fx[None], fy[None])).real
    # values at pixel centres: between the two middle sub-samples
    rolled = (filtered + filtered.roll(1, -1) + filtered.roll(1, -2) + filtered.roll((1, 1), (-1, -2))) / 4
    return rolled[:, sub // 2 :: sub, sub // 2 :: sub].float()


def ours(view: View, screens: Screens, size: int, mm_per_px: float, coverage: Tensor) -> Tensor:
    u, v, footprint = grid(size, mm_per_px)
    plan = plan_dots(view, screens, footprint, coverage, faint=FINE)
    return dots_ratio(plan, u, v, coverage[:, None, None].expand(4, size, size).contiguous())


def agreement(a: Tensor, b: Tensor, margin: int = 4) -> tuple[float, float, float]:
    """Correlation, ratio of standard deviations, and root mean square difference, borders left out."""
    inner = slice(margin, -margin)
    x, y = a[:, inner, inner] - 1, b[:, inner, inner] - 1
    return (
        float((x * y).sum() / (x.norm() * y.norm())),
        float(x.std() / y.std()),
        float((x - y).square().mean().sqrt()),
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("lpi", "mm_per_px", "coverage", "least"),
    [
        (75.0, 0.06, (0.25, 0.5, 0.4, 0.15), 0.99),  # dots resolved
        (150.0, 0.10, (0.0, 0.0, 0.0, 0.4), 0.99),  # one ink near Nyquist
        (150.0, 0.10, (0.25, 0.0, 0.0, 0.4), 0.98),  # a rosette of two
        (150.0, 0.10, (0.25, 0.5, 0.4, 0.15), 0.97),
        (85.0, 0.24, (0.25, 0.0, 0.0, 0.4), 0.97),  # fundamentals aliased
        (85.0, 0.24, (0.25, 0.5, 0.4, 0.15), 0.90),  # what is left of them: three-ink beats are not followed
    ],
)
def test_agrees_with_brute_force(lpi: float, mm_per_px: float, coverage: tuple[float, ...], least: float) -> None:
    amounts = torch.tensor(coverage)
    view = view_of(32)
    screens = screens_of(am_lattice(lpi, ANGLES))
    got = ours(view, screens, 32, mm_per_px, amounts)
    want = brute_force(view, screens, 32, mm_per_px, amounts, sub=32)
    correlation, contrast, rms = agreement(got, want)
    assert correlation > least
    assert contrast == pytest.approx(1, abs=0.06)
    assert rms < 0.04


def test_beats_of_inks_are_needed() -> None:
    amounts = torch.tensor([0.25, 0.0, 0.0, 0.4])
    view = view_of(32)
    screens = screens_of(am_lattice(85.0, ANGLES))
    u, v, footprint = grid(32, 0.24)
    plan = plan_dots(view, screens, footprint, amounts, faint=FINE)
    assert plan.beats
    plain = dots_ratio(replace(plan, beats=[]), u, v, amounts[:, None, None].expand(4, 32, 32).contiguous())
    want = brute_force(view, screens, 32, 0.24, amounts, sub=32)
    assert agreement(plain, want)[0] < 0.8  # against 0.97 with them


@pytest.mark.parametrize(("lpi", "mm_per_px"), [(85.0, 0.24), (106.0, 0.3), (150.0, 0.2)])
def test_what_is_left_out_cannot_be_seen(lpi: float, mm_per_px: float) -> None:
    amounts = torch.tensor([0.25, 0.5, 0.4, 0.15])
    view, screens = view_of(64), screens_of(am_lattice(lpi, ANGLES))
    u, v, footprint = grid(64, mm_per_px)
    coverage = amounts[:, None, None].expand(4, 64, 64).contiguous()
    coarse, fine = (
        dots_ratio(plan_dots(view, screens, footprint, amounts, faint=faint), u, v, coverage) for faint in (FAINT, 1e-4)
    )
    assert float((coarse - fine).square().mean().sqrt()) < 2.5 * FAINT


def test_perspective_scales_the_dots_with_the_local_transfer() -> None:
    """Where the sheet recedes its dots shrink and fade: the contrast follows the transfer at the local frequency."""
    view = view_of(128, blur_px=0.5)
    lattice = am_lattice(106.0, torch.zeros(4))
    screens = screens_of(lattice, n=1.0)
    scale = torch.linspace(0.08, 0.13, 128)
    u = (torch.cumsum(scale, 0) - scale / 2)[None].expand(64, -1).contiguous()
    v = (torch.arange(64) - 31.5)[:, None] * scale
    footprint = torch.zeros(64, 128, 2, 2)
    footprint[..., 0, 0], footprint[..., 1, 1] = scale, scale
    amounts = torch.tensor([0.0, 0.0, 0.0, 0.3])
    coverage = amounts[:, None, None].expand(4, 64, 128).contiguous()
    ratio = dots_ratio(plan_dots(view, screens, footprint, amounts), u, v, coverage)[1]
    profile = ratio.mean(0)  # along v the dots average out
    near, far = profile[:24], profile[-24:]
    at = torch.tensor([float(scale[:24].mean()), float(scale[-24:].mean())]) * 106 / 25.4
    predicted = view.mtf(at[None], torch.zeros(1, 2))[0]
    assert float(far.std() / near.std()) == pytest.approx(float(predicted[1] / predicted[0]), rel=0.2)


@pytest.mark.parametrize("lpi", [75.0, 106.0, 150.0])
@pytest.mark.parametrize("ink", range(4))
def test_flat_tint_peaks_at_the_inks_angle_and_ruling(lpi: float, ink: int) -> None:
    size, mm_per_px = 256, 0.045
    amounts = torch.zeros(4)
    amounts[ink] = 0.3
    image = ours(view_of(size), screens_of(am_lattice(lpi, ANGLES)), size, mm_per_px, amounts)
    channel = int((1 - INKS[1 << ink]).argmax())
    fy, fx = spectral_peak(image[channel])
    assert math.hypot(fx, fy) / mm_per_px * 25.4 == pytest.approx(lpi, rel=0.02)
    angle = math.degrees(math.atan2(fy, fx)) % 90
    off = (angle - float(ANGLES[ink]) + 45) % 90 - 45
    assert abs(off) < 2


def test_turned_sheet_turns_the_peak() -> None:
    size, mm_per_px = 256, 0.05
    amounts = torch.tensor([0.0, 0.0, 0.0, 0.4])
    u, v, footprint = grid(size, mm_per_px, turn_deg=20.0)
    screens = screens_of(am_lattice(100.0, ANGLES))
    plan = plan_dots(view_of(size), screens, footprint, amounts)
    image = dots_ratio(plan, u, v, amounts[:, None, None].expand(4, size, size).contiguous())
    fy, fx = spectral_peak(image[1])
    # the sheet is seen turned by -20 degrees, its 45 degree screen at 25
    assert (math.degrees(math.atan2(fy, fx)) - 25 + 45) % 90 - 45 == pytest.approx(0, abs=2)


@pytest.mark.parametrize("mm_per_px", [0.28, 0.30, 0.38])
def test_coarse_screen_aliases_where_sampling_theory_says(mm_per_px: float) -> None:
    size = 256
    amounts = torch.tensor([0.0, 0.0, 0.5, 0.0])
    image = ours(view_of(size, blur_px=0.2), screens_of(am_lattice(75.0, ANGLES)), size, mm_per_px, amounts)
    true = 75 / 25.4 * mm_per_px
    assert true > 0.5
    fy, fx = spectral_peak(image[2])
    assert max(abs(fx), abs(fy)) == pytest.approx(abs(true - round(true)), rel=0.03)
    assert min(abs(fx), abs(fy)) < 0.5 / size * 2


def test_nothing_is_left_where_the_lens_stops_the_screen() -> None:
    amounts = torch.full((4,), 0.5)
    screens = screens_of(am_lattice(150.0, ANGLES))
    _, _, footprint = grid(64, 0.5)
    plan = plan_dots(view_of(64, blur_px=0.9), screens, footprint, amounts)
    assert not plan.visible
    assert plan.strength < 0.01


@pytest.mark.parametrize("kind", ["euclidean", "round", "line", "ellipse"])
def test_dots_keep_the_mean(kind: str) -> None:
    size = 128
    amounts = torch.tensor([0.3, 0.45, 0.2, 0.1])
    image = ours(view_of(size), screens_of(am_lattice(85.0, ANGLES), kind), size, 0.11, amounts)
    assert float(image.std()) > 0.05
    assert image.mean((1, 2)).tolist() == pytest.approx([1.0] * 3, abs=0.01)


@pytest.mark.slow
@pytest.mark.parametrize(("dpi", "mm_per_px"), [(300.0, 0.2), (600.0, 0.12), (300.0, 0.3)])
def test_dither_grain_agrees_with_brute_force(dpi: float, mm_per_px: float) -> None:
    amounts = torch.tensor([0.0, 0.0, 0.0, 0.28125])
    view = view_of(32)
    screens = screens_of(fm_lattice(dpi), "fm")
    got = ours(view, screens, 32, mm_per_px, amounts)
    want = brute_force(view, screens, 32, mm_per_px, amounts, sub=32)
    correlation, contrast, _ = agreement(got, want)
    assert correlation > 0.88  # places are read to the nearest dot
    assert contrast == pytest.approx(1, abs=0.12)


def test_dither_is_quieter_than_random_dots() -> None:
    """Blue noise: the grain that a pixel of several dots sees is far below that of independent dots."""
    view = view_of(128)
    amounts = torch.tensor([0.0, 0.0, 0.0, 0.25])
    image = ours(view, screens_of(fm_lattice(600.0), "fm", n=1.0), 128, 0.2, amounts)
    contrast = 0.93 / (1 - 0.25 * 0.93)
    dots = (600 / 25.4 * 0.2) ** 2
    independent = contrast * math.sqrt(0.25 * 0.75 / dots)
    assert float(image[1].std()) < 0.35 * independent


def test_mask_repeats_with_its_period() -> None:
    lattice = fm_lattice(600.0)
    assert float(lattice[0, 0, 0]) == pytest.approx(600 / 25.4 / CELL)


def spectral_peak(image: Tensor) -> tuple[float, float]:
    """Frequency (y, x) in cycles per pixel of the strongest wave, refined by zero padding."""
    size = image.shape[-1]
    window = torch.hann_window(size, periodic=False)
    spectrum = torch.fft.fft2((image - image.mean()) * window[:, None] * window, s=(4 * size, 4 * size)).abs()
    index = int(spectrum.argmax())
    f = torch.fft.fftfreq(4 * size)
    return float(f[index // (4 * size)]), float(f[index % (4 * size)])
