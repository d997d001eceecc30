"""Folds hold out what they say, share no person, source or image, and do not move with row order or chance."""

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pytest
from pydantic import ValidationError

from spooflab.errors import ConfigError, DataError
from spooflab.experiments.fold import Fold
from spooflab.experiments.leakage import check_leaks, require_no_leak
from spooflab.experiments.protocols import PROTOCOLS, LeaveOneAttackOut, LeaveOneDeviceOut, StudyProtocol, SubjectSplit
from spooflab.experiments.run_spec import data_fingerprint, training_rows

MakeIndex = Callable[..., pa.Table]


def values(index: pa.Table, name: str, rows: np.ndarray) -> set[str]:
    return set(np.array(index.column(name).to_pylist())[rows].tolist())


def test_leave_one_attack_out_has_a_fold_per_species(index: pa.Table) -> None:
    folds = LeaveOneAttackOut().folds(index)
    species = set(index.column("species").to_pylist()) - {"bonafide"}
    assert [fold.name for fold in folds] == sorted(species)
    for fold in folds:
        assert fold.held_out == (fold.name,)
        assert values(index, "species", fold.test) == {"bonafide", fold.name}
        assert fold.name not in values(index, "species", fold.train) | values(index, "species", fold.dev)
        assert values(index, "label", fold.train) == values(index, "label", fold.dev) == {"bonafide", "attack"}


@pytest.mark.parametrize("held_out", ["replay_phone", "swap_blend"])
def test_a_chain_counts_as_its_parts(index: pa.Table, held_out: str) -> None:
    fold = next(f for f in LeaveOneAttackOut().folds(index) if f.name == held_out)
    chain = "swap_blend+replay_phone"
    for rows in fold.parts.values():
        assert chain not in values(index, "species", rows)
    assert chain in fold.note


def test_a_chains_own_fold_knows_its_parts_but_not_their_combination(index: pa.Table) -> None:
    chain = "swap_blend+replay_phone"
    fold = next(f for f in LeaveOneAttackOut().folds(index) if f.name == chain)
    assert {"swap_blend", "replay_phone"} <= values(index, "species", fold.train)
    assert values(index, "species", fold.test) == {"bonafide", chain}
    assert fold.note == ""


def test_a_family_is_held_out_whole(index: pa.Table) -> None:
    folds = {fold.name: fold for fold in LeaveOneAttackOut(by="family").folds(index)}
    assert set(folds) == {"print", "cutout", "replay", "swap"}
    replay = folds["replay"]
    assert set(replay.held_out) == {"replay_monitor", "replay_phone", "swap_blend+replay_phone"}
    assert values(index, "family", replay.train) == {"bonafide", "print", "cutout", "swap"}
    # The chain's family is replay, but it holds a swap.
    assert "swap_blend+replay_phone" not in values(index, "species", folds["swap"].train)


def test_leave_one_device_out_tests_one_device_and_trains_on_the_others(index: pa.Table) -> None:
    for fold in LeaveOneDeviceOut().folds(index):
        assert values(index, "device_profile", fold.test) == {fold.name}
        for part in (fold.train, fold.dev):
            assert fold.name not in values(index, "device_profile", part)
        assert values(index, "species", fold.test) == set(index.column("species").to_pylist())
    units = LeaveOneDeviceOut(by="device_id").folds(index)
    assert len(units) == len(set(index.column("device_id").to_pylist()))


@pytest.mark.parametrize("protocol", [LeaveOneAttackOut(), LeaveOneAttackOut(by="family"), LeaveOneDeviceOut()])
def test_no_fold_shares_a_person_source_or_image(index: pa.Table, protocol: StudyProtocol) -> None:
    assert isinstance(protocol, StudyProtocol)
    for fold in protocol.folds(index):
        people = {
            part: (values(index, "subject_id", rows) | values(index, "donor_id", rows)) - {""}
            for part, rows in fold.parts.items()
        }
        assert not people["train"] & people["dev"]
        assert not (people["train"] | people["dev"]) & people["test"]
        checks = require_no_leak(index, fold)
        assert all(check.checked > 0 for check in checks if check.what not in ("held out", "donor", "near-duplicate"))


def test_every_fold_tests_the_same_subjects(index: pa.Table) -> None:
    tested = [values(index, "subject_id", fold.test) for fold in LeaveOneAttackOut().folds(index)]
    assert all(subjects == tested[0] for subjects in tested)


def test_folds_do_not_move_with_the_order_of_rows(index: pa.Table) -> None:
    shuffled = index.take(pa.array(np.random.default_rng(0).permutation(index.num_rows)))
    key, other = (np.array(t.column("key").to_pylist()) for t in (index, shuffled))
    for left, right in zip(LeaveOneAttackOut().folds(index), LeaveOneAttackOut().folds(shuffled), strict=True):
        for part in ("train", "dev", "test"):
            assert key[left.parts[part]].tolist() == other[right.parts[part]].tolist()
    assert data_fingerprint(index) == data_fingerprint(shuffled)


