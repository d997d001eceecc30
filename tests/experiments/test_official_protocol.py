"""A data set's own protocol comes back from the records as folds that do not leak."""

import json

import numpy as np
import pyarrow as pa
import pytest

from spooflab.errors import DataError
from spooflab.experiments.leakage import require_no_leak
from spooflab.experiments.protocols import Official, SubjectSplit


def index_of(splits: list[dict[str, str]], groups: list[str]) -> pa.Table:
    rows = range(len(splits))
    return pa.table(
        {
            "key": [f"k{n:03d}" for n in reversed(rows)],
            "label": ["bonafide" if n % 2 else "attack" for n in rows],
            "species": ["bonafide" if n % 2 else "print_a4" for n in rows],
            "subject_id": groups,
            "donor_id": [""] * len(groups),
            "subject_group": groups,
            "source_id": [f"clip{n // 2}" for n in rows],
            "image_sha256": [f"{n}" for n in rows],
            "params": [json.dumps({"splits": s}) for s in splits],
        }
    )


def test_sub_folds_are_folds_and_parts_are_as_recorded() -> None:
    splits = [{"p3.1": "train", "p3.2": "test"}, {"p3.1": "dev", "p3.2": "dev"}, {"p3.1": "test", "p3.2": "train"}, {}]
    index = index_of([s for s in splits for _ in range(2)], [g for g in "abcd" for _ in range(2)])
    one, two = Official(protocol="p3").folds(index)
    assert (one.name, two.name) == ("p3.1", "p3.2")
    assert sorted(one.train) == sorted(two.test) == [0, 1]
    assert sorted(one.dev) == sorted(two.dev) == [2, 3]
    assert sorted(one.test) == [4, 5]
    assert [fold.name for fold in Official(protocol="p3.2").folds(index)] == ["p3.2"]
    for fold in (one, two):
        require_no_leak(index, fold)
        assert fold.problem(index) is None


def test_a_dev_part_is_cut_from_training_people_where_none_is_given() -> None:
    groups = [f"g{n // 2}" for n in range(24)]
    index = index_of([{"p": "train" if n < 20 else "test"} for n in range(24)], groups)
    (fold,) = Official(protocol="p", split=SubjectSplit(dev=0.3)).folds(index)
    assert len(fold.dev) == 6
    assert not set(np.array(groups)[fold.dev]) & set(np.array(groups)[fold.train])
    assert sorted([*fold.train, *fold.dev]) == list(range(20))
    assert "3 of 10" in fold.note
    (again,) = Official(protocol="p", split=SubjectSplit(dev=0.3)).folds(index)
    assert again.dev.tolist() == fold.dev.tolist()
    require_no_leak(index, fold)


def test_a_leak_in_the_official_parts_is_refused() -> None:
    index = index_of([{"p": "train"}, {"p": "dev"}, {"p": "test"}, {"p": "test"}], ["a", "b", "a", "c"])
    with pytest.raises(DataError, match="shared subject"):
        require_no_leak(index, Official(protocol="p").folds(index)[0])


def test_an_unknown_protocol_names_those_that_are_recorded() -> None:
    index = index_of([{"p3.1": "train"}, {"q": "test"}], ["a", "b"])
    with pytest.raises(DataError, match=r"p3\.1, q"):
        Official(protocol="r").folds(index)
    with pytest.raises(DataError, match="1 training group"):
        Official(protocol="p3").folds(index)
