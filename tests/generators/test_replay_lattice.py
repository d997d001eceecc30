"""The moiré of a flat white panel against theory: where it aliases to, when it dies, and a brute-force sensor."""

import itertools
import math

import pytest
import torch
from torch import Tensor

from spooflab.augment.view import View
from spooflab.generators.instruments.panel import Panel, load_panels
from spooflab.generators.instruments.panel_cell import panel_cell, panel_lattice
from spooflab.generators.lattice import Lattice, Lattices, image_frequency, modulation
from spooflab.generators.pose import Pose, cast_points
from spooflab.generators.smooth_map import enlarge, node_grid, slopes, spread

SIZE = 256
PANELS = {panel.id: panel for panel in load_panels().panels}
STRIPE, PENTILE = PANELS["laptop_lcd_141"], PANELS["phone_oled_411"]
DIFFRACTION_FREE = 0.01
"""An f-number so small that diffraction is no part of the test."""


def pose(distance: float, yaw: float = 0.0, pitch: float = 0.0, roll: float = 0.0) -> Pose:
    angles = (torch.tensor([float(a)]) for a in (yaw, pitch, roll))
    return Pose(torch.tensor([[1.7, -2.3, distance]]), *angles)


def view(blur: float = 0.0, size: int = SIZE, **fields: float) -> View:
    return View.ideal(size, size, batch_size=1, blur_px=blur, f_number=DIFFRACTION_FREE, **fields)


def with_ppi(panel: Panel, ppi: float) -> Panel:
    return panel.model_copy(update={"ppi": ppi})


def seen(panel: Panel, shot: View, at: Pose) -> Tensor:
    """Return the panel's lattice in white on the sensor, (3, H, W)."""
    lattice = panel_lattice(panel)
    uv = cast_points(shot, at, shot.undistort(node_grid(shot.height, shot.width))).uv_mm.permute(0, 3, 1, 2)
    colours = len(lattice.mean)
    gain = modulation(Lattices.stack([lattice], colours), shot, uv)[0][0]
    return gain.expand(colours, shot.height, shot.width)


def footprint_at(view: View, pose: Pose, points: Tensor) -> Tensor:
    """Return (B, h, w, 2, 2): millimetres per pixel d(u, v)/d(x, y) at sensor points (1, h, w, 2), by casting rays."""
    steps = torch.tensor([[0.5, 0.0], [-0.5, 0.0], [0.0, 0.5], [0.0, -0.5]], dtype=torch.float64)
    right, left, below, above = (cast_points(view, pose, view.undistort(points.double() + s)).uv_mm for s in steps)
    return torch.stack([right - left, below - above], -1)


def central_frequency(shot: View, at: Pose, cycles_per_mm: tuple[float, float]) -> Tensor:
    """Return the frequency (x, y), cycles per pixel, at which the middle of the sensor sees a grating."""
    middle = torch.tensor([shot.width / 2, shot.height / 2], dtype=torch.float64).reshape(1, 1, 1, 2)
    footprint = footprint_at(shot, at, middle)
    return image_frequency(footprint, torch.tensor([[cycles_per_mm]], dtype=torch.float64))[0, 0, 0, 0]


def fold(frequency: Tensor, sampling: float = 1.0) -> Tensor:
    """Return the alias within half of the sampling frequency."""
    return frequency - sampling * torch.round(frequency / sampling)


def amplitude_at(image: Tensor, frequency: Tensor) -> float:
    """Return the Hann-windowed amplitude of one frequency (x, y), cycles per sample."""
    h, w = image.shape
    window = torch.outer(torch.hann_window(h), torch.hann_window(w)).double()
    y, x = torch.meshgrid(torch.arange(h).double(), torch.arange(w).double(), indexing="ij")
    wave = torch.exp(-2j * math.pi * (x * frequency[0] + y * frequency[1]))
    return float((((image.double() - image.double().mean()) * window) * wave).sum().abs() * 2 / window.sum())


def peak(image: Tensor, near: Tensor, reach: float = 0.03) -> Tensor:
    """Return the strongest frequency around `near`, refined far below the resolution of the transform."""
    centre = near.double().clone()
    for span in (reach, reach / 5, reach / 25, reach / 125):
        steps = torch.linspace(-span, span, 11, dtype=torch.float64)
        grid = [centre + torch.stack([dx, dy]) for dx, dy in itertools.product(steps, steps)]
        centre = max(grid, key=lambda f: amplitude_at(image, f))
    return centre


