"""CORAL, MMD, spectral decoupling and IB-ERM against NumPy in float64, finite differences, and their limits."""

import dataclasses
from collections.abc import Callable
from itertools import combinations

import numpy as np
import pytest
import torch
from conformance import LinearBackbone, batch, build, numeric_gradient, per_sample_loss
from torch import nn

from spooflab.adapters import CORAL, ERM, IBERM, MMD, SD, Batch
from spooflab.adapters.coral import moment_distance
from spooflab.adapters.mmd import kernel_distance
from spooflab.errors import ConfigError


@pytest.fixture(autouse=True)
def _own_rng():
    with torch.random.fork_rng(devices=[]):
        yield


def chosen(data: Batch, rows: list[int]) -> Batch:
    return dataclasses.replace(data, images=data.images[rows], label=data.label[rows], domain=data.domain[rows])


def features(model: nn.Module, data: Batch) -> np.ndarray:
    return np.tanh(data.images.flatten(1).numpy() @ model.backbone.weight.detach().numpy().T)


def by_domain(values: np.ndarray, data: Batch, least: int = 1) -> list[np.ndarray]:
    domain = data.domain.numpy()
    parts = [values[domain == d] for d in sorted(set(domain.tolist()))]
    return [part for part in parts if len(part) >= least]


def coral_penalty(values: np.ndarray, data: Batch, mean: bool, scale: str) -> float:
    dim, terms = values.shape[1], []
    for a, b in combinations(by_domain(values, data, 2), 2):
        apart = np.sum((np.cov(a.T) - np.cov(b.T)) ** 2)
        term = {"entries": apart / dim**2, "paper": apart / (4 * dim**2), "sum": apart}[scale]
        if mean:
            term += np.sum((a.mean(0) - b.mean(0)) ** 2) / (1 if scale == "sum" else dim)
        terms.append(term)
    return float(np.mean(terms)) if terms else 0.0


def kernel(x: np.ndarray, y: np.ndarray, powers: tuple[int, ...]) -> float:
    total = 0.0
    for a in x:
        for b in y:
            total += sum(np.exp(-(10.0**p) * np.sum((a - b) ** 2)) for p in powers)
    return total / (len(x) * len(y))


def mmd_penalty(values: np.ndarray, data: Batch, powers: tuple[int, ...] = (-3, -2, -1, 0, 1, 2, 3)) -> float:
    pairs = combinations(by_domain(values, data), 2)
    return float(np.mean([kernel(a, a, powers) + kernel(b, b, powers) - 2 * kernel(a, b, powers) for a, b in pairs]))


def loss_of(kind: type, model: nn.Module, data: Batch, weight: float, **hparams: object) -> float:
    values = features(model, data)
    if kind is CORAL:
        penalty = coral_penalty(values, data, bool(hparams.get("mean", True)), str(hparams.get("scale", "entries")))
    elif kind is MMD:
        penalty = mmd_penalty(values, data, **hparams)  # type: ignore[arg-type]
    elif kind is SD:
        logits = values @ model.head.weight.detach().numpy().T + model.head.bias.detach().numpy()
        penalty = float(np.mean(logits**2))
    else:
        penalty = float(np.mean([part.var(0, ddof=1).mean() for part in by_domain(values, data, 2)]))
    return float(per_sample_loss(model, data).mean() + weight * penalty)


CASES = [
    (CORAL, {}, 1.0),
    (CORAL, {"scale": "paper", "mean": False}, 1.0),
    (CORAL, {"scale": "paper"}, 1.0),
    (CORAL, {"scale": "sum"}, 1.0),
    (CORAL, {"scale": "entries", "mean": False}, 1.0),
    (MMD, {}, 1.0),
    (MMD, {"powers": (0,)}, 1.0),
    (SD, {}, 0.1),
    (IBERM, {}, 100.0),
]


