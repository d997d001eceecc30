"""The search on a landscape whose fooling region is known, against drawing at random."""

import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from statistics import NormalDist

import numpy as np
import pytest
import torch
from torch import Tensor

from spooflab.adapters.mining import (
    Ledger,
    Made,
    Point,
    Region,
    SearchSettings,
    Space,
    coordinates,
    region_of,
    search,
)
from spooflab.adapters.mining.region import reflected
from spooflab.errors import ConfigError, DataError, SkipSample
from spooflab.params import Params, choice, uniform
from spooflab.primary_sample import PrimarySample
from spooflab.seeds import generator

pytestmark = pytest.mark.slow  # together half a minute

SIDE = 0.3


@dataclass(frozen=True)
class Numbers(Params):
    gap_mm: Tensor
    kind: Tensor
    seed: Tensor
    tilt_deg: Tensor


def draw(gen: torch.Generator) -> Numbers:
    return Numbers(
        uniform(1, 2.0, 4.0, gen),
        choice(1, 3, gen),
        torch.randint(0, 2**62, (1,), generator=gen),
        torch.randn(1, 16, generator=gen),
    )


def shot(gen: torch.Generator) -> Numbers:
    return draw(gen)


@dataclass
class Cube:
    """Fooled where the first coordinate is in the top 30 % and the kind is 1: one sample in ten of the prior."""

    species: tuple[str, ...] = ("print_a4",)
    devices: tuple[str, ...] = ("phone/u00", "kiosk/u00")
    renders: list[Point] = field(default_factory=list)
    refuse: float = 0.0

    def space(self, species: str) -> Space:
        return Space(species, coordinates(draw), coordinates(shot, seed=1))

    def make(self, point: Point) -> Made:
        self.renders.append(point)
        gens = [generator(point.seed, name) for name in ("attack", "device")]
        with PrimarySample(gens[0], point.attack) as attack:
            params = draw(gens[0])
        with PrimarySample(gens[1], point.shot) as device:
            shot(gens[1])
        gap, kind = float(params.gap_mm), int(params.kind)
        if gap < 2 + 2 * self.refuse:
            raise SkipSample("qc_face_px", "too near")
        # The picture tells the two numbers that the judge looks at.
        image = torch.zeros(3, 16, 16, dtype=torch.uint8)
        image[0, 0, 0], image[1] = round((gap - 2) / 2 * 255), 80 * kind
        return Made(image, {"drawn": {"attack": attack.values, "shot": device.values}, "gap_mm": gap})


def judge(image: Tensor) -> tuple[float, Tensor]:
    gap, kind = int(image[0, 0, 0]) / 255, int(image[1, 0, 0]) // 80
    return 8 * (gap - (1 - SIDE)) - 3.0 * (kind != 1), image[:, :2, :2].flatten().float() + 1


def run(folder: Path, *, trials: int = 60, seed: int = 0, maker: Cube | None = None, **changes):
    maker = maker or Cube()
    settings = SearchSettings(startup=20, trials=trials, **{"diversity": 0.5, **changes})
    spaces = {name: maker.space(name) for name in maker.species}
    return search(
        maker,
        judge,
        Ledger(folder, "s"),
        settings,
        species=maker.species,
        spaces=spaces,
        threshold=0.0,
        start=Region(()),
        seed=seed,
    )


def test_finds_the_fooling_region_with_fewer_renders_than_the_prior(tmp_path: Path):
    rates = []
    for seed in range(2):
        trials = run(tmp_path / str(seed), seed=seed)
        rates.append(np.mean([trial.fooled for trial in trials[20:]]))
    # The prior fools once in ten (0.3 × 1/3): 80 draws exceed a quarter once in 20 000 times.
    assert np.mean(rates) > 0.25


