"""The bank of papers: strict, complete, and what its figures say it is."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from spooflab.errors import ConfigError
from spooflab.generators.instruments.ink_colour import linear_to_lab
from spooflab.generators.instruments.paper import choose_papers, load_papers

BANK = Path(__file__).parents[2] / "configs" / "instruments" / "papers.yaml"


def entries() -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = yaml.safe_load(BANK.read_text(encoding="utf-8"))["instruments"]
    return rows


def write(tmp_path: Path, rows: list[dict[str, Any]]) -> Path:
    path = tmp_path / "papers.yaml"
    path.write_text(yaml.safe_dump({"instruments": rows}), encoding="utf-8")
    return path


def test_shipped_bank_is_broad() -> None:
    papers = load_papers()
    assert len(papers) >= 8
    assert {p.process for p in papers.values()} == {"am", "fm", "contone"}
    rulings = [p.screen.lpi for p in papers.values() if p.screen is not None]
    assert min(rulings) <= 85
    assert max(rulings) >= 150
    assert len({p.number for p in papers.values()}) == len(papers)
    assert all(0 <= p.number < 2**63 for p in papers.values())


def test_posters_differ_by_process_gloss_and_texture() -> None:
    posters = choose_papers(None, ("poster",))
    assert len(posters) >= 6
    assert {p.process for p in posters} == {"am", "fm"}
    assert min(p.surface.roughness for p in posters) < 0.06  # a gloss laminate
    assert any(p.surface.woven for p in posters)
    assert all(150 <= p.screen.lpi <= 200 or p.id == "poster_blueback_133" for p in posters if p.screen is not None)
    assert not any(p.surface.folds for p in posters if p.surface.woven or p.surface.roughness < 0.1)


def test_coarse_screens_are_rare() -> None:
    office = choose_papers(None, ("a4",))
    coarse = [p.weight for p in office if p.screen is not None and p.screen.lpi < 110]
    assert sum(coarse) / sum(p.weight for p in office) < 0.1


def test_inks_are_those_of_the_bank() -> None:
    """Solids reproduce their L*a*b* where sRGB's primaries can state them at all."""
    for paper in load_papers().values():
        model = paper.ink_model()
        assert linear_to_lab(model.white).tolist() == pytest.approx(list(paper.white_lab), abs=0.5), paper.id
        if paper.inks_lab is None:
            continue
        for lab, index in ((paper.inks_lab.m, 2), (paper.inks_lab.k, 8), (paper.inks_lab.cmy, 7)):
            got = linear_to_lab(model.primaries[index])
            assert (got - got.new_tensor(lab)).norm() < 6, (paper.id, index)
        assert bool((model.primaries > 0).all())


def test_photo_papers_are_darker_and_glossier_than_office_papers() -> None:
    photo, office = choose_papers(None, ("photo",)), choose_papers(None, ("a4",))
    assert min(p.surface.roughness for p in photo) < 0.1
    assert min(p.surface.roughness for p in office) > 0.2


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"colour": "red"}, "colour"),
        ({"yule_nielsen_n": 0.5}, "yule_nielsen_n"),
        ({"process": "lino"}, "process"),
        ({"fm": {"dpi": 600}}, "process am wants"),
        ({"screen": {"lpi": 5}}, "lpi"),
        ({"white_lab": [140, 0, 0]}, "white_lab"),
        ({"id": "Has Space"}, "id"),
    ],
)
def test_wrong_entry_is_named(tmp_path: Path, change: dict[str, Any], named: str) -> None:
    rows = entries()
    rows[0] |= change
    with pytest.raises(ConfigError, match=named):
        load_papers(write(tmp_path, rows))


def test_missing_key_repeated_id_and_empty_bank(tmp_path: Path) -> None:
    rows = entries()
    del rows[0]["surface"]
    with pytest.raises(ConfigError, match="surface"):
        load_papers(write(tmp_path, rows))
    rows = entries()
    rows[1]["id"] = rows[0]["id"]
    (tmp_path / "b").mkdir()
    with pytest.raises(ConfigError, match="ids repeat"):
        load_papers(write(tmp_path / "b", rows))
    (tmp_path / "c").mkdir()
    with pytest.raises(ConfigError):
        load_papers(write(tmp_path / "c", []))


def test_choice_is_restricted_and_ordered() -> None:
    chosen = choose_papers(["newsprint_85", "laser_office_141"], ("a4",))
    assert [p.id for p in chosen] == ["laser_office_141", "newsprint_85"]
    with pytest.raises(ConfigError, match="dyesub_glossy"):
        choose_papers(["dyesub_glossy"], ("a4",))
    with pytest.raises(ConfigError, match="papyrus"):
        choose_papers(["papyrus"], ("a4", "photo"))