def strongest(image: Tensor) -> Tensor:
    """Return the strongest frequency of the whole half plane, to the resolution of a padded transform."""
    h, w = image.shape
    window = torch.outer(torch.hann_window(h), torch.hann_window(w))
    spectrum = torch.fft.rfft2((image - image.mean()) * window, s=(4 * h, 4 * w)).abs()
    row, column = divmod(int(spectrum.argmax()), spectrum.shape[1])
    return torch.tensor([column / (4 * w), ((row + 2 * h) % (4 * h) - 2 * h) / (4 * h)], dtype=torch.float64)


def same_grating(found: Tensor, wanted: Tensor) -> tuple[float, float]:
    """Return the relative error of the frequency and the angle between directions, degrees; a grating has no sign."""
    sign = 1.0 if float((found * wanted).sum()) >= 0 else -1.0
    found = found * sign
    ratio = float(found.norm() / wanted.norm()) - 1
    angle = math.degrees(math.atan2(float(found[0] * wanted[1] - found[1] * wanted[0]), float((found * wanted).sum())))
    return abs(ratio), abs(angle)


CASES = [
    (ppi, distance, yaw, pitch, roll)
    for ppi, distance in ((96, 180), (96, 300), (141, 150), (220, 140), (220, 190), (326, 110), (326, 130))
    for yaw, pitch, roll in ((0, 0, 5), (6, -4, -4), (-12, 10, 8))
]
FAST = CASES[::5]


@pytest.mark.parametrize(
    ("ppi", "distance", "yaw", "pitch", "roll"),
    [pytest.param(*case, marks=() if case in FAST else pytest.mark.slow) for case in CASES],
)
def test_the_moire_peak_of_white_lies_at_the_alias_of_the_lattice(
    ppi: float, distance: float, yaw: float, pitch: float, roll: float
) -> None:
    shot = view(0.25, size=192)
    at = pose(distance, yaw, pitch, roll)
    true = central_frequency(shot, at, (ppi / 25.4, 0.0))
    assert 0.2 < float(true.norm()) < 1.45
    wanted = fold(true)
    assert float(wanted.norm()) > 0.05  # else the window would be too small to measure a direction
    green = seen(with_ppi(STRIPE, ppi), shot, at)[1]
    # Perspective bends the fringes, so the frequency is measured where it was predicted: in the middle.
    middle = green[64:128, 64:128] if abs(yaw) > 8 else green[32:160, 32:160]
    ratio, angle = same_grating(peak(middle, wanted), wanted)
    assert ratio <= 0.03
    assert angle <= 2.0


@pytest.mark.parametrize(("ppi", "distance", "roll"), [(96, 300, 4), (141, 230, 7), (141, 175, -6), (220, 145, 10)])
def test_without_tilt_the_alias_is_the_strongest_grating_in_the_picture(
    ppi: float, distance: float, roll: float
) -> None:
    shot = view(0.3)
    at = pose(distance, 0, 0, roll)
    wanted = fold(central_frequency(shot, at, (ppi / 25.4, 0.0)))
    across = strongest(seen(with_ppi(STRIPE, ppi), shot, at)[1])
    ratio, angle = same_grating(across, wanted)
    assert ratio <= 0.03
    assert angle <= 2.0


@pytest.mark.parametrize(("ppi", "distance", "yaw"), [(96, 250, 3), (141, 140, -5), (220, 120, 4), (220, 160, 0)])
def test_the_red_sites_of_a_bayer_sensor_fold_into_a_quarter(ppi: float, distance: float, yaw: float) -> None:
    shot = view(0.25)
    at = pose(distance, yaw, 0, 6)
    true = central_frequency(shot, at, (ppi / 25.4, 0.0))
    wanted = fold(true, 0.5)
    assert float(true.norm()) > 0.25
    assert wanted.abs().max() <= 0.25
    red = seen(with_ppi(STRIPE, ppi), shot, at)[0][::2, ::2]
    found = peak(red[32:96, 32:96], 2 * wanted)  # every second site: twice the cycles per sample
    ratio, angle = same_grating(found / 2, wanted)
    assert ratio <= 0.03
    assert angle <= 2.0


