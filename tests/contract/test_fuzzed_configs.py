"""Damaged and hostile YAML: of every kind of configuration comes a model, or an error that names the file."""

import copy
import time
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from mutations import VALUES, changed, damaged, examples

from spooflab.adapters import TrainJob
from spooflab.augment import load_profile
from spooflab.config import Config, load_config, load_yaml, parse_config
from spooflab.errors import ConfigError
from spooflab.experiments.mining_config import MiningConfig
from spooflab.experiments.search_config import SearchConfig
from spooflab.experiments.study_config import StudyConfig
from spooflab.generators.config import GenerationConfig
from spooflab.generators.diffusion.training.config import DiffusionTrainConfig
from spooflab.generators.instruments.makeup_bank import load_makeups
from spooflab.generators.instruments.mask_material import load_masks
from spooflab.generators.instruments.panel import load_panels
from spooflab.generators.instruments.paper import load_papers
from spooflab.generators.instruments.partial_bank import load_partials
from spooflab.generators.instruments.tattoo_bank import load_tattoos
from spooflab.generators.instruments.wig_bank import load_wigs
from spooflab.yaml_text import MAX_BYTES, MAX_DEPTH, MAX_NODES, parse_yaml

ROOT = Path(str(resources.files("spooflab.configs")))
Load = Callable[[Path], object]


def model(kind: type[Config]) -> Load:
    return lambda path: load_config(path, kind)


KINDS: dict[str, tuple[str, Load]] = {
    "generation/default": ("generation/default.yaml", model(GenerationConfig)),
    "generation/quickstart": ("generation/quickstart.yaml", model(GenerationConfig)),
    "studies": ("studies/leave_one_attack_out.yaml", model(StudyConfig)),
    "studies on machines": ("studies/slurm.yaml", model(StudyConfig)),
    "mining": ("mining/generator_in_the_loop.yaml", model(MiningConfig)),
    "training": ("training/dann.yaml", model(TrainJob)),
    "diffusion training": ("training/diffusion_embedded.yaml", model(DiffusionTrainConfig)),
    "devices": ("devices/front_phone.yaml", load_profile),
    "makeups": ("instruments/makeups.yaml", load_makeups),
    "masks": ("instruments/masks.yaml", load_masks),
    "panels": ("instruments/panels.yaml", load_panels),
    "papers": ("instruments/papers.yaml", load_papers),
    "partials": ("instruments/partials.yaml", load_partials),
    "tattoos": ("instruments/tattoos.yaml", load_tattoos),
    "wigs": ("instruments/wigs.yaml", load_wigs),
}


def shortened(value: Any) -> Any:
    """The same structure with two entries of each long list: a file of all papers takes a second to read."""
    if isinstance(value, dict):
        return {key: shortened(part) for key, part in value.items()}
    return [shortened(part) for part in value[:2]] if isinstance(value, list) else value


def valid(name: str) -> Any:
    return shortened(load_yaml(ROOT / KINDS[name][0]))


def hold(load: Load, path: Path, content: bytes) -> None:
    """Load a file: an error names it."""
    path.write_bytes(content)
    try:
        load(path)
    except ConfigError as error:
        message = str(error)
    else:
        return
    assert str(path) in message


@pytest.mark.parametrize("name", KINDS)
def test_damaged_bytes(name: str, tmp_path: Path) -> None:
    text = yaml.safe_dump(valid(name), sort_keys=False)

    @examples(4)
    @given(damaged(text.encode()))
    def each(content: bytes) -> None:
        hold(KINDS[name][1], tmp_path / "config.yaml", content)

    each()


@pytest.mark.parametrize("name", KINDS)
def test_damaged_structures(name: str, tmp_path: Path) -> None:
    @examples(8)
    @given(changed(valid(name)))
    def each(value: Any) -> None:
        hold(KINDS[name][1], tmp_path / "config.yaml", yaml.safe_dump(value).encode())

    each()


MODELS: dict[str, type[Config]] = {
    "generation/default": GenerationConfig,
    "studies": StudyConfig,
    "studies on machines": StudyConfig,
    "mining": MiningConfig,
    "training": TrainJob,
    "diffusion training": DiffusionTrainConfig,
}


@pytest.mark.parametrize("name", [*MODELS, "search"])
def test_strange_values_of_every_top_key(name: str) -> None:
    """What the loader refuses may come from elsewhere, such as the command line: models stand it by themselves."""
    good, kind = (valid(name), MODELS[name]) if name in MODELS else ({}, SearchConfig)
    for key in kind.model_fields:
        for value in VALUES:
            try:
                parse_config({**copy.deepcopy(good), key: value}, kind, origin="here.yaml")
            except ConfigError as error:
                message = str(error)
            else:
                continue
            assert message.startswith("here.yaml: ")


