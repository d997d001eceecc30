"""Features are what the head is given, clusters are measured against chance, and the map is the same twice."""

from itertools import pairwise

import numpy as np
import pytest
import torch

from spooflab.adapters import TrainConfig
from spooflab.adapters.model_files import build_algorithm
from spooflab.adapters.scoring import as_input
from spooflab.experiments.explain.embedding import SIDE, flat_map, penultimate
from spooflab.experiments.explain.neighbours import NEIGHBOURS, purity
from spooflab.experiments.report.scatter import marks, scatter


@pytest.mark.parametrize("algorithm", ["erm", "ssdg"])
def test_features_are_what_the_head_is_given(algorithm: str) -> None:
    config = TrainConfig.model_validate({"size": 32, "algorithm": algorithm, "backbone": {"name": "resnet-tiny"}})
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = build_algorithm(config, num_domains=2)
    model.train()
    pictures = torch.randint(0, 256, (5, 3, 32, 32), generator=torch.Generator().manual_seed(1)).to(torch.uint8)
    features = penultimate(model, pictures, batch_size=2)
    assert model.training
    with torch.no_grad():
        logits = model.eval().logits(as_input(pictures, torch.device("cpu")))
        again = model.head(torch.from_numpy(features).float())
    torch.testing.assert_close(again, logits, rtol=1e-4, atol=1e-5)


def test_purity_against_loops() -> None:
    rng = np.random.default_rng(0)
    features = rng.normal(size=(60, 4))
    labels = rng.choice(["a", "b", "c"], 60)
    features[labels == "a"] += 1.5
    same = []
    for n in range(60):
        distance = ((features - features[n]) ** 2).sum(1)
        distance[n] = np.inf
        same.append(np.mean([labels[m] == labels[n] for m in np.argsort(distance)[:NEIGHBOURS]]))
    chance = np.mean([np.mean(np.delete(labels, n) == labels[n]) for n in range(60)])
    found = purity(features, labels, shuffles=199)
    assert found is not None
    assert found.purity == pytest.approx(np.mean(same))
    assert found.chance == pytest.approx(chance)
    assert found.clustered
    assert 0 < found.excess < 1


def test_labels_that_have_nothing_to_do_with_places_do_not_cluster() -> None:
    clustered = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        found = purity(rng.normal(size=(60, 3)), rng.choice(["a", "b"], 60), seed=seed, shuffles=99)
        assert found is not None
        assert abs(found.purity - found.chance) < 0.15
        clustered += found.clustered
    # 2 of 40 are expected at 5 %; 8 or more have a probability below 0.1 %.
    assert clustered < 8


def test_one_label_or_few_rows_have_no_purity() -> None:
    assert purity(np.zeros((60, 2)), np.repeat("a", 60)) is None
    assert purity(np.random.default_rng(0).normal(size=(12, 2)), np.repeat(["a", "b"], 6)) is None


def test_the_map_is_the_same_twice_and_keeps_apart_what_is_apart() -> None:
    rng = np.random.default_rng(1)
    features = np.concatenate([rng.normal(0, 1, (30, 8)), rng.normal(12, 1, (30, 8))])
    first, second = flat_map(features), flat_map(features)
    assert first.tobytes() == second.tobytes()
    assert first.min() >= 0
    assert first.max() <= SIDE
    found = purity(first.astype(float), np.repeat(["a", "b"], 30), shuffles=19)
    assert found is not None
    assert found.purity == 1.0


def test_marks_differ_in_colour_and_shape_and_titles_are_escaped() -> None:
    found = marks(["bonafide", *(f"attack{n}" for n in range(20))])
    assert len({(mark.colour, mark.shape) for mark in found}) == 21
    assert all(a.colour != b.colour and a.shape != b.shape for a, b in pairwise(found[1:]))
    svg = scatter([[0, 0], [1000, 1000]], ["<b>", "x"], [True, False], "a & b")
    assert "<b>" not in svg
    assert "a &amp; b" in svg
    assert svg.count("<path") == 2
