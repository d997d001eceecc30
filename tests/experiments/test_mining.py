"""Mining with the real lab: what is kept apart, what is spent, and that a killed run ends with the same bytes."""

import json
import os
import signal
import subprocess
import sys
import time
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import torch

from spooflab.adapters.mining import Point
from spooflab.cli.main import run
from spooflab.config import parse_config
from spooflab.errors import ConfigError
from spooflab.experiments.mining_config import MiningConfig
from spooflab.experiments.mining_data import build_makers
from spooflab.experiments.mining_detector import log_odds
from spooflab.experiments.mining_physics import effects, mann_whitney, paired_difference
from spooflab.experiments.mining_records import Record
from spooflab.generators.lab import replay
from spooflab.generators.plan import SampleSpec

TINY = {
    "seeds": [0],
    "rounds": 2,
    "base": 12,
    "dev": 12,
    "pool": 24,
    "references": 1,
    "found_test": 2,
    "members": 2,
    "round": {"attacks": 8, "bonafide": 4, "counterparts": 0.5, "startup": 3, "trials": 6},
    "generation": {
        "seed": 6,
        "faces": [{"kind": "procedural", "subjects": 9, "sessions": 1}],
        "attacks": ["wig", "mask_silicone"],
        "devices": ["front_phone", "kiosk"],
        "units_per_device": 1,
        "sensor_px": 128,
        "face_px": 96,
        "output_px": 48,
    },
    "training": {
        "size": 32,
        "steps": 6,
        "batch_size": 8,
        "eval_every": 6,
        "checkpoint_every": 2,
        "device": "cpu",
        "backbone": {"options": {"embedding_size": 8, "hidden_sizes": [8, 8, 8, 8]}},
    },
}
SAME = ("renders.jsonl", "trials.jsonl", "results.json", "summary.json", "mine.json", "model.safetensors")


@pytest.fixture(scope="module")
def config() -> MiningConfig:
    return parse_config(TINY, MiningConfig, origin="test")


def files(out: Path) -> dict[str, bytes]:
    paths = [p for p in out.rglob("*") if p.name in SAME or p.suffix == ".png"]
    return {str(p.relative_to(out)): p.read_bytes() for p in sorted(paths)}


def test_nobody_is_in_two_parts_and_test_units_are_new(config: MiningConfig) -> None:
    makers = build_makers(config)
    people = [{f.subject_id for f in m.faces} for m in (makers.train, makers.dev, makers.test)]
    assert sum(map(len, people)) == len(set.union(*people)) == 9
    assert min(map(len, people)) >= 2
    assert not set(makers.train.devices) & set(makers.test.devices)
    assert makers.profiles == ("front_phone", "kiosk")


@pytest.mark.slow
def test_a_free_point_is_the_labs_own_sample_and_its_record_replays(config: MiningConfig) -> None:
    maker = build_makers(config).train
    point = Point("mask_silicone", maker.devices[0], 77)
    made = maker.make(point)
    spec = maker._spec(point)
    sample = maker.lab.make(SampleSpec(0, "s", spec.species, spec.face, spec.donor, spec.device_id, 77))
    assert json.loads(sample.params) == made.record["params"]
    # A point that says what the seed drew by itself is the same picture.
    again = maker.make(Point(point.species, point.device, 77, *map(tuple, made.record["drawn"].values())))
    assert torch.equal(again.image, made.image)
    moved = maker.make(Point(point.species, point.device, 77, (0.9,) * 43))
    assert moved.record["subject"] == made.record["subject"]
    assert not torch.equal(moved.image, made.image)
    assert replay(sample).image.shape == (48, 48, 3)


def test_configurations_that_cannot_be_are_refused() -> None:
    for changes, named in (
        ({"round": {"attacks": 5, "trials": 6, "startup": 3}}, "trials"),
        ({"shares": (0.5, 0.5, 0.5)}, "shares"),
        ({"training": {"algorithm": "mcc"}}, "target"),
        ({"seeds": [1, 1]}, "repeat"),
    ):
        with pytest.raises(ConfigError, match=named):
            parse_config({**TINY, **changes}, MiningConfig, origin="test")


