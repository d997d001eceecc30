"""MCD, SWD and ADDA take the step into their own hands: what each phase moves, and along which gradient."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from conformance import batch, build, log_softmax, numeric_gradient, per_sample_loss
from torch import nn

from spooflab.adapters import ADDA, CDANN, DANN, ERM, MCD, SWD, Algorithm, Batch


@pytest.fixture(autouse=True)
def _own_rng():
    with torch.random.fork_rng(devices=[]):
        yield


def paired(progress: float = 0.0) -> Batch:
    gen = torch.Generator().manual_seed(8)
    target = 0.4 + 0.5 * torch.rand(6, 3, 2, 2, generator=gen, dtype=torch.float64)
    return replace(batch(progress=progress), target=target, target_rows=torch.arange(6))


class RecordingEngine:
    """Keeps each optimiser step's gradients, and moves along them."""

    def __init__(self, model: Algorithm, rate: float = 0.0) -> None:
        self.model, self.rate = model, rate
        self.steps: list[dict[str, torch.Tensor | None]] = []

    def losses(self, data: Batch) -> dict[str, torch.Tensor]:
        return self.model(data)

    def backward(self, loss: torch.Tensor, *, last: bool = True) -> None:
        loss.backward()

    def optimise(self) -> None:
        self.steps.append({n: None if p.grad is None else p.grad.clone() for n, p in self.model.named_parameters()})
        with torch.no_grad():
            for parameter in self.model.parameters():
                if parameter.grad is not None:
                    parameter -= self.rate * parameter.grad
        self.model.zero_grad()


def moved(step: dict[str, torch.Tensor | None]) -> set[str]:
    return {name.split(".")[0] for name, grad in step.items() if grad is not None}


def logits(model: nn.Module, images: torch.Tensor, head: str) -> np.ndarray:
    features = np.tanh(images.flatten(1).numpy() @ model.backbone.weight.detach().numpy().T)
    layer = getattr(model, head)
    return features @ layer.weight.detach().numpy().T + layer.bias.detach().numpy()


def class_loss(model: nn.Module, data: Batch) -> float:
    rows, labels = np.arange(len(data)), data.label.numpy()
    parts = [-log_softmax(logits(model, data.images, head))[rows, labels].mean() for head in ("head", "second_head")]
    return float(sum(parts))


def mcd_discrepancy(model: nn.Module, data: Batch) -> float:
    first, second = (np.exp(log_softmax(logits(model, data.target, head))) for head in ("head", "second_head"))
    return float(np.abs(first - second).mean())


def swd_discrepancy(model: nn.Module, data: Batch) -> float:
    first, second = (np.exp(log_softmax(logits(model, data.target, head))) for head in ("head", "second_head"))
    return float(((np.sort(first[:, 1]) - np.sort(second[:, 1])) ** 2).mean())


@pytest.mark.parametrize(("kind", "discrepancy"), [(MCD, mcd_discrepancy), (SWD, swd_discrepancy)])
def test_phases_follow_the_papers_gradients(kind: type, discrepancy):
    model, data = build(kind, repeat=2), paired()
    engine = RecordingEngine(model)
    parts = model.step([data], engine)
    a, b, *c = engine.steps
    assert [moved(step) for step in engine.steps] == [
        {"backbone", "head", "second_head"},
        {"head", "second_head"},
        {"backbone"},
        {"backbone"},
    ]
    assert parts["class"].item() == pytest.approx(class_loss(model, data), rel=1e-12)
    assert parts["discrepancy"].item() == pytest.approx(discrepancy(model, data), rel=1e-12)
    weight, head = model.backbone.weight, model.second_head.weight
    objectives = [
        (weight, a["backbone.weight"], lambda: class_loss(model, data)),
        (head, a["second_head.weight"], lambda: class_loss(model, data)),
        (head, b["second_head.weight"], lambda: class_loss(model, data) - discrepancy(model, data)),
        (weight, c[1]["backbone.weight"], lambda: discrepancy(model, data)),
    ]
    for parameter, gradient, objective in objectives:
        np.testing.assert_allclose(gradient, numeric_gradient(parameter, objective), atol=1e-8)


@pytest.mark.parametrize(
    ("kind", "adversary", "names"),
    [(DANN, "discriminator", ["domain"]), (CDANN, "discriminators", ["conditional", "prior_normalised"])],
)
def test_discriminators_take_their_own_steps_before_all_take_one(kind: type, adversary: str, names: list[str]):
    model, data = build(kind, hidden=4, d_steps=3), batch(3, progress=0.5)
    engine = RecordingEngine(model)
    model.step([data], engine)
    alone = {adversary}
    assert [moved(step) for step in engine.steps] == [alone, alone, {"backbone", "head", adversary}]
    name, weight = next(iter(getattr(model, adversary).named_parameters()))

    def objective() -> float:
        parts = model.update(data)
        return sum(parts[part].item() for part in names)

    np.testing.assert_allclose(engine.steps[0][f"{adversary}.{name}"], numeric_gradient(weight, objective), atol=1e-8)
    # One step is the paper's: all together.
    single = RecordingEngine(build(kind, hidden=4))
    single.model.step([data], single)
    torch.testing.assert_close(single.steps, engine.steps[2:])


