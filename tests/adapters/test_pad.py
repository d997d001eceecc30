"""Algorithms made for presentation attacks against NumPy loops, finite differences and hand-written steps."""

import math
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from conformance import LinearBackbone, batch, build, log_softmax, numeric_gradient
from hand_written import (
    PlainEngine,
    domain_gradient,
    domain_loss,
    features_of,
    head_of,
    picked,
    rows,
    weights_of,
)
from torch import nn

from spooflab.adapters import ERM, GACFAS, SAFAS, SSDG, Batch
from spooflab.adapters.adversary import reversal_weight
from spooflab.adapters.model_files import build_algorithm
from spooflab.adapters.safas import aligned, supervised_contrast
from spooflab.adapters.ssdg import triplet_loss
from spooflab.adapters.train_config import TrainConfig
from spooflab.errors import ConfigError


@pytest.fixture(autouse=True)
def _own_rng():
    with torch.random.fork_rng(devices=[]):
        yield


def crossed(size: int = 12, progress: float = 0.0) -> Batch:
    """Both classes in each of three domains."""
    plain = batch(size, progress=progress)
    return Batch(plain.images, plain.label, torch.arange(size) // 2 % 3, seed=plain.seed, progress=progress)


def renamed(data: Batch) -> Batch:
    return Batch(data.images, data.label, torch.tensor([2, 0, 1])[data.domain], seed=data.seed, progress=data.progress)


# SSDG


def triplet_loop(features: np.ndarray, group: Sequence[int], margin: float) -> float:
    violations = []
    for a in range(len(group)):
        for p in range(len(group)):
            for n in range(len(group)):
                if a != p and group[a] == group[p] and group[a] != group[n]:
                    near, far = (np.linalg.norm(features[a] - features[k]) for k in (p, n))
                    violations.append(max(near - far + margin, 0))
    violations = [v for v in violations if v > 0]
    return sum(violations) / max(len(violations), 1)


def ssdg_features(model: nn.Module, data: Batch) -> np.ndarray:
    features = features_of(model, data)
    length = np.linalg.norm(features, axis=1, keepdims=True)
    return features / {"unit": length, "root": np.sqrt(2 * length), "none": 1}[model.norm]


def ssdg_parts(model: nn.Module, data: Batch) -> tuple[float, float, float]:
    features, (weight, bias) = ssdg_features(model, data), head_of(model.head)
    group = [0 if y else d + 1 for y, d in zip(data.label.tolist(), data.domain.tolist(), strict=True)]
    live = np.flatnonzero(data.label.numpy() == 1)
    (w1, b1), (w2, b2) = head_of(model.discriminator[0]), head_of(model.discriminator[2])
    scores = log_softmax(np.maximum(features[live] @ w1.T + b1, 0) @ w2.T + b2)
    return (
        -picked(log_softmax(features @ weight.T + bias), data.label).mean(),
        triplet_loop(features, group, model.margin),
        -picked(scores, data.domain[live]).mean(),
    )


@pytest.mark.parametrize("norm", ["unit", "root", "none"])
def test_ssdg_losses(norm: str):
    model, data = build(SSDG, norm=norm, hidden=6, triplet_weight=0.8, adversary_weight=0.3), crossed()
    parts = ssdg_parts(model, data)
    update = model.update(data)
    for name, expected in zip(("class", "triplet", "adversary"), parts, strict=True):
        assert update[name].item() == pytest.approx(expected, rel=1e-12)
    assert update["loss"].item() == pytest.approx(parts[0] + 0.8 * parts[1] + 0.3 * parts[2], rel=1e-12)
    assert parts[1] > 0
    odds = ssdg_features(model, data) @ np.diff(head_of(model.head)[0], axis=0)[0] + np.diff(head_of(model.head)[1])
    np.testing.assert_allclose(model.predict(data.images).detach(), 1 / (1 + np.exp(-odds)), rtol=1e-12)


@pytest.mark.parametrize("schedule", ["constant", "ganin"])
def test_ssdg_reverses_the_adversary_for_the_backbone_only(schedule: str):
    model, data = build(SSDG, hidden=6, adversary_weight=0.7, schedule=schedule), crossed(progress=0.3)
    factor = reversal_weight(1.0, schedule, 0.3)

    def adversarial() -> float:
        parts = ssdg_parts(model, data)
        return parts[0] + parts[1] - factor * 0.7 * parts[2]

    model.update(data)["loss"].backward()
    weight = model.backbone.weight
    # The reversal holds its weight as float32: seven digits.
    np.testing.assert_allclose(weight.grad.numpy(), numeric_gradient(weight, adversarial), atol=1e-7)
    last = model.discriminator[-1].weight
    numeric = numeric_gradient(last, lambda: 0.7 * ssdg_parts(model, data)[2])
    np.testing.assert_allclose(last.grad.numpy(), numeric, atol=1e-8)


def test_ssdg_adversary_sees_bona_fides_alone():
    model, data = build(SSDG, hidden=6), crossed()
    moved = data.domain.clone()
    moved[data.label == 0] = 0  # other domains of the attacks alone
    before, after = (model.update(Batch(data.images, data.label, d))["adversary"] for d in (data.domain, moved))
    assert torch.equal(before, after)


def test_triplets_that_do_not_exist_are_zero_with_a_graph():
    features = torch.randn(4, 3, generator=torch.Generator().manual_seed(0), requires_grad=True)
    for group in ([0, 0, 0, 0], [0, 1, 2, 3], [0]):
        loss = triplet_loss(features[: len(group)], torch.tensor(group), 0.1)
        loss.backward()
        assert loss.item() == 0
        assert not features.grad.any()


def test_triplets_of_equal_features_have_finite_gradients():
    features = torch.ones(4, 3, dtype=torch.float64, requires_grad=True)
    loss = triplet_loss(features, torch.tensor([0, 0, 1, 1]), 0.1)
    loss.backward()
    assert loss.item() == pytest.approx(0.1)
    assert torch.isfinite(features.grad).all()


@pytest.mark.parametrize("norm", ["unit", "root"])
def test_ssdg_of_no_feature_at_all_is_finite(norm: str):
    model = build(SSDG, norm=norm, hidden=6)
    with torch.no_grad():
        model.backbone.weight.zero_()
    model.update(crossed())["loss"].backward()
    assert torch.isfinite(model.backbone.weight.grad).all()


@pytest.mark.parametrize("kept", [[0, 2, 4], [1, 3, 5], [1], [0, 1], [0, 1, 2, 3]])
def test_ssdg_of_incomplete_batches_is_finite(kept: list[int]):
    model, data = build(SSDG, hidden=6), rows(crossed(), kept)
    update = model.update(data)
    update["loss"].backward()
    assert all(torch.isfinite(value) for value in update.values())
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in model.parameters())
    if not data.label.any():
        assert update["adversary"] == 0


