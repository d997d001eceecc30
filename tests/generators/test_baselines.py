"""The baselines against loops of their formulas."""

import colorsys
import dataclasses
import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from spooflab.augment.tone import srgb_decode, srgb_encode
from spooflab.errors import ConfigError
from spooflab.generators.attack import Manipulation
from spooflab.generators.attacks.baselines.baseline import Baseline
from spooflab.generators.attacks.baselines.baseline_colour_jitter import BaselineColourJitter
from spooflab.generators.attacks.baselines.baseline_dots import BaselineDots
from spooflab.generators.attacks.baselines.baseline_sine_moire import KINDS, BaselineSineMoire
from spooflab.generators.attacks.baselines.baseline_swirl_moire import BaselineSwirlMoire
from spooflab.generators.face import Face
from spooflab.seeds import generator
from spooflab.taxonomy import SPECIES

ALL: tuple[type[Baseline], ...] = (BaselineSwirlMoire, BaselineSineMoire, BaselineColourJitter, BaselineDots)
HEIGHT, WIDTH = 24, 30
every_baseline = pytest.mark.parametrize("kind", ALL)


def _picture(name: str = "p") -> Tensor:
    """Return eight-bit code values (1, 3, H, W)."""
    return (torch.rand(1, 3, HEIGHT, WIDTH, generator=generator(1, name)) * 255).round() / 255


def _face(count: int = 1) -> Face:
    light = torch.cat([srgb_decode(_picture(str(i))) for i in range(count)])
    names = tuple(f"s{i}" for i in range(count))
    return Face(light, torch.zeros(count, 68, 2), torch.ones(count, 4), names, names)


def _planes(picture: Tensor) -> NDArray[np.float64]:
    return picture[0].double().numpy()


@every_baseline
def test_contract(kind: type[Baseline]) -> None:
    attack = kind(instruments=[kind.species])
    assert isinstance(attack, Manipulation)
    assert SPECIES[kind.species].channel == "presentation"
    assert kind.bank_ids() == (kind.species,)
    params = attack.sample(3, generator(2, kind.species))
    face = _face(3)
    whole = attack.apply(face, None, params)
    assert whole.instrument_id == (kind.species,) * 3
    assert whole.face.spoof_mask is not None
    assert float(whole.face.spoof_mask.min()) == 1
    assert 0 <= float(whole.face.radiance.min()) <= float(whole.face.radiance.max()) <= 1
    assert float((whole.face.radiance - face.radiance).abs().max()) > 0.01
    for i in range(3):
        alone = attack.apply(_row(face, i), None, attack.parse(params.row(i).to_json()))
        assert torch.equal(alone.face.radiance, whole.face.radiance[i : i + 1])


def _row(face: Face, i: int) -> Face:
    return face.replace(
        radiance=face.radiance[i : i + 1], landmarks=face.landmarks[:1], box=face.box[:1],
        subject_id=face.subject_id[:1], source_id=face.source_id[:1],
    )  # fmt: skip


@every_baseline
def test_strange_instruments_and_effects_are_refused(kind: type[Baseline]) -> None:
    with pytest.raises(ConfigError, match="no instrument"):
        kind(instruments=["phone"])
    with pytest.raises(ConfigError, match="no effect"):
        kind(ablate=["gloss"])


@every_baseline
def test_the_result_has_eight_bits(kind: type[Baseline]) -> None:
    attack = kind()
    light = attack.apply(_face(), None, attack.sample(1, generator(3, "bits"))).face.radiance
    codes = srgb_encode(light) * 255
    assert float((codes - codes.round()).abs().max()) < 0.01