def test_an_interrupted_search_goes_on_to_the_same_bytes(tmp_path: Path):
    whole = run(tmp_path / "a", trials=30)
    maker = Cube()
    run(tmp_path / "b", trials=24, maker=maker)
    lines = tmp_path / "b" / "renders.jsonl"
    lines.write_text(lines.read_text()[:-30])  # killed while it wrote the last line
    assert len(maker.renders) == 24
    again = run(tmp_path / "b", trials=30, maker=maker)
    assert len(maker.renders) == 24 + 7
    assert [t.value for t in again] == [t.value for t in whole]
    assert lines.read_bytes() == (tmp_path / "a" / "renders.jsonl").read_bytes()
    with pytest.raises(DataError, match="another sample"):
        run(tmp_path / "b", trials=30, seed=1)


def test_a_refused_sample_costs_and_earns_nothing(tmp_path: Path):
    maker = Cube(refuse=0.3)
    trials = run(tmp_path, trials=40, maker=maker)
    assert len(maker.renders) == len(trials) == 40
    refused = [t for t in trials if t.render.refused]
    assert refused
    assert {t.render.refused for t in refused} == {"qc_face_px"}
    assert all(t.value == -12.5 and not t.fooled for t in refused)


def test_crowding_is_the_kernel_of_the_nearest_found(tmp_path: Path):
    trials = run(tmp_path, trials=40, diversity=1.5, radius=0.2)
    found: list[np.ndarray] = []
    for trial in trials:
        log_odds, feature = judge(trial.render.image)
        unit = feature.double().numpy() / np.linalg.norm(feature.double().numpy())
        crowding = max((math.exp(-np.sum((unit - other) ** 2) / (2 * 0.2**2)) for other in found), default=0.0)
        assert trial.crowding == pytest.approx(crowding, abs=1e-9)
        assert trial.value == pytest.approx(log_odds - 1.5 * crowding)
        if log_odds >= 0:
            found.append(unit)


def test_a_bona_fide_search_looks_for_rejections(tmp_path: Path):
    maker = Cube(species=("bonafide",))
    trials = run(tmp_path, trials=25, maker=maker)
    assert all(trial.fooled == (trial.log_odds < 0) for trial in trials)
    with pytest.raises(ConfigError, match="at once"):
        run(tmp_path / "x", maker=Cube(species=("bonafide", "print_a4")))


def test_coordinates_name_what_they_move_and_leave_seeds_alone():
    found = coordinates(draw)
    assert [c.axis.kind for c in found[:3]] == ["uniform", "integer", "normal"]
    assert [c.fields for c in found[:3]] == [("gap_mm",), ("kind",), ("tilt_deg.0",)]
    assert len(found) == 18
    assert all(c.searched for c in found)


def test_the_region_keeps_the_prior_and_stays_near_what_was_found(tmp_path: Path):
    trials = run(tmp_path)
    region = region_of(trials, least=4, floor=0.25, width=0.05, freed=0.0)
    assert len(region.found) == max(sum(t.fooled for t in trials), 12)
    maker = Cube()
    spaces = {"print_a4": maker.space("print_a4")}
    points = [region.draw(spaces, maker.devices, seed) for seed in range(400)]
    free = sum(not point.attack for point in points)
    # 400 draws of the prior's share of a quarter: a normal interval of 4 standard deviations.
    assert abs(free / 400 - 0.25) < 4 * math.sqrt(0.25 * 0.75 / 400)
    near = [min(abs(point.attack[0] - p.attack[0]) for p in region.found) for point in points if point.attack]
    assert max(near) < 0.05 * NormalDist().inv_cdf(1 - 1e-6)
    assert all(
        point == Point.from_json(json.loads(json.dumps(point.to_json()))) for point in points[:20] if not point.attack
    )
    assert points[3] == region.draw(spaces, maker.devices, 3)
    with pytest.raises(ConfigError, match="floor"):
        Region((), floor=0.0)


def test_reflection_folds_a_line_into_the_interval():
    u = torch.tensor([-0.25, 0.25, 1.25, 2.5, -1.75], dtype=torch.float64)
    assert reflected(u).tolist() == pytest.approx([0.25, 0.25, 0.75, 0.5, 0.25])
    assert float(reflected(torch.tensor(1.0, dtype=torch.float64))) < 1