def test_ssdg_limits():
    data = crossed()
    plain = build(SSDG, norm="none", hidden=6, triplet_weight=0.0, adversary_weight=0.0)
    assert torch.equal(plain.update(data)["loss"], build(ERM).update(data)["loss"])
    torch.manual_seed(0)
    alone = SSDG(LinearBackbone(), num_domains=1).double()
    update = alone.update(Batch(data.images, data.label, torch.zeros_like(data.domain)))
    assert update["adversary"] == 0
    group = [0 if y else 1 for y in data.label.tolist()]
    assert update["triplet"].item() == pytest.approx(triplet_loop(ssdg_features(alone, data), group, 0.1), rel=1e-12)


# SA-FAS


def contrast_loop(features: np.ndarray, group: Sequence[int], temperature: float) -> float:
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    losses = []
    for i in range(len(group)):
        positives = [j for j in range(len(group)) if j != i and group[j] == group[i]]
        if positives:
            total = sum(math.exp(unit[i] @ unit[k] / temperature) for k in range(len(group)) if k != i)
            losses.append(-np.mean([unit[i] @ unit[j] / temperature - math.log(total) for j in positives]))
    return temperature / 0.07 * float(np.mean(losses))


def safas_parts(model: nn.Module, data: Batch) -> tuple[float, float]:
    features, (weight, bias) = features_of(model, data), head_of(model.head)
    by_domain: dict[int, list[float]] = {}
    for x, y, d in zip(features, data.label.tolist(), data.domain.tolist(), strict=True):
        likelihood = 1 / (1 + math.exp(-(weight[d] @ x + bias[d])))
        by_domain.setdefault(d, []).append(-math.log(likelihood if y else 1 - likelihood))
    group = [10 * d + y for y, d in zip(data.label.tolist(), data.domain.tolist(), strict=True)]
    classes = float(np.mean([np.mean(losses) for losses in by_domain.values()]))
    return classes, contrast_loop(features, group, model.temperature)