def test_red_and_blue_of_pentile_beat_at_half_the_frequency_on_the_diagonal() -> None:
    shot = view(0.2)
    at = pose(120, 0, 0, 3)
    half = PENTILE.ppi / 25.4 / 2
    picture = seen(PENTILE, shot, at)
    diagonal = central_frequency(shot, at, (half, half))
    assert amplitude_at(picture[0], fold(diagonal)) > 0.1
    assert amplitude_at(picture[2], fold(diagonal)) > 0.1
    assert amplitude_at(picture[1], fold(diagonal)) < 1e-3
    assert amplitude_at(picture[1], fold(central_frequency(shot, at, (2 * half, 0.0)))) > 0.05


@pytest.mark.parametrize("panel", [STRIPE, PENTILE], ids=lambda p: p.id)
def test_blur_kills_the_moire(panel: Panel) -> None:
    at = pose(250, 5, 0, 4)
    sharp, blurred = (seen(panel, view(blur, size=128), at).std() for blur in (0.2, 1.6))
    assert sharp > 0.02
    assert blurred == 0


def test_contrast_is_the_views_transfer() -> None:
    at = pose(200)
    for blur in (0.1, 0.3, 0.5):
        shot = view(blur)
        frequency = central_frequency(shot, at, (STRIPE.ppi / 25.4, 0.0))
        lattice = panel_lattice(STRIPE)
        fundamental = lattice.amplitude[(lattice.order == torch.tensor([1, 0])).all(1)].abs()[0, 1]
        wanted = 2 * fundamental * shot.mtf(frequency[None, 0], frequency[None, 1])[0].abs()
        assert amplitude_at(seen(STRIPE, shot, at)[1], fold(frequency)) == pytest.approx(float(wanted), rel=0.02)


@pytest.mark.parametrize("panel", list(PANELS.values()), ids=lambda p: p.id)
def test_the_mean_light_does_not_depend_on_the_lattice(panel: Panel) -> None:
    picture = seen(panel, view(0.3, size=128), pose(180, 7, -5, 3))
    # A whole number of fringes does not fit the window, so the mean is taken under a smooth one.
    window = torch.outer(torch.hann_window(128), torch.hann_window(128))
    mean = (picture * window).sum((1, 2)) / window.sum()
    torch.testing.assert_close(mean, torch.ones(len(mean)), atol=3e-3, rtol=0)


def brute_force(panel: Panel, shot: View, at: Pose, samples: int) -> Tensor:
    """Integrate the emitters over each square pixel by points, `samples` a side: a sensor without any theory."""
    cell = panel_cell(panel, 144)
    period = torch.tensor(panel_lattice(panel).period_mm, dtype=torch.float64)
    rows, columns = cell.shape[1:]
    total = torch.zeros(len(cell), shot.height, shot.width, dtype=torch.float64)
    ys, xs = torch.meshgrid(torch.arange(shot.height).double(), torch.arange(shot.width).double(), indexing="ij")
    for i, j in itertools.product(range(samples), range(samples)):
        points = torch.stack([xs + (i + 0.5) / samples, ys + (j + 0.5) / samples], -1)[None]
        place = cast_points(shot, at, shot.undistort(points)).uv_mm[0] / period
        place = place - place.floor()
        total += cell[:, (place[..., 1] * rows).long(), (place[..., 0] * columns).long()]
    return total / samples**2 / cell.mean((1, 2))[:, None, None]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "distance", "lens"),
    [
        ("laptop_lcd_141", 160, {}),
        ("monitor_lcd_92", 330, {"k1": -0.1}),
        ("phone_lcd_326", 120, {"k1": 0.03, "skew": 0.01}),
        ("phone_oled_411", 130, {}),
        ("tablet_rgbw_299", 160, {}),
        pytest.param("phone_rgbw_275", 140, {}, marks=pytest.mark.slow),
        pytest.param("tv_rgbw_81", 420, {"k1": -0.05}, marks=pytest.mark.slow),
        ("tv_woled_81", 420, {}),
    ],
)
def test_prefiltered_harmonics_equal_supersampling(name: str, distance: float, lens: dict[str, float]) -> None:
    shot = view(0.0, size=24, **lens)
    at = pose(distance, 14, -9, 5)
    fast = seen(PANELS[name], shot, at).double()
    slow = brute_force(PANELS[name], shot, at, samples=32)
    assert slow.std() > 0.02
    # Without any blur the series ends in a ripple (Gibbs); the next test has a lens and is ten times stricter.
    assert (fast - slow).abs().max() < 0.05 * slow.max()
    assert (fast - slow).std() < 0.03 * slow.std()


