from pathlib import Path

import pytest
from pydantic import ValidationError

from spooflab.config import Config, load_config, load_yaml, parse_config
from spooflab.errors import ConfigError


class Screen(Config):
    ppi: float
    name: str = "panel"


class Study(Config):
    seed: int
    screens: tuple[Screen, ...] = ()


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "study.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_good_file(tmp_path: Path) -> None:
    seen = load_config(write(tmp_path, "seed: 3\nscreens:\n  - {ppi: 401.5, name: läppi}\n"), Study)
    assert seen == Study(seed=3, screens=(Screen(ppi=401.5, name="läppi"),))
    with pytest.raises(ValidationError, match="frozen"):
        seen.seed = 4  # type: ignore[misc]  # the mistake under test


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("seed: 3\nsede: 4\n", "sede: Extra inputs"),
        ("screens: []\n", "seed: Field required"),
        ("seed: three\n", "(seen 'three')"),
        ("seed: 1\nscreens:\n  - {ppi: .nan}\n", "screens.0.ppi"),
        ("seed: 1\nscreens:\n  - {ppi: .inf}\n", "screens.0.ppi"),
        ("- 1\n", "holds list"),
        ("", "holds NoneType"),
        ("seed: [1\n", "not valid YAML"),
    ],
)
def test_mistakes_are_told_with_file_key_and_value(tmp_path: Path, text: str, told: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        load_config(path, Study)
    assert str(path) in str(caught.value)
    assert told in str(caught.value)


def test_all_mistakes_are_told_at_once_with_the_known_keys() -> None:
    with pytest.raises(ConfigError, match=r"here: seed: .*; sede: .*") as caught:
        parse_config({"seed": "x", "sede": 1}, Study, origin="here")
    assert caught.value.wanted == "keys of Study: seed, screens"


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.yaml: No such file"):
        load_yaml(tmp_path / "none.yaml")


@pytest.mark.parametrize("tag", ["!!python/object/apply:os.system ['touch pwned']", "!!python/name:os.system"])
def test_yaml_runs_no_code(tmp_path: Path, tag: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match="not valid YAML"):
        load_yaml(write(tmp_path, f"seed: {tag}\n"))
    assert not (tmp_path / "pwned").exists()
