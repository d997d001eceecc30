"""The bank of panels, the emitters of a pixel, and the panel's transfer, colour, angle and flicker."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from torch import Tensor

from spooflab.errors import ConfigError
from spooflab.generators.hashed import hashed
from spooflab.generators.instruments.dust import covered, speck_places
from spooflab.generators.instruments.panel import Panel, PanelBank, load_panels
from spooflab.generators.instruments.panel_angle import crossed_leak, lift, off_axis
from spooflab.generators.instruments.panel_cell import SAMPLES, cell_pixels, emitter_offset, panel_cell, panel_lattice
from spooflab.generators.instruments.panel_figures import from_own_axes, own_axes, panel_figures
from spooflab.generators.instruments.panel_light import (
    colour_matrix,
    falloff,
    planck_gain,
    pulse_mean,
    transfer_table,
    white_in_panel_rgb,
)
from spooflab.generators.instruments.panel_white import extract_white
from spooflab.generators.instruments.smears import smears
from spooflab.generators.lattice import Lattice
from spooflab.generators.rounded_box import Box, coverage, signed_distance

BANK = load_panels()
PANELS = {panel.id: panel for panel in BANK.panels}


def plain() -> dict[str, Any]:
    """Return the first shipped panel as YAML would give it."""
    data: dict[str, Any] = yaml.safe_load(yaml.safe_dump(BANK.panels[0].model_dump(mode="json")))
    return data


def test_the_shipped_bank_has_the_variety_that_hold_out_needs() -> None:
    for kinds in (("phone",), ("tablet",), ("monitor", "laptop"), ("tv",)):
        assert len(BANK.ids(kinds)) >= 5
    layouts = [panel.subpixels.layout for panel in BANK.panels]
    stripes = sum(name in ("rgb_stripe", "bgr_stripe") for name in layouts)
    rgbw = sum(panel.subpixels.white and panel.technology == "lcd" for panel in BANK.panels)
    woled = sum(panel.subpixels.white and panel.technology == "oled" for panel in BANK.panels)
    assert min(stripes, layouts.count("pentile_diamond"), rgbw, woled) >= 3
    for kind, low, high in (("tablet", 200, 330), ("tv", 40, 140), ("monitor", 90, 165)):
        assert all(low <= panel.ppi <= high for panel in BANK.panels if panel.kind == kind)
    assert {panel.technology for panel in BANK.panels} == {"lcd", "oled"}
    densities = [panel.ppi for panel in BANK.panels]
    assert min(densities) < 100
    assert max(densities) > 450


@pytest.mark.parametrize("panel", BANK.panels, ids=lambda p: p.id)
def test_emitters_lie_apart_and_fill_what_the_black_matrix_leaves(panel: Panel) -> None:
    cell = panel_cell(panel)
    across, down = cell_pixels(panel)
    assert cell.shape == (4 if panel.white else 3, round(down * SAMPLES), round(across * SAMPLES))
    assert float(cell.sum(0).max()) <= 1 + 1e-6
    gap = panel.subpixels.black_matrix_um / 1000 / panel.pitch_mm
    size = panel.subpixels.size
    wide, tall, count = {
        "rgbw_quad": (1 / 2, 1 / 2, 1.0), "rgbw_pentile": (1 / 2, 1.0, 1 / 2), "rgbw_stripe": (1 / 3, 1.0, 3 / 4),
        "rwbg_stripe": (1 / 4, 1.0, 1.0), "rgwb_stripe": (1 / 4, 1.0, 1.0),
    }.get(panel.subpixels.layout, (1 / 3, 1.0, 1.0))  # fmt: skip
    if panel.subpixels.layout == "pentile_diamond":
        reach = [(0.5 - gap / math.sqrt(2)) * s for s in size]
        wanted = [reach[0] ** 2, 2 * reach[1] ** 2, reach[2] ** 2]  # red and blue on every other pixel
    else:
        wanted = [count * (wide - gap) * (tall - gap) * s * s for s in size]
    torch.testing.assert_close(cell.mean((1, 2)), torch.tensor(wanted), rtol=0.03, atol=0)
    torch.testing.assert_close(panel_lattice(panel).mean, torch.tensor(wanted), rtol=1e-5, atol=0)


@pytest.mark.parametrize("panel", BANK.panels, ids=lambda p: p.id)
def test_the_series_in_closed_form_is_the_transform_of_the_raster(panel: Panel) -> None:
    closed = panel_lattice(panel)
    raster = Lattice.from_cell(panel_cell(panel), closed.period_mm, order=8)
    found = {(m, n): a for (m, n), a in zip(closed.order.tolist(), closed.amplitude, strict=True)}
    strong = 0
    for order, amplitude in zip(raster.order.tolist(), raster.amplitude, strict=True):
        if float(amplitude.abs().max()) > 0.05:
            torch.testing.assert_close(found[tuple(order)], amplitude, atol=0.03, rtol=0)
            strong += 1
    assert strong >= 8


def test_stripes_stand_in_their_order() -> None:
    for name, order in (("laptop_lcd_141", (0, 1, 2)), ("monitor_lcd_94_bgr", (2, 1, 0))):
        columns = panel_cell(PANELS[name]).mean(1)
        centres = (columns * torch.arange(SAMPLES)).sum(1) / columns.sum(1) / SAMPLES
        assert tuple(centres.argsort().tolist()) == order
        offset = torch.tensor(emitter_offset(PANELS[name])) / PANELS[name].pitch_mm
        torch.testing.assert_close(offset[:, 0], centres + 0.5 / SAMPLES - 0.5, atol=1e-3, rtol=0)
        assert bool((offset[:, 1] == 0).all())


def test_emitters_of_a_quad_and_of_four_stripes_lie_where_their_pictures_are_shown() -> None:
    quad = torch.tensor(emitter_offset(PANELS["phone_rgbw_275"])) / PANELS["phone_rgbw_275"].pitch_mm
    assert quad.tolist() == [pytest.approx(p) for p in ([-0.25, -0.25], [0.25, -0.25], [-0.25, 0.25], [0.25, 0.25])]
    stripes = torch.tensor(emitter_offset(PANELS["tv_woled_81"])) / PANELS["tv_woled_81"].pitch_mm
    assert stripes[:, 0].tolist() == pytest.approx([-0.375, 0.375, 0.125, -0.125])
    assert emitter_offset(PANELS["tablet_rgbw_299"]) == ((0.0, 0.0),) * 4


def test_spectrum_of_pentile_has_green_at_every_pixel_and_red_and_blue_on_the_diagonals() -> None:
    lattice = panel_lattice(PANELS["phone_oled_460"])
    m, n = lattice.order.unbind(1)  # harmonics of a cell of two by two pixels
    strength = lattice.amplitude.abs()
    odd = (m % 2 != 0) | (n % 2 != 0)
    assert float(strength[odd, 1].max()) < 1e-5
    checkered = (m + n) % 2 == 0
    assert float(strength[~checkered][:, [0, 2]].sum()) < 1e-3
    first = (m.abs() == 1) & (n.abs() == 1)
    assert float(strength[first][:, [0, 2]].min()) > 0.5


def test_spectrum_of_stripes_is_a_sinc_and_the_colours_a_third_of_a_period_apart() -> None:
    panel = PANELS["laptop_lcd_141"]
    lattice = panel_lattice(panel)
    fundamental = lattice.amplitude[(lattice.order == torch.tensor([1, 0])).all(1)][0]
    width = 1 / 3 - panel.subpixels.black_matrix_um / 1000 / panel.pitch_mm
    assert np.abs(fundamental.numpy()) == pytest.approx(np.sinc(width), rel=0.01)
    turns = torch.angle(fundamental / fundamental.roll(1)).div(2 * math.pi)
    assert turns.abs().numpy() == pytest.approx(1 / 3, abs=0.01)


def test_transfer_runs_from_black_level_to_white_with_the_panels_exponent() -> None:
    light = PANELS["monitor_lcd_92"].light
    table = transfer_table(light)
    assert float(table[0]) == pytest.approx(1 / light.contrast)
    assert float(table[255]) == pytest.approx(1)
    assert float(table[128]) == pytest.approx(1e-3 + 0.999 * (128 / 255) ** 2.2, rel=1e-5)


def test_a_panel_with_the_primaries_of_srgb_changes_no_colour() -> None:
    primaries = BANK.panels[0].primaries.model_copy(
        update={"red": (0.64, 0.33), "green": (0.3, 0.6), "blue": (0.15, 0.06), "white": (0.3127, 0.3290)}
    )
    torch.testing.assert_close(colour_matrix(primaries), torch.eye(3), atol=2e-3, rtol=0)


@pytest.mark.parametrize("panel", BANK.panels, ids=lambda p: p.id)
def test_white_has_luminance_one_and_the_chromaticity_of_the_bank(panel: Panel) -> None:
    to_xyz = np.array(
        [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
    )
    white = to_xyz @ colour_matrix(panel.primaries).double().numpy().sum(1)
    assert white[1] == pytest.approx(1, abs=1e-3)
    assert white[:2] / white.sum() == pytest.approx(panel.primaries.white, abs=1e-3)


def extracted(light: Tensor, panel: Panel, brightness: float = 1.0) -> tuple[Tensor, Tensor]:
    """Return the four drives (4, N) and the panel colours (3, N) that they add up to, for colours (N, 3)."""
    assert panel.white is not None
    white_rgb = white_in_panel_rgb(panel.primaries, panel.white.xy)[None]
    out = extract_white(
        light.T[None, :, None], white_rgb=white_rgb, share=torch.tensor([panel.white.share]),
        extraction=torch.tensor([panel.white.extraction]), brightness=torch.tensor([brightness]),
    )[0, :, 0]  # fmt: skip
    return out, out[:3] + white_rgb[0][:, None] * out[3]


WHITE = [panel for panel in BANK.panels if panel.white]


@pytest.mark.parametrize("panel", WHITE, ids=lambda p: p.id)
def test_a_white_emitter_keeps_luminance_and_colour_of_what_is_within_its_power(panel: Panel) -> None:
    grey = torch.linspace(0, 1, 9)[:, None].expand(-1, 3)
    tinted = grey * torch.tensor([1.0, 0.95, 0.9])
    for light in (grey, tinted):
        drive, total = extracted(light, panel)
        assert float(drive.min()) >= -1e-6
        torch.testing.assert_close(total.T, light, atol=1e-5, rtol=0)
    luma = colour_matrix(panel.primaries).T @ torch.tensor([0.2126, 0.7152, 0.0722])
    torch.testing.assert_close(extracted(grey, panel)[1].T @ luma, grey[:, 0], atol=1e-3, rtol=0)


@pytest.mark.parametrize("panel", WHITE, ids=lambda p: p.id)
def test_saturated_colours_fall_behind_white_by_the_white_emitters_share(panel: Panel) -> None:
    assert panel.white is not None
    white_rgb = white_in_panel_rgb(panel.primaries, panel.white.xy)
    _, total = extracted(torch.eye(3), panel)
    torch.testing.assert_close(total.diagonal(), 1 - panel.white.share * white_rgb, atol=1e-5, rtol=0)
    _, spared = extracted(torch.eye(3), panel, brightness=0.3)  # at less than full power nothing is lost
    torch.testing.assert_close(spared, torch.eye(3), atol=1e-5, rtol=0)


def test_the_share_of_white_has_a_closed_form_and_leaves_a_colour_dark() -> None:
    panel = PANELS["tv_woled_81"]
    assert panel.white is not None
    white_rgb = white_in_panel_rgb(panel.primaries, panel.white.xy)
    colours = torch.rand(500, 3, generator=torch.Generator().manual_seed(3))
    drive, _ = extracted(colours, panel)
    wanted = (colours / white_rgb).amin(1).clamp(max=panel.white.share)
    torch.testing.assert_close(drive[3], wanted, atol=1e-6, rtol=0)
    below = wanted < panel.white.share - 1e-6  # then the white emitter takes all of one colour
    assert int(below.sum()) > 100
    assert float(drive[:3, below].amin(0).abs().max()) < 1e-6
    wide = extracted(torch.tensor([[0.5, 0.5, 0.5]]), PANELS["tv_rgbw_81"])[0]
    assert float(wide[3]) < float(extracted(torch.tensor([[0.5, 0.5, 0.5]]), panel)[0][3])  # it extracts less


def test_crossed_polarisers_leak_on_the_diagonals_as_their_fields_turn() -> None:
    """Against vectors: what the first passes, k x u, is projected on what the second passes, k x v."""
    for theta, phi in ((20.0, 45.0), (40.0, 30.0), (60.0, 70.0), (60.0, 0.0)):
        outside = math.sin(math.radians(theta))
        kx, ky = outside * math.cos(math.radians(phi)), outside * math.sin(math.radians(phi))
        k = np.array([kx / 1.5, ky / 1.5, 0.0])
        k[2] = math.sqrt(1 - k @ k)
        first, second = np.cross(k, [1, 0, 0]), np.cross(k, [0, 1, 0])
        wanted = (first @ second / np.linalg.norm(first) / np.linalg.norm(second)) ** 2
        leak = float(crossed_leak(torch.tensor(kx), torch.tensor(ky)))
        assert leak == pytest.approx(wanted, abs=1e-6)
    sixty = math.sin(math.radians(60)) / math.sqrt(2)
    assert float(crossed_leak(torch.tensor(sixty), torch.tensor(sixty))) == pytest.approx(0.04, abs=0.001)


@pytest.mark.parametrize(("washout", "mid"), [(1.0, 0.40), (0.45, 0.30), (0.0, 0.2195)])
def test_mid_tones_lift_off_axis_and_colours_fade(washout: float, mid: float) -> None:
    cosine = torch.cos(torch.deg2rad(torch.tensor([[60.0]])))
    share = lift(torch.tensor([[washout]]), cosine).reshape(1, 1, 1, 1)
    light = torch.tensor([128 / 255, 64 / 255, 1.0, 0.0]).pow(2.2).reshape(1, 1, 1, 4)
    out = off_axis(light, share, torch.ones(1, 1)).flatten()
    assert float(out[0]) == pytest.approx(mid, abs=0.015)
    assert out[2:].tolist() == pytest.approx([1, 0])
    assert float(out[1] / out[0]) >= float(light.flatten()[1] / light.flatten()[0]) - 1e-6


def test_a_night_mode_takes_blue_first() -> None:
    gain = planck_gain(torch.tensor([6500.0, 4500.0, 3400.0]))
    torch.testing.assert_close(gain[0], torch.ones(3), atol=1e-5, rtol=0)
    assert bool((gain[1:, 0] == 1).all())
    assert 0.2 < float(gain[2, 2]) < float(gain[1, 2]) < 0.8
    assert bool((gain[1:, 1] > gain[1:, 2]).all())


def test_a_device_on_its_side_has_its_top_at_the_left() -> None:
    turn = torch.tensor([True, False])
    top = torch.tensor([[0.0, -3.0], [0.0, -3.0]])[:, None]  # in the device's own axes
    placed = from_own_axes(top, turn)
    assert placed[:, 0].tolist() == [[-3.0, 0.0], [0.0, -3.0]]
    back = own_axes(placed.permute(0, 2, 1)[..., None], turn)[..., 0].permute(0, 2, 1)
    assert torch.equal(back, top)
    figures = panel_figures([PANELS["tablet_lcd_224"], PANELS["tablet_lcd_224"]]).turned(turn)
    assert figures.active[0].tolist() == figures.active[1].flip(0).tolist()


def test_hashed_numbers_are_uniform_and_independent() -> None:
    seeds = torch.tensor([1, 2, 2**61 + 1, 1 + 2**33])
    number = hashed(seeds, "test", 40000)
    assert number.shape == (4, 40000)
    assert torch.equal(number[2:3], hashed(seeds[2:3], "test", 200, 200).reshape(1, -1))
    assert number.mean(1).tolist() == pytest.approx([0.5] * 4, abs=0.006)
    assert number.var(1).tolist() == pytest.approx([1 / 12] * 4, abs=0.002)
    assert 0 <= float(number.min()) < float(number.max()) < 1
    together = torch.corrcoef(torch.cat([number, hashed(seeds, "other", 40000), number.roll(1, 1)]))
    assert float((together - torch.eye(12)).abs().max()) < 0.025  # 5 standard errors


def test_specks_keep_their_area_wherever_they_fall() -> None:
    seed, size = torch.tensor([4, 9]), torch.tensor([[60.0, 120.0], [500.0, 300.0]])
    place, area = speck_places(seed, size)
    assert bool((place.abs() <= size[:, None] / 2).all())
    assert 0 < float(area.min()) < float(area.max()) < 0.13
    at = torch.tensor([[[10.5, 7.5], [3.2, 4.9], [100.0, 5.0]]])
    out = covered(at, torch.tensor([[0.4, 0.3, 0.9]]), 16, 16)
    assert float(out[0, 0, 7, 10]) == pytest.approx(0.4)
    assert float(out.sum()) == pytest.approx(0.7, abs=1e-6)


def test_falloff_is_a_power_of_the_cosine_for_each_colour() -> None:
    cosine = torch.cos(torch.deg2rad(torch.tensor([0.0, 30.0, 60.0])))[None, None]
    out = falloff(cosine, torch.tensor([[0.5, 1.0, 2.0]]))
    assert out.shape == (1, 3, 3)
    assert out[0, :, 0].tolist() == [1, 1, 1]
    assert out[0, :, 2].numpy() == pytest.approx([0.5**0.5, 0.5, 0.25])


@pytest.mark.parametrize(
    ("duty", "depth", "span"), [(0.3, 1.0, 0.4), (0.9, 0.5, 1.7), (1.0, 1.0, 0.2), (0.5, 0.0, 3.3)]
)
def test_pulses_over_an_exposure_equal_a_numeric_integral(duty: float, depth: float, span: float) -> None:
    start = torch.tensor([0.0, 0.13, 0.71, 5.95])
    time = start[:, None].double() + (torch.arange(20000).double() + 0.5) / 20000 * span
    wave = 1 - depth + depth * ((time % 1) < duty) / duty
    out = pulse_mean(start, *(torch.tensor(v) for v in (span, duty, depth)))
    torch.testing.assert_close(out, wave.mean(1).float(), atol=2e-3, rtol=0)


def test_pulses_have_mean_one_and_vanish_over_whole_periods() -> None:
    start = torch.linspace(0, 1, 1001)[:-1]
    duty, depth = torch.tensor(0.35), torch.tensor(0.9)
    assert float(pulse_mean(start, torch.tensor(0.27), duty, depth).mean()) == pytest.approx(1, abs=1e-3)
    torch.testing.assert_close(pulse_mean(start, torch.tensor(3.0), duty, depth), torch.ones(1000), atol=1e-5, rtol=0)


def test_figures_of_a_batch_keep_its_order() -> None:
    pair = [PANELS["phone_oled_411"], PANELS["monitor_lcd_92"]]
    figures = panel_figures(pair)
    assert figures.body[0].tolist() == pytest.approx([66.7 + 6.8, 144.6 + 8.6])
    assert figures.rolling.tolist() == [True, False]
    assert figures.table.shape == (2, 256)
    assert figures.active_centre[:, 1].tolist() == pytest.approx([-0.7, -3.5])


def test_distance_to_a_rounded_box() -> None:
    u, v = (
        torch.tensor([[0.0, 5.0, 9.0, 4.0 + 2 / math.sqrt(2)]]),
        torch.tensor([[0.0, 0.0, 6.0, 1.0 + 2 / math.sqrt(2)]]),
    )
    out = signed_distance(u, v, torch.tensor([[6.0, 3.0]]), torch.tensor([2.0]))
    assert out[0].tolist() == pytest.approx([-3, -1, math.hypot(5, 5) - 2, 0], abs=1e-6)


def test_coverage_of_a_straight_edge_conserves_area() -> None:
    distance = torch.arange(-40, 40) + 0.3
    for blur in (0.0, 0.7, 3.0):
        assert float(coverage(distance[None, None], torch.tensor([blur])).sum()) == pytest.approx(
            40 - 0.3 + 0.5, abs=0.06
        )


def test_a_box_around_the_whole_frame_is_told_from_its_nodes() -> None:
    at = torch.stack(torch.meshgrid(torch.linspace(-5, 5, 32), torch.linspace(-5, 5, 32), indexing="xy"))[None]
    around, one, none = at[:, :, ::31, ::31], torch.ones(1), torch.zeros(1)
    big = Box(torch.zeros(1, 2), torch.tensor([[20.0, 20.0]]), none)
    small = Box(torch.zeros(1, 2), torch.tensor([[4.0, 4.0]]), none)
    assert big.distance_px(at, around, one * 0.3, none) is None
    assert torch.equal(coverage(None, none), torch.ones(1, 1, 1, 1))
    cover = coverage(small.distance_px(at, around, one * 0.3, none), none)
    assert cover.shape == (1, 1, 32, 32)
    assert float(cover[0, 0, 0, 0]) == 0
    assert float(cover.mean()) == pytest.approx((8 / (32 * 10 / 31)) ** 2, abs=0.01)


def test_smears_come_from_their_seed() -> None:
    size = torch.tensor([[70.0, 140.0], [70.0, 140.0]])
    both = smears(torch.tensor([5, 6]), size)
    assert both.shape == (2, 1, 48, 48)
    assert 0 <= float(both.min()) < float(both.max()) <= 1
    assert not torch.equal(both[0], both[1])
    assert torch.equal(both[1:], smears(torch.tensor([6]), size[1:]))


def _spoil(path: tuple[str, ...], value: object) -> dict[str, Any]:
    data = plain()
    target = data
    for key in path[:-1]:
        target = target[key]
    target[path[-1]] = value
    return data


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("ppi",), 5000, "ppi"),
        (("colour",), "blue", "colour"),
        (("subpixels", "layout"), "rgbw", "layout"),
        (("subpixels", "layout"), "rgbw_quad", "wants 4 sizes and a white emitter"),
        (("white",), {"xy": [0.31, 0.32], "share": 0.5, "extraction": 1}, "no white emitter"),
        (("light", "washout"), 3, "washout"),
        (("subpixels", "black_matrix_um"), 30, "leaves no emitter"),
        (("light", "contrast"), 0.5, "contrast"),
        (("light", "pulse_duty"), 0, "pulse_duty"),
        (("primaries", "white"), [0.7, 0.6], "x \\+ y < 1"),
        (("glass", "reflectance"), 0.9, "reflectance"),
        (("body", "rim_rgb"), [], "rim_rgb"),
        (("id",), "Has Spaces", "id"),
        (("source",), "", "source"),
    ],
)
def test_a_bad_entry_is_refused_by_name(tmp_path: Path, path: tuple[str, ...], value: object, message: str) -> None:
    file = tmp_path / "panels.yaml"
    file.write_text(yaml.safe_dump({"panels": [_spoil(path, value)]}))
    with pytest.raises(ConfigError, match=message):
        load_panels(file)


def test_two_panels_of_one_name_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "panels.yaml"
    file.write_text(yaml.safe_dump({"panels": [plain(), plain()]}))
    with pytest.raises(ConfigError, match="appear twice"):
        load_panels(file)


def test_places_keep_to_what_is_allowed() -> None:
    bank = PanelBank(panels=BANK.panels)
    phones = bank.ids(("phone",))
    assert bank.places(("phone",), phones[2:3]) == (2,)
    assert bank.places(("phone",), None) == (0, 1, 2, 3, 4, 5, 24, 25, 29)
    with pytest.raises(ConfigError, match="monitor_lcd_92"):
        bank.places(("phone",), ["monitor_lcd_92"])
    with pytest.raises(ConfigError, match="empty list"):
        bank.places(("phone",), [])
