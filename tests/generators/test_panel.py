"""The bank of panels, the emitters of a pixel, and the panel's transfer, colour, angle and flicker."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from spooflab.errors import ConfigError
from spooflab.generators.instruments.panel import Panel, PanelBank, load_panels
from spooflab.generators.instruments.panel_cell import SAMPLES, cell_pixels, panel_cell, panel_lattice, stripe_offset
from spooflab.generators.instruments.panel_figures import panel_figures
from spooflab.generators.instruments.panel_light import colour_matrix, falloff, pulse_mean, transfer_table
from spooflab.generators.instruments.smears import smears
from spooflab.generators.rounded_box import Box, coverage, signed_distance

BANK = load_panels()
PANELS = {panel.id: panel for panel in BANK.panels}


def plain() -> dict[str, Any]:
    """Return the first shipped panel as YAML would give it."""
    data: dict[str, Any] = yaml.safe_load(yaml.safe_dump(BANK.panels[0].model_dump(mode="json")))
    return data


def test_the_shipped_bank_has_the_variety_that_hold_out_needs() -> None:
    assert len(BANK.ids(("phone",))) >= 4
    assert len(BANK.ids(("monitor", "laptop"))) >= 4
    assert {panel.subpixels.layout for panel in BANK.panels} == {"rgb_stripe", "bgr_stripe", "pentile_diamond"}
    assert {panel.technology for panel in BANK.panels} == {"lcd", "oled"}
    densities = [panel.ppi for panel in BANK.panels]
    assert min(densities) < 100
    assert max(densities) > 450


@pytest.mark.parametrize("panel", BANK.panels, ids=lambda p: p.id)
def test_emitters_lie_apart_and_fill_what_the_black_matrix_leaves(panel: Panel) -> None:
    cell = panel_cell(panel)
    across, down = cell_pixels(panel)
    assert cell.shape == (3, down * SAMPLES, across * SAMPLES)
    assert float(cell.sum(0).max()) <= 1 + 1e-6
    gap = panel.subpixels.black_matrix_um / 1000 / panel.pitch_mm
    if panel.subpixels.layout == "pentile_diamond":
        reach = [(0.5 - gap / math.sqrt(2)) * size for size in panel.subpixels.size]
        wanted = [reach[0] ** 2, 2 * reach[1] ** 2, reach[2] ** 2]  # red and blue on every other pixel
    else:
        wanted = [(1 / 3 - gap) * (1 - gap)] * 3
    torch.testing.assert_close(cell.mean((1, 2)), torch.tensor(wanted), rtol=0.03, atol=0)


def test_stripes_stand_in_their_order() -> None:
    for name, order in (("laptop_lcd_141", (0, 1, 2)), ("monitor_lcd_94_bgr", (2, 1, 0))):
        columns = panel_cell(PANELS[name]).mean(1)
        centres = (columns * torch.arange(SAMPLES)).sum(1) / columns.sum(1) / SAMPLES
        assert tuple(centres.argsort().tolist()) == order
        offset = torch.tensor(stripe_offset(PANELS[name])) / PANELS[name].pitch_mm
        torch.testing.assert_close(offset, centres + 0.5 / SAMPLES - 0.5, atol=1e-3, rtol=0)


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
    assert figures.raise_mm.tolist() == pytest.approx([-0.7, -3.5])


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
    assert bank.places(("phone",), None) == tuple(range(len(phones)))
    with pytest.raises(ConfigError, match="monitor_lcd_92"):
        bank.places(("phone",), ["monitor_lcd_92"])
    with pytest.raises(ConfigError, match="empty list"):
        bank.places(("phone",), [])