def test_safas_loss_and_gradient():
    model, data = build(SAFAS, weight=0.4, temperature=0.3), crossed()
    parts = safas_parts(model, data)
    update = model.update(data)
    assert update["class"].item() == pytest.approx(parts[0], rel=1e-12)
    assert update["contrast"].item() == pytest.approx(parts[1], rel=1e-12)
    assert update["loss"].item() == pytest.approx(parts[0] + 0.4 * parts[1], rel=1e-12)
    update["loss"].backward()

    def objective() -> float:
        classes, contrast = safas_parts(model, data)
        return classes + 0.4 * contrast

    for parameter in model.parameters():
        np.testing.assert_allclose(parameter.grad.numpy(), numeric_gradient(parameter, objective), atol=1e-7)


def test_safas_is_used_as_the_mean_of_its_hyperplanes():
    model, data = build(SAFAS), crossed()
    weight, bias = head_of(model.head)
    each = 1 / (1 + np.exp(-(features_of(model, data) @ weight.T + bias)))
    np.testing.assert_allclose(model.predict(data.images).detach(), each.mean(1), rtol=1e-12)
    with torch.no_grad():
        model.head.weight.mul_(1e3)  # far beyond where a float64 sigmoid is 1
    assert torch.isfinite(model.logits(data.images)).all()


def test_safas_aligns_after_the_step():
    early, late = crossed(progress=0.1), crossed(progress=0.5)
    reference, model = build(SAFAS, alpha=0.9), build(SAFAS, alpha=0.9)
    for data, turned in ((early, False), (late, True)):
        reference.load_state_dict(model.state_dict())
        engine = PlainEngine(reference, lr=0.1)
        engine.backward(reference.update(data)["loss"])
        engine.optimise()
        parts = model.step([data], PlainEngine(model, lr=0.1))
        before, after = head_of(reference.head)[0], head_of(model.head)[0]
        length = np.linalg.norm(before, axis=1, keepdims=True)
        unit = before / length
        cosine = unit @ unit.T
        assert parts["alignment"].item() == pytest.approx(cosine[np.triu_indices(3, 1)].mean(), rel=1e-12)
        for i in range(3):
            farthest = min((j for j in range(3) if j != i), key=lambda j, i=i: cosine[i, j])
            target = 0.9 * unit[i] + 0.1 * unit[farthest] if turned else unit[i]
            np.testing.assert_allclose(after[i], length[i] * target / np.linalg.norm(target), rtol=1e-12)
        np.testing.assert_allclose(head_of(model.head)[1], head_of(reference.head)[1], rtol=1e-12)


def test_safas_alignment_makes_one_direction_of_all():
    weight = torch.randn(4, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert torch.allclose(aligned(weight, 1.0), weight)
    turned = weight
    for _ in range(2000):
        turned = aligned(turned, 0.99)
    unit = nn.functional.normalize(turned, dim=1)
    assert (unit @ unit.T).min() > 0.999
    torch.testing.assert_close(turned.norm(dim=1), weight.norm(dim=1))


@pytest.mark.parametrize("kept", [[0, 2, 4], [1], [0, 1], [0, 1, 6]])
def test_safas_of_incomplete_batches_is_finite(kept: list[int]):
    model, data = build(SAFAS), rows(crossed(), kept)
    update = model.update(data)
    update["loss"].backward()
    assert all(torch.isfinite(value) for value in update.values())
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in model.parameters())
    if 6 not in kept:  # nobody has a positive
        assert update["contrast"] == 0