@pytest.mark.parametrize(("kind", "hparams", "weight"), CASES)
def test_loss_is_the_formula(kind: type, hparams: dict[str, object], weight: float):
    model, data = build(kind, **hparams), batch(13, progress=0.5)
    assert model.update(data)["loss"].item() == pytest.approx(loss_of(kind, model, data, weight, **hparams), rel=1e-10)


@pytest.mark.parametrize(("kind", "hparams"), [(kind, hparams) for kind, hparams, _ in CASES])
def test_gradient_is_the_finite_difference(kind: type, hparams: dict[str, object]):
    model, data = build(kind, weight=0.7, **hparams), batch(10, progress=0.5)
    model.update(data)["loss"].backward()
    for parameter in (model.backbone.weight, model.head.weight, model.head.bias):
        numeric = numeric_gradient(parameter, lambda: loss_of(kind, model, data, 0.7, **hparams))
        np.testing.assert_allclose(parameter.grad.numpy(), numeric, atol=1e-7)


def test_ib_erm_is_erm_until_it_is_annealed():
    data = batch(13, progress=0.09)
    assert build(IBERM).update(data)["loss"].item() == build(ERM).update(data)["loss"].item()


def test_two_domains_match_pytorch_adapt():
    coral_loss = pytest.importorskip("pytorch_adapt.layers.coral_loss")
    gen = torch.Generator().manual_seed(0)
    x, y = (torch.randn(n, 6, generator=gen, dtype=torch.float64) for n in (9, 7))
    domain = torch.tensor([0] * 9 + [1] * 7)
    expected = coral_loss.CORALLoss()(x, y).item()
    got = moment_distance(torch.cat([x, y]), domain, mean=False, scale="paper").item()
    assert got == pytest.approx(expected, rel=1e-10)


def test_coral_keeps_its_digits_where_means_are_large():
    gen = torch.Generator().manual_seed(0)
    values = torch.randn(32, 32, generator=gen) * torch.tensor([0.1] * 16 + [0.2] * 16)[:, None] + 100
    domain = torch.arange(32) // 16
    exact = moment_distance(values.double(), domain, mean=False, scale="paper").item()
    assert moment_distance(values, domain, mean=False, scale="paper").item() == pytest.approx(exact, rel=1e-4)


