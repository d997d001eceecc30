"""Every algorithm's loss against NumPy in float64, and its gradients against finite differences."""

import math

import numpy as np
import pytest
import torch
from conformance import LinearBackbone, batch, build, log_softmax, numeric_gradient, per_sample_loss
from torch import nn

from spooflab.adapters import DANN, ERM, OHEM, Batch, MixStyle
from spooflab.adapters.adversary import reversal_weight
from spooflab.adapters.mixstyle import mix_style
from spooflab.adapters.ohem import hard_examples
from spooflab.adapters.stage_change import cross_domain_partners
from spooflab.errors import ConfigError


@pytest.fixture(autouse=True)
def _own_rng():
    with torch.random.fork_rng(devices=[]):
        yield


def test_erm_loss_is_the_mean_cross_entropy():
    model, data = build(ERM), batch()
    assert model.update(data)["loss"].item() == pytest.approx(per_sample_loss(model, data).mean(), rel=1e-12)


def test_erm_gradient_is_the_finite_difference():
    model, data = build(ERM), batch()
    model.update(data)["loss"].backward()
    for parameter in (model.backbone.weight, model.head.weight, model.head.bias):
        numeric = numeric_gradient(parameter, lambda: per_sample_loss(model, data).mean())
        np.testing.assert_allclose(parameter.grad.numpy(), numeric, atol=1e-8)


@pytest.mark.parametrize(("keep", "kept"), [(0.25, 2), (0.3, 3), (0.5, 4), (1.0, 8)])
def test_ohem_keeps_the_highest_losses(keep: float, kept: int):
    model, data = build(OHEM, keep=keep), batch()
    losses = per_sample_loss(model, data)
    update = model.update(data)
    assert update["loss"].item() == pytest.approx(np.sort(losses)[-kept:].mean(), rel=1e-12)
    assert update["loss_all"].item() == pytest.approx(losses.mean(), rel=1e-12)


def test_ohem_per_class_keeps_a_share_of_each():
    losses = torch.tensor([9.0, 1.0, 8.0, 2.0, 7.0, 3.0, 6.0, 0.5])
    label = torch.arange(8) % 2
    assert hard_examples(losses, 0.5).tolist() == [0, 2, 4, 6]  # attacks alone
    assert sorted(hard_examples(losses, 0.5, label).tolist()) == [0, 2, 3, 5]


def test_ohem_gives_no_gradient_to_dropped_samples():
    model, data = build(OHEM, keep=0.25), batch()
    images = data.images.clone().requires_grad_()
    model.update(Batch(images, data.label, data.domain))["loss"].backward()
    touched = images.grad.flatten(1).abs().sum(1) > 0
    assert touched.nonzero()[:, 0].tolist() == sorted(np.argsort(per_sample_loss(model, data))[-2:].tolist())


def dann_parts(model: nn.Module, data: Batch) -> tuple[float, float]:
    """Class and domain cross-entropy, written again in NumPy."""
    features = np.tanh(data.images.flatten(1).numpy() @ model.backbone.weight.detach().numpy().T)
    hidden = features
    for layer in model.discriminator:
        if isinstance(layer, nn.Linear):
            hidden = hidden @ layer.weight.detach().numpy().T + layer.bias.detach().numpy()
        else:
            hidden = np.maximum(hidden, 0)
    domain = -log_softmax(hidden)[np.arange(len(data)), data.domain.numpy()].mean()
    return per_sample_loss(model, data).mean(), domain


def test_dann_loss_is_class_plus_domain_cross_entropy():
    model, data = build(DANN, hidden=6), batch(progress=0.5)
    expected = dann_parts(model, data)
    update = model.update(data)
    assert update["class"].item() == pytest.approx(expected[0], rel=1e-12)
    assert update["domain"].item() == pytest.approx(expected[1], rel=1e-12)
    assert update["loss"].item() == pytest.approx(sum(expected), rel=1e-12)


@pytest.mark.parametrize(("schedule", "progress"), [("constant", 0.0), ("ganin", 0.3)])
def test_dann_reverses_the_domain_gradient_for_the_backbone_only(schedule: str, progress: float):
    model, data = build(DANN, hidden=6, weight=0.7, schedule=schedule), batch(progress=progress)
    factor = 0.7 if schedule == "constant" else 0.7 * (2 / (1 + math.exp(-10 * progress)) - 1)
    model.update(data)["loss"].backward()
    # Backbone: gradient of class − λ·domain. Discriminator: gradient of + domain.
    weight = model.backbone.weight

    def adversarial() -> float:
        parts = dann_parts(model, data)
        return parts[0] - factor * parts[1]

    # PA's reversal holds λ as float32: seven digits of the factor.
    np.testing.assert_allclose(weight.grad.numpy(), numeric_gradient(weight, adversarial), atol=1e-7)
    last = model.discriminator[-1].weight
    np.testing.assert_allclose(last.grad.numpy(), numeric_gradient(last, lambda: dann_parts(model, data)[1]), atol=1e-8)


