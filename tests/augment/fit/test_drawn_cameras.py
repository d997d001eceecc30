"""The whole fit against cameras that nobody chose."""

import dataclasses
import os
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from camera_judge import colour_difference, photographed, telling

from spooflab.augment import DeviceProfile, load_profile
from spooflab.augment.fit import Fit


def drawn_camera(kind: str, seed: int, *, smooths: bool) -> dict[str, dict[str, Any]]:
    """Return what makes a camera of that kind that nobody chose: one point within its profile's ranges."""
    rng = np.random.default_rng(seed)
    shipped = load_profile(kind)

    def near(limits: tuple[float, float], width: float, rng: np.random.Generator = rng) -> list[float]:
        low, high = limits
        place = rng.uniform(0.15, 0.85)
        return [low + (high - low) * max(0.0, place - width), low + (high - low) * min(1.0, place + width)]

    smoothing = near(shipped.processing.beautify, 0.1, np.random.default_rng([seed, 7]))
    place = rng.uniform(0.2, 0.7)
    a, b = (
        low * (high / low) ** (place + shift)
        for (low, high), shift in ((shipped.noise.a, 0.0), (shipped.noise.b, rng.uniform(-0.1, 0.1)))
    )
    quality = int(rng.integers(shipped.codec.quality[0] + 10, shipped.codec.quality[1] - 3))
    processing = {
        "smear": near(shipped.processing.smear, 0.08),
        "beautify": smoothing if smooths else [0.0, 0.0],
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


@dataclasses.dataclass(frozen=True)
class Drawn:
    """A camera that was drawn once, so that nobody chose it.

    Attributes:
        kind, seed: what is drawn.
        smooths: skin.
        always: is fitted with every run of the tests.
    """

    kind: str
    seed: int
    smooths: bool = False
    always: bool = False

    def __str__(self) -> str:
        return f"{self.kind}-{self.seed}"


DRAWN = (
    Drawn("front_phone", 1128),
    Drawn("webcam_1080p", 1129, always=True),
    Drawn("front_phone", 2001, smooths=True),
    Drawn("webcam_1080p", 2002, smooths=True),
    Drawn("front_phone", 3001, smooths=True),
    Drawn("webcam_1080p", 3002, smooths=True),
    Drawn("front_phone", 4001, smooths=True),
    Drawn("webcam_1080p", 4002, smooths=True),
    Drawn("front_phone", 5001, smooths=True),
    Drawn("webcam_1080p", 5002, smooths=True),
)
ALL = os.environ.get("SPOOFLAB_CAMERAS") == "all"
"""A fit and its judgement take nine minutes, so most of docs/devices.md's table is made anew on demand."""


@dataclasses.dataclass(frozen=True)
class Blind:
    """A drawn camera, its fit, and how well they are told apart."""

    drawn: Drawn
    real: Any
    a: float
    b: float
    quality: list[int]
    fit: Fit
    delta_e: float
    auc: dict[str, float]


@pytest.fixture(scope="module", params=DRAWN, ids=str)
def blind(
    request: pytest.FixtureRequest,
    held_out: Callable[..., DeviceProfile],
    scenes: type,
    camera: type,
    tmp_path_factory: pytest.TempPathFactory,
) -> Blind:
    drawn: Drawn = request.param
    if not (drawn.always or ALL):
        pytest.skip("one of the cameras that SPOOFLAB_CAMERAS=all fits")
    kind, groups = drawn.kind, drawn_camera(drawn.kind, drawn.seed, smooths=drawn.smooths)
    real = camera(held_out(kind, name=f"drawn_{kind}", **groups), unit=2)
    fit = photographed(real, scenes, tmp_path_factory.mktemp(kind), kind)
    copy = camera(fit.profile, unit=fit.unit)
    a, b = (float(np.sqrt(np.prod(groups["noise"][key]))) for key in ("a", "b"))
    told = telling(real, fit, scenes, camera, kind)
    return Blind(drawn, real, a, b, groups["codec"]["quality"], fit, colour_difference(real, copy), told)


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
