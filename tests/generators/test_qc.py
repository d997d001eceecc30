import numpy as np
import pytest
from skimage.data import astronaut

from spooflab.errors import SkipSample
from spooflab.generators.qc import QCLimits, check, measure, periodic_contrast
from spooflab.sample import QC_FIGURES

BOX = np.array([64.0, 48.0, 128.0, 160.0], dtype=np.float32)


def grating(amplitude: float, cycles_per_px: float, angle: float = 0.6) -> np.ndarray:
    y, x = np.mgrid[:160, :160]
    phase = 2 * np.pi * cycles_per_px * (x * np.cos(angle) + y * np.sin(angle))
    return (120 * (1 + amplitude * np.sin(phase))).astype(np.float32)


@pytest.mark.parametrize("frequency", [0.09, 0.17, 0.31, 0.44])
def test_the_amplitude_of_a_sinusoid_is_read_back(frequency: float) -> None:
    assert periodic_contrast(grating(0.05, frequency)) == pytest.approx(0.05, rel=0.2)


def test_a_face_without_a_lattice_has_no_periodic_contrast_and_one_with_it_has() -> None:
    face = astronaut()[60:190, 160:290].astype(np.float32).mean(-1)
    plain = periodic_contrast(face)
    y, x = np.mgrid[: face.shape[0], : face.shape[1]]
    marked = periodic_contrast(face * (1 + 0.04 * np.sin(2 * np.pi * (0.21 * x + 0.13 * y)).astype(np.float32)))
    assert plain < 0.008
    assert marked > 0.02


def test_noise_and_flat_pictures_do_not_count_as_patterns() -> None:
    noise = np.random.default_rng(1).normal(120, 12, (128, 128)).astype(np.float32)
    assert periodic_contrast(noise) < 0.01
    assert periodic_contrast(np.full((128, 128), 90, np.float32)) == 0
    assert periodic_contrast(np.zeros((128, 128), np.float32)) == 0
    assert periodic_contrast(noise[:10, :10]) == 0


def test_figures_against_a_loop() -> None:
    image = np.random.default_rng(2).integers(0, 256, (256, 256, 3), dtype=np.uint8)
    figures = measure(image, BOX)
    assert set(figures) == set(QC_FIGURES)
    luma = [[float(image[y, x] @ (0.299, 0.587, 0.114)) for x in range(64, 192)] for y in range(48, 208)]
    assert figures["face_luma"] == pytest.approx(np.mean(luma), rel=1e-5)
    hits = sum(bool(((image[y, x] == 0) | (image[y, x] == 255)).any()) for y in range(48, 208) for x in range(64, 192))
    assert figures["face_clipped"] == pytest.approx(hits / (160 * 128))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"face_luma": 3.0}, "qc_face_luma"),
        ({"face_luma": 254.0}, "qc_face_luma"),
        ({"face_clipped": 0.95}, "qc_face_clipped"),
        ({"face_sharpness": 0.5}, "qc_face_sharpness"),
        ({"moire": 0.4}, "qc_moire"),
    ],
)
def test_each_limit_refuses_with_its_own_reason(change: dict[str, float], reason: str) -> None:
    figures = dict.fromkeys(QC_FIGURES, 0.1) | {"face_luma": 120.0, "face_sharpness": 50.0}
    limits = QCLimits(face_sharpness=1.0, moire=0.2)
    check(figures, BOX, 256, limits)
    with pytest.raises(SkipSample) as refused:
        check(figures | change, BOX, 256, limits)
    assert refused.value.reason == reason


def test_a_face_that_is_small_or_out_of_the_picture_is_refused() -> None:
    figures = dict.fromkeys(QC_FIGURES, 0.1) | {"face_luma": 120.0}
    for box, reason in (((10, 10, 12, 14), "qc_face_px"), ((200, 10, 120, 150), "qc_face_share")):
        with pytest.raises(SkipSample) as refused:
            check(figures, np.array(box, np.float32), 256, QCLimits())
        assert refused.value.reason == reason


def test_a_box_beyond_the_picture_does_not_break_the_figures() -> None:
    figures = measure(np.full((64, 64, 3), 100, np.uint8), np.array([500, -900, 20, 20], np.float32))
    assert all(np.isfinite(value) for value in figures.values())