def test_dann_schedule():
    assert reversal_weight(2.0, "constant", 0.1) == 2.0
    assert reversal_weight(2.0, "ganin", 0.0) == 0.0
    assert reversal_weight(2.0, "ganin", 0.25) == pytest.approx(2 * math.tanh(5 * 0.25))  # 2/(1+e^-10p)-1 = tanh 5p
    assert reversal_weight(1.0, "ganin", 1.0) == pytest.approx(0.99990920)


def test_dann_gradient_penalty_is_the_squared_slope_of_the_domain_loss():
    data = batch()
    plain, model = build(DANN, hidden=6), build(DANN, hidden=6, gradient_penalty=0.5)
    features = model.backbone(data.images).detach()
    eps, slopes = 1e-6, torch.empty_like(features)
    target = data.domain
    for i in range(features.shape[0]):
        for j in range(features.shape[1]):
            step = torch.zeros_like(features)
            step[i, j] = eps
            up, down = (
                nn.functional.cross_entropy(model.discriminator(features + s), target, reduction="sum")
                for s in (step, -step)
            )
            slopes[i, j] = (up - down).item() / (2 * eps)
    expected = plain.update(data)["loss"].item() + 0.5 * slopes.square().sum(1).mean().item()
    assert model.update(data)["loss"].item() == pytest.approx(expected, rel=1e-7)


def test_dann_needs_two_domains_and_a_known_schedule():
    with pytest.raises(ConfigError, match="at least 2"):
        DANN(LinearBackbone(), num_domains=1)
    with pytest.raises(ConfigError, match="constant, ganin"):
        DANN(LinearBackbone(), num_domains=2, schedule="linear")


def test_mixstyle_formula():
    gen = torch.Generator().manual_seed(0)
    features = torch.randn(4, 2, 5, 3, generator=gen, dtype=torch.float64)
    weight = torch.tensor([0.0, 0.25, 0.9, 1.0], dtype=torch.float64)
    partner = torch.tensor([2, 0, 1, 3])
    got = mix_style(features, weight, partner).numpy()
    x = features.numpy()
    for i in range(4):
        for c in range(2):
            mu, sigma = x[i, c].mean(), math.sqrt(x[i, c].var(ddof=1) + 1e-6)
            other = x[partner[i], c]
            mu2, sigma2 = other.mean(), math.sqrt(other.var(ddof=1) + 1e-6)
            w = float(weight[i])
            expected = (x[i, c] - mu) / sigma * (w * sigma + (1 - w) * sigma2) + w * mu + (1 - w) * mu2
            np.testing.assert_allclose(got[i, c], expected, atol=1e-12)


def test_mixstyle_stops_the_gradient_at_the_statistics():
    features = torch.randn(2, 1, 3, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    features.requires_grad_()
    mix_style(features, torch.tensor([0.0, 1.0]), torch.tensor([1, 0])).sum().backward()
    sigma = (features.detach().var((2, 3)) + 1e-6).sqrt()[:, 0]
    expected = torch.tensor([sigma[1] / sigma[0], 1.0])[:, None, None, None].expand_as(features)
    torch.testing.assert_close(features.grad, expected.double(), rtol=1e-6, atol=0)


def test_mixstyle_takes_tokens():
    tokens = torch.randn(3, 7, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    weight, partner = torch.tensor([0.3, 0.5, 0.8]), torch.tensor([1, 2, 0])
    as_image = tokens.transpose(1, 2)[..., None]
    expected = mix_style(as_image, weight, partner)[..., 0].transpose(1, 2)
    torch.testing.assert_close(mix_style(tokens, weight, partner), expected)


def test_cross_domain_partners_come_from_other_domains_evenly():
    domain = torch.tensor([0, 0, 1, 1, 2, 2])
    gen = torch.Generator().manual_seed(0)
    draws = torch.stack([cross_domain_partners(domain, gen) for _ in range(2000)])
    assert bool((domain[draws] != domain).all())
    counts = torch.bincount(draws[:, 0], minlength=6).double() / 2000
    # Four partners, p = 1/4 each: five standard errors are 0.048.
    assert bool(((counts[2:] - 0.25).abs() < 0.048).all())
    assert cross_domain_partners(torch.tensor([1, 1, 1]), gen).tolist() == [0, 1, 2]


def test_mixstyle_bad_input():
    with pytest.raises(ConfigError, match="random, crossdomain"):
        MixStyle(LinearBackbone(), mix="all")
    with pytest.raises(ConfigError, match="layers"):
        MixStyle(LinearBackbone(), layers=(0,))
    with pytest.raises(ConfigError, match="share"):
        OHEM(LinearBackbone(), keep=0.0)