LAUGHS = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 12)
)
CHAIN = "a0: &a0 [x]\n" + "".join(f"a{i}: &a{i} [*a{i - 1}]\n" for i in range(1, 5000))
HOSTILE: dict[str, tuple[str, str]] = {
    "billion laughs": (LAUGHS, "more than"),
    "laughs in merged mappings": (
        "a0: &a0 {k: x}\n"
        + "".join(f"a{i}: &a{i} {{" + ", ".join(f"k{j}: *a{i - 1}" for j in range(9)) + "}\n" for i in range(1, 12)),
        "more than",
    ),
    "a chain of aliases": (CHAIN, "nested"),
    "an alias in itself": ("a: &a [*a]\n", "within what it stands for"),
    "an alias of the whole": ("&a\nb: *a\n", "within what it stands for"),
    "20,000 brackets": ("a: " + "[" * 20_000, "deep"),
    "20,000 braces": ("{a: " * 20_000, "deep"),
    "20,000 dashes": ("- " * 20_000 + "x", "deep"),
    "20,000 question marks": ("? " * 20_000 + "x", "deep"),
    "5,000 digits": ("a: " + "9" * 5_000, "digits"),
    "a long number in base 16": ("a: 0x" + "f" * 20_000, "beyond 64 bits"),
    "a long number in base 60": ("a: " + "1:" * 3_000 + "1", "beyond 64 bits"),
    "a long fraction in base 60": ("a: " + "1:" * 3_000 + "1.5", "beyond every limit"),
    "a date that is none": ("a: 2024-13-45", "month"),
    "a key twice": ("a: 1\nb: 2\na: 3\n", "'a' comes twice"),
    "an inner key twice": ("x:\n  - {a: 1, 'a': 3}\n", "'a' comes twice"),
    "a number as key": ("1: a\n", "no text"),
    "a truth as key": ("on: a\n", "'on' is no text; quote it"),
    "nothing as key": ("~: a\n", "no text"),
    "a list as key": ("? [a, b]\n: c\n", "no text"),
    "a tag of Python": ("a: !!python/name:os.system\n", "could not determine a constructor"),
    "a tag of one's own": ("a: !secret x\n", "could not determine a constructor"),
    "bytes that are none": ("a: !!binary é\n", "base64"),
    "two documents": ("a: 1\n---\nb: 2\n", "single document"),
    "a control character": ("a: \x07\n", "special characters"),
    "tabs": ("a:\n\t- b\n", "cannot start any token"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_documents_are_refused_at_once(name: str, tmp_path: Path) -> None:
    text, told = HOSTILE[name]
    path = tmp_path / "config.yaml"
    path.write_text(text, encoding="utf-8")
    began = time.process_time()
    with pytest.raises(ConfigError, match=told) as caught:
        load_yaml(path)
    assert str(path) in str(caught.value)
    assert len(str(caught.value)) < 2_000
    assert time.process_time() - began < 5  # seconds; a quadratic reader takes minutes


def test_more_bytes_or_values_than_a_configuration_has(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_bytes(b"#" * (MAX_BYTES + 1))
    with pytest.raises(ConfigError, match=f"more than {MAX_BYTES} bytes"):
        load_yaml(path)
    with pytest.raises(ConfigError, match=f"more than {MAX_BYTES} bytes"):
        load_yaml(Path("/dev/zero"))
    path.write_text(f"a: &a [{'x, ' * 600}x]\nb: [{'*a, ' * (MAX_NODES // 600)}*a]\n")
    with pytest.raises(ConfigError, match=f"more than {MAX_NODES} values"):
        load_yaml(path)


def test_what_is_no_text(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    for content in (b"\xff\xfea\x00", b"a: \xc3\x28\n", b"a: \xed\xa0\x80\n"):
        path.write_bytes(content)
        with pytest.raises(ConfigError, match="not UTF-8"):
            load_yaml(path)
    with pytest.raises(ConfigError, match="directory"):
        load_yaml(tmp_path)


def test_limits_leave_room_for_what_is_meant() -> None:
    assert parse_yaml("a: &a {x: 1}\nb: {<<: *a, y: 2}\nc: [*a, *a]\n") == {
        "a": {"x": 1},
        "b": {"x": 1, "y": 2},
        "c": [{"x": 1}, {"x": 1}],
    }
    deep = "[" * (MAX_DEPTH - 2) + "]" * (MAX_DEPTH - 2)
    assert parse_yaml(f"a: {deep}\n")["a"] == yaml.safe_load(deep)
    assert parse_yaml(f"seed: {2**64 - 1}\n") == {"seed": 2**64 - 1}


@pytest.mark.parametrize("path", sorted(ROOT.rglob("*.yaml")), ids=lambda path: path.stem)
def test_shipped_files_read_as_the_plain_safe_loader_reads_them(path: Path) -> None:
    assert load_yaml(path) == yaml.safe_load(path.read_text(encoding="utf-8"))


@examples(100)
@given(st.text(max_size=60))
def test_any_text(text: str) -> None:
    try:
        parse_yaml(text)
    except ValueError as error:
        told = str(error)
    else:
        return
    assert told
