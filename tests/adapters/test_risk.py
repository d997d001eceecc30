"""IRM, V-REx and group DRO against NumPy in float64, finite differences, and their limits."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from conformance import LinearBackbone, batch, build, numeric_gradient, per_sample_loss
from torch import nn

from spooflab.adapters import CORAL, ERM, IBERM, IRM, MMD, SAM, SD, Batch, Fish, Fishr, GroupDRO, VREx
from spooflab.adapters.domain_terms import domain_risks, domain_rows, penalty_weight
from spooflab.adapters.irm import slope_penalty
from spooflab.errors import ConfigError


@pytest.fixture(autouse=True)
def _own_rng():
    with torch.random.fork_rng(devices=[]):
        yield


def chosen(data: Batch, rows: list[int]) -> Batch:
    return dataclasses.replace(data, images=data.images[rows], label=data.label[rows], domain=data.domain[rows])


def risks(model: nn.Module, data: Batch) -> list[float]:
    losses, domain = per_sample_loss(model, data), data.domain.numpy()
    return [losses[domain == d].mean() for d in sorted(set(domain.tolist()))]


def risk_at_scale(model: nn.Module, data: Batch, scale: float) -> np.ndarray:
    """Losses with the logits multiplied by `scale`, which is a scale of the head."""
    head = model.head
    with torch.no_grad():
        old = head.weight.clone(), head.bias.clone()
        head.weight.mul_(scale)
        head.bias.mul_(scale)
        losses = per_sample_loss(model, data)
        head.weight.copy_(old[0])
        head.bias.copy_(old[1])
    return losses


def slopes(model: nn.Module, data: Batch, eps: float = 1e-5) -> np.ndarray:
    """d loss / d scale of each sample at 1, by the five-point rule: error of order eps⁴."""
    f = {k: risk_at_scale(model, data, 1 + k * eps) for k in (-2, -1, 1, 2)}
    return (8 * (f[1] - f[-1]) - (f[2] - f[-2])) / (12 * eps)


def exact_slopes(model: nn.Module, data: Batch) -> np.ndarray:
    features = np.tanh(data.images.flatten(1).numpy() @ model.backbone.weight.detach().numpy().T)
    z = features @ model.head.weight.detach().numpy().T + model.head.bias.detach().numpy()
    p = np.exp(z) / np.exp(z).sum(1, keepdims=True)
    return ((p - np.eye(2)[data.label.numpy()]) * z).sum(1)


def irm_penalty(model: nn.Module, data: Batch, estimator: str) -> float:
    slope, label, domain = exact_slopes(model, data), data.label.numpy(), data.domain.numpy()
    terms = []
    for d in sorted(set(domain.tolist())):
        if estimator == "square":
            terms.append(slope[domain == d].mean() ** 2)
            continue
        order = [i for c in (0, 1) for i in range(len(slope)) if domain[i] == d and label[i] == c]
        if len(order) >= 2:
            terms.append(slope[order[0::2]].mean() * slope[order[1::2]].mean())
    return float(np.mean(terms)) if terms else 0.0


def vrex_loss(model: nn.Module, data: Batch, weight: float) -> float:
    return per_sample_loss(model, data).mean() + weight * np.var(risks(model, data))


@pytest.mark.parametrize("estimator", ["halves", "square"])
@pytest.mark.parametrize(("progress", "factor"), [(0.05, 1.0), (0.1, 100.0)])
def test_irm_loss_is_the_formula(estimator: str, progress: float, factor: float):
    model, data = build(IRM, estimator=estimator), batch(13, progress=progress)
    expected = per_sample_loss(model, data).mean() + factor * irm_penalty(model, data, estimator)
    assert model.update(data)["loss"].item() == pytest.approx(expected, rel=1e-10)


def test_irm_slope_is_the_derivative_by_the_scale_of_the_logits():
    model, data = build(IRM), batch(13)
    np.testing.assert_allclose(slopes(model, data), exact_slopes(model, data), atol=1e-9)


@pytest.mark.parametrize("estimator", ["halves", "square"])
def test_irm_gradient_is_the_finite_difference(estimator: str):
    model, data = build(IRM, estimator=estimator, weight=7.0), batch(13, progress=0.5)
    model.update(data)["loss"].backward()
    for parameter in (model.backbone.weight, model.head.weight, model.head.bias):
        numeric = numeric_gradient(
            parameter, lambda: per_sample_loss(model, data).mean() + 7 * irm_penalty(model, data, estimator)
        )
        np.testing.assert_allclose(parameter.grad.numpy(), numeric, atol=1e-8)


def test_irm_halves_hold_both_classes_where_the_batch_deals_them_in_turn():
    # As the balanced sampler deals: within a domain, attack and bona fide alternate.
    data = chosen(batch(16, domains=2), list(range(16)))
    data = dataclasses.replace(data, domain=(torch.arange(16) // 2) % 2)
    model = build(IRM, weight=1.0, anneal=0.0)
    slope = torch.from_numpy(exact_slopes(model, data))
    own = [0, 1, 4, 5, 8, 9, 12, 13]
    first, second = [0, 8, 1, 9], [4, 12, 5, 13]
    other = [i + 2 for i in first], [i + 2 for i in second]
    expected = (slope[first].mean() * slope[second].mean() + slope[other[0]].mean() * slope[other[1]].mean()) / 2
    assert sorted(first + second) == own
    assert model.update(data)["penalty"].item() == pytest.approx(expected.item(), rel=1e-10)


def test_irm_halves_estimate_the_square_without_its_bias():
    # Slopes drawn with mean μ in both classes: halves average μ², the square μ² + σ²/n.
    gen = torch.Generator().manual_seed(3)
    scores = torch.randn(8000, 2, generator=gen, dtype=torch.float64)
    label = torch.randint(2, (8000,), generator=gen)
    domain = torch.arange(8000) // 4
    slope = ((scores.softmax(1) - nn.functional.one_hot(label, 2)) * scores).sum(1)
    halves = slope_penalty(slope, label, domain, "halves").item()
    square = slope_penalty(slope, label, domain, "square").item()
    mean, variance = slope.mean().item(), slope.var().item()
    error = 5 * variance / math.sqrt(4 * 2000)  # five standard errors of the mean of 2000 products, each of σ²/2 or so
    assert halves == pytest.approx(mean**2, abs=error)
    assert square == pytest.approx(mean**2 + variance / 4, abs=error)
    assert variance / 4 > 2 * error


@pytest.mark.parametrize(("progress", "factor"), [(0.05, 1.0), (0.1, 10.0)])
def test_vrex_loss_is_the_formula(progress: float, factor: float):
    model, data = build(VREx), batch(13, progress=progress)
    assert model.update(data)["loss"].item() == pytest.approx(vrex_loss(model, data, factor), rel=1e-12)


def test_vrex_gradient_is_the_finite_difference():
    model, data = build(VREx), batch(13, progress=0.5)
    model.update(data)["loss"].backward()
    for parameter in (model.backbone.weight, model.head.weight, model.head.bias):
        numeric = numeric_gradient(parameter, lambda: vrex_loss(model, data, 10.0))
        np.testing.assert_allclose(parameter.grad.numpy(), numeric, atol=1e-8)


@pytest.mark.parametrize("kind", [IRM, VREx])
def test_rescaled_loss_is_the_loss_over_the_weight_once_that_is_above_one(kind: type):
    plain, rescaled, small = (build(kind, weight=w, rescale=r) for w, r in [(8.0, False), (8.0, True), (0.5, True)])
    for progress, factor in [(0.0, 1.0), (0.5, 8.0)]:
        data = batch(13, progress=progress)
        assert rescaled.update(data)["loss"].item() == pytest.approx(plain.update(data)["loss"].item() / factor)
    data = batch(13, progress=0.5)
    assert small.update(data)["loss"].item() == pytest.approx(build(kind, weight=0.5).update(data)["loss"].item())


def test_groupdro_follows_algorithm_1():
    model, q = build(GroupDRO, eta=0.5).train(), np.full(3, 1 / 3)
    for rows in ([0, 1, 2, 3, 4, 5, 6, 7, 8], [0, 1, 3, 4], [2, 5]):  # all domains, two of them, one
        data = chosen(batch(9), rows)
        losses, domain = per_sample_loss(model, data), data.domain.numpy()
        expected = 0.0
        for d in set(domain.tolist()):
            q[d] *= np.exp(0.5 * losses[domain == d].mean())
        q /= q.sum()
        for d in set(domain.tolist()):
            expected += q[d] * losses[domain == d].mean()
        assert model.update(data)["loss"].item() == pytest.approx(expected, rel=1e-12)
        np.testing.assert_allclose(model.domain_weights.numpy(), q, rtol=1e-12)
        assert model.domain_weights.sum().item() == pytest.approx(1, abs=1e-15)


def test_groupdro_gradient_is_the_finite_difference_at_its_weights():
    model, data = build(GroupDRO, eta=0.5).train(), batch(9)
    first = model.update(data)["loss"]
    q = model.domain_weights.clone().numpy()
    model.update(chosen(data, [0, 1]))  # moves the weights before the first gradient is taken
    first.backward()
    weight = model.backbone.weight
    numeric = numeric_gradient(weight, lambda: float(np.dot(q, risks(model, data))))
    np.testing.assert_allclose(weight.grad.numpy(), numeric, atol=1e-8)


def test_groupdro_weights_move_in_training_alone_and_are_kept():
    model = build(GroupDRO, eta=0.5)
    before = model.domain_weights.clone()
    model.eval().update(batch(9))
    assert torch.equal(model.domain_weights, before)
    model.train().update(batch(9))
    assert not torch.equal(model.domain_weights, before)
    other = build(GroupDRO)
    other.load_state_dict(model.state_dict())
    assert torch.equal(other.domain_weights, model.domain_weights)


def test_groupdro_settles_on_the_worst_domain_and_stays_finite():
    model = build(GroupDRO, eta=50.0).float().train()
    with torch.no_grad():
        model.head.weight.mul_(100)  # η R in the hundreds, where exp overflows
    data = batch(9)
    data = dataclasses.replace(data, images=data.images.float())
    for _ in range(3):
        losses = model.update(data)
    worst = int(np.argmax(risks(model.double(), batch(9))))
    assert torch.isfinite(losses["loss"])
    assert model.domain_weights[worst].item() == pytest.approx(1)


@pytest.mark.parametrize("progress", [0.0, 0.5])
@pytest.mark.parametrize(("kind", "hparams"), [(IRM, {"weight": 0.0}), (VREx, {"weight": 0.0})])
def test_no_penalty_is_erm(kind: type, hparams: dict[str, float], progress: float):
    data, model, erm = batch(13, progress=progress), build(kind, **hparams), build(ERM)
    assert model.update(data)["loss"].item() == pytest.approx(erm.update(data)["loss"].item(), rel=1e-15)


def test_groupdro_without_steps_is_erm_where_domains_are_equal():
    data, model, erm = batch(9), build(GroupDRO, eta=0.0).train(), build(ERM)
    assert model.update(data)["loss"].item() == pytest.approx(erm.update(data)["loss"].item(), rel=1e-14)


@pytest.mark.parametrize(("kind", "hparams"), [(IRM, {"estimator": "square"}), (VREx, {}), (GroupDRO, {})])
def test_order_of_samples_and_names_of_domains_do_not_matter(kind: type, hparams: dict[str, object]):
    data = batch(13, progress=0.5)
    shuffled = chosen(data, torch.randperm(13, generator=torch.Generator().manual_seed(0)).tolist())
    renamed = dataclasses.replace(data, domain=torch.tensor([2, 0, 1])[data.domain])
    expected = build(kind, **hparams).update(data)["loss"].item()
    for other in (shuffled, renamed):
        assert build(kind, **hparams).update(other)["loss"].item() == pytest.approx(expected, rel=1e-12)


def test_irm_halves_do_not_mind_the_names_of_domains():
    data = batch(13, progress=0.5)
    renamed = dataclasses.replace(data, domain=torch.tensor([2, 0, 1])[data.domain])
    losses = [build(IRM).update(d)["loss"].item() for d in (data, renamed)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-12)


@pytest.mark.parametrize("kind", [IRM, VREx, GroupDRO])
@pytest.mark.parametrize(
    "rows",
    [[0], [0, 3, 6], [0, 3, 6, 1], [0, 2, 4, 6]],
    ids=["one sample", "one domain", "a domain of one sample", "one class"],
)
def test_thin_batches_give_finite_losses_and_gradients(kind: type, rows: list[int]):
    model = build(kind, anneal=0.0) if kind is not GroupDRO else build(kind)
    losses = model.train().update(chosen(batch(9, progress=0.5), rows))
    losses["loss"].backward()
    assert all(bool(torch.isfinite(value).all()) for value in losses.values())
    assert all(bool(torch.isfinite(p.grad).all()) for p in model.parameters())


@pytest.mark.parametrize("kind", [VREx, GroupDRO])
def test_one_training_domain_is_refused_where_it_would_be_erm(kind: type):
    with pytest.raises(ConfigError, match="1 training domain"):
        kind(LinearBackbone(), num_domains=1)


def test_irm_with_one_domain_asks_for_a_calibrated_scale():
    data = chosen(batch(9, progress=0.5), [0, 3, 6])
    model = IRM(LinearBackbone(), num_domains=1, estimator="square").double()
    slope = exact_slopes(model, data).mean()
    expected = per_sample_loss(model, data).mean() + 100 * slope**2
    assert model.update(data)["loss"].item() == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize(
    ("kind", "hparams", "match"),
    [
        (IRM, {"weight": -1.0}, "weight -1"),
        (IRM, {"weight": math.nan}, "weight nan"),
        (IRM, {"anneal": 1.5}, r"anneal 1.5[\s\S]*\[0, 1\]"),
        (IRM, {"estimator": "half"}, "halves, square"),
        (VREx, {"weight": math.inf}, "weight inf"),
        (VREx, {"anneal": -0.1}, "anneal"),
        (GroupDRO, {"eta": -1e-3}, "eta"),
    ],
)
def test_bad_hyperparameters_are_named(kind: type, hparams: dict[str, object], match: str):
    with pytest.raises(ConfigError, match=match):
        kind(LinearBackbone(), num_domains=3, **hparams)


@pytest.mark.parametrize("kind", [IRM, VREx, GroupDRO, CORAL, MMD, Fish, Fishr, SD, IBERM, SAM])
def test_both_ends_of_a_search_range_are_accepted_and_hold_the_default(kind: type):
    assert kind.SEARCH
    for key, (low, high, _) in kind.SEARCH.items():
        assert low <= getattr(build(kind), key) <= high
        assert [getattr(build(kind, **{key: end}), key) for end in (low, high)] == [low, high]


def test_domain_terms():
    domain = torch.tensor([2, 0, 2, 5, 0, 2])
    assert domain_rows(domain)[0] == [0, 2, 5]
    numbers, rows = domain_rows(domain, least=2)
    assert numbers == [0, 2]
    assert [own.tolist() for own in rows] == [[1, 4], [0, 2, 5]]
    present, means = domain_risks(torch.tensor([1.0, 2.0, 3.0, 7.0, 4.0, 5.0]), domain)
    assert present.tolist() == [0, 2, 5]
    assert means.tolist() == [3.0, 3.0, 7.0]
    assert penalty_weight(100.0, anneal=0.1, progress=0.09, early=1.0) == 1.0
    assert penalty_weight(0.3, anneal=0.1, progress=0.09, early=1.0) == 0.3
    assert penalty_weight(100.0, anneal=0.1, progress=0.1, early=1.0) == 100.0