def test_mmd_is_zero_for_the_same_points_and_grows_with_distance():
    points = torch.randn(5, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    domain = torch.tensor([0] * 5 + [1] * 5)
    powers = (-3, -2, -1, 0, 1, 2, 3)
    values = [kernel_distance(torch.cat([points, points + s]), domain, powers).item() for s in (0.0, 0.1, 1.0, 1e4)]
    assert values[0] == pytest.approx(0, abs=1e-15)
    assert values == sorted(values)
    # Far apart all kernels between the domains vanish: what is left is the two domains' own means.
    own = kernel(points.numpy(), points.numpy(), powers)
    assert values[-1] == pytest.approx(2 * own, rel=1e-12)


def test_mmd_float32_kernels_are_exact_for_a_point_with_itself():
    # ‖x‖² + ‖y‖² − 2xy would leave rounding that the sharpest kernel multiplies by a thousand.
    points = (torch.randn(40, 64, generator=torch.Generator().manual_seed(0)) * 10).requires_grad_()
    loss = kernel_distance(points, torch.arange(40) // 20, (3,))
    # Points are far apart for this kernel: means are 1/20 within and 0 between.
    assert loss.item() == pytest.approx(2 / 20, rel=1e-6)
    loss.backward()
    assert bool((points.grad == 0).all())


@pytest.mark.parametrize("kind", [CORAL, MMD, SD, IBERM])
@pytest.mark.parametrize("progress", [0.0, 0.5])
def test_no_penalty_is_erm(kind: type, progress: float):
    data, model, erm = batch(13, progress=progress), build(kind, weight=0.0), build(ERM)
    assert model.update(data)["loss"].item() == erm.update(data)["loss"].item()


@pytest.mark.parametrize("kind", [CORAL, MMD, SD, IBERM])
def test_order_of_samples_and_names_of_domains_do_not_matter(kind: type):
    data = batch(13, progress=0.5)
    shuffled = chosen(data, torch.randperm(13, generator=torch.Generator().manual_seed(0)).tolist())
    renamed = dataclasses.replace(data, domain=torch.tensor([2, 0, 1])[data.domain])
    expected = build(kind).update(data)["loss"].item()
    for other in (shuffled, renamed):
        assert build(kind).update(other)["loss"].item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("kind", [CORAL, MMD, SD, IBERM])
@pytest.mark.parametrize(
    ("rows", "paired"),
    [([0], False), ([0, 3, 6], False), ([0, 3, 6, 1], False), ([0, 3, 1, 4], True), ([0, 6, 2, 8], True)],
    ids=["one sample", "one domain", "a domain of one sample", "a domain absent", "one class"],
)
def test_thin_batches_give_finite_losses_and_gradients(kind: type, rows: list[int], paired: bool):
    model = build(kind).train()
    losses = model.update(chosen(batch(9, progress=0.5), rows))
    losses["loss"].backward()
    assert all(bool(torch.isfinite(value).all()) for value in losses.values())
    assert all(bool(torch.isfinite(p.grad).all()) for p in model.parameters())
    if kind is CORAL:
        assert (losses["penalty"].item() > 0) == paired


@pytest.mark.parametrize("kind", [CORAL, MMD, IBERM])
def test_penalties_of_features_are_float32_under_autocast(kind: type):
    data = batch(12, progress=0.5)
    data = dataclasses.replace(data, images=data.images.float())
    model = build(kind).float()
    expected = model.update(data)["penalty"].item()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        penalty = model.update(data)["penalty"]
    assert penalty.dtype == torch.float32
    # The features themselves were made in bf16: three digits of them.
    assert penalty.item() == pytest.approx(expected, rel=0.05)


def test_sd_shrinks_logits_and_leaves_domains_alone():
    data = batch(9)
    alone = dataclasses.replace(data, domain=torch.zeros(9, dtype=torch.int64))
    assert build(SD).update(data)["loss"].item() == build(SD).update(alone)["loss"].item()


@pytest.mark.parametrize(("kind", "message"), [(CORAL, "coral"), (MMD, "mmd")])
def test_one_training_domain_is_refused_where_it_would_be_erm(kind: type, message: str):
    with pytest.raises(ConfigError, match=f"{message}: 1 training domain"):
        kind(LinearBackbone(), num_domains=1)


@pytest.mark.parametrize("kind", [SD, IBERM])
def test_one_training_domain_keeps_the_penalty(kind: Callable[..., nn.Module]):
    data = chosen(batch(9, progress=0.5), [0, 3, 6])
    model = kind(LinearBackbone(), num_domains=1).double()
    expected = loss_of(kind, model, data, {SD: 0.1, IBERM: 100.0}[kind])
    assert model.update(data)["loss"].item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    ("kind", "hparams", "match"),
    [
        (CORAL, {"weight": -1.0}, "weight -1"),
        (CORAL, {"scale": "d2"}, "entries, paper, sum"),
        (MMD, {"weight": float("nan")}, "weight nan"),
        (MMD, {"powers": ()}, "powers"),
        (MMD, {"powers": (400,)}, "400"),
        (SD, {"weight": -0.1}, "sd: weight"),
        (IBERM, {"weight": -0.1}, "ib_erm: weight"),
        (IBERM, {"anneal": 2.0}, "anneal 2"),
    ],
)
def test_bad_hyperparameters_are_named(kind: type, hparams: dict[str, object], match: str):
    with pytest.raises(ConfigError, match=match):
        kind(LinearBackbone(), num_domains=3, **hparams)
