"""What each of the newer protocols promises beyond the contract of all."""

from collections.abc import Callable
from importlib import resources
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pydantic import ValidationError

from spooflab.config import load_config, parse_config
from spooflab.errors import ConfigError, DataError
from spooflab.experiments.index_columns import column
from spooflab.experiments.protocols import (
    CrossDataset,
    LeaveOneAttackAndDeviceOut,
    LeaveOneDomainOut,
    LeaveOneInstrumentOut,
    RandomSubjects,
    SubjectSplit,
    SyntheticToReal,
)
from spooflab.experiments.study import train_settings
from spooflab.experiments.study_config import StudyConfig

Indexed = Callable[..., pa.Table]


def told(index: pa.Table, name: str, rows: np.ndarray) -> set[str]:
    return set(column(index, name)[rows].tolist())


def merged(*tables: tuple[str, pa.Table], synthetic: str = "") -> pa.Table:
    """Put data sets into one, as `spooflab merge` does: keys, people and groups by data set."""
    parts = []
    for name, table in tables:
        for field in ("key", "subject_id", "subject_group", "source_id", "image_sha256"):
            values = [f"{name}-k{v}" for v in table.column(field).to_pylist()]
            table = table.set_column(table.column_names.index(field), field, [values])
        made = [name == synthetic] * table.num_rows
        parts.append(table.set_column(table.column_names.index("synthetic"), "synthetic", [made]))
    return pa.concat_tables(parts)


@pytest.fixture(scope="module")
def three(indexed: Indexed) -> pa.Table:
    kinds = ("bonafide", "print_a4", "replay_phone")
    return merged(*((name, indexed(subjects=12, species=kinds)) for name in ("oulu", "casia", "msu")))


def test_a_pair_of_attack_and_device_is_unseen_at_once(index: pa.Table) -> None:
    folds = LeaveOneAttackAndDeviceOut(only_devices=("kiosk",)).folds(index)
    assert [f.name for f in folds] == sorted(f"{s} x kiosk" for s in set(column(index, "species")) - {"bonafide"})
    fold = next(f for f in folds if f.name == "replay_phone x kiosk")
    assert told(index, "species", fold.test) == {"bonafide", "replay_phone"}
    assert told(index, "device_profile", fold.test) == {"kiosk"}
    for rows in (fold.train, fold.dev):
        assert "kiosk" not in told(index, "device_profile", rows)
        assert not {"replay_phone", "swap_blend+replay_phone"} & told(index, "species", rows)
    assert "swap_blend+replay_phone" in fold.note


def test_an_instrument_is_held_out_while_its_species_trains(index: pa.Table) -> None:
    fold = next(f for f in LeaveOneInstrumentOut().folds(index) if f.name == "print_a4-1")
    assert "print_a4" in told(index, "species", fold.train)
    assert "print_a4-0" in told(index, "instrument_id", fold.train)
    assert told(index, "instrument_id", fold.test) == {"", "print_a4-1"}
    with pytest.raises(DataError, match="no instrument has 999 attacks"):
        LeaveOneInstrumentOut(least=999).folds(index)


def test_leaving_a_data_set_out_tests_all_of_it_and_trains_on_all_others(three: pa.Table) -> None:
    folds = LeaveOneDomainOut().folds(three)
    assert [f.name for f in folds] == ["casia", "msu", "oulu"]
    names = np.array([key.split("-")[0] for key in column(three, "key")])
    for fold in folds:
        assert sorted(fold.test) == np.flatnonzero(names == fold.name).tolist()
        assert sorted([*fold.train, *fold.dev]) == np.flatnonzero(names != fold.name).tolist()
        assert set(names[fold.dev]) == set(names) - {fold.name}  # every source has people who choose


def test_domains_of_the_same_people_are_told_how_to_be_split(index: pa.Table) -> None:
    with pytest.raises(DataError, match="people: share"):
        LeaveOneDomainOut(by=("device_profile",)).folds(index)
    folds = LeaveOneDomainOut(by=("device_profile",), people="share").folds(index)
    assert all(told(index, "subject_id", f.test) == told(index, "subject_id", folds[0].test) for f in folds)


def test_cross_dataset_takes_every_ordered_pair_or_the_one_asked_for(three: pa.Table) -> None:
    assert len(CrossDataset().folds(three)) == 6
    folds = CrossDataset(train_on=("oulu", "casia"), test_on=("msu",)).folds(three)
    assert [fold.name for fold in folds] == ["casia + oulu to msu"]
    with pytest.raises(ConfigError, match=r"protocol\.test_on: siw not in the data"):
        CrossDataset(test_on=("siw",)).folds(three)
    with pytest.raises(ValidationError, match="both name"):
        CrossDataset(train_on=("a",), test_on=("a",))