def test_lens_blur_equals_a_supersampled_convolution() -> None:
    blur, samples, margin = 0.35, 40, 3
    shot, at = view(blur, size=32), pose(150, 10, 5, 4)
    # Sub-pixel samples of the scene, then one kernel: box pixel convolved with the Gaussian.
    cell = panel_cell(STRIPE)
    period = torch.tensor(panel_lattice(STRIPE).period_mm, dtype=torch.float64)
    fine = (torch.arange(-margin * samples, (32 + margin) * samples) + 0.5) / samples
    y, x = torch.meshgrid(fine.double(), fine.double(), indexing="ij")
    place = cast_points(shot, at, torch.stack([x, y], -1)[None]).uv_mm[0] / period
    place = place - place.floor()
    scene = cell[1, (place[..., 1] * cell.shape[1]).long(), (place[..., 0] * cell.shape[2]).long()].double()
    offset = (torch.arange(2 * margin * samples) + 0.5) / samples - margin
    edge = torch.special.ndtr((offset + 0.5) / blur) - torch.special.ndtr((offset - 0.5) / blur)
    kernel = (edge / edge.sum()).double()
    # Pixel i has its centre at i + 0.5, so its window starts `samples / 2` after the margin's edge.
    start = samples // 2
    windows = scene[start:, start:].unfold(0, len(kernel), samples).unfold(1, len(kernel), samples)[:32, :32]
    slow = torch.einsum("ijkl,k,l->ij", windows, kernel, kernel) / cell[1].mean()
    fast = seen(STRIPE, shot, at)[1].double()
    assert slow.std() > 0.02
    assert (fast - slow).abs().max() < 0.01


def test_series_of_a_bar_is_a_sinc() -> None:
    cell = torch.zeros(3, 60, 60)
    cell[:, :, 12:32] = 1  # a third of the period, from 0.2
    lattice = Lattice.from_cell(cell, (0.3, 0.3), order=5)
    along = lattice.order[:, 1] == 0
    m = lattice.order[along, 0].double()
    wanted = torch.sinc(m / 3) * torch.exp(-2j * math.pi * m * (0.2 + 1 / 6))
    torch.testing.assert_close(lattice.amplitude[along, 0], wanted.to(torch.complex64), atol=5e-3, rtol=0)
    assert bool((lattice.amplitude[~along].abs() < 1e-6).all())
    torch.testing.assert_close(lattice.mean, torch.full((3,), 1 / 3))


def test_a_series_beyond_the_raster_is_refused() -> None:
    with pytest.raises(ValueError, match="order 9 wants at least 27"):
        Lattice.from_cell(torch.ones(3, 16, 16), (1.0, 1.0), order=9)


def test_slopes_are_the_footprints_of_cast_rays() -> None:
    shot = View.ideal(64, 96, k1=-0.12, skew=0.02)
    at = pose(240, 20, -20, 6)
    nodes = cast_points(shot, at, shot.undistort(node_grid(64, 96))).uv_mm.permute(0, 3, 1, 2)
    y, x = torch.meshgrid(torch.linspace(0.5, 63.5, 5), torch.linspace(0.5, 95.5, 5), indexing="ij")
    wanted = footprint_at(shot, at, torch.stack([x, y], -1)[None])
    torch.testing.assert_close(slopes(nodes, 64, 96, 5), wanted, atol=5e-5, rtol=0)  # of 0.08 mm


