"""Cross-batch memory against loops in NumPy: which pairs count, what they cost, and what the ring holds."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from conformance import batch, build, numeric_gradient, per_sample_loss
from hand_written import features_of

from spooflab.adapters import XBM, Batch
from spooflab.errors import ConfigError


@pytest.fixture(autouse=True)
def _own_rng():
    with torch.random.fork_rng(devices=[]):
        yield


def other(data: Batch, shift: float, size: int) -> Batch:
    images = (data.images + shift).remainder(1)[:size]
    return replace(data, images=images, label=(data.label[:size] + 1) % 2, domain=data.domain[:size])


def unit(features: np.ndarray) -> np.ndarray:
    return features / np.linalg.norm(features, axis=1, keepdims=True)


def contrastive_loop(anchors, label, refs, ref_label, itself, margin):
    near, far = [], []
    for i, a in enumerate(anchors):
        for j, r in enumerate(refs):
            s = float(a @ r)
            if label[i] != ref_label[j]:
                far.append(max(s - margin, 0))
            elif j != itself[i]:
                near.append(max(1 - s, 0))
    means = [np.mean([v for v in part if v > 0]) if any(v > 0 for v in part) else 0.0 for part in (near, far)]
    return sum(means)


def semihard_loop(anchors, label, refs, ref_label, itself, margin):
    found = []
    for i, a in enumerate(anchors):
        for p in range(len(refs)):
            for n in range(len(refs)):
                if label[i] == ref_label[p] != ref_label[n] and p != itself[i]:
                    gap = np.linalg.norm(a - refs[n]) - np.linalg.norm(a - refs[p])
                    if 0 < gap <= margin:
                        found.append(margin - gap)
    found = [v for v in found if v > 0]
    return np.mean(found) if found else 0.0


@pytest.mark.parametrize(
    ("pairs", "loop", "margin"), [("contrastive", contrastive_loop, 0.3), ("semihard", semihard_loop, 0.4)]
)
def test_loss_and_gradient_are_those_of_a_loop_over_the_ring(pairs, loop, margin):
    model = build(XBM, pairs=pairs, margin=margin, memory=11, weight=0.7).train()
    first, second = batch(8), replace(other(batch(8), 0.31, 6), progress=0.5)
    model.update(first)
    # The first batch took entries 0-7, the second takes 8, 9, 10, 0, 1, 2.
    old, new = unit(features_of(model, first)), unit(features_of(model, second))
    ring = np.concatenate([new[3:], old[3:], new[:3]])
    a, b = first.label.numpy(), second.label.numpy()
    ring_label, itself = np.concatenate([b[3:], a[3:], b[:3]]), [8, 9, 10, 0, 1, 2]

    def value() -> float:
        metric = loop(unit(features_of(model, second)), b, ring, ring_label, itself, margin)
        return float(per_sample_loss(model, second).mean() + 0.7 * metric)

    losses = model.update(second)
    np.testing.assert_allclose(float(losses["loss"].detach()), value(), rtol=1e-9)
    assert float(losses["metric"]) > 0
    losses["loss"].backward()
    np.testing.assert_allclose(
        model.backbone.weight.grad.numpy(), numeric_gradient(model.backbone.weight, value), atol=1e-6
    )


def test_the_ring_holds_the_newest_and_travels_with_the_state():
    model = build(XBM, memory=10).train()
    data = batch(8)
    model.update(data)
    assert int(model.memory_next) == 8
    assert model.memory_label.tolist()[8:] == [-1, -1]
    model.update(data)
    assert int(model.memory_next) == 6
    np.testing.assert_allclose(model.memory_features[6:8].numpy(), features_of(model, data)[6:])
    np.testing.assert_allclose(model.memory_features[8:].numpy(), features_of(model, data)[:2])
    fresh = build(XBM, memory=10).train()
    fresh.load_state_dict(model.state_dict())
    late = replace(other(data, 0.2, 6), progress=0.9)
    assert torch.equal(fresh.update(late)["loss"], model.update(late)["loss"])


def test_one_sample_is_no_pair_with_itself_and_the_start_waits():
    model = build(XBM, memory=4, weight=5.0, start=0.5).train()
    alone = other(batch(8), 0.1, 1)
    assert float(model.update(replace(alone, progress=0.9))["metric"]) == 0
    early = model.update(other(batch(8), 0.4, 4))
    assert float(early["metric"]) > 0
    assert float(early["loss"].detach()) == float(early["class"])


@pytest.mark.parametrize("wrong", [{"memory": 1}, {"pairs": "all"}, {"margin": 3.0}, {"weight": -1.0}, {"start": 2.0}])
def test_refuses_what_makes_no_sense(wrong):
    with pytest.raises(ConfigError, match="xbm"):
        build(XBM, **wrong)


def test_refuses_a_batch_larger_than_the_memory():
    with pytest.raises(ConfigError, match="memory 4"):
        build(XBM, memory=4).update(batch(8))
