"""Every adaptation loss against NumPy in float64, its gradient against finite differences, its limits and bad input."""

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from conformance import LinearBackbone, batch, build, log_softmax, numeric_gradient, per_sample_loss
from torch import nn

from spooflab.adapters import (
    AFN,
    ALGORITHMS,
    ATDOC,
    BNM,
    BSP,
    CDAN,
    CDANN,
    DAN,
    ERM,
    JAN,
    MCC,
    Batch,
    CORALTarget,
    DANNTarget,
)
from spooflab.adapters.atdoc import neighbour_labels, sharpened
from spooflab.adapters.cdan import entropy_weights
from spooflab.adapters.cdann import domain_weights
from spooflab.adapters.kernel_mmd import joint_kernel, median_bandwidth, mmd, squared_distances
from spooflab.errors import ConfigError, DataError

ADAPTATION = [name for name, kind in ALGORITHMS.items() if kind.setting == "adaptation"]
WEIGHTED = ["cdann", "cdan", "dann_target", "dan", "jan", "coral_target", "mcc", "bnm", "afn", "bsp", "atdoc"]
ADVERSARIAL = {"cdann", "cdan", "dann_target", "bsp"}


@pytest.fixture(autouse=True)
def _own_rng():
    with torch.random.fork_rng(devices=[]):
        yield


def paired(size: int = 8, targets: int = 6, *, progress: float = 0.5) -> Batch:
    gen = torch.Generator().manual_seed(8)
    target = 0.4 + 0.5 * torch.rand(targets, 3, 2, 2, generator=gen, dtype=torch.float64)
    return replace(batch(size, progress=progress), target=target, target_rows=torch.arange(targets))


def array(tensor: torch.Tensor) -> np.ndarray:
    return tensor.detach().numpy()


