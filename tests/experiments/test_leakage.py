"""Planted leaks are caught and named, and what the data do not tell is never called proven."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from planted import replant

from spooflab.errors import DataError
from spooflab.experiments.leakage import LeakCheck, check_leaks, require_no_leak
from spooflab.experiments.near_duplicates import NearPair, correlation, near_duplicates, picture_hashes, small_luma
from spooflab.experiments.protocols import LeaveOneAttackOut, LeaveOneInstrumentOut, RandomSubjects
from spooflab.experiments.report.view import _leaks
from spooflab.images import decode_image, encode_png
from spooflab.store import iter_images, read_index

Indexed = Callable[..., pa.Table]
Stored = Callable[[Path, pa.Table], Path]


def replace(index: pa.Table, name: str, values: list[str]) -> pa.Table:
    return index.set_column(index.column_names.index(name), name, [values])


def of(checks: list[LeakCheck], what: str, parts: str = "train / test") -> LeakCheck:
    return next(c for c in checks if (c.what, c.parts) == (what, parts))


def test_what_is_not_recorded_is_not_called_unshared(index: pa.Table) -> None:
    fold = LeaveOneAttackOut().folds(index)[0]
    empty = replace(index, "instrument_id", [""] * index.num_rows)
    checks = check_leaks(empty, fold)
    assert of(checks, "instrument").shared is None
    assert of(checks, "instrument").unrecorded > 0
    assert of(checks, "near-duplicate").shared is None  # nobody looked
    assert of(checks, "donor").shared == 0
    whole = check_leaks(index, fold)
    assert of(whole, "instrument").shared is not None
    assert of(whole, "instrument").unrecorded == 0  # bona fide has none by nature


def test_clips_that_tell_no_person_prove_nothing_of_people(index: pa.Table) -> None:
    unknown = replace(index, "params", [json.dumps({"facts": {"subjects_known": 0}})] * index.num_rows)
    fold = LeaveOneAttackOut().folds(index)[0]
    assert of(check_leaks(unknown, fold), "subject").shared is None
    assert of(check_leaks(unknown, fold), "source").shared == 0


def test_a_donor_who_is_a_subject_elsewhere_is_caught(index: pa.Table) -> None:
    fold = next(f for f in LeaveOneAttackOut().folds(index) if f.name == "print_a4")
    donors, species = index.column("donor_id").to_pylist(), index.column("species").to_pylist()
    place = next(int(r) for r in fold.train if species[r] == "swap_blend")
    donors[place] = index.column("subject_id")[int(fold.test[0])].as_py()
    with pytest.raises(DataError, match=rf"shared donor in train / test \(e\.g\. {donors[place]}: \w+ in train"):
        require_no_leak(replace(index, "donor_id", donors), fold)


def test_instrument_reuse_is_an_error_where_the_study_wants_none(index: pa.Table) -> None:
    fold = RandomSubjects().folds(index)[0]
    assert of(require_no_leak(index, fold), "instrument").shared
    with pytest.raises(DataError, match=r"shared instrument in train / test \(e\.g\. print_a4-0: \w+ in train, \w+ in"):
        require_no_leak(index, fold, disjoint=["instrument_id"])


def test_a_held_out_instrument_that_trains_is_named(index: pa.Table) -> None:
    fold = LeaveOneInstrumentOut().folds(index)[0]
    assert of(require_no_leak(index, fold), "instrument").shared == 0
    leaked = dataclasses.replace(fold, train=np.sort(np.append(fold.train, fold.test)))
    with pytest.raises(DataError, match=rf"held out in train \(e\.g\. {fold.name}: \w+ in train"):
        require_no_leak(index, leaked)


@pytest.fixture(scope="module")
def planted(indexed: Indexed, stored: Stored, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, str]:
    """A store in which one bona fide picture stands again, darker and noisier, as another person."""
    index = indexed(subjects=12, species=("bonafide", "print_a4", "replay_phone"))
    root = stored(tmp_path_factory.mktemp("near") / "a", index)
    subjects, keys = index.column("subject_id").to_pylist(), index.column("key").to_pylist()
    left = next(k for k, s in zip(keys, subjects, strict=True) if s == "s00")
    right = next(k for k, s in zip(keys, subjects, strict=True) if s == "s11")
    pixels = {key: decode_image(data) for key, data in iter_images(root, [left])}[left].astype(np.float64)
    noisy = np.clip(0.9 * pixels + 4 + np.random.default_rng(0).normal(0, 1.5, pixels.shape), 0, 255)
    new = replant(root, root.with_name("b"), {right: {"image": encode_png(noisy.round().astype(np.uint8))}})
    return new, left, right


def test_a_near_duplicate_of_another_person_is_found_and_nothing_else(planted: tuple[Path, str, str]) -> None:
    root, left, right = planted
    (pair,) = near_duplicates(read_index(root), root) or []
    assert {pair.left, pair.right} == {left, right}
    assert pair.bits <= 4
    assert near_duplicates(read_index(root), root.with_name("a")) == []


def test_a_near_duplicate_across_parts_is_a_leak(planted: tuple[Path, str, str]) -> None:
    root, left, right = planted
    index = read_index(root)
    near = near_duplicates(index, root)
    folds = RandomSubjects(repeats=3).folds(index)
    keys = np.array(index.column("key").to_pylist())
    caught = 0
    for fold in folds:
        where = {part for part, rows in fold.parts.items() if {left, right} & set(keys[rows].tolist())}
        if len(where) == 2:
            caught += 1
            with pytest.raises(DataError, match=rf"1 shared near-duplicate in \w+ / \w+ .*({left}|{right}) in \w+"):
                require_no_leak(index, fold, near=near)
    assert caught


def test_hashes_are_kept_and_a_torn_cache_is_made_anew(planted: tuple[Path, str, str], tmp_path: Path) -> None:
    root = planted[0]
    cache = tmp_path / "checks" / "phash.parquet"
    fresh = picture_hashes(read_index(root), root, cache)
    assert picture_hashes(read_index(root), root.with_name("gone"), cache) == fresh  # no picture is read again
    cache.write_bytes(cache.read_bytes()[:100])
    assert picture_hashes(read_index(root), root, cache) == fresh


def test_without_pictures_nobody_looked(index: pa.Table, tmp_path: Path) -> None:
    assert near_duplicates(index, tmp_path) is None


def test_correlation_is_pearsons_and_flat_pictures_are_like_nothing() -> None:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 255, (64, 64, 3), dtype=np.uint8)
    luma = small_luma(pixels)
    weights = pixels.astype(np.float64) @ np.array([0.299, 0.587, 0.114])
    assert luma == pytest.approx(
        weights.reshape(32, 2, 32, 2).mean((1, 3)), abs=2
    )  # rounded along rows, then along columns
    other = 0.5 * luma + rng.normal(0, 5, luma.shape)
    a, b = luma - luma.mean(), other - other.mean()
    assert correlation(luma, other) == pytest.approx((a * b).sum() / np.sqrt((a**2).sum() * (b**2).sum()))
    assert correlation(luma, np.full((32, 32), 9.0)) == 0


def test_pairs_are_told_once(planted: tuple[Path, str, str]) -> None:
    root = planted[0]
    pairs = near_duplicates(read_index(root), root) or []
    assert pairs == sorted(set(pairs))
    assert all(isinstance(pair, NearPair) and pair.left < pair.right for pair in pairs)


def test_a_fold_that_cannot_tell_leaves_the_reports_line_unproven() -> None:
    def folds(*shared: int | None) -> dict[str, object]:
        checks = [
            LeakCheck("donor", "train / test", count, 4, True, unrecorded=0 if count == 0 else 9) for count in shared
        ]
        return {"folds": [{"leaks": [check.to_json()]} for check in checks]}

    for shared, told in (((0, 0), 0), ((0, None), None), ((None, None), None), ((None, 2), 2), ((2, None), 2)):
        (line,) = _leaks(folds(*shared))
        assert line["pairs"]["train / test"]["shared"] == told
        assert line["unrecorded"] == (0 if told == 0 else 9)
