import hashlib
import io
import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import yaml
from PIL import Image

from spooflab.cli.main import run
from spooflab.experiments.data_sets.card import write_card
from spooflab.experiments.data_sets.contact_sheets import COLUMNS, MOST_SHEETS, ROWS_PER_SHEET, TILE_PX, contact_sheets
from spooflab.experiments.data_sets.croissant import CONFORMS_TO, Published
from spooflab.experiments.data_sets.lineage import lineage_of_plan
from spooflab.experiments.data_sets.merging.merge import merge
from spooflab.experiments.data_sets.page import Picture, Points, Rows, Section, Text, html, markdown
from spooflab.generators.config import GenerationConfig
from spooflab.provenance import ALGORITHMIC_MEDIA
from spooflab.sample import SCHEMA
from spooflab.source_mark import source_mark
from spooflab.store import Store

MakeStore = Callable[..., Path]
TOLD = Published("set", creator="a laboratory", url="https://example.org/set", date="2026-01-31")
PHOTOGRAPHS = {"kind": "folder", "root": "photos", "licence": "CC-BY-4.0", "consent": "signed forms, study 12"}


def plan(*faces: dict[str, Any]) -> dict[str, Any]:
    config = GenerationConfig.model_validate({"n": 4, "seed": 7, "faces": list(faces) or [{"kind": "procedural"}]})
    return {"config": config.model_dump(mode="json"), "faces_sha256": "0", "code": {"spooflab": "0.1.0"}}


def test_same_data_same_bytes_and_no_path_or_time(make_store: MakeStore, tmp_path: Path) -> None:
    root = make_store()
    files = [write_card(root, tmp_path / name, TOLD) for name in ("a", "b")]
    assert [p.relative_to(tmp_path / "a") for p in files[0]] == [p.relative_to(tmp_path / "b") for p in files[1]]
    assert all(x.read_bytes() == y.read_bytes() for x, y in zip(*files, strict=True))
    for path in files[0]:
        assert str(tmp_path).encode() not in path.read_bytes()


def test_the_card_tells_what_binds_its_user(make_store: MakeStore, tmp_path: Path) -> None:
    root = make_store(plan=plan({"kind": "procedural"}, PHOTOGRAPHS))
    write_card(root, root, TOLD)
    card = (root / "card.md").read_text(encoding="utf-8")
    for words in ("signed forms, study 12", "CC-BY-4.0", "Real people are shown", "12 of 12 pictures are synthetic"):
        assert words in card
    assert "```\nspooflab generate generation.yaml --out again\n```" in card
    again = GenerationConfig.model_validate(yaml.safe_load((root / "generation.yaml").read_text(encoding="utf-8")))
    assert again.model_dump(mode="json") == Store.open(root).plan["config"]
    assert Store.open(root).verify().problems == (), "the card's files are no orphans of the store"


def test_rendered_people_need_no_consent_and_old_plans_say_that_none_is_stated() -> None:
    rendered = lineage_of_plan(plan(), "f").sources
    assert [(s.people, s.licence) for s in rendered] == [(False, "CC0-1.0")]
    old = {"kind": "ingest", "config": {"reader": "casia_fasd", "root": "/data/c", "licence": "as agreed", "frames": 8}}
    lineage = lineage_of_plan(old, "f")
    assert [(s.consent, s.licence) for s in lineage.sources] == [("not stated", "as agreed")]
    assert lineage.command == "spooflab ingest casia_fasd /data/c --licence 'as agreed' --frames 8 --out again"
    assert lineage_of_plan({"anything": 1}, "f").kind == "other"


def test_a_crafted_plan_names_no_file_outside_of_the_card() -> None:
    part = {"name": "../../x", "fingerprint": 3, "plan": plan()}
    lineage = lineage_of_plan({"kind": "merge", "parts": [part, "no part"]}, "f")
    assert list(lineage.configs) == ["generation-______x.yaml"]
    assert lineage_of_plan({"kind": "merge", "parts": 5}, "f").parts == ()
    assert lineage_of_plan({"config": {"faces": 1}, "faces_sha256": ""}, "f").sources == ()