def forward(model: nn.Module, images: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Features and logits in NumPy."""
    features = np.tanh(array(images.flatten(1)) @ array(model.backbone.weight).T)
    return features, features @ array(model.head.weight).T + array(model.head.bias)


def sides(model: nn.Module, data: Batch) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    return *forward(model, data.images), *forward(model, data.target)


def softmax(logits: np.ndarray) -> np.ndarray:
    return np.exp(log_softmax(logits))


def network(layers: nn.Sequential, x: np.ndarray) -> np.ndarray:
    for layer in layers:
        x = x @ array(layer.weight).T + array(layer.bias) if isinstance(layer, nn.Linear) else np.maximum(x, 0)
    return x


def coral(model: nn.Module, data: Batch) -> float:
    xs, _, xt, _ = sides(model, data)
    return float(((np.cov(xs.T) - np.cov(xt.T)) ** 2).sum() / (4 * xs.shape[1] ** 2))


def kernel_value(layers: list[tuple[np.ndarray, list[float]]], i: int, j: int) -> float:
    """Product over layers of the mean over bandwidths of exp(−d²/γ)."""
    value = 1.0
    for points, bandwidths in layers:
        squared = float(((points[i] - points[j]) ** 2).sum())
        value *= sum(math.exp(-squared / gamma) for gamma in bandwidths) / len(bandwidths)
    return value


def mmd_by_hand(layers: list[tuple[np.ndarray, list[float]]], m: int, estimate: str) -> float:
    total = len(layers[0][0])
    n = total - m
    if estimate == "linear":
        pairs = min(m, n) // 2
        parts = [
            kernel_value(layers, 2 * i, 2 * i + 1)
            + kernel_value(layers, m + 2 * i, m + 2 * i + 1)
            - kernel_value(layers, 2 * i, m + 2 * i + 1)
            - kernel_value(layers, 2 * i + 1, m + 2 * i)
            for i in range(pairs)
        ]
        return sum(parts) / pairs
    xx = sum(kernel_value(layers, i, j) for i in range(m) for j in range(m) if i != j) / (m * (m - 1))
    yy = sum(kernel_value(layers, i, j) for i in range(m, total) for j in range(m, total) if i != j) / (n * (n - 1))
    xy = sum(kernel_value(layers, i, j) for i in range(m) for j in range(m, total)) / (m * n)
    return xx + yy - 2 * xy


def median_by_hand(points: np.ndarray) -> float:
    apart = sorted(
        float(((points[i] - points[j]) ** 2).sum()) for i in range(len(points)) for j in range(len(points)) if i != j
    )
    return apart[(len(apart) - 1) // 2]  # torch's median of an even count is the lower one


def dan(estimate: str, gamma: float | None = None) -> Callable[[nn.Module, Batch], float]:
    def value(model: nn.Module, data: Batch) -> float:
        xs, _, xt, _ = sides(model, data)
        points = np.concatenate([xs, xt])
        median = gamma or median_by_hand(points)
        bandwidths = [median * 2 ** (k / 2) for k in range(-16, 17)]
        return mmd_by_hand([(points, bandwidths)], len(xs), estimate)

    return value


def jan(estimate: str, gammas: tuple[float, float] | None = None) -> Callable[[nn.Module, Batch], float]:
    def value(model: nn.Module, data: Batch) -> float:
        xs, ls, xt, lt = sides(model, data)
        layers = [np.concatenate([xs, xt]), softmax(np.concatenate([ls, lt]))]
        used = gammas or tuple(median_by_hand(layer) for layer in layers)
        return mmd_by_hand([(layer, [g]) for layer, g in zip(layers, used, strict=True)], len(xs), estimate)

    return value


def mcc(weights: np.ndarray | None = None) -> Callable[[nn.Module, Batch], float]:
    def value(model: nn.Module, data: Batch) -> float:
        logits = sides(model, data)[3] / 2.5
        y = softmax(logits)
        w = entropy_by_hand(logits) if weights is None else weights
        w = w * len(w) / w.sum()
        confusion = np.zeros((2, 2))
        for a in range(2):
            for b in range(2):
                confusion[a, b] = sum(y[i, a] * w[i] * y[i, b] for i in range(len(y)))
        confusion /= confusion.sum(1, keepdims=True)
        return float(confusion[0, 1] + confusion[1, 0]) / 2

    return value


def entropy_by_hand(logits: np.ndarray) -> np.ndarray:
    p = softmax(logits)
    return 1 + np.exp(-np.array([-sum(q * math.log(q) for q in row) for row in p]))


def bnm(model: nn.Module, data: Batch) -> float:
    p = softmax(sides(model, data)[3])
    return -float(np.sqrt(np.linalg.eigvalsh(p.T @ p)).sum()) / len(p)


def penalised(model: nn.Module, data: Batch, weight: float, penalty: float) -> float:
    return per_sample_loss(model, data).mean() + weight * penalty


PENALTIES = [
    (CORALTarget, {"weight": 0.7}, coral),
    (DAN, {"weight": 0.7}, dan("quadratic")),
    (DAN, {"weight": 0.7, "estimate": "linear"}, dan("linear")),
    (JAN, {"weight": 0.7}, jan("quadratic")),
    (JAN, {"weight": 0.7, "estimate": "linear"}, jan("linear")),
    (MCC, {"weight": 0.7}, mcc()),
    (BNM, {"weight": 0.7}, bnm),
    (AFN, {"weight": 0.7, "growth": 0.3}, lambda model, data: 2 * 0.3**2),
]


@pytest.mark.parametrize(("kind", "hparams", "penalty"), PENALTIES)
def test_loss_is_cross_entropy_plus_the_papers_term(kind: type, hparams: dict, penalty: Callable):
    model, data = build(kind, **hparams), paired()
    update = model.update(data)
    # pytorch-adapt adds 1e-7…1e-16 inside logarithms of MCC's weights.
    assert update["transfer"].item() == pytest.approx(penalty(model, data), rel=1e-6, abs=1e-12)
    assert update["loss"].item() == pytest.approx(penalised(model, data, 0.7, penalty(model, data)), rel=1e-7)


def frozen_references(model: nn.Module, data: Batch, kind: type) -> Callable[[nn.Module, Batch], float]:
    """What is held constant by the loss is held constant by the finite difference too."""
    xs, ls, xt, lt = sides(model, data)
    features, predictions = np.concatenate([xs, xt]), softmax(np.concatenate([ls, lt]))
    return {
        CORALTarget: coral,
        DAN: dan("quadratic", median_by_hand(features)),
        JAN: jan("quadratic", (median_by_hand(features), median_by_hand(predictions))),
        MCC: mcc(entropy_by_hand(lt / 2.5)),
        BNM: bnm,
    }[kind]


@pytest.mark.parametrize("kind", [CORALTarget, DAN, JAN, MCC, BNM])
def test_gradient_is_the_finite_difference(kind: type):
    model, data = build(kind, weight=0.7), paired()
    reference = frozen_references(model, data, kind)
    model.update(data)["loss"].backward()
    for parameter in (model.backbone.weight, model.head.weight):
        numeric = numeric_gradient(parameter, lambda: penalised(model, data, 0.7, reference(model, data)))
        np.testing.assert_allclose(array(parameter.grad), numeric, atol=2e-7)


def test_afn_pushes_features_outwards_alone():
    model, data = build(AFN, weight=0.7, growth=0.3), paired()
    model.update(data)["loss"].backward()
    held = [np.linalg.norm(x, axis=1) for x in (sides(model, data)[0], sides(model, data)[2])]

    def objective() -> float:
        now = [np.linalg.norm(x, axis=1) for x in (sides(model, data)[0], sides(model, data)[2])]
        grown = sum(float(((h + 0.3 - n) ** 2).mean()) for h, n in zip(held, now, strict=True))
        return penalised(model, data, 0.7, grown)

    numeric = numeric_gradient(model.backbone.weight, objective)
    np.testing.assert_allclose(array(model.backbone.weight.grad), numeric, atol=1e-7)


def test_mmd_is_symmetric_and_tells_distributions_apart():
    gen = torch.Generator().manual_seed(0)
    draws = torch.randn(200, 40, 3, generator=gen, dtype=torch.float64)

    def value(points: torch.Tensor) -> float:
        return mmd(joint_kernel([points], [torch.ones(1)]), 20).item()

    for points in draws[:5]:
        assert value(points) == pytest.approx(value(points.roll(20, 0)), abs=1e-14)
    same = torch.tensor([value(points) for points in draws])
    # Unbiased: the mean over 200 draws is 0 within four standard errors.
    assert abs(same.mean()) < 4 * same.std() / math.sqrt(200)
    moved = draws.clone()
    moved[:, 20:] += 2.0
    assert min(value(points) for points in moved) > same.max()


def test_linear_mmd_has_the_mean_of_the_quadratic():
    gen = torch.Generator().manual_seed(0)
    draws = torch.randn(400, 16, 2, generator=gen, dtype=torch.float64)
    draws[:, 8:] += 0.7
    values = torch.tensor(
        [
            [mmd(torch.exp(-squared_distances(points)), 8, estimate).item() for estimate in ("quadratic", "linear")]
            for points in draws
        ]
    )
    gap = values[:, 0] - values[:, 1]
    assert abs(gap.mean()) < 4 * gap.std() / math.sqrt(400)
    assert values[:, 1].var() > 2 * values[:, 0].var()


def test_coinciding_features_keep_mmd_finite():
    points = torch.zeros(6, 3, dtype=torch.float64, requires_grad=True)
    assert median_bandwidth(squared_distances(points)).item() > 0
    value = mmd(joint_kernel([points], [torch.ones(1)]), 3)
    value.backward()
    assert value.item() == 0.0
    assert bool(points.grad.isfinite().all())


# Adversaries.


def domain_by_hand(scores: np.ndarray, sources: int, weights: np.ndarray) -> float:
    losses = -log_softmax(scores)[np.arange(len(scores)), (np.arange(len(scores)) >= sources).astype(int)]
    parts = [
        np.average(losses[:sources], weights=weights[:sources]),
        np.average(losses[sources:], weights=weights[sources:]),
    ]
    return float(np.mean(parts))


def dann_domain(model: nn.Module, data: Batch) -> float:
    xs, _, xt, _ = sides(model, data)
    features = np.concatenate([xs, xt])
    return domain_by_hand(network(model.discriminator, features), len(xs), np.ones(len(features)))


def cdan_domain(model: nn.Module, data: Batch, logits: np.ndarray, entropy: bool) -> float:
    """`logits` are handed over: the loss holds predictions and weights constant."""
    xs, _, xt, _ = sides(model, data)
    features, p = np.concatenate([xs, xt]), softmax(logits)
    product = np.stack([np.outer(p[i], features[i]).ravel() for i in range(len(features))])
    weights = entropy_by_hand(logits) if entropy else np.ones(len(features))
    return domain_by_hand(network(model.discriminator, product), len(xs), weights)


def cell_weights(label: list[int], domain: list[int]) -> np.ndarray:
    weights = np.zeros((3, len(label)))
    pairs = list(zip(label, domain, strict=True))
    for i, (y, d) in enumerate(pairs):
        count = pairs.count((y, d))
        weights[y, i] = 1 / count / len({e for z, e in pairs if z == y})
        weights[2, i] = 1 / count / len({z for z, e in pairs if e == d}) / len(set(domain))
    return weights


def cdann_domain(model: nn.Module, data: Batch) -> float:
    features, _ = forward(model, data.images)
    weights = cell_weights(data.label.tolist(), data.domain.tolist())
    losses = [
        -log_softmax(network(net, features))[np.arange(len(data)), data.domain.numpy()] for net in model.discriminators
    ]
    parts = [float((w * v).sum()) for w, v in zip(weights, losses, strict=True)]
    return (parts[0] + parts[1]) / 2 + parts[2]


def adversary(name: str, model: nn.Module, data: Batch) -> Callable[[], float]:
    _, ls, _, lt = sides(model, data)
    logits = np.concatenate([ls, lt])
    return {
        "dann_target": lambda: dann_domain(model, data),
        "cdan": lambda: cdan_domain(model, data, logits, entropy=False),
        "cdan+e": lambda: cdan_domain(model, data, logits, entropy=True),
        "cdann": lambda: cdann_domain(model, data),
    }[name]


@pytest.mark.parametrize(
    ("name", "kind", "hparams"),
    [
        ("dann_target", DANNTarget, {}),
        ("cdan", CDAN, {"entropy_weighting": False}),
        ("cdan+e", CDAN, {}),
        ("cdann", CDANN, {}),
    ],
)
def test_adversaries_reverse_the_domain_gradient_for_the_backbone(name: str, kind: type, hparams: dict):
    model, data = build(kind, hidden=6, weight=0.7, **hparams), paired(9, progress=0.3)
    factor = 0.7 * math.tanh(5 * 0.3)  # 2/(1+e^-10p)-1
    domain = adversary(name, model, data)
    update = model.update(data)
    update["loss"].backward()
    assert update["class"].item() == pytest.approx(per_sample_loss(model, data).mean(), rel=1e-12)
    assert update["loss"].item() == pytest.approx(per_sample_loss(model, data).mean() + domain(), rel=1e-12)
    weight = model.backbone.weight
    numeric = numeric_gradient(weight, lambda: per_sample_loss(model, data).mean() - factor * domain())
    # The reversal holds λ as float32: seven digits of the factor.
    np.testing.assert_allclose(array(weight.grad), numeric, atol=1e-7)
    for net in model.discriminators if kind is CDANN else [model.discriminator]:
        last = net[-1].weight
        np.testing.assert_allclose(array(last.grad), numeric_gradient(last, domain), atol=1e-7)
    head = model.head.weight
    np.testing.assert_allclose(
        array(head.grad), numeric_gradient(head, lambda: per_sample_loss(model, data).mean()), atol=1e-7
    )


def test_bsp_adds_the_largest_squared_singular_values():
    model, data = build(BSP, hidden=6, spectral_weight=0.3, directions=2), paired(progress=0.0)
    xs, _, xt, _ = sides(model, data)
    spectral = sum(float(np.sort(np.linalg.eigvalsh(x.T @ x))[-2:].sum()) for x in (xs, xt))
    update = model.update(data)
    assert update["spectral"].item() == pytest.approx(spectral, rel=1e-12)
    expected = per_sample_loss(model, data).mean() + dann_domain(model, data) + 0.3 * spectral
    assert update["loss"].item() == pytest.approx(expected, rel=1e-12)
    update["loss"].backward()

    def objective() -> float:  # λ is 0 at the start
        parts = [
            np.sort(np.linalg.eigvalsh(x.T @ x))[-2:].sum() for x in (sides(model, data)[0], sides(model, data)[2])
        ]
        return per_sample_loss(model, data).mean() + 0.3 * float(sum(parts))

    numeric = numeric_gradient(model.backbone.weight, objective)
    np.testing.assert_allclose(array(model.backbone.weight.grad), numeric, atol=1e-7)


def test_entropy_weights_lie_between_a_coin_and_certainty():
    weights = entropy_weights(torch.tensor([[0.0, 0.0], [60.0, 0.0], [0.0, -1e4]], dtype=torch.float64))
    np.testing.assert_allclose(weights, [1 + 0.5, 2, 2], rtol=1e-12)  # exp(−ln 2) = ½


def test_cdann_weights_count_cells_by_hand():
    label, domain = [0, 0, 0, 0, 1, 1, 0, 1], [0, 0, 0, 1, 0, 1, 2, 1]
    weights = domain_weights(
        torch.tensor(label), torch.tensor(domain), 4, torch.float64
    )  # domain 3 is not in the batch
    np.testing.assert_allclose(weights, cell_weights(label, domain), rtol=1e-14)
    np.testing.assert_allclose(weights.sum(1), 1, rtol=1e-14)
    # Domain 0 has three attacks and one bona fide: in the last row both classes have half of its third.
    np.testing.assert_allclose(weights[2][:5], [1 / 18, 1 / 18, 1 / 18, 1 / 6, 1 / 6], rtol=1e-14)


def test_cdann_bears_a_batch_of_one_class():
    model = build(CDANN, hidden=6)
    update = model.update(replace(batch(), label=torch.ones(8, dtype=torch.int64)))
    update["loss"].backward()
    assert math.isfinite(update["loss"].item())
    assert all(bool((p.grad == 0).all()) for p in model.discriminators[0].parameters())


# ATDOC.


def test_atdoc_labels_by_the_nearest_filled_entries_but_its_own():
    rng = np.random.default_rng(0)
    bank = rng.standard_normal((12, 5))
    bank /= np.linalg.norm(bank, axis=1, keepdims=True)
    predictions = rng.uniform(0.1, 0.9, 12)
    predictions = np.stack([predictions, 1 - predictions], 1)
    predictions[[3, 7]] = 0  # not yet filled
    unit = bank[[0, 3, 5]] + 0.1 * rng.standard_normal((3, 5))
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    got = neighbour_labels(*map(torch.tensor, (unit, [0, 3, 5], bank, predictions)), 4)
    for row, own in enumerate([0, 3, 5]):
        order = sorted((j for j in range(12) if j not in (own, 3, 7)), key=lambda j: -float(unit[row] @ bank[j]))
        np.testing.assert_allclose(got[row], predictions[order[:4]].mean(0), rtol=1e-12)
    few = np.zeros((12, 2))
    few[[1, 2]] = [[0.2, 0.8], [0.6, 0.4]]
    got = neighbour_labels(*map(torch.tensor, (unit, [0, 1, 2], bank, few)), 4)
    np.testing.assert_allclose(got, [[0.4, 0.6], [0.6, 0.4], [0.2, 0.8]], rtol=1e-12)


def test_atdoc_sharpens_and_frees_of_imbalance():
    p = np.array([[0.9, 0.1], [0.8, 0.2], [0.6, 0.4]])
    squares = p**2 / (p**2).sum(0)
    np.testing.assert_allclose(sharpened(torch.tensor(p), 0.5), squares / squares.sum(1, keepdims=True), rtol=1e-12)
    sure = torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    assert sharpened(sure, 0.5).tolist() == sure.tolist()


def test_atdoc_remembers_the_batch_before():
    model, data = build(ATDOC, weight=0.7, neighbours=3, memory=64), paired(targets=6)
    first = model.update(data)
    assert first["transfer"].item() == 0.0  # an empty bank has nothing to say
    _, _, xt, lt = sides(model, data)
    unit = xt / np.linalg.norm(xt, axis=1, keepdims=True)
    stored = array(sharpened(torch.tensor(softmax(lt)), 0.5))
    np.testing.assert_allclose(model.bank_features[:6], unit, rtol=1e-12)
    np.testing.assert_allclose(model.bank_predictions[:6], stored, rtol=1e-12)
    assert int((model.bank_predictions.sum(1) > 0).sum()) == 6
    expected = 0.0
    for i in range(6):
        order = sorted((j for j in range(6) if j != i), key=lambda j: -float(unit[i] @ unit[j]))[:3]
        label = stored[order].mean(0)
        expected -= label.max() * log_softmax(lt)[i, label.argmax()] / 6
    second = model.update(data)
    assert second["transfer"].item() == pytest.approx(0.5 * expected, rel=1e-10)  # progress is 0.5
    assert second["loss"].item() == pytest.approx(per_sample_loss(model, data).mean() + 0.35 * expected, rel=1e-10)
    assert "bank_features" in model.state_dict()


def test_atdoc_entries_are_shared_by_rows_and_the_later_wins():
    model = build(ATDOC, memory=8)
    data = replace(paired(targets=4), target_rows=torch.tensor([1, 9, 17, 2]))
    model.update(data)
    assert torch.nonzero(model.bank_predictions.sum(1))[:, 0].tolist() == [1, 2]
    _, _, xt, _ = sides(model, data)
    np.testing.assert_allclose(model.bank_features[1], xt[2] / np.linalg.norm(xt[2]), rtol=1e-12)
    with pytest.raises(DataError, match="target_rows"):
        model.update(replace(data, target_rows=None))


# All.


@pytest.mark.parametrize("name", WEIGHTED)
def test_weight_0_is_erm(name: str):
    data = paired()
    plain, model = (
        build(ERM),
        build(ALGORITHMS[name], weight=0.0, **({"spectral_weight": 0.0} if name == "bsp" else {})),
    )
    plain.update(data)["loss"].backward()
    for _ in range(2):  # the second time with what the first left behind
        model.zero_grad()
        update = model.update(data)
        update["loss"].backward()
    assert update["class"].item() == plain.update(data)["loss"].item()
    assert name in ADVERSARIAL or update["loss"].item() == update["class"].item()
    for mine, theirs in [(model.backbone.weight, plain.backbone.weight), (model.head.weight, plain.head.weight)]:
        assert torch.equal(mine.grad, theirs.grad)


@pytest.mark.parametrize("name", ADAPTATION)
def test_the_order_of_a_batch_does_not_matter(name: str):
    data = paired(8, 8)
    source, target = (torch.randperm(8, generator=torch.Generator().manual_seed(s)) for s in (1, 2))
    shuffled = Batch(
        data.images[source],
        data.label[source],
        data.domain[source],
        seed=data.seed,
        progress=data.progress,
        target=data.target[target],
        target_rows=data.target_rows[target],
    )
    losses = []
    for each in (data, shuffled):
        model = build(ALGORITHMS[name])
        model.update(each)
        losses.append(model.update(each)["loss"].item())
    assert losses[0] == pytest.approx(losses[1], rel=1e-12)


@pytest.mark.parametrize("name", ADAPTATION)
def test_bad_batches(name: str):
    model = build(ALGORITHMS[name])
    with pytest.raises(DataError, match="no unlabelled target"):
        model.update(batch())
    one_class = replace(paired(), label=torch.zeros(8, dtype=torch.int64))
    assert math.isfinite(model.update(one_class)["loss"].item())
    lonely = paired(1, 1)
    if name in ("coral_target", "dan", "jan"):
        with pytest.raises(DataError, match="at least 2 of each"):
            model.update(lonely)
    else:
        assert math.isfinite(model.update(lonely)["loss"].item())


@pytest.mark.parametrize(
    ("name", "hparams", "wanted"),
    [
        *[(name, {"weight": -1.0}, "≥ 0") for name in WEIGHTED],
        ("cdann", {"num_domains": 1}, "at least 2"),
        ("cdann", {"schedule": "linear"}, "constant, ganin"),
        ("cdan", {"schedule": "linear"}, "constant, ganin"),
        ("dann_target", {"hidden": 0}, "hidden ≥ 1"),
        ("dan", {"estimate": "cubic"}, "quadratic, linear"),
        ("dan", {"reach_octaves": -1}, "≥ 0"),
        ("jan", {"estimate": "cubic"}, "quadratic, linear"),
        ("mcc", {"temperature": 0.0}, "> 0"),
        ("afn", {"growth": 0.0}, "> 0"),
        ("bsp", {"directions": 0}, "directions ≥ 1"),
        ("atdoc", {"neighbours": 0}, "1 ≤ neighbours"),
        ("atdoc", {"neighbours": 9, "memory": 9}, "neighbours < memory"),
        ("mcd", {"repeat": 0}, "≥ 1"),
        ("swd", {"repeat": 0}, "≥ 1"),
        ("adda", {"pretrain": 1.0}, r"in \(0, 1\)"),
        ("adda", {"weight": -1.0}, "≥ 0"),
    ],
)
def test_bad_settings(name: str, hparams: dict, wanted: str):
    with pytest.raises(ConfigError) as error:
        ALGORITHMS[name](LinearBackbone(), **{"num_domains": 3, **hparams})
    assert wanted.replace("\\", "") in str(error.value.wanted)


@pytest.mark.parametrize("name", [*ADAPTATION, "cdann", "dann"])
def test_search_ranges_hold_the_defaults(name: str):
    from spooflab.adapters.train_config import hyperparameters

    defaults = hyperparameters(ALGORITHMS[name])
    assert ALGORITHMS[name].SEARCH
    for key, (low, high, scale) in ALGORITHMS[name].SEARCH.items():
        assert low < high
        assert scale in ("log", "linear")
        assert low <= defaults[key] <= high or (key, defaults[key]) == ("gradient_penalty", 0.0)
