"""What every protocol promises, held to on random small data sets: nobody shared, held out is held out, no chance."""

import hashlib
import json
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spooflab.errors import ConfigError, DataError
from spooflab.experiments.fold import Fold, chain_parts
from spooflab.experiments.index_columns import column, domains
from spooflab.experiments.leakage import require_no_leak
from spooflab.experiments.protocols import (
    PROTOCOLS,
    CrossDataset,
    LeaveOneAttackAndDeviceOut,
    LeaveOneAttackOut,
    LeaveOneDeviceOut,
    LeaveOneDomainOut,
    LeaveOneInstrumentOut,
    Official,
    RandomSubjects,
    StudyProtocol,
    SyntheticToReal,
)
from spooflab.taxonomy import species_of

SPECIES = ("bonafide", "print_a4", "print_photo", "replay_phone", "swap_blend", "swap_blend+replay_phone")
ALL: tuple[Any, ...] = (
    LeaveOneAttackOut(),
    LeaveOneAttackOut(by="family"),
    LeaveOneDeviceOut(),
    LeaveOneDeviceOut(by="device_id"),
    LeaveOneInstrumentOut(),
    LeaveOneAttackAndDeviceOut(),
    LeaveOneAttackAndDeviceOut(attack="family", device="device_id"),
    LeaveOneDomainOut(),
    LeaveOneDomainOut(by=("data_set", "device_profile")),
    LeaveOneDomainOut(by=("device_profile",), people="share"),
    CrossDataset(),
    CrossDataset(train_on=("A", "B")),
    RandomSubjects(repeats=3),
    SyntheticToReal(ratios=(0, 0.25, 0.5, 1)),
    Official(protocol="p"),
)


def name_of(protocol: Any) -> str:
    return f"{protocol.name}-{hashlib.sha256(protocol.model_dump_json().encode()).hexdigest()[:4]}"


def row(number: int, subject: int, species: str, device: int, data_set: int, made: bool) -> dict[str, Any]:
    """One picture; everybody is in one data set but subject 0, who may be in all; three in a group."""
    key = hashlib.sha256(str(number).encode()).hexdigest()[:10]
    kind = species_of(species)
    group = subject // 3
    source = "ABC"[data_set if subject == 0 else group % 3]
    return {
        "key": key,
        "label": kind.label,
        "species": species,
        "family": kind.family,
        "instrument_id": "" if kind.label == "bonafide" or kind.channel == "injection" else f"{species}-{number % 2}",
        "device_id": f"d{device}/{number % 2}",
        "device_profile": f"d{device}",
        "subject_id": f"s{subject}",
        "subject_group": f"g{group}",
        "source_id": f"s{subject}-{number % 3}",
        "donor_id": f"s{group * 3}" if "swap" in species else "",
        "face_source": source,
        "synthetic": made,
        "image_sha256": key,
        "params": json.dumps({"splits": {"p": ("train", "train", "test")[group % 3]}}),
    }


@st.composite
def indexes(draw: st.DrawFn) -> pa.Table:
    """Data sets of 9 to 24 people, complete but for rows dropped by chance."""
    subjects, keep = draw(st.integers(9, 24)), draw(st.floats(0.5, 1))
    rng = np.random.default_rng(draw(st.integers(0, 2**16)))
    cells = [(s, name, d) for s in range(subjects) for name in SPECIES for d in range(3)]
    kept = rng.permutation(len(cells))[: max(60, int(keep * len(cells)))]
    rows = [row(int(n), *cells[n], int(rng.integers(3)), cells[n][0] // 3 % 2 == 1) for n in kept]
    return pa.Table.from_pylist(rows)


def folds_of(protocol: StudyProtocol, index: pa.Table) -> list[Fold]:
    """Return the folds; data that cannot be cut must say so in an error of ours."""
    try:
        return protocol.folds(index)
    except (ConfigError, DataError):
        return []


def test_every_protocol_is_under_contract() -> None:
    assert {protocol.name for protocol in ALL} == set(PROTOCOLS)


@pytest.mark.parametrize("protocol", ALL, ids=name_of)
@settings(max_examples=8, deadline=None, derandomize=True)
@given(index=indexes())
def test_parts_are_disjoint_and_what_is_held_out_is(protocol: Any, index: pa.Table) -> None:
    assert isinstance(protocol, StudyProtocol)
    folds = folds_of(protocol, index)
    names = [fold.name for fold in folds]
    assert names == sorted(names)
    assert len(set(names)) == len(names)
    groups = column(index, "subject_group")
    for fold in folds:
        together = np.concatenate(list(fold.parts.values()))
        assert len(np.unique(together)) == len(together)
        seen = [set(groups[rows].tolist()) for rows in fold.parts.values()]
        assert sum(map(len, seen)) == len(set.union(*seen))
        sources = np.concatenate([fold.train, fold.dev])
        for columns, values in fold.holds_out:
            known = set(domains(index, columns)[sources].tolist())
            assert not known & set(values)
            if columns == ("species",):
                assert not {part for name in known for part in chain_parts(name)} & set(values)
        require_no_leak(index, fold)


@pytest.mark.parametrize("protocol", ALL, ids=name_of)
@settings(max_examples=4, deadline=None, derandomize=True)
@given(index=indexes(), order=st.randoms(use_true_random=False))
def test_folds_are_the_same_rows_in_any_order(protocol: Any, index: pa.Table, order: Any) -> None:
    places = list(range(index.num_rows))
    order.shuffle(places)
    shuffled = index.take(pa.array(places))
    key, other = column(index, "key"), column(shuffled, "key")
    for left, right in zip(folds_of(protocol, index), folds_of(protocol, shuffled), strict=True):
        assert (left.name, left.held_out, left.also, left.note) == (
            right.name,
            right.held_out,
            right.also,
            right.note,
        )
        for part in ("train", "dev", "test"):
            assert key[left.parts[part]].tolist() == other[right.parts[part]].tolist()
            assert key[left.parts[part]].tolist() == sorted(key[left.parts[part]].tolist())


@pytest.mark.parametrize("protocol", ALL, ids=name_of)
def test_whole_data_give_folds_that_can_be_run(protocol: Any) -> None:
    cells = [(s, name, d, c) for s in range(24) for name in SPECIES for d in range(3) for c in range(2)]
    rows = [row(n, s, name, d, n % 3, s // 3 % 2 == 1) for n, (s, name, d, _) in enumerate(cells)]
    index = pa.Table.from_pylist(rows)
    folds = protocol.folds(index)
    assert folds
    assert all(fold.problem(index) is None for fold in folds)
