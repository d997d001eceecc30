"""The page of what was broken on purpose names every fault of the catalogue, and nothing that was not survived."""

from pathlib import Path

from faults import BEGIN, CATALOGUE, COLUMNS, END, lines_of

PAGE = Path(__file__).parents[2] / "docs" / "reliability.md"


def test_every_fault_has_a_line_and_every_line_is_clean() -> None:
    text = PAGE.read_text(encoding="utf-8")
    lines = lines_of(text[text.index(BEGIN) : text.index(END)])
    missing = set(CATALOGUE.values()) - {line[0] for line in lines}
    assert not missing, f"{missing}: run `make torture`"
    for line in lines:
        figures = dict(zip(COLUMNS, map(int, line[2:-1]), strict=True))
        assert figures.pop("injected") == figures.pop("survived") > 0, line
        assert not any(figures.values()), line


def test_kills_of_workers_and_drivers_are_fifty_or_more() -> None:
    lines = lines_of(PAGE.read_text(encoding="utf-8"))
    pools = [line for line in lines if line[0] == CATALOGUE["kill"] and "pool" in line[1]]
    assert sum(int(line[2]) for line in pools) >= 50