def test_croissant_has_what_the_specification_requires(make_store: MakeStore, tmp_path: Path) -> None:
    """Properties and cardinalities of Croissant 1.0, sections Dataset-level information, Resources, RecordSets."""
    root = make_store()
    write_card(root, root, TOLD)
    found = json.loads((root / "croissant.json").read_text(encoding="utf-8"))
    required = {"@context", "@type", "conformsTo", "description", "license", "name", "url", "creator", "datePublished"}
    assert required <= found.keys()
    context = found["@context"]
    assert (context["@vocab"], context["cr"]) == ("https://schema.org/", "http://mlcommons.org/croissant/")
    assert context["conformsTo"] == "dct:conformsTo"
    assert CONFORMS_TO in found["conformsTo"]
    assert found["license"] == ["https://spdx.org/licenses/CC0-1.0.html"]
    ids = [node["@id"] for node in (*found["distribution"], *found["recordSet"], *found["recordSet"][0]["field"])]
    assert len(set(ids)) == len(ids)
    files = [node for node in found["distribution"] if node["@type"] == "cr:FileObject"]
    assert len(files) == 3
    for node in files:
        data = (root / node["contentUrl"]).read_bytes()
        assert (node["sha256"], node["contentSize"]) == (hashlib.sha256(data).hexdigest(), f"{len(data)} B")
        assert node["encodingFormat"] == "application/x-parquet"
    (file_set,) = (node for node in found["distribution"] if node["@type"] == "cr:FileSet")
    assert sorted(root.glob(file_set["includes"])) == sorted(root / node["contentUrl"] for node in files)
    (records,) = found["recordSet"]
    assert records["key"]["@id"] in ids
    assert [field["source"]["extract"]["column"] for field in records["field"]] == SCHEMA.names
    for field in records["field"]:
        assert field["@type"] == "cr:Field"
        assert field["source"]["fileSet"]["@id"] == file_set["@id"]
        kinds = field["dataType"] if isinstance(field["dataType"], list) else [field["dataType"]]
        assert all(kind.startswith(("sc:", "cr:")) for kind in kinds)
    aliases = {key for key in all_keys(found) if not key.startswith("@") and ":" not in key}
    schema_org = {"name", "description", "license", "url", "creator", "datePublished", "version", "keywords"}
    schema_org |= {"distribution", "contentUrl", "contentSize", "encodingFormat", "sha256"}
    assert aliases - schema_org <= context.keys(), "a term that is no alias would be read as schema.org's"


def all_keys(node: Any) -> set[str]:
    if isinstance(node, dict):
        return {key for key in node if "@vocab" not in node} | {k for v in node.values() for k in all_keys(v)}
    return {key for value in node for key in all_keys(value)} if isinstance(node, list) else set()


def test_croissant_elsewhere_still_finds_the_shards(make_store: MakeStore, tmp_path: Path) -> None:
    root = make_store()
    write_card(root, tmp_path / "cards/of/it", TOLD)
    found = json.loads((tmp_path / "cards/of/it/croissant.json").read_text(encoding="utf-8"))
    urls = [node["contentUrl"] for node in found["distribution"] if "contentUrl" in node]
    assert all((tmp_path / "cards/of/it" / url).resolve().is_file() for url in urls)
    assert len(urls) == 3


def test_contact_sheets_are_chosen_by_seed_bounded_and_marked(make_store: MakeStore) -> None:
    root = make_store(rows=40)
    sheets = contact_sheets(root)
    assert [sheet.name for sheet in sheets] == ["species-1", "device-1"]
    assert sheets == contact_sheets(root) != contact_sheets(root, seed=1)
    with Image.open(io.BytesIO(sheets[0].jpeg)) as image:
        assert image.width >= (1 + COLUMNS) * TILE_PX
        assert 4 * TILE_PX <= image.height < 4 * TILE_PX * 1.4
    assert {source_mark(sheet.jpeg) for sheet in sheets} == {ALGORITHMIC_MEDIA}
    assert ROWS_PER_SHEET * MOST_SHEETS * COLUMNS * TILE_PX**2 * 3 < 16e6


class Seen(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.sources: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.sources += [value or "" for name, value in attrs if name in ("src", "href")]


def test_names_of_others_cannot_become_markup_and_the_page_needs_nothing_else() -> None:
    evil = "<script>alert(1)</script> | `x` ![a](http://e) \n# h"
    sections = [
        Section(evil, (Text(evil), Points((evil,)), Rows((evil,), ((evil,),)), Picture("p/a.jpg", "c", b"jpeg")))
    ]
    text = markdown(evil, evil, sections)
    assert "<script>" not in text
    assert re.findall(r"(?<!\\)\[[^]]*\]\(", text) == ["[c]("], "no link but our own picture"
    assert len(re.findall(r"^#+ ", text, re.MULTILINE)) == 2
    seen = Seen()
    seen.feed(html(evil, evil, sections))
    assert "script" not in seen.tags
    assert seen.sources == ["#s1", "data:image/jpeg;base64,anBlZw=="]


def test_the_card_of_a_merge_names_every_part(make_store: MakeStore, tmp_path: Path) -> None:
    a, b = make_store("a", 3, plan=plan(PHOTOGRAPHS)), make_store("b", 3, seed=1)
    merge([a, b], tmp_path / "out")
    write_card(tmp_path / "out", tmp_path / "out", TOLD)
    card = (tmp_path / "out/card.md").read_text(encoding="utf-8")
    assert "| a | photographs (folder) from photos | yes | CC-BY-4.0 | signed forms, study 12 |" in card
    assert "| b | rendered heads: 3 people, 1 sessions each | no |" in card


def test_the_command_says_what_croissant_lacks(make_store: MakeStore, capsys: pytest.CaptureFixture[str]) -> None:
    root = make_store(rows=2)
    assert run(["card", str(root), "--creator", "us", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["files"]) == 7
    assert run(["card", str(root), "--creator", "us"]) == 0
    assert "--url, --date" in capsys.readouterr().err
    (root / "shards/shard-00000.json").unlink()
    assert run(["card", str(root)]) == 2
    assert "shards are missing" in capsys.readouterr().err
