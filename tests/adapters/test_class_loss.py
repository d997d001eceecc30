"""Class losses against their formulas in NumPy, and what stakes do to the best threshold."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from conformance import batch as small_batch
from conformance import build, per_sample_loss

from spooflab.adapters import ERM, IRM, OHEM, Fishr, GroupDRO, Mixup, TrainConfig, VREx
from spooflab.adapters.class_loss import ClassLoss
from spooflab.errors import ConfigError

LOGITS = torch.randn(9, 2, generator=torch.Generator().manual_seed(3), dtype=torch.float64) * 2
LABEL = torch.tensor([0, 1, 1, 0, 1, 0, 0, 1, 1])


def log_softmax(x: np.ndarray) -> np.ndarray:
    return x - np.log(np.exp(x).sum(1, keepdims=True))


def own(x: np.ndarray) -> np.ndarray:
    return x[np.arange(len(x)), LABEL.numpy()]


def test_cross_entropy_and_smoothing():
    log_p = log_softmax(LOGITS.numpy())
    np.testing.assert_allclose(ClassLoss()(LOGITS, LABEL), -own(log_p), rtol=1e-12)
    smooth = -0.9 * own(log_p) - 0.1 * log_p.mean(1)
    np.testing.assert_allclose(ClassLoss(smoothing=0.1)(LOGITS, LABEL), smooth, rtol=1e-12)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_focal(gamma: float):
    log_p = own(log_softmax(LOGITS.numpy()))
    wanted = -((1 - np.exp(log_p)) ** gamma) * log_p
    np.testing.assert_allclose(ClassLoss("focal", gamma=gamma)(LOGITS, LABEL), wanted, rtol=1e-12)


def test_logit_adjustment_is_bayes_rule():
    """Under shares π the adjusted model predicts p(y|x) ∝ π_y exp(z_y), as the data have it."""
    posterior = np.array([0.9, 0.1]) * np.exp(LOGITS.numpy())
    wanted = -np.log(own(posterior / posterior.sum(1, keepdims=True)))
    np.testing.assert_allclose(ClassLoss("logit_adjusted", shares=(0.9, 0.1))(LOGITS, LABEL), wanted, rtol=1e-6)
    assert torch.allclose(ClassLoss("logit_adjusted")(LOGITS, LABEL), ClassLoss()(LOGITS, LABEL))


def test_ldam_gives_the_rare_class_the_wider_margin():
    margin = 0.5 * np.array([(0.2 / 0.8) ** 0.25, 1.0])
    lowered = LOGITS.numpy().copy()
    lowered[np.arange(9), LABEL.numpy()] -= margin[LABEL.numpy()]
    wanted = -own(log_softmax(3.0 * lowered))
    np.testing.assert_allclose(ClassLoss("ldam", shares=(0.8, 0.2), scale=3.0)(LOGITS, LABEL), wanted, rtol=1e-6)


def test_stakes_move_the_best_score_to_where_both_errors_cost_the_same():
    """A world in which x tells nothing: the best constant p(bona fide) is its share of the stakes."""
    loss = ClassLoss(cost_false_accept=300.0, cost_false_reject=2.0, attack_rate=0.01)
    odds = torch.zeros((), dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS([odds], max_iter=100, tolerance_grad=1e-12)
    label = torch.tensor([0, 1])  # even batches

    def closure() -> torch.Tensor:
        optimiser.zero_grad()
        logits = torch.stack([torch.zeros(2, dtype=torch.float64), odds.expand(2)], 1)
        total = loss(logits, label).mean()
        total.backward()
        return total

    optimiser.step(closure)
    accept, reject = 300.0 * 0.01, 2.0 * 0.99
    assert torch.sigmoid(odds).item() == pytest.approx(reject / (accept + reject), rel=1e-4)
    assert ClassLoss(cost_false_accept=5, cost_false_reject=5).weight.tolist() == [1.0, 1.0]


@pytest.mark.parametrize("kind", ["cross_entropy", "focal", "logit_adjusted", "ldam"])
def test_gradients_are_finite_differences(kind: str):
    loss, logits = ClassLoss(kind, shares=(0.7, 0.3), cost_false_accept=3.0), LOGITS.clone().requires_grad_()
    torch.autograd.gradcheck(lambda z: loss(z, LABEL), (logits,), rtol=1e-4)
    far = torch.tensor([[60.0, -60.0], [-60.0, 60.0]], requires_grad=True)
    loss(far, torch.tensor([0, 1])).sum().backward()
    assert bool(far.grad.isfinite().all())


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"kind": "hinge"}, "hinge"), ({"gamma": -1.0}, "gamma -1.0"), ({"smoothing": 1.0}, "smoothing 1.0"),
        ({"cost_false_accept": 0.0}, "cost_false_accept"), ({"attack_rate": 1.0}, "attack_rate"),
        ({"shares": (0.2, 0.2)}, "shares"), ({"kind": "focal", "smoothing": 0.1}, "focal with smoothing"),
    ],
)  # fmt: skip
def test_bad_settings_are_named(given: dict, told: str):
    with pytest.raises(ConfigError, match=told):
        ClassLoss(**given)
    if "shares" not in given:
        with pytest.raises(ValueError, match=rf"class_loss(.|\n)*{told}" if "kind" not in given else "kind"):
            TrainConfig.model_validate({"class_loss": given})


STAKES = {"cost_false_accept": 300.0, "cost_false_reject": 2.0, "attack_rate": 0.01}


@pytest.mark.parametrize("given", [{}, {"smoothing": 0.1}, {"kind": "focal", "gamma": 1.5}, STAKES], ids=str)
def test_odds_and_slopes_are_those_of_the_two_scores(given: dict):
    """`of_odds` is the loss of scores (0, odds); `slopes` is the gradient, and can be differentiated again."""
    loss, odds = ClassLoss(**given), LOGITS.diff(dim=1)[:, 0]
    torch.testing.assert_close(loss.of_odds(odds, LABEL), loss(LOGITS, LABEL), rtol=1e-12, atol=1e-12)
    step = 1e-6 * torch.eye(2, dtype=torch.float64)
    numeric = torch.stack([(loss(LOGITS + e, LABEL) - loss(LOGITS - e, LABEL)) / 2e-6 for e in step], 1)
    torch.testing.assert_close(loss.slopes(LOGITS, LABEL), numeric, rtol=1e-7, atol=1e-8)
    torch.autograd.gradcheck(lambda z: loss.slopes(z, LABEL), (LOGITS.clone().requires_grad_(),), rtol=1e-4)


def test_focal_slopes_are_finite_for_sure_samples():
    sure = torch.tensor([[200.0, -200.0], [-200.0, 200.0]], requires_grad=True)
    for gamma in (0.2, 0.5, 2.0):
        assert bool(ClassLoss("focal", gamma=gamma).slopes(sure, torch.tensor([0, 1])).isfinite().all())


def focal(plain: np.ndarray) -> np.ndarray:
    return (1 - np.exp(-plain)) * plain


@pytest.mark.parametrize(
    ("kind", "reduce"),
    [
        (ERM, lambda losses, domain: losses.mean()),
        (OHEM, lambda losses, domain: np.sort(losses)[4:].mean()),
        (GroupDRO, lambda losses, domain: softened([losses[domain == d].mean() for d in range(3)])),
        (VREx, lambda losses, domain: losses.mean() + np.var([losses[domain == d].mean() for d in range(3)])),
    ],
)
def test_algorithms_reduce_the_configured_losses(kind: type, reduce: Callable):
    """The focal losses of the samples, from the plain ones in NumPy, go through the algorithm's own formula."""
    data, model = small_batch(), build(kind)
    model.class_loss = ClassLoss("focal", gamma=1.0)
    wanted = reduce(focal(per_sample_loss(model, data)), data.domain.numpy())
    assert model.update(data)["loss"].item() == pytest.approx(wanted, rel=1e-9)