def test_rows_with_different_panels_and_a_silent_one_are_independent() -> None:
    names = ("tv_woled_81", "phone_oled_411", "laptop_lcd_141")
    lattices = Lattices.stack([panel_lattice(PANELS[name]) for name in names], 4)
    shots = View.stack([view(0.3, size=64) for _ in names])
    places = [pose(350, 4, 3, 2), pose(140, -6, 2, 4), pose(1600, 0, 0, 0)]
    nodes = torch.cat([cast_points(view(0.3, size=64), at, node_grid(64, 64)).uv_mm for at in places])
    together, strength = modulation(lattices, shots, nodes.permute(0, 3, 1, 2))
    for row, at in enumerate(places):
        alone = seen(PANELS[names[row]], view(0.3, size=64), at)
        torch.testing.assert_close(together[row, : len(alone)], alone, atol=2e-4, rtol=0)
    assert float(together[1:, 3].sub(1).abs().max()) == 0  # panels without a white emitter
    assert strength[0] > 0.02
    assert strength[2] < 2e-3


def test_white_of_pentile_rgbw_beats_on_the_diagonals_and_every_colour_with_it() -> None:
    """Each colour sits once in two pixels, on a centred lattice of 2 x 2."""
    panel = PANELS["tablet_rgbw_299"]
    shot, at = view(0.2), pose(170, 0, 0, 3)
    picture = seen(panel, shot, at)
    per_mm = panel.ppi / 25.4
    for colour in range(4):
        for m, n, there in ((0.5, 0.5, True), (0.5, 0.0, False), (0.0, 0.5, False), (1.0, 0.0, True)):
            frequency = central_frequency(shot, at, (m * per_mm, n * per_mm))
            found = amplitude_at(picture[colour], fold(frequency))
            assert (found > 0.03) == there, (colour, m, n, found)


@pytest.mark.parametrize(
    ("name", "distance"), [("tv_woled_81", 1100), ("phone_rgbw_275", 190), ("monitor_woled_111", 400)]
)
def test_the_peak_of_white_emitters_lies_at_the_reciprocal_lattice(name: str, distance: float) -> None:
    panel = PANELS[name]
    shot, at = view(0.2, size=192), pose(distance, 0, 0, 6)
    true = central_frequency(shot, at, (panel.ppi / 25.4, 0.0))
    wanted = fold(true)
    assert float(wanted.norm()) > 0.05
    ratio, angle = same_grating(peak(seen(panel, shot, at)[3][32:160, 32:160], wanted), wanted)
    assert ratio <= 0.03
    assert angle <= 2.0


def test_spread_reproduces_every_cast_ray() -> None:
    shot = View.ideal(64, 96, k1=-0.12, k2=0.02, skew=0.02)
    at = pose(240, 20, -20, 6)
    ys, xs = torch.meshgrid(torch.arange(64).double() + 0.5, torch.arange(96).double() + 0.5, indexing="ij")
    wanted = cast_points(shot, at, shot.undistort(torch.stack([xs, ys], -1)[None])).uv_mm
    nodes = cast_points(shot, at, shot.undistort(node_grid(64, 96))).uv_mm.permute(0, 3, 1, 2)
    torch.testing.assert_close(spread(nodes, 64, 96).permute(0, 2, 3, 1), wanted, atol=1e-6, rtol=0)
    halves = spread(nodes, 64, 96, rows=32, columns=48)
    torch.testing.assert_close(halves, torch.nn.functional.avg_pool2d(wanted.permute(0, 3, 1, 2), 2), atol=2e-4, rtol=0)


def test_enlarging_keeps_constants_and_slopes_and_smooths_a_spike() -> None:
    assert torch.allclose(enlarge(torch.ones(1, 2, 5, 7), 40, 63), torch.ones(1, 2, 40, 63))
    ramp = enlarge(torch.arange(9.0)[None, None, None].expand(1, 1, 9, 9), 9, 90)[0, 0, 4, 20:70]
    torch.testing.assert_close(ramp.diff(), torch.full((49,), 0.1), atol=1e-4, rtol=0)
    spike = torch.zeros(1, 1, 15, 15)
    spike[..., 7, 7] = 1
    profile = enlarge(spike, 15, 1500)[0, 0].sum(0)
    offset = (torch.arange(1500) - 749.5) / 100
    assert float((profile * offset**2).sum() / profile.sum()) == pytest.approx(1 / 3, rel=0.01)
