"""The whole fit against a camera that was held out, and its command."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from camera_judge import colour_difference, photographed, telling

from spooflab.augment import DeviceProfile, load_profile
from spooflab.augment.fit import Fit, to_yaml
from spooflab.augment.fit.coding import FORMATS
from spooflab.augment.fit.report import render_report
from spooflab.cli.main import run

A, B, TONE, GAMMA = 6e-4, 8e-6, 0.52, 0.915
HELD_OUT: dict[str, dict[str, Any]] = {
    "noise": {"a": [0.87 * A, 1.15 * A], "b": [0.87 * B, 1.15 * B], "row_share": [0.05, 0.06]},
    "processing": {
        "smear": [0.35, 0.45],
        "beautify": [0.0, 0.0],
        "halo": [0.5, 0.7],
        "halo_radius_px": [1.1, 1.2],
        "tone": [TONE - 0.01, TONE + 0.01],
        "gamma": [GAMMA - 0.005, GAMMA + 0.005],
    },
    "lens": {
        "edge_distortion": [-0.05, -0.045],
        "corner_gain": [0.7, 0.72],
        "corner_blur_px": [0.0, 0.0],
        "tangential": [0.0, 0.0],
    },
    "colour": {"awb_strength": [0.0, 0.0]},
    "sensor": {"defects": [0.0, 0.0]},
    "codec": {"quality": [90, 94]},
    "timing": {"shake_deg_per_s": [0.0, 0.1]},
}
"""A front phone outside of what the shipped one draws: more barrel, more fall-off, one light; without what the fit does
not model (`UNMODELLED`)."""


@pytest.fixture(scope="module")
def real(held_out: Callable[..., DeviceProfile], camera: type) -> Any:
    return camera(held_out("front_phone", **HELD_OUT), unit=1)


@pytest.fixture(scope="module")
def fitted(real: Any, scenes: type, tmp_path_factory: pytest.TempPathFactory) -> Fit:
    return photographed(real, scenes, tmp_path_factory.mktemp("photographs"), "front_phone")


@pytest.mark.slow
def test_what_the_photographs_tell_comes_back(fitted: Fit, real: Any) -> None:
    values = {e.key: e for e in fitted.estimates}
    assert values["a"].value == pytest.approx(A, rel=0.25)
    assert values["b"].value == pytest.approx(B, rel=0.25)
    for key, true in (("a", A), ("b", B), ("smear", 0.4), ("halo", 0.6), ("halo_radius_px", 1.15)):
        assert abs(values[key].value - true) <= 2 * values[key].std, key  # the stated errors are honest
    assert fitted.distortion.k1 == pytest.approx(real.device.identity.k1, rel=0.2)
    low, high = fitted.profile.codec.quality
    assert 90 - 3 <= low <= high <= 94 + 3
    assert FORMATS[fitted.profile.codec.subsampling[0]] == real.device.identity.subsampling
    assert values["corner_gain"].value == pytest.approx(0.71, abs=0.04)
    assert values["target"].value == pytest.approx(0.224, rel=0.15)
    assert values["highlight"].value == pytest.approx(1.05, rel=0.15)  # most of which clips
    assert fitted.profile.exposure.metering == (1.0, 1.0)
    assert "edges" in values["smear"].how
    assert "Noise beside" in render_report(fitted)
    assert values["beautify"].fitted
    assert values["beautify"].value <= 2 * values["beautify"].std
    assert fitted.profile.processing.beautify[1] < 0.15
    assert values["prnu_std"].fitted
    assert values["prnu_std"].value == pytest.approx(real.device.identity.prnu_std, rel=0.3)


@pytest.mark.slow
def test_tone_and_colour_are_those_of_the_camera(fitted: Fit, real: Any, camera: type) -> None:
    assert colour_difference(real, camera(fitted.profile, unit=fitted.unit)) <= 3


@pytest.fixture(scope="module")
def told_apart(fitted: Fit, real: Any, scenes: type, camera: type) -> dict[str, float]:
    return telling(real, fitted, scenes, camera, "front_phone")


@pytest.mark.slow
def test_the_fitted_camera_is_harder_to_tell_from_the_real_one_than_an_unfitted_one(
    told_apart: dict[str, float],
) -> None:
    assert told_apart["itself"] <= 0.65
    assert told_apart["unfitted"] >= 0.95
    assert told_apart["fitted"] <= told_apart["unfitted"] - 0.25


@pytest.mark.slow
def test_a_classifier_cannot_tell_the_fitted_camera_from_the_real_one(told_apart: dict[str, float]) -> None:
    assert told_apart["fitted"] <= 0.65


def test_the_command_writes_a_profile_and_a_report_that_say_what_is_prior(
    real: Any, scenes: type, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    real.folder([scenes.flat(level, 64) for level in (0.1, 0.2, 0.3)], tmp_path / "photos")
    (tmp_path / "photos" / "broken.jpg").write_bytes(b"\xff\xd8\xff")
    out = tmp_path / "My phone-2.yaml"
    assert run(["fit-device", str(tmp_path / "photos"), "--out", str(out), "--prior", "kiosk", "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert told["prior"] == "kiosk"
    assert [row["file"] for row in told["left_out"]] == ["broken.jpg"]
    profile = load_profile(out)
    kiosk = load_profile("kiosk")
    assert profile.name == "my_phone_2"
    assert 90 <= profile.codec.quality[0] <= profile.codec.quality[1] <= 94
    assert profile.codec.source.startswith("fitted from 3 photographs")
    assert profile.lens.edge_distortion == kiosk.lens.edge_distortion
    assert "prior kiosk, not identifiable: edge_distortion: 0 long smooth edges" in profile.lens.source
    assert profile.colour.unit_balance_ev == kiosk.colour.unit_balance_ev  # no chart, nothing known
    assert profile.colour.ccm_spread == kiosk.colour.ccm_spread
    assert profile.timing == kiosk.timing.model_copy(update={"source": profile.timing.source})
    assert to_yaml(profile) == out.read_text(encoding="utf-8")
    page = (tmp_path / "My phone-2.html").read_text(encoding="utf-8")
    assert "edge_distortion" in page
    assert "broken.jpg" in page
    assert "<script" not in page
    assert "http" not in page


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--out", "phone.txt"], "ends in .yaml"),
        (["--out", "p.yaml", "--prior", "nokia"], "front_phone"),
        (["--out", "p.yaml", "--most", "2"], "3 or more"),
        (["--out", "p.yaml"], "0 usable photographs"),
        (["--out", "p.yaml", "--report", "p.yaml"], "two different files"),
        (["--out", "p.yaml", "--report", "nowhere/p.html"], "there is no folder nowhere"),
    ],
)
def test_mistakes_are_told(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["fit-device", str(tmp_path), *arguments]) == 2
    assert message in capsys.readouterr().err
