import json
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from spooflab.cli.main import run
from spooflab.errors import ConfigError, DataError
from spooflab.experiments.data_sets.curation.coverage import coverage, nearest
from spooflab.experiments.data_sets.curation.curate import Wish, curate
from spooflab.experiments.data_sets.curation.embedding import FACE_NET, embedded, load_embedding
from spooflab.experiments.data_sets.curation.parameters import cubes, parameter_space
from spooflab.experiments.data_sets.lineage import lineage_of
from spooflab.experiments.data_sets.priors import priors_of
from spooflab.store import Store, read_index, read_row

MakeStore = Callable[..., Path]
DRAWS = 256


def files(root: Path) -> dict[str, bytes]:
    return {str(p.relative_to(root)): p.read_bytes() for p in sorted(root.rglob("*")) if p.is_file()}


def test_a_subset_is_a_whole_store_of_rows_as_they_were(drawn_store: MakeStore, tmp_path: Path) -> None:
    root, out = drawn_store(), tmp_path / "few"
    done = curate(root, out, Wish(8, "parameters", ("species",), per_shard=3), draws=DRAWS)
    assert Store.open(out).verify().ok
    index = read_index(out)
    assert Counter(index.column("species").to_pylist()) == {"bonafide": 4, "replay_phone": 4}
    assert done.strata == {"bonafide": (4, 12), "replay_phone": (4, 12)}
    keys = index.column("key").to_pylist()
    assert keys == sorted(keys)
    assert [read_row(out, key) for key in keys] == [read_row(root, key) for key in keys]
    assert [record.rows for record in Store.open(out).committed()] == [3, 3, 2]
    assert json.loads((out / "curation.json").read_text())["of"] == 24


def test_what_was_chosen_is_farthest_first_and_the_report_is_its_coverage(
    drawn_store: MakeStore, tmp_path: Path
) -> None:
    root = drawn_store()
    done = curate(root, tmp_path / "few", Wish(5, "parameters"), draws=DRAWS)
    cube = cubes(root, 24, priors_of(Store.open(root).plan, draws=DRAWS))
    distance = parameter_space(*cube).squared(np.arange(24))
    keys = read_index(root).column("key").to_pylist()
    rows = [keys.index(key) for key in read_index(tmp_path / "few").column("key").to_pylist()]
    assert any(_greedy(distance, first, 5) == set(rows) for first in range(24))
    squared = nearest(parameter_space(*cube), {(): np.arange(24)}, rows)
    assert np.allclose(squared, distance[rows].min(0))
    scale = done.selected.largest / np.sqrt(squared.max())  # the space is scaled to a mean squared distance of 1
    told = coverage(squared, cube, rows)
    assert done.selected.mean == pytest.approx(scale * told.mean)
    assert done.selected.tenths == told.tenths
    assert len(done.random) == 3
    assert done.selected.largest <= 2 * min(r.largest for r in done.random)  # no choice is better by more


def _greedy(squared: np.ndarray, first: int, count: int) -> set[int]:
    chosen = [first]
    while len(chosen) < count:
        near = squared[chosen].min(0)
        near[chosen] = -1
        chosen.append(int(near.argmax()))
    return set(chosen)


def test_the_embedding_finds_pictures_that_look_different(drawn_store: MakeStore, tmp_path: Path) -> None:
    root = drawn_store(colour=lambda number: (30, 120, 220)[number % 3])
    curate(root, tmp_path / "few", Wish(3, "embedding"), draws=DRAWS)
    keys = read_index(tmp_path / "few").column("key").to_pylist()
    assert sorted(int(key[1:]) % 3 for key in keys) == [0, 1, 2]
    space = embedded(root, 24, load_embedding(FACE_NET))
    assert space.blocks[0].values.shape == (24, 240)


@pytest.mark.slow
def test_the_same_wish_gives_the_same_bytes(drawn_store: MakeStore, tmp_path: Path) -> None:
    root, wish = drawn_store(), Wish(9, "both", ("species", "device"), per_shard=4)
    for name in ("a", "b"):
        curate(root, tmp_path / name, wish, draws=DRAWS)
    assert files(tmp_path / "a") == files(tmp_path / "b")
    (tmp_path / "b/shards/shard-00001.json").unlink()
    curate(root, tmp_path / "b", wish, draws=DRAWS, resume=True)
    assert files(tmp_path / "a") == files(tmp_path / "b")
    with pytest.raises(DataError, match=r"selection\.n: stored 9, now 10"):
        curate(root, tmp_path / "b", Wish(10, "both", ("species", "device"), per_shard=4), draws=DRAWS, resume=True)


def test_the_plan_tells_source_and_selection_and_the_card_how_to_choose_again(
    drawn_store: MakeStore, tmp_path: Path
) -> None:
    root, out = drawn_store(), tmp_path / "few"
    curate(root, out, Wish(6, "parameters", ("species",), seed=3), draws=DRAWS)
    plan = Store.open(out).plan
    assert plan["source"]["fingerprint"] == Store.open(root).fingerprint
    assert plan["source"]["plan"] == Store.open(root).plan
    assert plan["selection"] | {"keys_sha256": ""} == {
        "n": 6, "by": "parameters", "stratify": ["species"], "seed": 3, "embedding": None, "prior_draws": DRAWS,
        "algorithm": "farthest first (Gonzalez 1985)", "keys_sha256": "",
    }  # fmt: skip
    lineage = lineage_of(out)
    assert lineage.kind == "curate"
    assert [source.what for source in lineage.sources] == ["rendered heads: 3 people, 1 sessions each"]
    assert lineage.command == (
        "spooflab curate again-source --n 6 --by parameters --seed 3 --stratify species --per-shard 64 --out again"
    )
    assert lineage.parts[0][1].command == "spooflab generate generation-source.yaml --out again-source"


def test_wishes_that_cannot_be_are_refused(drawn_store: MakeStore, make_store: MakeStore, tmp_path: Path) -> None:
    root, out = drawn_store(), tmp_path / "few"
    with pytest.raises(ConfigError, match="stratify: colour"):
        Wish(3, stratify=("colour",))
    with pytest.raises(ConfigError, match="n 0"):
        Wish(0)
    with pytest.raises(DataError, match="25 of 24"):
        curate(root, out, Wish(25, "parameters"), draws=DRAWS)
    with pytest.raises(ConfigError, match="no folder"):
        curate(root, out, Wish(3, embedding="nowhere"), draws=DRAWS)
    plain = make_store("plain", plan={"kind": "ingest", "config": {}})
    with pytest.raises(DataError, match="parameters of a known prior"):
        curate(plain, out, Wish(3, "both"), draws=DRAWS)
    assert not out.exists()


def test_the_command_says_what_it_did(
    drawn_store: MakeStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = drawn_store()
    base = ["curate", str(root), "--out", str(tmp_path / "few"), "--n", "4", "--by", "parameters"]
    assert run([*base, "--stratify", "species,device"]) == 0
    told = capsys.readouterr()
    assert "largest distance to the subset" in told.out
    assert "4 of 24 pictures" in told.err
    shutil.rmtree(tmp_path / "few")
    assert run([*base, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["summary"]["rows"] == 4