def test_log_odds_are_finite_and_exact_in_the_middle() -> None:
    found = log_odds(torch.tensor([0.0, 0.25, 1.0]))
    assert bool(torch.isfinite(found).all())
    assert float(found[1]) == pytest.approx(np.log(1 / 3), rel=1e-12)


def test_effects_find_the_field_that_decides_and_no_other() -> None:
    rng = np.random.default_rng(1)
    records = []
    for i in range(120):
        a, b = rng.random(2)
        params = {"attack": {"gap_mm": a, "seed": i}, "device": {"lux": b}, "facts": {}}
        trial = {"species": "wig", "phase": "prior", "fooled": bool(a > 0.6), "refused": ""}
        records.append(Record(0, "random", 1, trial, {"record": {"params": params}}, Path()))
    found = effects(records, "wig")
    assert [e.field for e in found] == ["attack.gap_mm", "device.lux"]
    assert found[0].effect == 1.0
    assert found[0].p < 1e-6 < found[1].p
    assert effects(records, "tattoo") == []
    auc, _ = mann_whitney(np.array([1.0, 2.0]), np.array([1.0, 0.0]))
    assert auc == (1 + 1 + 1 + 0.5) / 4
    # Differences 1, 2, 3: mean 2, t(2) of 97.5 % is 4.3027, standard error 1/√3.
    apart = paired_difference([2.0, 4.0, 6.0], [1.0, 2.0, 3.0])
    assert apart["low"] == pytest.approx(2 - 4.302653 / 3**0.5, abs=1e-5)


class Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.pictures = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in ("meta", "img", "br", "line", "polyline"):
            self.pictures += tag == "img"
        else:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.mark.slow
def test_a_killed_run_ends_with_the_same_bytes_and_a_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "tiny.yaml"
    path.write_text(json.dumps(TINY), encoding="utf-8")
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert run(["mine", str(path), "--out", str(whole), "--json"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert run(["mine", str(path), "--out", str(whole)]) == 2
    assert "--resume" in capsys.readouterr().err

    command = [sys.executable, "-m", "spooflab.cli", "mine", str(path), "--out", str(killed)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    for place in ("seed-0/mined/round-1/search", "seed-0/mined/round-2/draw"):
        process = subprocess.Popen([*command, "--resume"], stderr=subprocess.DEVNULL, env=environment)
        deadline = time.monotonic() + 120
        while not (killed / place / "renders.jsonl").exists() and time.monotonic() < deadline:
            assert process.poll() is None
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert run(["mine", str(path), "--out", str(killed), "--resume"]) == 0
    capsys.readouterr()
    first, second = files(whole), files(killed)
    assert first.keys() == second.keys()
    assert [name for name in first if first[name] != second[name]] == []

    results = json.loads((whole / "results.json").read_text())
    assert [(r["arm"], r["round"]) for r in results["rounds"]] == [
        (arm, number) for arm in ("erm", "random", "mined") for number in (1, 2)
    ]
    for row in results["rounds"]:
        spent = sum(phase["renders"] for phase in row["spent"].values())
        assert spent == (0 if row["arm"] == "erm" else 12)
    trained = {json.loads(line)["record"].get("subject") for line in _lines(whole, "seed-0")}
    tested = {json.loads(line)["record"].get("subject") for line in _lines(whole, "pool")}
    assert not (trained - {None}) & (tested - {None})
    assert summary["figures"]["hard.eer"]["mean"].keys() == {"erm", "random", "mined"}
    page = Page()
    text = (whole / "report.html").read_text()
    page.feed(text)
    assert page.open == []
    assert page.pictures > 0
    assert "synthetic" in text


def _lines(out: Path, part: str) -> list[str]:
    paths = [p for p in (out / part).rglob("renders.jsonl") if p.parent.name != "found"]
    return [line for path in paths for line in path.read_text().splitlines()]
