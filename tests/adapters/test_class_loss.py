"""Class losses against their formulas in NumPy, and what stakes do to the best threshold."""

import numpy as np
import pytest
import torch

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


def test_erm_takes_the_losses():
    from conformance import batch as small_batch
    from conformance import build, per_sample_loss

    from spooflab.adapters import ERM

    data = small_batch()
    plain = per_sample_loss(build(ERM), data)
    weight = np.array([300.0 * 0.01, 2.0 * 0.99])
    weight = (weight / weight.mean())[data.label.numpy()]
    staked = build(ERM, cost_false_accept=300.0, cost_false_reject=2.0, attack_rate=0.01)
    assert staked.update(data)["loss"].item() == pytest.approx((weight * plain).mean(), rel=1e-6)
    focal = build(ERM, loss="focal", gamma=1.0)
    assert focal.update(data)["loss"].item() == pytest.approx(((1 - np.exp(-plain)) * plain).mean(), rel=1e-6)
    with pytest.raises(ConfigError, match="hinge"):
        build(ERM, loss="hinge")
