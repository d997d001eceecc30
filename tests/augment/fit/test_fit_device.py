"""The whole fit against cameras that were held out: is the fitted profile that camera?"""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from spooflab.augment import DeviceProfile, develop, load_profile
from spooflab.augment.fit import Fit, fit_device, read_photographs, to_yaml
from spooflab.augment.fit.chart import chart_light, to_lab
from spooflab.augment.fit.coding import FORMATS
from spooflab.augment.fit.flat_blocks import block_dct, to_ycc
from spooflab.augment.lens import through_lens
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


def chart_scene() -> torch.Tensor:
    cells = torch.from_numpy(chart_light()).float().T.reshape(3, 4, 6)
    return cells.repeat_interleave(60, 1).repeat_interleave(60, 2)


def eight_bit(photo: torch.Tensor) -> np.ndarray:
    return (photo * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()


def textures(photo: np.ndarray) -> np.ndarray:
    """Co-occurrences of truncated differences (Pevny et al. 2010), DCT energies by frequency, channel moments."""
    planes = to_ycc(photo.astype(np.float32))
    features = []
    for axis in (0, 1):
        steps = np.clip(np.round(np.diff(planes[0], axis=axis)), -3, 3).astype(int) + 3
        first, second = (steps[:-1], steps[1:]) if axis == 0 else (steps[:, :-1], steps[:, 1:])
        joint = np.bincount((first * 7 + second).ravel(), minlength=49) / first.size
        features.append(np.sqrt(joint))
    coefficients = block_dct(planes)
    for channel in range(3):
        spectrum = np.median(np.abs(coefficients[channel]).reshape(-1, 64), 0)
        features += [np.log(spectrum + 0.1), np.log(np.abs(coefficients[channel]).mean((0, 1)).ravel() + 0.1)]
    features.append(np.array([planes[c].std() for c in range(3)]))
    return np.concatenate(features)


def auc(first: np.ndarray, second: np.ndarray) -> float:
    """Cross-validated by scene: scene i is `first[i]` and `second[i]`, and no scene is on both sides of a fold."""
    x = np.concatenate([first, second])
    label = np.repeat([0, 1], len(first))
    scene = np.tile(np.arange(len(first)), 2)
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.05, max_iter=500))
    told = cross_val_predict(model, x, label, groups=scene, cv=GroupKFold(5), method="decision_function")
    return float(roc_auc_score(label, told))


@pytest.fixture(scope="module")
def real(held_out: Callable[..., DeviceProfile], camera: type) -> Any:
    return camera(held_out("front_phone", **HELD_OUT), unit=1)


def photographed(real: Any, scenes: type, folder: Path, kind: str) -> Fit:
    """68 photographs, twelve of them with straight lines, 28 of plain things (four in near dark), eight of a chart."""
    ordinary = [scenes.leaves(i, lines=i < 12, shapes=18 if i < 12 else 60) for i in range(68)]
    real.folder(ordinary + [scenes.plain(i, dark=i >= 24) for i in range(28)], folder)
    charts = {f"chart {i}": eight_bit(real.shoot(chart_scene(), 500 + i)[0]) for i in range(8)}
    # The kind of camera is known, as it mostly is: among fifteen profiles the nearest may be of another kind.
    return fit_device(read_photographs(folder), name="my_camera", prior=load_profile(kind), charts=charts)


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
    assert values["beautify"].fitted
    assert values["beautify"].value <= 2 * values["beautify"].std
    assert fitted.profile.processing.beautify[1] < 0.15
    assert values["prnu_std"].fitted
    assert values["prnu_std"].value == pytest.approx(real.device.identity.prnu_std, rel=0.3)


def colour_difference(first: Any, second: Any) -> float:
    """A chart at equal exposure, six shots each: the mean difference of the 24 patches, CIE 1976."""

    def patches(device: Any) -> np.ndarray:
        shots = []
        for seed in range(6):
            params = device.device.sample(1, torch.Generator().manual_seed(seed), size=(240, 360))
            params = dataclasses.replace(params, metering=params.metering * 0, error_ev=params.error_ev * 0 - 0.3)
            photo = develop(through_lens(chart_scene()[None], params.view), params)[0]
            shots.append(photo.reshape(3, 4, 60, 6, 60)[:, :, 20:40, :, 20:40].mean((2, 4)).reshape(3, 24).T)
        return torch.stack(shots).mean(0).numpy()

    difference = np.sqrt(((to_lab(patches(first)) - to_lab(patches(second))) ** 2).sum(-1))
    return float(difference.mean())


@pytest.mark.slow
def test_tone_and_colour_are_those_of_the_camera(fitted: Fit, real: Any, camera: type) -> None:
    assert colour_difference(real, camera(fitted.profile, unit=fitted.unit)) <= 3


SHOTS = (9000, 19000, 29000, 39000)
"""Seeds of four sets of shots: the AUC of one set of sixty scenes scatters by .045."""


