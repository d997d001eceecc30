"""The command on small stores of made-up pictures, its errors, and detectors in ONNX."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from spooflab.cli.main import run
from spooflab.errors import ConfigError, DataError
from spooflab.experiments.realism import RealismSettings, compare, read_side
from spooflab.experiments.realism.control import blurred, matched_control
from spooflab.experiments.realism.detector import as_odds, open_detector
from spooflab.experiments.realism.physics_gap import Scored, physics_gap
from spooflab.experiments.realism.sides import bounded
from spooflab.images import encode_png
from spooflab.provenance import ALGORITHMIC_MEDIA, code_version
from spooflab.sample import QC_FIGURES, Sample
from spooflab.store import Store

pytestmark = pytest.mark.slow

SIDE = 64
TONES = np.array([[90, 60, 50], [130, 95, 80], [170, 130, 110], [200, 165, 150]])
"""Skin of the subjects: both stores have people of each, so that they can be matched."""


def write(
    root: Path, species: tuple[str, ...], *, noise: float, subjects: int = 8, each: int = 3, seed: int = 0
) -> Path:
    """Commit a store of soft random pictures whose noise its records tell as `attack.noise_codes`, 50 % either way."""
    rng = np.random.default_rng(seed)
    samples = []
    for subject in range(subjects):
        for name in species:
            for take in range(each):
                level = noise * 2 ** rng.uniform(-0.7, 0.7)
                scene = TONES[subject % 4] + blurred(rng.normal(0, 90, (SIDE, SIDE, 3)), 4.0)
                scene += rng.normal(0, level, (SIDE, SIDE, 3))
                samples.append(
                    Sample.create(
                        key=f"s{seed}-{subject}-{name}-{take}",
                        species=name,
                        image=encode_png(np.clip(scene, 0, 255).astype(np.uint8)),
                        params={"attack": {"noise_codes": level}, "facts": {"idle": float(rng.normal())}},
                        qc=dict.fromkeys(QC_FIGURES, 1.0),
                        landmarks=[],
                        box=[10, 8, 42, 48],
                        seed=0,
                        device_id="phone/u0",
                        device_profile="phone",
                        subject_id=f"{seed}/{subject}",
                        subject_group=f"{seed}/{subject}",
                        source_id=f"{seed}/{subject}",
                        face_source="made-up",
                        digital_source_type=ALGORITHMIC_MEDIA,
                        licence="CC0-1.0",
                        code_version=code_version(),
                    )
                )
    store = Store.create(root, {"made": "by a test"}, shards=1)
    lease = store.claim(0)
    assert lease is not None
    store.commit(lease, samples)
    lease.release()
    return root


BOTH = ("bonafide", "print_a4")


def test_the_command_tells_what_to_move_and_writes_a_page_of_its_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    here = write(tmp_path / "here", BOTH, noise=4, seed=1)
    there = write(tmp_path / "there", BOTH, noise=9, seed=2)
    out = tmp_path / "out"
    assert run(["realism", str(here), str(there), "--out", str(out)]) == 0
    said = capsys.readouterr().out
    assert "print_a4 is the least real" in said
    assert "attack.noise_codes" in said.splitlines()[0]
    found = json.loads((out / "realism.json").read_text())
    entry = found["species"]["print_a4"]
    assert entry["told_apart"]
    assert entry["noise"]["synthetic_less_real_db"]["high"] < 0  # real is noisier
    first = entry["parameters"][0]
    assert (first["name"], first["sure"]) == ("attack.noise_codes", True)
    assert first["shift"] > 0
    page = (out / "realism.html").read_text()
    assert "<script" not in page
    assert "http" not in page.replace("http://www.w3.org", "")
    assert 'alt="real ' not in page  # no picture of a real person unless it is asked for


@pytest.mark.slow
def test_stores_alike_are_not_told_apart(tmp_path: Path) -> None:
    sides = [read_side(write(tmp_path / name, BOTH, noise=4, seed=seed)) for name, seed in (("a", 3), ("b", 4))]
    found = compare(*sides, RealismSettings(permutations=1000, auc_permutations=300, replicates=200)).results
    assert not any(entry["told_apart"] or entry["advice"] for entry in found["species"].values())


def test_no_species_in_common_names_an_alias_that_would_help(tmp_path: Path) -> None:
    here = read_side(write(tmp_path / "a", ("print_a4",), noise=4))
    there = read_side(write(tmp_path / "b", ("print_photo",), noise=4))
    with pytest.raises(DataError, match="--alias print_photo=print_a4"):
        compare(here, there, RealismSettings())
    assert set(read_side(there.root, {"print_photo": "print_a4"}).species) == {"print_a4"}


@pytest.mark.parametrize(
    ("alias", "told"),
    [
        ({"print_photo": "bonafide"}, "mean the same"),
        ({"mask_rigid": "print_a4"}, "holds no"),
        ({"print_photo": "x"}, "no such"),
    ],
)
def test_an_alias_that_cannot_be_meant(tmp_path: Path, alias: dict[str, str], told: str) -> None:
    root = write(tmp_path / "a", ("print_photo",), noise=4, subjects=2, each=1)
    with pytest.raises(ConfigError, match=told):
        read_side(root, alias)


def test_too_few_subjects_is_an_error_that_counts_them(tmp_path: Path) -> None:
    here = read_side(write(tmp_path / "a", ("print_a4",), noise=4))
    there = read_side(write(tmp_path / "b", ("print_a4",), noise=4, subjects=4, each=6))
    with pytest.raises(DataError, match="4 real subjects, 6 are wanted"):
        compare(here, there, RealismSettings())


def test_a_bounded_sample_is_spread_over_subjects(tmp_path: Path) -> None:
    rows = read_side(write(tmp_path / "a", ("print_a4",), noise=4)).species["print_a4"]
    taken = bounded(rows, 16, seed=0)
    assert {sum(row.subject == name for row in taken) for name in {row.subject for row in rows}} == {2}
    assert [row.key for row in taken] == [row.key for row in bounded(rows[::-1], 16, seed=0)]


@pytest.fixture
def mean_detector(tmp_path: Path) -> Callable[..., Path]:
    """An ONNX detector whose score is a picture's mean."""
    onnx = pytest.importorskip("onnx")

    def make(side: int | str = "S", axes: tuple[int, ...] = (1, 2, 3)) -> Path:
        port = onnx.helper.make_tensor_value_info
        kind = onnx.TensorProto.FLOAT
        node = onnx.helper.make_node("ReduceMean", ["x"], ["y"], axes=list(axes), keepdims=0)
        shape = ["B"] if len(axes) == 3 else ["B", 3]
        graph = onnx.helper.make_graph(
            [node], "mean", [port("x", kind, ["B", 3, side, side])], [port("y", kind, shape)]
        )
        model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=9)
        path = tmp_path / "mean.onnx"
        onnx.save(model, str(path))
        return path

    return make


