import json
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from spooflab.cli.main import run
from spooflab.errors import ConfigError, DataError
from spooflab.experiments.data_sets.lineage import lineage_of
from spooflab.experiments.data_sets.merging.merge import merge
from spooflab.experiments.data_sets.stats import measure
from spooflab.store import Store, iter_images, read_index, read_row

MakeStore = Callable[..., Path]


def shard_bytes(root: Path) -> list[bytes]:
    return [path.read_bytes() for path in sorted((root / "shards").iterdir())]


@pytest.mark.slow
def test_everything_of_the_parts_is_there_and_names_are_apart(make_store: MakeStore, tmp_path: Path) -> None:
    a, b, out = make_store("a"), make_store("b", 7, seed=1), tmp_path / "out"
    done = merge([a, b], out)
    assert (done.summary.rows, done.summary.skips, done.duplicates) == (19, 4, 0)
    assert Store.open(out).verify().ok
    keys = read_index(out).column("key").to_pylist()
    assert keys == [f"a-s{n:08d}" for n in range(12)] + [f"b-s{n:08d}" for n in range(7)]
    stored = {f"{name}-{key}": png for name, root in (("a", a), ("b", b)) for key, png in iter_images(root)}
    assert dict(iter_images(out)) == stored
    old, new = read_row(b, "s00000003"), read_row(out, "b-s00000003")
    assert (new.subject_id, new.donor_id) == (f"b/{old.subject_id}", f"b/{old.donor_id}")
    assert (new.claimed_id, new.subject_group) == (f"b/{old.claimed_id}", "b/g000000")
    assert (new.device_id, new.instrument_id, new.params) == (old.device_id, old.instrument_id, old.params)
    assert measure(out).subjects == 6, "three people of the same names in both are six"
    assert done.shared == ["procedural/p0", "procedural/p1", "procedural/p2"]
    assert done.without == {"a": {"depth": 6, "regions": 12}, "b": {"depth": 4, "regions": 7}}
    reasons = [(s.key, s.subject_id) for record in Store.open(out).committed() for s in record.skips]
    assert reasons == [(f"{n}-s{k:08d}", "") for n, k in (("a", 12), ("a", 13), ("b", 7), ("b", 8))]


def test_the_order_decides_and_the_same_order_gives_the_same_bytes(make_store: MakeStore, tmp_path: Path) -> None:
    a, b = make_store("a"), make_store("b", 7, seed=1)
    for name, parts in (("x", [a, b]), ("y", [a, b]), ("z", [b, a])):
        merge(parts, tmp_path / name)
    assert shard_bytes(tmp_path / "x") == shard_bytes(tmp_path / "y") != shard_bytes(tmp_path / "z")
    rows = {name: {r["key"]: r for r in read_index(tmp_path / name).to_pylist()} for name in ("x", "z")}
    assert rows["x"] == rows["z"], "another order of the same rows"


def test_pictures_that_come_twice_are_refused_or_recorded(make_store: MakeStore, tmp_path: Path) -> None:
    a, b, out = make_store("a"), make_store("b", 14), tmp_path / "out"
    with pytest.raises(DataError, match=r"12 pictures come twice: b-s00000000 is a-s00000000") as refused:
        merge([a, b], out)
    assert "--duplicates skip" in str(refused.value)
    assert not out.exists()
    done = merge([a, b], out, duplicates="skip")
    assert (done.summary.rows, done.duplicates) == (14, 12)
    skips = [s for record in Store.open(out).committed() for s in record.skips if s.reason == "duplicate"]
    assert skips[0].detail == "the same picture as a-s00000000"
    assert skips[0].subject_id == "b/procedural/p0"
    assert Store.open(out).verify().ok
    hashes = read_index(out).column("image_sha256").to_pylist()
    assert len(set(hashes)) == len(hashes) == 14


def test_one_picture_with_two_labels_is_refused(make_store: MakeStore, tmp_path: Path) -> None:
    a, b = make_store("a", 1), make_store("b", 1, species="print_a4", instrument_id="paper")
    with pytest.raises(DataError, match="bonafide as a-s00000000 and attack as b-s00000000"):
        merge([a, b], tmp_path / "out", duplicates="skip")


