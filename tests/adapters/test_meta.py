"""Dropping, style-adversarial and meta-learning algorithms against NumPy, finite differences and hand-written steps."""

import numpy as np
import pytest
import torch
from conformance import LinearBackbone, batch, build, log_softmax, numeric_gradient, per_sample_loss
from hand_written import PlainEngine, domain_gradient, domain_loss, features_of, head_of, picked, rows, weights_of
from torch import nn

from spooflab.adapters import ERM, MLDG, RSC, Batch, SagNet
from spooflab.adapters.model_files import build_algorithm
from spooflab.adapters.rsc import muted_features
from spooflab.adapters.train_config import TrainConfig
from spooflab.errors import ConfigError
from spooflab.seeds import generator


@pytest.fixture(autouse=True)
def _own_rng():
    with torch.random.fork_rng(devices=[]):
        yield


# RSC


def rsc_loss(model: nn.Module, data: Batch, feature_drop: float, batch_drop: float) -> float:
    features, (weight, bias) = features_of(model, data), head_of(model.head)
    muted = features.copy()
    for i, y in enumerate(data.label.tolist()):
        largest = np.argsort(-weight[y], kind="stable")[: round(feature_drop * features.shape[1])]
        muted[i, largest] = 0  # the slope of score y by the features is row y
    before = picked(np.exp(log_softmax(features @ weight.T + bias)), data.label)
    after = picked(np.exp(log_softmax(muted @ weight.T + bias)), data.label)
    hardest = np.argsort(-(before - after), kind="stable")[: round(batch_drop * len(data))]
    learned = features.copy()
    learned[hardest] = muted[hardest]
    return -picked(log_softmax(learned @ weight.T + bias), data.label).mean()


@pytest.mark.parametrize(("feature_drop", "batch_drop"), [(1 / 3, 1 / 3), (0.6, 0.5), (0.5, 1.0)])
def test_rsc_loss_and_gradient(feature_drop: float, batch_drop: float):
    model, data = build(RSC, feature_drop=feature_drop, batch_drop=batch_drop), batch()
    loss = model.update(data)["loss"]
    assert loss.item() == pytest.approx(rsc_loss(model, data, feature_drop, batch_drop), rel=1e-12)
    loss.backward()
    weight = model.backbone.weight
    numeric = numeric_gradient(weight, lambda: rsc_loss(model, data, feature_drop, batch_drop))
    np.testing.assert_allclose(weight.grad.numpy(), numeric, atol=1e-8)