def softened(risks: list[float]) -> float:
    weights = np.exp(0.01 * np.array(risks))
    return float((weights / weights.sum() * risks).sum())


def test_stakes_weigh_by_each_mixed_label():
    data, model = small_batch(), build(Mixup, mix="random")
    plain = model.update(data)["loss"].item()
    model.class_loss = ClassLoss(cost_false_accept=3.0).double()
    staked = model.update(data)["loss"].item()
    # An attack weighs 1.5, a bona fide 0.5: twice the staked loss less the plain one is what attacks alone bring.
    model.class_loss = ClassLoss(cost_false_accept=1e9).double()
    attacks = model.update(data)["loss"].item() / 2
    assert staked == pytest.approx(1.5 * attacks + 0.5 * (plain - attacks), rel=1e-6)


def test_irm_takes_the_slope_of_the_configured_risk_by_its_scale():
    data, model = small_batch(), build(IRM, anneal=0.0, estimator="square")
    model.class_loss = ClassLoss("focal", gamma=1.0)
    logits = model.logits(data.images).detach()
    up, down = (model.class_loss(logits * (1 + e), data.label) for e in (1e-6, -1e-6))
    slopes, domain = ((up - down) / 2e-6).numpy(), data.domain.numpy()
    wanted = np.mean([slopes[domain == d].mean() ** 2 for d in range(3)])
    assert model.update(data)["penalty"].item() == pytest.approx(wanted, rel=1e-6)


def test_fishr_takes_the_gradients_of_the_configured_loss():
    data, model = small_batch(), build(Fishr, ema=0.0)
    model.class_loss = ClassLoss("focal", gamma=1.0)
    features = model.backbone(data.images).detach()
    rows = []
    for i in range(len(data)):
        loss = model.class_loss(model.head(features[i : i + 1]), data.label[i : i + 1])[0]
        rows.append(torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(model.head.parameters()))]).numpy())
    variances = [np.stack([rows[i] for i in range(d, 8, 3)]).var(0) for d in range(3)]
    assert model.update(data)["penalty"].item() == pytest.approx(np.var(variances, axis=0).mean(), rel=1e-6)


def test_logit_adjustment_of_balanced_batches_is_refused():
    with pytest.raises(ValueError, match="balance: none"):
        TrainConfig.model_validate({"class_loss": {"kind": "logit_adjusted"}})
    TrainConfig.model_validate({"class_loss": {"kind": "logit_adjusted"}, "balance": "none"})