def test_swirl_against_a_polar_loop() -> None:
    attack, picture = BaselineSwirlMoire(), _picture()
    params = attack.sample(1, generator(4, "swirl"))
    found, twist, given = _planes(attack.change(picture, params)), float(params.twist[0]), _planes(picture)
    missed = 0
    for row in range(HEIGHT):
        for column in range(WIDTH):
            x, y = column - WIDTH // 2, row - HEIGHT // 2
            radius, angle = math.hypot(x, y), math.atan2(y, x)
            sx = min(max(WIDTH // 2 + radius * math.cos(angle + twist * radius), 0), WIDTH - 1)
            sy = min(max(HEIGHT // 2 + radius * math.sin(angle + twist * radius), 0), HEIGHT - 1)
            wanted = 0.8 * given[:, row, column] + 0.2 * given[:, int(sy), int(sx)]
            missed += bool(np.abs(found[:, row, column] - wanted).max() > 1e-5)
    assert missed <= 0.04 * HEIGHT * WIDTH  # whole pixels: rounding decides where a coordinate is an integer


@pytest.mark.parametrize("kind", KINDS)
def test_sines_against_a_loop(kind: str) -> None:
    attack, picture = BaselineSineMoire(), _picture()
    params = attack.sample(1, generator(5, kind))
    params = dataclasses.replace(params, kind=torch.tensor([KINDS.index(kind)]))
    found, given = _planes(attack.change(picture, params)), _planes(picture)
    angle = np.deg2rad(params.angle_deg[0].double().numpy())
    for row in range(0, HEIGHT, 3):
        for column in range(0, WIDTH, 3):
            for channel in range(3):
                if kind == "planes":
                    wave = 0.0
                    for k in range(int(params.count[0])):
                        along = column * math.cos(angle[k, channel]) + row * math.sin(angle[k, channel])
                        turns = along / float(params.period_px[0, k]) + float(params.phase[0, k, channel])
                        wave += math.sin(2 * math.pi * turns)
                    wanted = given[channel, row, column] + float(params.amplitude[0]) * wave
                else:
                    cy, cx = (float(v) for v in params.centre[0, channel] * torch.tensor([HEIGHT, WIDTH]))
                    ring = 0.5 + 0.5 * math.cos(2 * math.pi * math.hypot(row + 1 - cy, column + 1 - cx))
                    turn = angle[0, channel]
                    plane = 0.5 + 0.5 * math.cos(math.cos(turn) * (column + 1) + math.sin(turn) * (row + 1))
                    wanted = 0.85 * given[channel, row, column] + 0.15 * (min(ring, plane) + 1) / 2
                assert found[channel, row, column] == pytest.approx(wanted, abs=1e-4)


def test_jitter_against_a_loop() -> None:
    attack, picture = BaselineColourJitter(), _picture()
    params = attack.sample(1, generator(6, "jitter"))
    wanted = _planes(picture).copy()
    for step in params.order[0].tolist():
        grey = np.tensordot([0.299, 0.587, 0.114], wanted, 1)
        if step == 0:
            wanted = wanted * float(params.brightness[0])
        elif step == 1:
            wanted = float(params.contrast[0]) * wanted + (1 - float(params.contrast[0])) * grey.mean()
        elif step == 2:
            wanted = float(params.saturation[0]) * wanted + (1 - float(params.saturation[0])) * grey
        else:
            for row in range(HEIGHT):
                for column in range(WIDTH):
                    h, s, v = colorsys.rgb_to_hsv(*wanted[:, row, column])
                    wanted[:, row, column] = colorsys.hsv_to_rgb((h + float(params.hue[0])) % 1.0, s, v)
        wanted = wanted.clip(0, 1)
    np.testing.assert_allclose(_planes(attack.change(picture, params)), wanted, atol=2e-3)


def test_jitter_equals_torchvision() -> None:
    functional = pytest.importorskip("torchvision.transforms.functional")
    attack, picture = BaselineColourJitter(), _picture()
    params = attack.sample(1, generator(7, "jitter"))
    wanted = picture
    for step in params.order[0].tolist():
        name = ("adjust_brightness", "adjust_contrast", "adjust_saturation", "adjust_hue")[step]
        amount = (params.brightness, params.contrast, params.saturation, params.hue)[step]
        wanted = getattr(functional, name)(wanted, float(amount[0]))
    torch.testing.assert_close(attack.change(picture, params), wanted, atol=3e-3, rtol=0)


def test_dots_against_a_loop() -> None:
    attack, picture = BaselineDots(), _picture()
    params = attack.sample(1, generator(8, "dots"))
    found, given = _planes(attack.change(picture, params)), _planes(picture)
    cell, black, weight = float(params.cell_px[0]), float(params.black[0]), float(params.opacity[0])
    for row in range(0, HEIGHT, 3):
        for column in range(0, WIDTH, 3):
            ink = 1 - given[:, row, column]
            grey = black * ink.min()
            cover = [*(ink - grey), grey]
            printed = []
            for k, screen in enumerate((15, 75, 0, 45)):
                turn = math.radians(screen + float(params.turn_deg[0]))
                x, y = column + float(params.phase_px[0, k, 0]), row + float(params.phase_px[0, k, 1])
                u = 2 * math.pi / cell * (x * math.cos(turn) + y * math.sin(turn))
                v = 2 * math.pi / cell * (y * math.cos(turn) - x * math.sin(turn))
                spot = 0.5 + 0.25 * (math.cos(u) + math.cos(v))
                rise = (spot - 1 + cover[k]) / (math.pi / (2 * cell)) + 0.5
                printed.append(0.0 if cover[k] <= 0 else min(max(rise, 0.0), 1.0))
            for channel in range(3):
                wanted = (1 - printed[channel]) * (1 - printed[3])
                wanted = (1 - weight) * given[channel, row, column] + weight * wanted
                assert found[channel, row, column] == pytest.approx(wanted, abs=2e-3)


def test_dots_print_about_as_much_ink_as_they_should() -> None:
    """A flat tint keeps its mean: the spot function is above 1 - ink on about the share of ink, at half exactly."""
    attack = BaselineDots()
    params = dataclasses.replace(
        attack.sample(1, generator(9, "ink")), cell_px=torch.tensor([6.0]), black=torch.zeros(1), opacity=torch.ones(1)
    )
    flat = torch.full((1, 3, 240, 240), 0.5)
    assert float(attack.change(flat, params).mean()) == pytest.approx(0.5, abs=0.01)