def test_rsc_mutes_by_the_slope_of_any_head():
    head = nn.Sequential(nn.Linear(6, 4), nn.Tanh(), nn.Linear(4, 2)).double()
    features = torch.randn(5, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    label = torch.tensor([0, 1, 1, 0, 1])
    muted = muted_features(head, features, label, 1 / 3, 1.0)
    for i in range(5):
        slopes = []
        for j in range(6):
            step = torch.zeros(6, dtype=torch.float64)
            step[j] = 1e-6
            slopes.append((head(features[i] + step) - head(features[i] - step))[label[i]].item())
        assert set(torch.nonzero(muted[i])[:, 0].tolist()) == set(np.argsort(slopes)[-2:].tolist())


@pytest.mark.parametrize("options", [{"feature_drop": 0.0}, {"batch_drop": 0.0}])
def test_rsc_without_a_share_is_erm(options: dict[str, float]):
    assert torch.equal(build(RSC, **options).update(batch())["loss"], build(ERM).update(batch())["loss"])


def test_rsc_does_not_care_about_order_and_domains():
    model, data = build(RSC), batch()
    order = [3, 1, 7, 0, 2, 6, 5, 4]
    torch.testing.assert_close(model.update(rows(data, order))["loss"], model.update(data)["loss"], rtol=1e-12, atol=0)
    assert torch.isfinite(model.update(rows(data, [0]))["loss"])


# SagNet


def normal(features: np.ndarray) -> np.ndarray:
    return (features - features.mean(1, keepdims=True)) / np.sqrt(features.var(1, ddof=1, keepdims=True) + 1e-5)


def sagnet_parts(model: nn.Module, data: Batch, weight: np.ndarray) -> tuple[float, float, float]:
    """Content, style and adversarial loss; `weight` is the backbone's."""
    gen = generator(data.seed, "sagnet")
    share = torch.rand(len(data), generator=gen, dtype=torch.float64).numpy()
    style_of, content_of = (torch.randperm(len(data), generator=gen).numpy() for _ in range(2))
    features = np.tanh(data.images.flatten(1).numpy() @ weight.T)
    mean, variance = features.mean(1), features.var(1, ddof=1)
    content = normal(features)
    other = normal(features_of(model, data))[content_of]  # contents of others are constants
    mixed, swapped = np.empty_like(features), np.empty_like(features)
    for i, (a, j) in enumerate(zip(share, style_of, strict=True)):
        deviation = np.sqrt(a * variance[i] + (1 - a) * variance[j] + 1e-5)
        mixed[i] = content[i] * deviation + a * mean[i] + (1 - a) * mean[j]
        swapped[i] = other[i] * np.sqrt(variance[i] + 1e-5) + mean[i]
    (w, b), (ws, bs) = head_of(model.head), head_of(model.style_head)
    style = log_softmax(swapped @ ws.T + bs)
    return -picked(log_softmax(mixed @ w.T + b), data.label).mean(), -picked(style, data.label).mean(), -style.mean()


def test_sagnet_losses():
    model, data = build(SagNet, weight=0.3), batch()
    content, style, adversarial = sagnet_parts(model, data, model.backbone.weight.detach().numpy())
    update = model.update(data)
    assert update["content"].item() == pytest.approx(content, rel=1e-12)
    assert update["style"].item() == pytest.approx(style, rel=1e-12)
    assert update["adversarial"].item() == pytest.approx(adversarial, rel=1e-12)
    assert update["loss"].item() == pytest.approx(content + style + 0.3 * adversarial, rel=1e-12)


def test_sagnet_gradients_go_where_the_algorithm_sends_them():
    model, data = build(SagNet, weight=0.3), batch()
    model.update(data)["loss"].backward()
    backbone = model.backbone.weight.detach().clone()
    moving = nn.Parameter(backbone.clone())

    def without_style() -> float:
        parts = sagnet_parts(model, data, moving.detach().numpy())
        return parts[0] + 0.3 * parts[2]

    np.testing.assert_allclose(model.backbone.weight.grad.numpy(), numeric_gradient(moving, without_style), atol=1e-8)
    for layer, part in ((model.head, 0), (model.style_head, 1)):
        numeric = numeric_gradient(layer.weight, lambda part=part: sagnet_parts(model, data, backbone.numpy())[part])
        np.testing.assert_allclose(layer.weight.grad.numpy(), numeric, atol=1e-8)


def test_sagnet_is_used_without_its_style():
    model, data = build(SagNet), batch()
    assert torch.equal(model.predict(data.images), build(ERM).predict(data.images))
    one_domain = Batch(data.images, data.label, torch.zeros_like(data.domain), seed=data.seed)
    assert torch.equal(model.update(one_domain)["loss"], model.update(data)["loss"])
    assert torch.isfinite(model.update(rows(data, [2]))["loss"])


# MLDG


def split(data: Batch, meta_test: int = 1) -> tuple[list[int], list[int]]:
    """The meta-train and the meta-test domains, drawn again."""
    present = sorted(set(data.domain.tolist()))
    order = torch.randperm(len(present), generator=generator(data.seed, "mldg")).tolist()
    tested = [present[i] for i in order[:meta_test]]
    return [d for d in present if d not in tested], tested


@pytest.mark.parametrize("order", ["first", "second"])
@pytest.mark.parametrize("meta_test", [1, 2])
def test_mldg_loss_is_algorithm_1(order: str, meta_test: int):
    model, data = build(MLDG, beta=0.7, inner_lr=0.5, order=order, meta_test=meta_test), batch()
    learned, tested = split(data, meta_test)
    weights = weights_of(model)
    moved = [w - 0.5 * g for w, g in zip(weights, domain_gradient(weights, data, learned), strict=True)]
    update = model.update(data)
    expected = domain_loss(weights, data, learned), domain_loss(moved, data, tested)
    assert update["meta_train"].item() == pytest.approx(expected[0], rel=1e-12)
    assert update["meta_test"].item() == pytest.approx(expected[1], rel=1e-12)
    assert update["loss"].item() == pytest.approx(expected[0] + 0.7 * expected[1], rel=1e-12)


def test_mldg_second_order_gradient_is_that_of_the_whole_objective():
    model, data = build(MLDG, beta=0.7, inner_lr=0.5, order="second"), batch()
    learned, tested = split(data)

    def objective() -> float:
        weights = weights_of(model)
        moved = [w - 0.5 * g for w, g in zip(weights, domain_gradient(weights, data, learned), strict=True)]
        return domain_loss(weights, data, learned) + 0.7 * domain_loss(moved, data, tested)

    model.update(data)["loss"].backward()
    for parameter in model.parameters():
        np.testing.assert_allclose(parameter.grad.numpy(), numeric_gradient(parameter, objective), atol=1e-8)


def test_mldg_first_order_step_is_the_hand_written_one():
    model, data = build(MLDG, beta=0.7, inner_lr=0.5), batch()
    micro = [rows(data, [0, 1, 2, 3, 4], seed=1), rows(data, [3, 4, 5, 6, 7], seed=2)]
    weights = weights_of(model)
    total = [np.zeros_like(w) for w in weights]
    for part in micro:
        learned, tested = split(part)
        outer = domain_gradient(weights, part, learned)
        moved = [w - 0.5 * g for w, g in zip(weights, outer, strict=True)]
        inner = domain_gradient(moved, part, tested)
        total = [t + (a + 0.7 * b) / 2 for t, a, b in zip(total, outer, inner, strict=True)]
    parts = model.step(micro, PlainEngine(model, lr=0.1))
    for after, before, slope in zip(weights_of(model), weights, total, strict=True):
        np.testing.assert_allclose(after, before - 0.1 * slope, rtol=1e-12, atol=1e-14)
    assert parts["loss"].item() == pytest.approx((parts["meta_train"] + 0.7 * parts["meta_test"]).item())


def test_mldg_orders_meet_where_the_inner_step_vanishes():
    first, second, data = build(MLDG, inner_lr=0.0), build(MLDG, inner_lr=0.0, order="second"), batch()
    for model in (first, second):
        model.update(data)["loss"].backward()
    torch.testing.assert_close(first.backbone.weight.grad, second.backbone.weight.grad, rtol=1e-12, atol=1e-15)


def test_mldg_with_one_domain_present_is_erm():
    model, data = build(MLDG, meta_test=2), batch(domains=1)
    update = model.update(data)
    assert update.keys() == {"loss", "meta_train"}
    assert update["loss"].item() == pytest.approx(per_sample_loss(model, data).mean(), rel=1e-12)
    two = rows(batch(), [0, 1, 3])  # two domains, one of them with one image
    assert model.update(two).keys() == {"loss", "meta_train", "meta_test"}


@pytest.mark.parametrize("name", ["resnet-tiny", "vit-tiny"])
def test_mldg_second_order_reaches_every_weight_of_real_backbones(name: str):
    backbone = {"name": name, "options": {"num_hidden_layers": 1} if name == "vit-tiny" else {"depths": [1, 1, 1, 1]}}
    config = TrainConfig.model_validate(
        {"algorithm": "mldg", "hparams": {"order": "second"}, "backbone": backbone, "size": 32, "device": "cpu"}
    )
    torch.manual_seed(0)
    model = build_algorithm(config, num_domains=3).train()
    images = torch.rand(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    loss = model.update(Batch(images, torch.tensor([0, 1, 1]), torch.arange(3)))["loss"]  # one image each
    loss.backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in model.parameters())


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        (RSC, {"feature_drop": 1.0}, "feature_drop 1.0"),
        (RSC, {"batch_drop": -0.1}, "batch_drop -0.1"),
        (SagNet, {"weight": -1.0}, "sagnet: weight -1.0"),
        (MLDG, {"num_domains": 1}, "at least 2"),
        (MLDG, {"beta": -1.0}, "mldg: beta -1.0"),
        (MLDG, {"inner_lr": -1.0}, "inner_lr -1.0"),
        (MLDG, {"meta_test": 3}, "meta_test 3"),
        (MLDG, {"order": "third"}, "first, second"),
    ],
)
def test_bad_hyper_parameters(kind: type, options: dict[str, object], message: str):
    with pytest.raises(ConfigError, match=message):
        kind(LinearBackbone(), **{"num_domains": 3, **options})
