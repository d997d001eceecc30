import json
import re
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from spooflab.cli.main import run
from spooflab.errors import ConfigError
from spooflab.experiments.data_sets.priors import Priors, priors_of
from spooflab.experiments.data_sets.qa.assess import assess
from spooflab.experiments.data_sets.qa.duplicates import find_duplicates
from spooflab.experiments.data_sets.qa.fingerprints import Fingerprints, Names
from spooflab.experiments.data_sets.qa.limits import Limits
from spooflab.experiments.data_sets.qa.parameters import fit_parameters, tallies
from spooflab.experiments.data_sets.qa.rejects import UNKNOWN, rejects
from spooflab.experiments.data_sets.qa.report import SHEET, write_report
from spooflab.experiments.phash import near_pairs
from spooflab.generators.config import GenerationConfig
from spooflab.generators.face import FaceRef
from spooflab.generators.plan import make_plan
from spooflab.images import decode_own_png, encode_png
from spooflab.sample import Skip
from spooflab.source_mark import source_mark
from spooflab.store import Store, read_row

MakeStore = Callable[..., Path]
DRAWS = 256


def known(count: int, groups: int, seed: int) -> tuple[Names, Fingerprints]:
    """Random fingerprints of different pictures; the luma file is an array in memory."""
    rng = np.random.default_rng(seed)
    names = Names(
        pa.array([f"s{n:08d}" for n in range(count)]),
        rng.integers(0, groups, count).astype(np.int32),
        rng.integers(0, 256, (count, 16), dtype=np.uint8),
    )
    hashes = rng.integers(0, 2**64, count, dtype=np.uint64)
    return names, Fingerprints(hashes, rng.integers(0, 256, (count, 1024), dtype=np.uint8))


def plant(names: Names, found: Fingerprints, source: int, copy: int, *, bits: int, noise: float) -> None:
    found.phash[copy] = found.phash[source] ^ np.uint64((1 << bits) - 1)
    moved = found.luma[source] + np.random.default_rng(copy).normal(0, noise, 1024)
    found.luma[copy] = np.clip(moved, 0, 255).round()


def test_planted_duplicates_are_found_and_nothing_else() -> None:
    names, found = known(300, 300, 0)
    names.group[:] = np.arange(300)
    for copy, bits in ((10, 0), (20, 4), (30, 5)):
        plant(names, found, copy + 100, copy, bits=bits, noise=3)
    plant(names, found, 140, 40, bits=2, noise=120)  # hashes alike, pictures not
    plant(names, found, 150, 50, bits=1, noise=3)
    plant(names, found, 160, 60, bits=0, noise=3)
    names.group[[50, 60]] = names.group[[150, 160]]  # the same people
    names.sha[200] = names.sha[70]
    told = find_duplicates(names, found)
    assert {(p.left, p.right, p.bits) for p in told.near_pairs} == {
        ("s00000010", "s00000110", 0),
        ("s00000020", "s00000120", 4),
    }
    assert (told.near, told.exact, told.alike_in_group) == (2, 1, 1)
    assert told.exact_pairs == (("s00000200", "s00000070"),)


def test_flat_and_empty_data_sets_have_no_duplicates() -> None:
    names, found = known(40, 40, 1)
    found.luma[:] = 7  # black pictures are like nothing
    found.phash[:] = 0
    assert find_duplicates(names, found).near == 0
    assert find_duplicates(*known(0, 1, 0)).exact == 0