def telling(real: Any, fitted: Fit, scenes: type, camera: type, kind: str) -> dict[str, float]:
    """How well a classifier tells the real camera from another on sixty new scenes, both taking the same ones.

    The mean over four sets of shots, each with a classifier of its own.
    """
    new = [scenes.leaves(5000 + i, 256) for i in range(60)]

    def features(device: Any, start: int) -> np.ndarray:
        return np.stack([textures(eight_bit(device.shoot(light, start + i)[0])) for i, light in enumerate(new)])

    taken = [features(real, start) for start in SHOTS]
    others = {
        "itself": real,
        "fitted": camera(fitted.profile, unit=fitted.unit),
        "unfitted": camera(load_profile(kind), unit=0),
    }
    return {
        name: float(
            np.mean([auc(first, features(device, start + 500)) for first, start in zip(taken, SHOTS, strict=True)])
        )
        for name, device in others.items()
    }


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


def drawn_camera(kind: str, seed: int) -> dict[str, dict[str, Any]]:
    """Return what makes a camera of that kind that nobody chose: one point within its profile's ranges."""
    rng = np.random.default_rng(seed)
    shipped = load_profile(kind)

    def near(limits: tuple[float, float], width: float) -> list[float]:
        low, high = limits
        place = rng.uniform(0.15, 0.85)
        return [low + (high - low) * max(0.0, place - width), low + (high - low) * min(1.0, place + width)]

    place = rng.uniform(0.2, 0.7)
    a, b = (
        low * (high / low) ** (place + shift)
        for (low, high), shift in ((shipped.noise.a, 0.0), (shipped.noise.b, rng.uniform(-0.1, 0.1)))
    )
    quality = int(rng.integers(shipped.codec.quality[0] + 10, shipped.codec.quality[1] - 3))
    processing = {
        "smear": near(shipped.processing.smear, 0.08),
        "beautify": [0.0, 0.0],
        "halo": near(shipped.processing.halo, 0.08),
        **{key: near(getattr(shipped.processing, key), 0.01) for key in ("halo_radius_px", "tone", "gamma")},
    }
    return {
        "noise": {"a": [0.87 * a, 1.15 * a], "b": [0.87 * b, 1.15 * b]},
        "processing": processing,
        "lens": {
            "edge_distortion": near(shipped.lens.edge_distortion, 0.02),
            "corner_gain": near(shipped.lens.corner_gain, 0.02),
            "corner_blur_px": [0.0, 0.0],
            "tangential": [0.0, 0.0],
        },
        "colour": {"awb_strength": [0.0, 0.0]},
        "sensor": {"defects": [0.0, 0.0]},
        "codec": {"kind": "jpeg", "quality": [quality - 2, quality + 2]},
        "timing": {"shake_deg_per_s": [0.0, 0.1]},
    }


DRAWN = {"front_phone": 1128, "webcam_1080p": 1129}
"""Seeds of cameras that were drawn once, and looked at only when the fit was finished."""


@dataclasses.dataclass
class Blind:
    """A drawn camera, its fit, and how well they are told apart."""

    real: Any
    a: float
    b: float
    quality: list[int]
    fit: Fit
    delta_e: float
    auc: dict[str, float]


@pytest.fixture(scope="module", params=sorted(DRAWN))
def blind(
    request: pytest.FixtureRequest,
    held_out: Callable[..., DeviceProfile],
    scenes: type,
    camera: type,
    tmp_path_factory: pytest.TempPathFactory,
) -> Blind:
    kind: str = request.param
    groups = drawn_camera(kind, DRAWN[kind])
    real = camera(held_out(kind, name=f"drawn_{kind}", **groups), unit=2)
    fit = photographed(real, scenes, tmp_path_factory.mktemp(kind), kind)
    copy = camera(fit.profile, unit=fit.unit)
    a, b = (float(np.sqrt(np.prod(groups["noise"][key]))) for key in ("a", "b"))
    told = telling(real, fit, scenes, camera, kind)
    return Blind(real, a, b, groups["codec"]["quality"], fit, colour_difference(real, copy), told)


@pytest.mark.slow
def test_a_drawn_cameras_coding_and_colours_come_back(blind: Blind) -> None:
    low, high = blind.fit.profile.codec.quality
    assert blind.quality[0] - 3 <= low <= high <= blind.quality[1] + 3
    assert blind.delta_e <= 3


@pytest.mark.slow
def test_a_drawn_cameras_noise_comes_back_within_a_quarter(blind: Blind) -> None:
    found = {e.key: e.value for e in blind.fit.estimates if e.key in ("a", "b")}
    assert found == pytest.approx({"a": blind.a, "b": blind.b}, rel=0.25)


@pytest.mark.slow
def test_the_fit_of_a_drawn_camera_is_harder_to_tell_from_it_than_an_unfitted_one(blind: Blind) -> None:
    assert blind.auc["itself"] <= 0.65
    assert blind.auc["unfitted"] >= 0.95
    assert blind.auc["fitted"] <= blind.auc["unfitted"] - 0.25


@pytest.mark.slow
def test_a_drawn_cameras_distortion_comes_back(blind: Blind) -> None:
    assert blind.fit.distortion.k1 == pytest.approx(blind.real.device.identity.k1, rel=0.2)


@pytest.mark.slow
def test_a_classifier_cannot_tell_the_fitted_from_the_drawn_camera(blind: Blind) -> None:
    assert blind.auc["fitted"] <= 0.65


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