def test_groups_that_share_a_person_become_one(make_store: MakeStore, tmp_path: Path) -> None:
    parts = [
        make_store("a", 3, seed=1, subject_group="g0"),
        make_store("b", 1, seed=2, subject_group="g7"),  # procedural/p0, whom a and c have too
        make_store("c", 2, seed=3, subject_group="g7", subject_id="procedural/p9"),
        make_store("d", 1, seed=4, subject_group="g1", subject_id="procedural/p9"),
    ]
    merge(parts, tmp_path / "out", people="same")
    rows = read_index(tmp_path / "out").to_pylist()
    group: dict[str, set[str]] = {}
    for row in rows:
        group.setdefault(row["subject_id"], set()).add(row["subject_group"])
    assert group == {
        **{f"procedural/p{n}": {"a/g0"} for n in range(3)},
        "procedural/p9": {"c/g7"},
    }
    assert Store.open(tmp_path / "out").verify().ok


def test_an_interrupted_merge_goes_on_to_the_same_bytes(make_store: MakeStore, tmp_path: Path) -> None:
    a, b = make_store("a"), make_store("b", 7, seed=1)
    merge([a, b], tmp_path / "whole")
    stop = iter((False, True))

    def interrupt(_: Any) -> None:
        if next(stop):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        merge([a, b], tmp_path / "cut", progress=interrupt)
    assert len(Store.open(tmp_path / "cut").pending()) == 3
    with pytest.raises(DataError, match="another plan"):
        merge([b, a], tmp_path / "cut", resume=True)
    merge([a, b], tmp_path / "cut", resume=True)
    assert shard_bytes(tmp_path / "cut") == shard_bytes(tmp_path / "whole")


def test_a_merge_of_merges_keeps_every_plan(make_store: MakeStore, tmp_path: Path) -> None:
    a, b, c = make_store("a", 2), make_store("b", 2, seed=1), make_store("c", 2, seed=2)
    merge([a, b], tmp_path / "ab")
    merge([tmp_path / "ab", c], tmp_path / "abc")
    lineage = lineage_of(tmp_path / "abc")
    assert [(name, part.kind) for name, part in lineage.parts] == [("ab", "merge"), ("c", "generate")]
    assert [source.part for source in lineage.sources] == ["ab/a", "ab/b", "c"]
    assert lineage.parts[1][1].fingerprint == Store.open(c).fingerprint
    assert (
        lineage.command == "spooflab merge again-ab again-c --names ab c --duplicates error --people apart --out again"
    )
    assert lineage.parts[0][1].command.startswith("spooflab merge again-ab-a again-ab-b --names a b")  # type: ignore[union-attr]
    assert list(lineage.configs) == ["generation-ab-a.yaml", "generation-ab-b.yaml", "generation-c.yaml"]
    keys = read_index(tmp_path / "abc").column("key").to_pylist()
    assert keys[0] == "ab-a-s00000000"
    assert all(left != right for left, right in pairwise(sorted(keys)))


def test_the_command_and_its_refusals(
    make_store: MakeStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    a, b = make_store("a", 2), make_store("b", 2, seed=1)
    assert run(["merge", str(a), str(b), "--out", str(tmp_path / "out"), "--json"]) == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out)["parts"] == {"a": 2, "b": 2}
    assert "--people same" in printed.err
    assert run(["merge", str(a), str(b), "--out", str(tmp_path / "out")]) == 2
    assert "already holds a data set" in capsys.readouterr().err
    for names in (["x", "x"], ["x"], ["x", "y-z"], ["x", "../y"]):
        with pytest.raises(ConfigError, match="name"):
            merge([a, b], tmp_path / "other", names=names)
    assert run(["generate", "--out", str(tmp_path / "out"), "--resume"]) == 2
    assert "was not made by generate" in capsys.readouterr().err
