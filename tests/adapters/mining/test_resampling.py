"""Unequal odds within balanced cells, against plain loops; a resumed training draws the same rows."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch

from spooflab.adapters import BalancedSampler, ImageSet, TrainConfig, fit
from spooflab.adapters.mining.resampling import (
    ResampledSampler,
    false_accepts,
    measured,
    probabilities,
    systematic,
)
from spooflab.adapters.model_files import build_algorithm
from spooflab.seeds import generator

pytestmark = pytest.mark.slow  # together half a minute

LABELS = torch.tensor([0, 0, 0, 0, 0, 1, 1, 1, 1, 0, 0])
DOMAINS = torch.tensor([0, 0, 0, 1, 1, 0, 0, 1, 1, 2, 2])


def test_probabilities_are_a_floor_and_a_softmax_of_standardised_hardness():
    hardness = torch.tensor([0.1, 0.4, 2.0, 1.0, 1.0])
    groups = [torch.tensor([0, 2, 1]), torch.tensor([3, 4])]
    found = probabilities(hardness, groups, temperature=0.5, floor=0.2).numpy()
    values = np.array([0.1, 0.4, 2.0], dtype=np.float32).astype(np.float64)
    z = (values - values.mean()) / values.std() / 0.5
    soft = np.exp(z) / np.exp(z).sum()
    np.testing.assert_allclose(found, [*(0.2 / 3 + 0.8 * soft), 0.5, 0.5], rtol=1e-9)


def test_systematic_resampling_is_exact_to_one_draw():
    p = torch.tensor([0.5, 0.05, 0.3, 0.15], dtype=torch.float64)
    totals = np.zeros(4)
    for seed in range(200):
        counts = np.bincount(systematic(p, 17, generator(seed, "x")).numpy(), minlength=4)
        assert np.all(np.abs(counts - 17 * p.numpy()) < 1)
        totals += counts
    # The mean of 200 counts that differ from 17 p by less than 1: 5 standard errors of at most ½.
    np.testing.assert_allclose(totals / 200, 17 * p.numpy(), atol=5 * 0.5 / 200**0.5)
    assert len(systematic(p, 0, generator(0, "x"))) == 0


def test_false_accepts_are_those_of_a_loop():
    features = torch.randn(12, 4, generator=generator(3, "f"), dtype=torch.float64)
    labels = torch.arange(12) % 3 % 2
    unit = features.numpy() / np.linalg.norm(features.numpy(), axis=1, keepdims=True)
    expected = np.zeros(12)
    for i in range(12):
        if labels[i] == 0:
            near = max(float(unit[i] @ unit[j]) for j in range(12) if labels[j] == 1)
            own = max(float(unit[i] @ unit[j]) for j in range(12) if labels[j] == 0 and j != i)
            expected[i] = near - own
    np.testing.assert_allclose(false_accepts(features, labels).numpy(), expected, atol=1e-12)


@pytest.mark.parametrize(("batch_size", "every"), [(6, 3), (5, 2), (7, 1)])
def test_cells_stay_as_balanced_as_ever_and_even_odds_leave_nobody_out(batch_size: int, every: int):
    plain = BalancedSampler(LABELS, DOMAINS, batch_size=batch_size, seed=4)
    ours = ResampledSampler(LABELS, DOMAINS, batch_size=batch_size, seed=4, every=every)
    drawn = []
    for step in range(20):
        expected, (rows, visits) = plain.batch(step)[0], ours.batch(step)
        assert [(int(LABELS[r]), int(DOMAINS[r])) for r in rows] == [
            (int(LABELS[r]), int(DOMAINS[r])) for r in expected
        ]
        drawn += zip(rows, visits, strict=True)
    assert len(set(drawn)) == len(drawn)  # a row that comes again is another visit
    assert set(Counter(row for row, _ in drawn)) == set(range(len(LABELS)))
    later = ResampledSampler(LABELS, DOMAINS, batch_size=batch_size, seed=4, every=every)
    assert later.batch(13) == ours.batch(13)


def test_odds_decide_how_often_a_row_comes():
    sampler = ResampledSampler(LABELS, DOMAINS, batch_size=60, seed=1, every=1)
    sampler.probability[:3] = torch.tensor([0.7, 0.2, 0.1], dtype=torch.float64)
    counts = Counter(sampler.batch(0)[0])
    # Half of 60 slots are attacks, a third of these in this cell.
    assert [counts[i] for i in range(3)] == [7, 2, 1]


def striped(count: int, root: int) -> ImageSet:
    gen = torch.Generator().manual_seed(root)
    labels, domains = torch.arange(count) % 2, (torch.arange(count) // 2) % 2
    images = 60 + 80 * torch.rand(count, 3, 32, 32, generator=gen)
    images[labels == 1, :, :, ::4] += 40
    return ImageSet(images.to(torch.uint8), labels, domains, [f"{root}-{i}" for i in range(count)], ["x"] * count)


def config(by: str, **changes: object) -> TrainConfig:
    fields = {"size": 32, "steps": 12, "batch_size": 8, "eval_every": 12, "checkpoint_every": 5, "device": "cpu"}
    small = {"options": {"embedding_size": 8, "hidden_sizes": [8, 12, 16, 24]}}
    resample = {"by": by, "every": 4, "temperature": 0.3, "floor": 0.1}
    return TrainConfig.model_validate({"backbone": small, "resample": resample, **fields, **changes})


@pytest.mark.parametrize("by", ["loss", "disagreement", "false_accepts"])
def test_hardness_is_a_function_of_the_weights(by: str):
    plan, train = config(by), striped(24, 1)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = build_algorithm(plan, num_domains=2).train()
    state = torch.get_rng_state()
    found = [measured(model, train, plan.resample, plan, seed=3, step=4) for _ in range(2)]
    assert torch.equal(*found)
    assert torch.equal(torch.get_rng_state(), state)
    assert model.training
    assert found[0].shape == (24,)
    if by == "loss":
        model.eval()
        logits = model.logits(train.images.float() / 255)
        expected = torch.nn.functional.cross_entropy(logits.detach().double(), train.labels, reduction="none")
        torch.testing.assert_close(found[0], expected, atol=1e-5, rtol=0)
    if by == "false_accepts":
        assert bool((found[0][train.labels == 1] == 0).all())


@pytest.mark.parametrize("by", ["loss", "false_accepts"])
def test_a_stopped_training_goes_on_with_its_odds(by: str, tmp_path: Path):
    train, dev = striped(40, 1), striped(16, 2)
    whole = fit(config(by), train=train, dev=dev, seed=1, out=tmp_path / "a")

    class Stop(Exception):
        pass

    def stop(done: int, total: int, row: dict[str, float]) -> None:
        if done >= 7:  # the checkpoint of step 5 lies within the period of steps 4-7
            raise Stop

    with pytest.raises(Stop):
        fit(config(by, log_every=1), train=train, dev=dev, seed=1, out=tmp_path / "b", progress=stop)
    again = fit(config(by, log_every=1), train=train, dev=dev, seed=1, out=tmp_path / "b")
    for name, tensor in whole.model.state_dict().items():
        assert torch.equal(tensor, again.model.state_dict()[name]), name
    even = fit(config(by, resample=None), train=train, dev=dev, seed=1, out=tmp_path / "c")
    assert any(not torch.equal(t, even.model.state_dict()[n]) for n, t in whole.model.state_dict().items())