def test_repeats_test_other_people_each_time(index: pa.Table) -> None:
    folds = RandomSubjects(repeats=3).folds(index)
    people = [told(index, "subject_id", fold.test) for fold in folds]
    assert sum(map(len, people)) == len(set.union(*people))
    with pytest.raises(ConfigError, match="at most 3 repeats"):
        RandomSubjects(repeats=4).folds(index)


@pytest.fixture(scope="module")
def mixed(indexed: Indexed) -> pa.Table:
    kinds = ("bonafide", "print_a4", "replay_phone")
    real = indexed(subjects=24, species=kinds)
    return merged(("made", indexed(subjects=40, species=kinds)), ("real", real), synthetic="made")


def test_a_ratio_curve_shares_test_rows_and_all_training_rows_that_it_can(mixed: pa.Table) -> None:
    ratios = (0.0, 0.25, 0.5, 0.75, 1.0)
    folds = SyntheticToReal(ratios=ratios, size=80).folds(mixed)
    made = column(mixed, "synthetic") == "True"
    for fold, ratio in zip(folds, ratios, strict=True):
        assert len(fold.train) == 80
        assert made[fold.train].sum() == 80 * ratio
        assert len(fold.dev) == len(folds[0].dev)
        assert made[fold.dev].sum() == round(len(fold.dev) * ratio)
        assert fold.test.tolist() == folds[0].test.tolist()
        assert not made[fold.test].any()
        bonafide = int((column(mixed, "label")[fold.train] == "bonafide").sum())
        assert abs(bonafide - 40) <= 2  # each kind is balanced to one row
    for low, high in pairwise(folds):
        few, more = (set(f.train[made[f.train]].tolist()) for f in (low, high))
        assert few < more
        assert set(high.train[~made[high.train]].tolist()) < set(low.train[~made[low.train]].tolist())


def test_a_ratio_of_one_neither_trains_nor_chooses_on_real_pictures(mixed: pa.Table) -> None:
    (fold,) = SyntheticToReal().folds(mixed)
    assert told(mixed, "synthetic", np.concatenate([fold.train, fold.dev])) == {"True"}
    assert fold.name == "synthetic 1"


def test_more_ratios_do_not_move_the_test_rows(mixed: pa.Table) -> None:
    (alone,) = SyntheticToReal().folds(mixed)
    assert SyntheticToReal(ratios=(0, 1)).folds(mixed)[0].test.tolist() == alone.test.tolist()


def test_ratios_that_the_data_cannot_have_say_what_they_can(mixed: pa.Table, index: pa.Table) -> None:
    with pytest.raises(DataError, match=r"protocol\.size 5000: at ratios 0, 1 the data give \d+"):
        SyntheticToReal(ratios=(0, 1), size=5000).folds(mixed)
    with pytest.raises(DataError, match="no row is real"):
        SyntheticToReal().folds(index)
    with pytest.raises(ValidationError, match="repeat"):
        SyntheticToReal(ratios=(0.5, 0.5))
    study: dict[str, Any] = {"protocol": {"name": "synthetic_to_real"}, "algorithms": [{"name": "erm"}]}
    with pytest.raises(ConfigError, match=r"train_size .* protocol\.size"):
        parse_config({**study, "train_size": 100}, StudyConfig, origin="x")


def test_people_of_real_test_rows_do_not_train_as_synthetic_ones(indexed: Indexed) -> None:
    """Synthetic pictures made of the real people's faces share their groups."""
    kinds = ("bonafide", "print_a4")
    real, made = indexed(subjects=24, species=kinds), indexed(subjects=24, species=kinds)
    keys = [f"made-{key}" for key in made.column("key").to_pylist()]
    made = made.set_column(made.column_names.index("key"), "key", [keys])
    made = made.set_column(made.column_names.index("image_sha256"), "image_sha256", [keys])
    real = real.set_column(real.column_names.index("synthetic"), "synthetic", [[False] * real.num_rows])
    both = pa.concat_tables([real, made])
    for fold in SyntheticToReal(ratios=(0, 0.5, 1), split=SubjectSplit(test=0.3)).folds(both):
        groups = [told(both, "subject_group", rows) for rows in fold.parts.values()]
        assert not groups[0] & groups[2]
        assert not groups[1] & groups[2]


@pytest.mark.parametrize("name", ["leave_one_data_set_out", "leave_one_instrument_out", "synthetic_to_real"])
def test_shipped_studies_load_and_their_training_settings_are_known(name: str) -> None:
    path = resources.files("spooflab.configs").joinpath(f"studies/{name}.yaml")
    config = load_config(Path(str(path)), StudyConfig)
    assert all(train_settings(config, algorithm.title) for algorithm in config.algorithms)