def test_an_onnx_detector_scores_every_picture_at_its_size(mean_detector: Callable[..., Path]) -> None:
    path = mean_detector()
    pictures = [np.full((40, 40, 3), value, dtype=np.uint8) for value in range(0, 200, 5)]
    np.testing.assert_allclose(open_detector(path, 32)(pictures), np.arange(0, 200, 5) / 255, atol=1e-5)
    path.with_suffix(".json").write_text('{"size": 24}')
    assert len(open_detector(path)(pictures)) == 40


def test_detectors_that_cannot_be_used(mean_detector: Callable[..., Path], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--size"):
        open_detector(mean_detector())
    with pytest.raises(ConfigError, match="no --size"):
        open_detector(mean_detector(side=16), 32)
    with pytest.raises(ConfigError, match="wanted: finite scores"):
        open_detector(mean_detector(axes=(2, 3)), 32)([np.zeros((32, 32, 3), dtype=np.uint8)])
    with pytest.raises(ConfigError, match=r"an \.onnx file"):
        open_detector(tmp_path / "none.onnx")


def test_odds_are_taken_of_likelihoods_alone() -> None:
    np.testing.assert_allclose(as_odds(np.array([0.5, 1.0])), [0, np.log(1e6)], atol=1e-5)
    np.testing.assert_array_equal(as_odds(np.array([-3.0, 0.5])), [-3.0, 0.5])


def test_a_naive_attack_is_told_from_one_with_physics() -> None:
    """A detector that sees a lattice: blur alone explains nothing of it, whatever the control's blur is."""
    wave = 10 * np.sin(2 * np.pi * 0.23 * np.arange(96))[None, :, None]

    def picture(seed: int, *, attack: bool, physics: bool) -> np.ndarray:
        scene = np.kron(np.random.default_rng(seed).uniform(60, 190, (6, 6, 3)), np.ones((16, 16, 1)))
        soft = blurred(scene, 1.4 if attack else 0.5) + wave * (attack and physics)
        return np.clip(soft + np.random.default_rng(seed).normal(0, 2, soft.shape), 0, 255).astype(np.uint8)

    def score(pictures: list[np.ndarray]) -> np.ndarray:
        rows = np.stack([p[..., 1].astype(np.float64) for p in pictures])
        phase = np.exp(-2j * np.pi * 0.23 * np.arange(96))
        lattice = np.abs((rows * phase).mean(2)).mean(1)
        sharp = np.log(np.diff(rows, axis=2).std((1, 2)))
        return sharp - lattice  # blur counts as well, a little

    def gap(*, physics: bool):  # type: ignore[no-untyped-def]
        plain = [picture(i, attack=False, physics=False) for i in range(24)]
        attacks = [picture(100 + i, attack=True, physics=physics) for i in range(24)]
        control = [matched_control(p, a, i)[0] for i, (p, a) in enumerate(zip(plain, attacks, strict=True))]
        real = [picture(200 + i, attack=True, physics=True) for i in range(24)]
        people = np.array([f"p{i // 2}" for i in range(24)])
        kinds = [Scored(score(some), people) for some in (plain, attacks, control, real)]
        return physics_gap(*kinds, None, replicates=300, seed=0)

    true, naive = gap(physics=True), gap(physics=False)
    assert true.drops
    assert true.surely_closer
    assert true.physics_share[1] > 0.6
    assert not naive.surely_closer
    assert naive.physics_share[1] < 0.5
