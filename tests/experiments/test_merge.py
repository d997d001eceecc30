"""Merged data sets keep their pictures, tell where each came from, and keep a person who is in both together."""

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
from planted import replant

from spooflab.cli.main import run as command
from spooflab.errors import ConfigError, DataError
from spooflab.experiments.index_columns import data_sets
from spooflab.experiments.leakage import require_no_leak
from spooflab.experiments.merge import merge
from spooflab.experiments.protocols import CrossDataset
from spooflab.store import Store, iter_images, read_index

Indexed = Callable[..., pa.Table]


@pytest.fixture(scope="module")
def two(
    indexed: Indexed, stored: Callable[[Path, pa.Table], Path], tmp_path_factory: pytest.TempPathFactory
) -> list[Path]:
    """Two data sets with the same keys; s00 is in both, all others are other people."""
    folder = tmp_path_factory.mktemp("merge")
    first = stored(folder / "a", indexed(subjects=8, species=("bonafide", "print_a4")))
    changes = {}
    for row in read_index(first).to_pylist():
        if row["subject_id"] != "s00":
            names = {"subject_id": f"t{row['subject_id']}", "claimed_id": f"t{row['subject_id']}"}
            changes[row["key"]] = names | {"source_id": f"t{row['source_id']}"}
    return [first, replant(first, folder / "b", changes)]


def test_pictures_are_kept_and_named_by_their_data_set(two: list[Path], tmp_path: Path) -> None:
    found = merge({"a": two[0], "b": two[1]}, tmp_path / "c")
    index = read_index(tmp_path / "c")
    assert found.rows == {"a": 64, "b": 64}
    assert set(data_sets(index).tolist()) == {"a", "b"}
    assert Store.open(tmp_path / "c").verify().ok
    for name, root in zip("ab", two, strict=True):
        original = {f"{name}.{key}": data for key, data in iter_images(root)}
        assert dict(iter_images(tmp_path / "c", original)) == original


def test_a_person_in_both_joins_their_groups(two: list[Path], tmp_path: Path) -> None:
    assert merge({"a": two[0], "b": two[1]}, tmp_path / "c").joined == 1
    index = read_index(tmp_path / "c")
    rows = index.select(["subject_id", "subject_group"]).to_pylist()
    assert {row["subject_group"] for row in rows if row["subject_id"] in ("s00", "s01", "ts01")} == {"a.g0"}
    assert {row["subject_group"] for row in rows} == {"a.g0", "a.g1", "b.g1"}
    # One group of each data set is left without the joined one: too few to train and choose.
    with pytest.raises(DataError, match="1 subject groups are left"):
        CrossDataset().folds(index)
    folds = CrossDataset(people="share").folds(index)
    assert [fold.name for fold in folds] == ["a to b", "b to a"]
    # The second data set's pictures are copies under other names: the proof sees through them.
    with pytest.raises(DataError, match=r"shared image in train / test .*: a\.\w+ in train, b\.\w+ in test"):
        require_no_leak(index, folds[0])


def test_a_stopped_merge_goes_on_and_wrong_input_is_named(two: list[Path], tmp_path: Path) -> None:
    parts = {"a": two[0], "b": two[1]}
    merge(parts, tmp_path / "whole")

    class StopHere(Exception):
        pass

    def stop(*_: int) -> None:
        raise StopHere

    with pytest.raises(StopHere):
        merge(parts, tmp_path / "c", progress=stop)
    merge(parts, tmp_path / "c", resume=True)
    for name in ("shard-00000.parquet", "shard-00001.parquet"):
        assert (tmp_path / "c" / "shards" / name).read_bytes() == (tmp_path / "whole" / "shards" / name).read_bytes()
    with pytest.raises(ConfigError, match="two or more"):
        merge({"a": two[0]}, tmp_path / "d")
    with pytest.raises(ConfigError, match=r"data set name 'a\.b'"):
        merge({"a.b": two[0], "b": two[1]}, tmp_path / "d")
    with pytest.raises(DataError, match="has a dot"):
        merge({"a": tmp_path / "whole", "b": two[1]}, tmp_path / "d")


def test_the_command_names_what_is_wrong(two: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command(["merge", f"a={two[0]}", f"b={two[1]}", "--out", str(tmp_path / "c"), "--json"]) == 0
    assert '"joined_groups": 1' in capsys.readouterr().out
    assert command(["merge", str(two[0]), f"b={two[1]}", "--out", str(tmp_path / "d")]) == 2
    assert "NAME=FOLDER" in capsys.readouterr().err
    assert command(["merge", f"a={two[0]}", f"a={two[1]}", "--out", str(tmp_path / "d")]) == 2