def test_safas_with_one_domain_is_erm_with_the_contrast():
    torch.manual_seed(0)
    model, data = SAFAS(LinearBackbone(), num_domains=1, weight=0.0).double(), crossed()
    one = Batch(data.images, data.label, torch.zeros_like(data.domain))
    # A softmax over scores (0, odds) is the sigmoid of the odds.
    erm = ERM(LinearBackbone(), num_domains=1).double()
    with torch.no_grad():
        erm.head.weight.copy_(torch.cat([torch.zeros_like(model.head.weight), model.head.weight]))
        erm.head.bias.copy_(torch.cat([torch.zeros_like(model.head.bias), model.head.bias]))
    torch.testing.assert_close(model.update(one)["loss"], erm.update(one)["loss"], rtol=1e-12, atol=0)
    assert "alignment" not in model.step([one], PlainEngine(model, 0.1))
    contrast = supervised_contrast(model.backbone(one.images), one.label, 0.1)
    assert model.update(one)["contrast"].item() == pytest.approx(contrast.item(), rel=1e-12)


# GAC-FAS


def gac_points(weights: Sequence[np.ndarray], data: Batch, rho: float, alpha: float, adaptive: bool):
    """Each domain's ascent point, written by hand."""
    domains = sorted(set(data.domain.tolist()))
    slopes = {d: domain_gradient(weights, data, [d]) for d in domains}
    share = {d: (data.domain == d).double().mean().item() for d in domains}
    common = [sum(share[d] * slopes[d][k] for d in domains) for k in range(3)]
    points = {}
    for d in domains:
        scale = [abs(w) + 0.01 if adaptive and w.ndim > 1 else np.ones_like(w) for w in weights]
        scaled = [t * g for t, g in zip(scale, slopes[d], strict=True)]
        length = math.sqrt(sum(float((s**2).sum()) for s in scaled))
        points[d] = [
            w + rho * t * s / length - alpha * c for w, t, s, c in zip(weights, scale, scaled, common, strict=True)
        ]
    return points, common


@pytest.mark.parametrize("adaptive", [False, True])
def test_gacfas_step_is_the_hand_written_one(adaptive: bool):
    model, data = build(GACFAS, rho=0.3, alpha=0.2, adaptive=adaptive), batch(10)  # 4, 3 and 3 images
    micro = [rows(data, [0, 1, 2, 3, 4]), rows(data, [3, 5, 6, 7, 8, 9])]
    weights = weights_of(model)
    total, losses = [np.zeros_like(w) for w in weights], []
    for part in micro:
        points, common = gac_points(weights, part, 0.3, 0.2, adaptive)
        slopes = [domain_gradient(point, part, [d]) for d, point in points.items()]
        there = float(np.mean([domain_loss(point, part, [d]) for d, point in points.items()]))
        for k in range(3):
            total[k] += (common[k] + np.mean([s[k] for s in slopes], axis=0)) / 2
        here = -picked(log_softmax(features_of(model, part) @ weights[1].T + weights[2]), part.label).mean()
        losses.append(here + there)
    parts = model.step(micro, PlainEngine(model, lr=0.1))
    assert parts["loss"].item() == pytest.approx(np.mean(losses), rel=1e-12)
    for after, before, slope in zip(weights_of(model), weights, total, strict=True):
        np.testing.assert_allclose(after, before - 0.1 * slope, rtol=1e-12, atol=1e-14)


