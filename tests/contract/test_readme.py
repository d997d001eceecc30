"""README stays true: its Python runs, and every command, option and file that it names exists."""

import re
from pathlib import Path

import pytest

from spooflab.cli.main import COMMANDS

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("code", re.findall(r"```python\n(.*?)```", README, re.DOTALL))
def test_python_examples_run(code: str) -> None:
    names: dict[str, object] = {}
    exec(compile(code, "README.md", "exec"), names)
    assert "seen" in names


def test_commands_exist() -> None:
    used = set(re.findall(r"^\$ spooflab ([\w-]+)", README, re.MULTILINE))
    assert used
    assert used <= set(COMMANDS)


def test_every_command_is_in_the_table() -> None:
    table = README.split("## What is inside")[1].split("\n## ")[0]
    named = {
        name for cell in re.findall(r"^\| (`.*?) \|", table, re.MULTILINE) for name in re.findall(r"`([\w-]+)", cell)
    }
    assert named == set(COMMANDS)


def test_links_lead_somewhere() -> None:
    targets = [t for t in re.findall(r"(?:\]\(|<img src=\")([^)#\"]+)", README) if "://" not in t]
    assert len(targets) > 8
    missing = [t for t in targets if not (ROOT / t).exists()]
    assert not missing


def test_configurations_that_it_names_exist() -> None:
    for name in re.findall(r"configs/[\w/]+\.yaml", README):
        assert (ROOT / name).is_file(), name


@pytest.mark.parametrize("page", sorted((ROOT / "docs").glob("*.md")), ids=lambda p: p.name)
def test_no_heading_is_empty(page: Path) -> None:
    text = re.sub(r"^```.*?^```", "code", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    lines = [line for line in text.splitlines() if line.strip()]
    levels = [len(m[1]) if (m := re.match(r"(#+) ", line)) else 7 for line in lines] + [0]
    assert not [line for line, own, after in zip(lines, levels, levels[1:], strict=False) if own < 7 and after <= own]