@pytest.mark.parametrize("kind", [MCD, SWD, ADDA])
def test_micro_batches_add_up_to_the_mean(kind: type):
    # SWD sorts within a micro-batch, so its equal parts are made of the same images twice.
    data, gradients = paired(0.9), []
    for parts in ([data], [data, data]):
        engine = RecordingEngine(build(kind))
        engine.model.step(parts, engine)
        gradients.append(engine.steps)
    torch.testing.assert_close(gradients[0], gradients[1])


def test_phase_b_opens_and_phase_c_closes_the_discrepancy():
    model, data = build(MCD, repeat=4), paired()
    seen: list[float] = []

    class Watching(RecordingEngine):
        def optimise(self) -> None:
            super().optimise()
            seen.append(mcd_discrepancy(self.model, data))

    model.step([data], Watching(model, rate=0.05))
    assert seen[1] > seen[0]
    assert all(later < earlier for earlier, later in pairwise(seen[1:]))


def test_swd_is_the_mean_over_random_directions():
    gen = torch.Generator().manual_seed(0)
    first, second = torch.randn(2, 9, 2, generator=gen, dtype=torch.float64).softmax(2).numpy()
    rng = np.random.default_rng(0)
    directions = rng.standard_normal((2, 200_000))
    directions /= np.linalg.norm(directions, axis=0)
    sliced = [np.sort(p @ directions, axis=0) for p in (first, second)]
    drawn = ((sliced[0] - sliced[1]) ** 2).mean()
    exact = build(SWD).discrepancy(torch.tensor(first), torch.tensor(second)).item()
    # (θ₂ − θ₁)² has mean 1 and deviation 0.71: four standard errors of 200 000 draws are 0.6 %.
    assert drawn == pytest.approx(exact, rel=0.0064)


def test_mcd_predicts_with_both_classifiers():
    model, data = build(MCD), paired()
    both = (logits(model, data.images, "head") + logits(model, data.images, "second_head")) / 2
    np.testing.assert_allclose(model.logits(data.images).detach(), both, rtol=1e-12)


def adda_domain(model: nn.Module, source: np.ndarray, target: np.ndarray) -> float:
    losses = [-log_softmax(discriminator(model, x))[:, side].mean() for side, x in enumerate((source, target))]
    return float(sum(losses)) / 2


def discriminator(model: nn.Module, x: np.ndarray) -> np.ndarray:
    for layer in model.discriminator:
        linear = isinstance(layer, nn.Linear)
        x = x @ layer.weight.detach().numpy().T + layer.bias.detach().numpy() if linear else np.maximum(x, 0)
    return x


def features(encoder: nn.Module, images: torch.Tensor) -> np.ndarray:
    return np.tanh(images.flatten(1).numpy() @ encoder.weight.detach().numpy().T)


def test_adda_begins_as_erm():
    data, gradients = paired(0.1), []
    for kind in (ERM, ADDA):
        engine = RecordingEngine(build(kind))
        assert engine.model.step([data], engine)["loss"].item() == pytest.approx(
            per_sample_loss(engine.model, data).mean(), rel=1e-12
        )
        gradients.append({name: engine.steps[0][name] for name in ("backbone.weight", "head.weight", "head.bias")})
    assert all(torch.equal(value, gradients[1][name]) for name, value in gradients[0].items())
    assert moved(engine.steps[0]) == {"backbone", "head"}
    assert not engine.model.selectable


def test_adda_goes_on_as_an_adversary():
    model, data = build(ADDA, pretrain=0.5, weight=0.7, hidden=6), paired(0.5)
    with torch.no_grad():
        model.source.weight.zero_()  # what the frozen copy held before does not matter
    engine = RecordingEngine(model)
    parts = model.step([data], engine)
    assert model.selectable
    assert torch.equal(model.source.weight, model.backbone.weight)
    with torch.no_grad():
        model.backbone.weight += 0.1  # encoders have parted
    source = features(model.source, data.images)

    def target() -> np.ndarray:
        return features(model.backbone, data.target)

    def fool() -> float:
        return -0.7 * float(log_softmax(discriminator(model, target()))[:, 0].mean())

    parts = model.step([data], engine)
    step = engine.steps[-1]
    assert moved(step) == {"backbone", "discriminator"}
    assert parts["domain"].item() == pytest.approx(adda_domain(model, source, target()), rel=1e-12)
    assert 0.7 * parts["fool"].item() == pytest.approx(fool(), rel=1e-12)
    np.testing.assert_allclose(step["backbone.weight"], numeric_gradient(model.backbone.weight, fool), atol=1e-8)
    last = model.discriminator[-1].weight
    numeric = numeric_gradient(last, lambda: adda_domain(model, source, target()))
    np.testing.assert_allclose(step["discriminator.4.weight"], numeric, atol=1e-8)


def test_addas_source_encoder_stays_in_evaluation_mode():
    model = build(ADDA)
    assert model.train().training
    assert not model.source.training
    assert not any(p.requires_grad for p in model.source.parameters())