def test_gacfas_without_displacement_is_twice_the_mean_of_equal_domains():
    model, erm, data = build(GACFAS, rho=0.0, alpha=0.0), build(ERM), batch(9)
    model.update(data)["loss"].backward()
    erm.update(data)["loss"].backward()
    torch.testing.assert_close(model.backbone.weight.grad, 2 * erm.backbone.weight.grad, rtol=1e-12, atol=1e-15)


def test_gacfas_ascends_by_rho():
    model, data = build(GACFAS, rho=1e-3, alpha=0.0), batch(9)
    update = model.update(data)
    slopes = [domain_gradient(weights_of(model), data, [d]) for d in range(3)]
    lengths = [math.sqrt(sum(float((g**2).sum()) for g in s)) for s in slopes]
    # To first order, each loss rises by ρ times the length of its gradient.
    assert (update["ascent"] - update["here"]).item() == pytest.approx(1e-3 * np.mean(lengths), rel=1e-3)


def test_gacfas_at_a_minimum_stays():
    model, data = build(GACFAS), batch(6)
    same = Batch(data.images[:1].expand(6, -1, -1, -1), data.label, data.domain, seed=1)
    with torch.no_grad():
        model.head.weight.zero_()
        model.head.bias.zero_()
        model.backbone.weight.zero_()
    balanced = Batch(same.images, same.label, torch.zeros_like(same.domain), seed=1)
    model.update(balanced)["loss"].backward()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters())
    assert model.backbone.weight.grad.abs().max() < 1e-12


def test_gacfas_leaves_running_statistics_to_the_first_pass():
    config = TrainConfig.model_validate({"algorithm": "gacfas", "size": 32, "device": "cpu"})
    torch.manual_seed(0)
    model = build_algorithm(config, num_domains=3).train()
    images = torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    data = Batch(images, torch.tensor([0, 1, 0, 1]), torch.tensor([0, 0, 1, 2]))  # two domains of one image
    model.update(data)["loss"].backward()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters())
    torch.manual_seed(0)
    plain = build_algorithm(config, num_domains=3).train()
    plain.logits(images)
    for (name, mine), (_, other) in zip(model.named_buffers(), plain.named_buffers(), strict=True):
        assert torch.equal(mine, other), name


# All three


@pytest.mark.parametrize("kind", [SSDG, SAFAS, GACFAS])
def test_order_of_samples_and_numbers_of_domains_do_not_matter(kind: type):
    model, data = build(kind), crossed()
    if kind is SAFAS:  # the hyperplanes go with their domains
        with torch.no_grad():
            model.head.weight.copy_(model.head.weight[:1].expand(3, -1))
            model.head.bias.zero_()
    if kind is SSDG:
        with torch.no_grad():
            model.discriminator[-1].weight.copy_(model.discriminator[-1].weight[:1].expand(3, -1))
            model.discriminator[-1].bias.zero_()
    order = torch.randperm(12, generator=torch.Generator().manual_seed(0)).tolist()
    expected = model.update(data)["loss"]
    for other in (renamed(data), rows(data, order)):
        torch.testing.assert_close(model.update(other)["loss"], expected, rtol=1e-12, atol=0)


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        (SSDG, {"margin": -0.1}, "margin -0.1"),
        (SSDG, {"triplet_weight": -1.0}, "triplet_weight -1.0"),
        (SSDG, {"norm": "l1"}, "unit, root, none"),
        (SSDG, {"schedule": "linear"}, "constant, ganin"),
        (SSDG, {"hidden": 0}, "hidden 0"),
        (SAFAS, {"temperature": 0.0}, "temperature 0.0"),
        (SAFAS, {"alpha": 0.0}, "safas: alpha 0.0"),
        (SAFAS, {"align_from": 1.5}, "align_from 1.5"),
        (GACFAS, {"rho": -0.1}, "rho -0.1"),
        (GACFAS, {"alpha": -0.1}, "gacfas: rho 0.1, alpha -0.1"),
    ],
)
def test_bad_hyper_parameters(kind: type, options: dict[str, object], message: str):
    with pytest.raises(ConfigError, match=message):
        kind(LinearBackbone(), num_domains=3, **options)