def test_more_species_do_not_move_the_subjects(indexed: MakeIndex) -> None:
    few = LeaveOneAttackOut().folds(table := indexed(species=("bonafide", "print_a4", "replay_phone")))
    many = LeaveOneAttackOut().folds(all_ := indexed())
    assert values(table, "subject_id", few[0].test) == values(all_, "subject_id", many[0].test)


def test_split_shares_are_kept_and_every_part_gets_a_group(indexed: MakeIndex) -> None:
    table = indexed(subjects=40)
    sizes = {p: m.sum() / table.num_rows for p, m in SubjectSplit(test=0.3, dev=0.2).parts(table).items()}
    assert sizes == pytest.approx({"test": 0.3, "dev": 0.2, "train": 0.5})
    least = SubjectSplit(test=0.9, dev=0.05).parts(indexed(subjects=12))
    assert all(mask.any() for mask in least.values())


def test_only_some_values_may_be_asked_for(index: pa.Table) -> None:
    assert [f.name for f in LeaveOneAttackOut(only=("print_a4",)).folds(index)] == ["print_a4"]
    with pytest.raises(ConfigError, match="mask_rigid not in the data"):
        LeaveOneAttackOut(only=("mask_rigid",)).folds(index)


def test_data_that_cannot_be_cut_say_why(indexed: MakeIndex) -> None:
    with pytest.raises(DataError, match="2 subject groups"):
        LeaveOneAttackOut().folds(indexed(subjects=8))
    with pytest.raises(DataError, match="1 values of species"):
        LeaveOneAttackOut().folds(indexed(species=("bonafide", "print_a4")))
    with pytest.raises(DataError, match="without column 'subject_group'"):
        LeaveOneAttackOut().folds(indexed().drop_columns(["subject_group"]))
    with pytest.raises(ValidationError, match="leave nothing to train on"):
        SubjectSplit(test=0.6, dev=0.4)


def replace_cell(index: pa.Table, name: str, row: int, value: str) -> pa.Table:
    column = index.column(name).to_pylist()
    column[row] = value
    return index.set_column(index.column_names.index(name), name, [column])


@pytest.mark.parametrize(
    ("name", "what"),
    [("subject_id", "subject"), ("donor_id", "donor"), ("source_id", "source"), ("image_sha256", "image")],
)
def test_a_shared_value_is_found_and_named(index: pa.Table, name: str, what: str) -> None:
    fold = LeaveOneAttackOut().folds(index)[0]
    source = "subject_id" if name == "donor_id" else name
    leaked = index.column(source)[int(fold.test[0])].as_py()
    broken = replace_cell(index, name, int(fold.train[5]), leaked)
    with pytest.raises(
        DataError, match=rf"shared {what} in train / test \(e\.g\. {leaked}: \w+ in train, \w+ in test\)"
    ):
        require_no_leak(broken, fold)


def test_a_held_out_species_in_dev_is_found_even_inside_a_chain(index: pa.Table) -> None:
    fold = next(f for f in LeaveOneAttackOut().folds(index) if f.name == "replay_phone")
    broken = replace_cell(index, "species", int(fold.dev[0]), "swap_blend+replay_phone")
    with pytest.raises(DataError, match=r"shared held out in dev \(e\.g\. replay_phone: \w+ in dev\)"):
        require_no_leak(broken, fold)


def test_a_held_out_instrument_must_not_train(index: pa.Table) -> None:
    fold = LeaveOneAttackOut().folds(index)[0]
    held = Fold("panel", fold.train, fold.dev, fold.test, ("print_a4-0",), "instrument_id")
    shared = next(c for c in check_leaks(index, held) if (c.what, c.parts) == ("held out", "train"))
    assert shared.shared == 0  # print_a4 is held out of the fold borrowed here
    other = Fold("panel", fold.train, fold.dev, fold.test, ("print_cut-0",), "instrument_id")
    with pytest.raises(DataError, match=r"held out in train \(e\.g\. print_cut-0: \w+ in train\)"):
        require_no_leak(index, other)


def test_a_fold_without_a_class_says_so(index: pa.Table) -> None:
    fold = LeaveOneAttackOut().folds(index)[0]
    genuine = np.array(index.column("label").to_pylist())[fold.dev] == "bonafide"
    broken = Fold("x", fold.train, fold.dev[genuine], fold.test, fold.held_out, "species")
    assert fold.problem(index) is None
    assert "dev rows hold no attack" in broken.problem(index)


def test_training_size_is_balanced_nested_and_fixed(index: pa.Table) -> None:
    fold = LeaveOneAttackOut().folds(index)[0]
    species = np.array(index.column("species").to_pylist())
    chosen = training_rows(index, fold, 48)
    counts = {name: int((species[chosen] == name).sum()) for name in set(species[chosen].tolist())}
    assert len(chosen) == 48
    assert counts.pop("bonafide") == 24
    assert set(counts.values()) == {4}  # six species share the other half
    assert set(chosen.tolist()) <= set(fold.train.tolist())
    assert set(training_rows(index, fold, 20).tolist()) <= set(chosen.tolist())
    assert training_rows(index, fold, None).tolist() == fold.train.tolist()


def test_every_protocol_is_listed_with_a_sentence() -> None:
    for name, kind in PROTOCOLS.items():
        assert kind.model_fields["name"].default == name
        assert kind.__doc__
