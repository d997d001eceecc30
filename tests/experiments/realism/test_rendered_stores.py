"""The comparison on rendered stores: nothing is found where nothing differs, and a planted range is named."""

from pathlib import Path

import pytest
import yaml

from spooflab.augment.profile import load_profile
from spooflab.cli.main import run
from spooflab.experiments.realism import RealismSettings, compare, read_side

pytestmark = pytest.mark.slow


def generated(folder: Path, quality: tuple[int, int], seed: int) -> Path:
    """A store of bona fide pictures and prints by one phone whose JPEG quality has the given range."""
    folder.mkdir()
    phone = load_profile("front_phone").model_dump(mode="json")
    phone["codec"]["quality"] = list(quality)
    (folder / "phone.yaml").write_text(yaml.safe_dump(phone))
    config = {
        "n": 200,
        "seed": seed,
        "faces": [{"kind": "procedural", "subjects": 36, "sessions": 2}],
        "attacks": ["print_a4"],
        "bonafide_share": 0.5,
        "devices": [str(folder / "phone.yaml")],
        "units_per_device": 2,
        "sensor_px": 128,
        "face_px": 128,
        "output_px": 128,
        "group_size": 2,
        "shard_size": 50,
    }
    (folder / "set.yaml").write_text(yaml.safe_dump(config))
    assert run(["generate", str(folder / "set.yaml"), "--out", str(folder / "store")]) == 0
    return folder / "store"


@pytest.fixture(scope="module")
def synthetic(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return generated(tmp_path_factory.mktemp("rendered") / "synthetic", (30, 97), seed=1)


def test_the_same_configuration_with_other_people_is_not_told_apart(synthetic: Path, tmp_path: Path) -> None:
    again = generated(tmp_path / "again", (30, 97), seed=3)
    found = compare(read_side(synthetic), read_side(again), RealismSettings()).results["species"]
    assert set(found) == {"bonafide", "print_a4"}
    for entry in found.values():
        assert not entry["told_apart"]
        assert entry["advice"] == []
        assert entry["auc"]["physics"]["low"] < entry["auc"]["physics"]["null_high"]


def test_a_planted_jpeg_quality_is_named_with_its_direction(synthetic: Path, tmp_path: Path) -> None:
    real = generated(tmp_path / "real", (20, 40), seed=2)
    found = compare(read_side(synthetic), read_side(real), RealismSettings()).results["species"]
    for entry in found.values():
        assert entry["told_apart"]
        first = entry["parameters"][0]
        assert (first["name"], first["sure"]) == ("device.quality", True)
        assert first["shift"] < 0
    assert any("quality: [30," in line for line in found["bonafide"]["yaml"])