@pytest.mark.slow
def test_ten_thousand_pictures_are_compared_in_bounded_memory() -> None:
    import tracemalloc

    names, found = known(10_000, 2_000, 2)
    for copy in range(0, 1000, 10):
        plant(names, found, copy + 5000, copy, bits=copy // 10 % 5, noise=2)
    tracemalloc.start()
    told = find_duplicates(names, found)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    apart = sum(names.group[copy] != names.group[copy + 5000] for copy in range(0, 1000, 10))
    assert told.near == apart
    assert peak < 10_000 * 400 + 150e6  # arrays of hashes, and one block of 4096 pairs of lumas in float64


def _distances(values: dict[str, np.ndarray], priors: Priors) -> dict[str, Any]:
    attack, device = tallies(priors)
    for row in range(len(next(iter(values.values())))):
        attack.add("print_a4", {name: float(column[row]) for name, column in values.items()})
    return {fit.name: fit for fit in fit_parameters(attack, device)}


def test_a_parameter_that_left_its_prior_is_told_and_one_that_did_not_is_not() -> None:
    from scipy.stats import ks_2samp

    rng = np.random.default_rng(3)
    draws = {name: np.sort(rng.gamma(2, 3, 4096).astype(np.float32)) for name in ("same", "moved", "holed")}
    draws["constant"] = np.ones(4096, np.float32)
    draws["choice"] = np.sort(rng.integers(0, 3, 4096).astype(np.float32))
    same, moved = rng.gamma(2, 3, 1500), 1 + rng.gamma(2, 3, 1500)
    low, high = np.quantile(draws["holed"], (0.3, 0.4))
    holed = rng.gamma(2, 3, 2000)
    holed = holed[(holed < low) | (holed > high)][:1500]
    given = {"same": same, "moved": moved, "holed": holed, "constant": np.ones(1500)}
    given["choice"] = rng.choice([0.0, 2.0], 1500)
    fits = _distances(given, Priors({"print_a4": draws}, {}))
    assert fits.keys() == {"same", "moved", "holed", "choice"}
    for name in ("same", "moved"):
        exact = ks_2samp(given[name].astype(np.float32), draws[name])
        assert exact.statistic - 0.005 <= fits[name].ks <= exact.statistic + 1e-9
    assert fits["same"].p > 0.01 > fits["moved"].p
    assert (fits["same"].bins, fits["same"].of, fits["same"].holes) == (10, 10, ())
    assert (fits["choice"].bins, fits["choice"].of) == (2, 3)
    assert len(fits["holed"].holes) == 1
    ends = [float(end) for end in fits["holed"].holes[0].split(" … ")]
    assert ends == pytest.approx([low, high], rel=0.05)


@pytest.mark.slow
def test_recorded_draws_agree_with_the_priors_of_their_plan(drawn_store: MakeStore) -> None:
    found = assess(drawn_store(rows=60), Limits(), draws=1024)
    assert not found.unknown
    assert {fit.group for fit in found.fits} == {"bonafide", "replay_phone", "front_phone"}
    assert len(found.fits) > 60
    assert min(fit.p for fit in found.fits) > 0.01
    assert found.passed


def test_a_plan_without_a_configuration_has_no_priors() -> None:
    assert "draws no parameters" in priors_of({"kind": "ingest"}, draws=8).unknown[0]
    assert "does not fit" in priors_of({"faces_sha256": "0", "config": {"n": -1}}, draws=8).unknown[0]
    part = {"plan": {"faces_sha256": "0", "config": {"attacks": ["replay_phone"], "devices": ["kiosk"]}}, "rows": 3}
    merged = priors_of({"kind": "merge", "parts": [part, {"plan": {"kind": "ingest"}}]}, draws=8)
    assert (set(merged.attack), set(merged.device), merged.unknown) == ({"bonafide", "replay_phone"}, {"kiosk"}, ())


def test_rejects_name_the_camera_that_the_plan_gave_them(tmp_path: Path) -> None:
    config = GenerationConfig(n=40, seed=9, devices=("kiosk", "dslr"), units_per_device=2)
    refs = {"procedural": [FaceRef(f"p{n}", f"p{n}s0", "CC0-1.0", {}) for n in range(6)]}
    ids = [f"{name}/u{unit:02d}" for name in ("kiosk", "dslr") for unit in range(2)]
    specs = make_plan(config, refs, ids).specs
    plan = {"faces_sha256": "0", "config": config.model_dump(mode="json")}
    store = Store.create(tmp_path / "data", plan, shards=1)
    with store.claim(0) as lease:  # type: ignore[union-attr]  # nobody else is about
        store.commit(lease, [], [Skip(spec.key, spec.species, "qc_moire") for spec in specs])
    wanted: dict[tuple[str, str, str], int] = {}
    for spec in specs:
        place = ("qc_moire", spec.species, spec.device_id.partition("/")[0])
        wanted[place] = wanted.get(place, 0) + 1
    assert rejects(plan, store.committed()) == dict(sorted(wanted.items()))
    merged = {"kind": "merge", "parts": [{"name": "a", "plan": plan}]}
    assert {device for _, _, device in rejects(merged, store.committed())} == {UNKNOWN}  # keys without the part's name


def test_the_command_fails_what_exceeds_its_limits_and_says_what(
    make_store: MakeStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture = encode_png(np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8))
    root = make_store(image=picture, plan={"kind": "ingest", "config": {}})
    base = ["qa", str(root), "--out", str(tmp_path / "report")]
    assert run([*base, "--json"]) == 1
    told = capsys.readouterr()
    found = json.loads(told.out)
    assert [finding["code"] for finding in found["findings"]] == ["duplicates", "rejects"]
    assert "duplicates: 11 pictures equal an earlier one; the first: s00000001 is s00000000" in told.err
    assert "quality control refused 1 of 4 print_a4 (25%)" in told.err
    assert {(e["label"], e["species"], e["count"]) for e in found["classes"]} >= {("bonafide", "bonafide", 3)}
    assert run([*base, "--most-duplicates", "11", "--most-rejects", "0.5"]) == 0
    assert run([*base, "--most-rejects", "2"]) == 2
    assert "limit rejects: 2" in capsys.readouterr().err


def test_the_report_is_the_same_each_time_and_needs_no_other_file(make_store: MakeStore, tmp_path: Path) -> None:
    root = make_store()
    for name in ("a", "b"):
        found = assess(root, Limits(), draws=DRAWS)
        files = write_report(root, found, tmp_path / name)
        assert [p.name for p in files] == ["qa.md", "qa.html", "qa.json", "worst.jpg"]
    for name in ("qa.md", "qa.html", "qa.json", SHEET):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    page = (tmp_path / "a/qa.html").read_text()
    assert not re.search(r"<script|<link|https?://", page)
    assert (source_mark((tmp_path / "a" / SHEET).read_bytes()) or "").endswith("/algorithmicMedia")
    # The darkest picture is the one whose figure is least.
    assert found.worst["qc_mean_luma"][0] == ("s00000000", 0.0)


@pytest.mark.slow
def test_cleanvision_names_spoilt_pictures_and_leaves_no_file(
    drawn_store: MakeStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("cleanvision")
    root = drawn_store(rows=9, colour=lambda number: 10 if number == 4 else 128)
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    before = sorted(p for p in tmp_path.rglob("*"))
    found = assess(root, Limits(spoilt=0.1), cleanvision=True, draws=DRAWS)
    assert sorted(p for p in tmp_path.rglob("*")) == before
    assert found.vision is not None
    assert [key for key, _ in found.vision.worst["dark"]] == ["s00000004"]
    assert decode_own_png(read_row(root, "s00000004").image).max() < 20
    assert found.vision.counts["odd_size"] == 0
    assert [finding.code for finding in found.findings if finding.code == "spoilt"] == ["spoilt"]
    assert capsys.readouterr() == ("", "")


def test_without_cleanvision_the_way_to_it_is_told(make_store: MakeStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cleanvision", None)
    with pytest.raises(ConfigError, match=r"pip install 'spooflab\[qa\]'"):
        assess(make_store(), Limits(), cleanvision=True)


def test_near_pairs_of_many_hashes_are_found_in_skewed_data() -> None:
    """Faces share many bits: all hashes lie within 12 bits of one."""
    rng = np.random.default_rng(4)
    flips = [sum(1 << int(bit) for bit in rng.choice(64, rng.integers(0, 12), replace=False)) for _ in range(400)]
    hashes = list(dict.fromkeys((0x0F0F << 16) ^ flip for flip in flips))
    wanted = {
        (a, b)
        for a in range(len(hashes))
        for b in range(a + 1, len(hashes))
        if (hashes[a] ^ hashes[b]).bit_count() <= 4
    }
    found = list(near_pairs(hashes, 4))
    assert len(found) == len(set(found))
    assert set(found) == wanted
    assert wanted
