"""Shipped device profiles load strictly, and a wrong one says what is wrong."""

from importlib import resources
from pathlib import Path
from typing import Any

import pytest
import yaml

from spooflab.augment import CaptureDevice, list_profiles, load_profile
from spooflab.augment.profile import REFERENCE
from spooflab.errors import ConfigError

SHIPPED = resources.files("spooflab.configs").joinpath("devices")


def _data(name: str = "front_phone") -> dict[str, Any]:
    data = yaml.safe_load(SHIPPED.joinpath(f"{name}.yaml").read_text(encoding="utf-8"))
    assert isinstance(data, dict)
    return data


def _written(folder: Path, data: dict[str, Any]) -> Path:
    path = folder / "camera.yaml"
    path.write_text(yaml.safe_dump(data), encoding="utf-8")
    return path


def test_cameras_are_listed_sorted_and_without_the_reference() -> None:
    names = list_profiles()
    assert names == sorted(set(names))
    assert {"dslr", "front_phone", "kiosk", "old_phone", "webcam_720p"} < set(names)
    assert len(names) >= 12
    assert REFERENCE not in names


@pytest.mark.parametrize("file", sorted(entry.name for entry in SHIPPED.iterdir() if entry.name.endswith(".yaml")))
def test_every_shipped_yaml_loads_names_itself_and_its_sources(file: str) -> None:
    profile = load_profile(file.removesuffix(".yaml"))
    assert f"{profile.name}.yaml" == file
    groups = [value for value in dict(profile).values() if hasattr(value, "source")]
    assert len(groups) == 8
    assert all(group.source for group in groups)


def test_ranges_order_the_cameras_as_their_kind_does() -> None:
    noise = {name: load_profile(name).noise for name in list_profiles()}
    assert noise["dslr"].a[1] < noise["front_phone"].a[1] < noise["webcam_720p"].a[1] < noise["old_phone"].a[1]
    assert load_profile("webcam_720p").codec.quality == (40, 85)
    assert load_profile("kiosk").lens.edge_distortion == (-0.2, 0.0)


def test_a_path_is_loaded_like_a_name(tmp_path: Path) -> None:
    assert load_profile(_written(tmp_path, _data())) == load_profile("front_phone")
    assert CaptureDevice(_written(tmp_path, _data())).device_id == "front_phone/u00"


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"'front_fone'(.|\n)*front_phone"):
        load_profile("front_fone")


@pytest.mark.parametrize(
    ("group", "key", "value", "told"),
    [
        ("noise", "aa", [0, 1], "noise.aa"),
        ("noise", "a", [2e-3, 1e-3], "low <= high"),
        ("noise", "a", [-1e-3, 1e-3], ">= 0"),
        ("noise", "a", [float("nan"), 1e-3], "noise.a"),
        ("noise", "a", 3e-3, "noise.a"),
        ("lens", "corner_gain", [0.5, 1.5], r"\[0, 1\]"),
        ("lens", "corner_gain", [0.0, 0.5], "> 0"),
        ("lens", "edge_distortion", [-0.5, 0.0], "edge_distortion"),
        ("sensor", "cfa", "xtrans", "sensor.cfa"),
        ("sensor", "bits", 4, "8 to 16"),
        ("sensor", "prnu_std", [0.001, 0.02], "below .01"),
        ("colour", "ccm", [[1, 1, 0], [0, 1, 0], [0, 0, 1]], "sum to 1"),
        ("codec", "quality", [0, 90], "codec.quality"),
        ("codec", "quality", [95, 90], "low <= high"),
        ("codec", "subsampling", [], "codec.subsampling"),
        ("codec", "kind", "vp9", "codec.kind"),
        ("codec", "crf", [40, 23], "codec"),
        ("codec", "gop", 0, "codec.gop"),
    ],
)
def test_a_wrong_value_is_named(tmp_path: Path, group: str, key: str, value: object, told: str) -> None:
    data = _data()
    data[group][key] = value
    with pytest.raises(ConfigError, match=told):
        load_profile(_written(tmp_path, data))


def test_a_missing_source_is_an_error(tmp_path: Path) -> None:
    data = _data()
    del data["lens"]["source"]
    with pytest.raises(ConfigError, match=r"lens\.source"):
        load_profile(_written(tmp_path, data))
