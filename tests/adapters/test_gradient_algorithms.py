"""Fishr against autograd sample by sample; the steps of Fish and SAM against loops written by hand."""

import copy
import dataclasses
import math
from collections.abc import Callable, Iterable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from conformance import LinearBackbone, batch, build, log_softmax, numeric_gradient
from torch import Tensor, nn

from spooflab.adapters import ERM, SAM, Batch, Fish, Fishr, ImageSet, TrainConfig, fit
from spooflab.adapters.fish import domain_part
from spooflab.adapters.fishr import head_gradients
from spooflab.errors import ConfigError, DataError

Optimiser = Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer]


@pytest.fixture(autouse=True)
def _own_rng():
    with torch.random.fork_rng(devices=[]):
        yield


class HandEngine:
    """What the trainer lends: here one process, full precision, an optimiser of one's choice."""

    def __init__(self, model: nn.Module, optimiser: Optimiser) -> None:
        self.model, self.optimiser = model, optimiser(model.parameters())
        self.lasts: list[bool] = []

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        return self.model(batch)

    def backward(self, loss: Tensor, *, last: bool = True) -> None:
        self.lasts.append(last)
        loss.backward()

    def optimise(self) -> None:
        self.optimiser.step()
        self.optimiser.zero_grad()


def sgd(parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
    return torch.optim.SGD(parameters, lr=0.3)


def adam(parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
    return torch.optim.AdamW(parameters, lr=0.05)


def chosen(data: Batch, rows: list[int]) -> Batch:
    return dataclasses.replace(data, images=data.images[rows], label=data.label[rows], domain=data.domain[rows])


def risk(model: nn.Module, data: Batch) -> Tensor:
    return F.cross_entropy(model.head(model.backbone(data.images)), data.label)


def same(model: nn.Module, other: nn.Module, atol: float = 0.0) -> None:
    for name, tensor in model.state_dict().items():
        torch.testing.assert_close(tensor, other.state_dict()[name], rtol=0, atol=atol)


# Fishr.


def test_head_gradients_are_autograds_sample_by_sample():
    model, data = build(Fishr), batch(7)
    features = model.backbone(data.images).detach()
    got = head_gradients(features, model.class_loss.slopes(model.head(features), data.label))
    for i in range(7):
        loss = F.cross_entropy(model.head(features[i : i + 1]), data.label[i : i + 1])
        weight, bias = torch.autograd.grad(loss, [model.head.weight, model.head.bias])
        torch.testing.assert_close(got[i].view(2, 6), torch.cat([weight, bias[:, None]], 1), rtol=1e-12, atol=1e-15)


class FishrByHand:
    """The paper's penalty in NumPy, with the authors' moving average."""

    def __init__(self, gamma: float) -> None:
        self.gamma, self.average = gamma, {d: np.zeros(12) for d in range(3)}

    def penalty(self, model: nn.Module, data: Batch, *, keep: bool) -> float:
        x = np.tanh(data.images.flatten(1).numpy() @ model.backbone.weight.detach().numpy().T)
        z = x @ model.head.weight.detach().numpy().T + model.head.bias.detach().numpy()
        error = np.exp(log_softmax(z)) - np.eye(2)[data.label.numpy()]
        smooth = []
        for d in sorted(set(data.domain.tolist())):
            rows = np.flatnonzero(data.domain.numpy() == d)
            if len(rows) < 2:
                continue
            per_sample = np.array([np.outer(error[i], np.append(x[i], 1.0)).ravel() for i in rows])
            now = self.gamma * self.average[d] + (1 - self.gamma) * per_sample.var(0)
            smooth.append(now / (1 - self.gamma))
            if keep:
                self.average[d] = now
        return float(np.mean([np.mean((v - np.mean(smooth, 0)) ** 2) for v in smooth])) if smooth else 0.0


def test_fishr_loss_is_the_formula_over_several_batches():
    model, hand, erm = build(Fishr, ema=0.8).train(), FishrByHand(0.8), build(ERM)
    # All domains; one absent; one with a single sample; all again; one domain alone.
    for rows in (range(13), [0, 3, 1, 4, 7], [0, 3, 1, 4, 2], range(13), [0, 3, 6]):
        data = chosen(batch(13, progress=0.5), list(rows))
        expected = erm.update(data)["loss"].item() + 1000 * hand.penalty(model, data, keep=True)
        assert model.update(data)["loss"].item() == pytest.approx(expected, rel=1e-10)
    for d in range(3):
        np.testing.assert_allclose(model.gradient_variance[d].numpy(), hand.average[d], rtol=1e-12)


def test_fishr_gradient_is_the_finite_difference_with_the_average_held():
    model, hand = build(Fishr, ema=0.8, weight=50.0).train(), FishrByHand(0.8)
    data, before = batch(13, progress=0.5), chosen(batch(13), list(range(9)))
    model.update(before)
    hand.penalty(model, before, keep=True)
    model.eval().update(data)["loss"].backward()
    for parameter in (model.backbone.weight, model.head.weight, model.head.bias):
        numeric = numeric_gradient(
            parameter, lambda: risk(model, data).item() + 50 * hand.penalty(model, data, keep=False)
        )
        np.testing.assert_allclose(parameter.grad.numpy(), numeric, atol=1e-8)


def test_fishr_average_moves_in_training_alone_and_is_kept():
    model, data = build(Fishr), batch(9)
    model.eval().update(data)
    assert not model.gradient_variance.any()
    model.train().update(data)
    other = build(Fishr)
    other.load_state_dict(model.state_dict())
    assert bool((model.gradient_variance > 0).all())
    assert torch.equal(other.gradient_variance, model.gradient_variance)


def test_fishr_is_erm_in_its_warm_up_and_without_weight():
    erm = build(ERM).update(batch(13))["loss"].item()
    assert build(Fishr).train().update(batch(13, progress=0.29))["loss"].item() == erm
    assert build(Fishr, weight=0.0).train().update(batch(13, progress=0.5))["loss"].item() == erm


def test_fishr_does_not_mind_order_and_names():
    data = batch(13, progress=0.5)
    shuffled = chosen(data, torch.randperm(13, generator=torch.Generator().manual_seed(0)).tolist())
    renamed = dataclasses.replace(data, domain=torch.tensor([2, 0, 1])[data.domain])
    expected = build(Fishr).update(data)["loss"].item()
    for other in (shuffled, renamed):
        assert build(Fishr).update(other)["loss"].item() == pytest.approx(expected, rel=1e-12)


# SAM.


@pytest.mark.parametrize("optimiser", [sgd, adam])
@pytest.mark.parametrize("parts", [1, 3])
def test_sam_steps_as_a_loop_by_hand(optimiser: Optimiser, parts: int):
    model = build(SAM, rho=0.2).train()
    hand = copy.deepcopy(model)
    engine, by_hand = HandEngine(model, optimiser), optimiser(hand.parameters())
    data = batch(12)
    micro = [chosen(data, list(range(12))[i::parts]) for i in range(parts)]
    for _ in range(3):
        losses = model.step(micro, engine)
        parameters = list(hand.parameters())
        start = risk(hand, data)
        slope = torch.autograd.grad(start, parameters)
        norm = math.sqrt(sum(float(g.square().sum()) for g in slope))
        weights = [p.detach().clone() for p in parameters]
        for p, g in zip(parameters, slope, strict=True):
            p.data.add_(0.2 * g / norm)
        uphill = risk(hand, data)
        for p, g, w in zip(parameters, torch.autograd.grad(uphill, parameters), weights, strict=True):
            p.data.copy_(w)
            p.grad = g
        by_hand.step()
        assert losses["loss"].item() == pytest.approx(start.item(), rel=1e-12)
        assert losses["sharpness"].item() == pytest.approx((uphill - start).item(), rel=1e-9)
    same(model, hand, atol=1e-12)
    assert engine.lasts == ([False] * (parts - 1) + [True]) * 6


def test_sam_does_not_mind_a_loss_scale():
    class Scaled(HandEngine):
        def backward(self, loss: Tensor, *, last: bool = True) -> None:
            (loss * 65536).backward()

        def optimise(self) -> None:
            for p in self.model.parameters():
                p.grad /= 65536
            super().optimise()

    model, plain = build(SAM), build(SAM)
    model.step([batch(9)], Scaled(model, sgd))
    plain.step([batch(9)], HandEngine(plain, sgd))
    same(model, plain, atol=1e-14)


def test_sam_without_radius_steps_as_erm():
    model, erm, data = build(SAM, rho=0.0), build(ERM), batch(9)
    for kind in (model, erm):
        kind.step([data], HandEngine(kind, adam))
    same(model, erm)


def test_sam_climbs_to_first_order():
    # Uphill by ρ the loss rises by ρ ‖g‖ + O(ρ²).
    data, rho = batch(9), 1e-5
    model = build(SAM, rho=rho)
    norm = math.sqrt(sum(float(g.square().sum()) for g in torch.autograd.grad(risk(model, data), model.parameters())))
    assert model.step([data], HandEngine(model, sgd))["sharpness"].item() == pytest.approx(rho * norm, rel=1e-3)


def test_sam_keeps_the_buffers_of_the_first_pass():
    model = build(SAM, rho=0.5)
    model.backbone = nn.Sequential(model.backbone, nn.BatchNorm1d(5).double())
    erm = copy.deepcopy(model)
    erm.train()(batch(9))
    model.train().step([batch(9)], HandEngine(model, sgd))
    for name, buffer in model.named_buffers():
        assert torch.equal(buffer, dict(erm.named_buffers())[name])


@pytest.mark.parametrize("value", [0.0, math.inf, math.nan])
def test_sam_does_not_climb_a_gradient_without_direction(value: float):
    model = build(SAM)
    before = [p.detach().clone() for p in model.parameters()]
    seen: list[bool] = []

    class Broken(HandEngine):
        def backward(self, loss: Tensor, *, last: bool = True) -> None:
            seen.append(all(torch.equal(p, b) for p, b in zip(model.parameters(), before, strict=True)))
            loss.backward()
            for p in model.parameters():
                p.grad = torch.full_like(p, value)

        def optimise(self) -> None:
            seen.append(all(torch.equal(p, b) for p, b in zip(model.parameters(), before, strict=True)))

    model.step([batch(9)], Broken(model, sgd))
    assert seen == [True, True, True]


# Fish.


@pytest.mark.parametrize("optimiser", [sgd, adam])
def test_fish_steps_as_a_loop_by_hand(optimiser: Optimiser):
    model = build(Fish, meta_lr=0.3, order="fixed").train()
    hand = copy.deepcopy(model)
    engine, by_hand = HandEngine(model, optimiser), optimiser(hand.parameters())
    data = batch(13)
    micro = [chosen(data, list(range(5))), chosen(data, list(range(5, 13)))]
    for _ in range(3):
        losses = model.step(micro, engine)
        weights, seen = [p.detach().clone() for p in hand.parameters()], []
        for d in range(3):
            loss = risk(hand, chosen(data, [i for i in range(13) if i % 3 == d]))
            by_hand.zero_grad()
            loss.backward()
            by_hand.step()
            seen.append(loss.item())
        with torch.no_grad():
            for p, w in zip(hand.parameters(), weights, strict=True):
                p.copy_(w + 0.3 * (p - w))
        assert losses["loss"].item() == pytest.approx(np.mean(seen), rel=1e-12)
    same(model, hand, atol=1e-12)
    assert engine.lasts == [False, True] * 9


def test_fish_ascends_the_inner_products_of_gradients():
    # Two domains, small α: w̃ − w = −α (g0 + g1) + α² H1 g0, H1 g0 by a difference of gradients.
    rate, data = 1e-3, chosen(batch(9), [0, 1, 3, 4, 6, 7])
    model = build(Fish, meta_lr=1.0, order="fixed")

    def gradient(domain: int) -> Tensor:
        rows = [i for i in range(6) if data.domain[i] == domain]
        slopes = torch.autograd.grad(risk(model, chosen(data, rows)), model.parameters())
        return torch.cat([g.flatten() for g in slopes])

    def vector() -> Tensor:
        return torch.cat([p.detach().flatten() for p in model.parameters()])

    start, g0, g1 = vector(), gradient(0), gradient(1)
    eps = 1e-6
    nn.utils.vector_to_parameters(start + eps * g0, model.parameters())
    product = (gradient(1) - g1) / eps
    nn.utils.vector_to_parameters(start.clone(), model.parameters())  # else they share memory
    model.step([data], HandEngine(model, lambda parameters: torch.optim.SGD(parameters, lr=rate)))
    second = (vector() - start + rate * (g0 + g1)) / rate**2
    torch.testing.assert_close(second, product, rtol=0, atol=20 * rate * float(product.abs().max()))


def test_fish_with_one_domain_follows_erm_by_its_share():
    data = chosen(batch(9), [0, 3, 6])
    model, erm = build(Fish, meta_lr=0.25), build(ERM)
    start = copy.deepcopy(model.state_dict())
    for kind in (model, erm):
        kind.step([data], HandEngine(kind, sgd))
    for name, tensor in model.state_dict().items():
        expected = start[name] + 0.25 * (erm.state_dict()[name] - start[name])
        torch.testing.assert_close(tensor, expected, rtol=0, atol=1e-15)


def test_fish_order_is_drawn_from_the_batch():
    model = build(Fish)
    turns = [model._turns([dataclasses.replace(batch(9), seed=s)]) for s in range(60)]
    assert turns[3] == model._turns([dataclasses.replace(batch(9), seed=3)])
    assert {tuple(t) for t in turns} == {(0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)}
    assert build(Fish, order="fixed")._turns([chosen(batch(9), [2, 5, 0])]) == [0, 2]


def test_fish_interpolates_batch_norms_statistics():
    model = build(Fish, meta_lr=0.25)
    model.backbone = nn.Sequential(model.backbone, nn.BatchNorm1d(5).double())
    full = copy.deepcopy(model)
    full.meta_lr = 1.0
    start = model.backbone[1].running_mean.clone()
    for kind in (model, full):
        kind.train().step([batch(9)], HandEngine(kind, sgd))
    expected = start + 0.25 * (full.backbone[1].running_mean - start)
    torch.testing.assert_close(model.backbone[1].running_mean, expected, rtol=0, atol=1e-15)


def test_fish_tells_of_a_lone_image_that_batch_norm_refuses():
    model = build(Fish)
    model.backbone = nn.Sequential(model.backbone, nn.BatchNorm1d(5).double())
    data = dataclasses.replace(chosen(batch(9), [0, 3, 1]), keys=["a", "b", "c"])
    with pytest.raises(DataError, match=r"one image of domain 1 in a micro-batch \(c\)[\s\S]*batch_size"):
        model.train().step([data], HandEngine(model, sgd))


def test_domain_part_takes_everything_that_rows_have():
    data = dataclasses.replace(
        batch(6), keys=list("abcdef"), species=list("uvwxyz"), maps=torch.arange(24.0).view(6, 1, 2, 2)
    )
    part = domain_part(data, 1)
    assert (part.keys, part.species) == (["b", "e"], ["v", "y"])
    assert torch.equal(part.images, data.images[[1, 4]])
    assert torch.equal(part.maps, data.maps[[1, 4]])
    assert part.domain.tolist() == [1, 1]
    assert (part.seed, part.progress) == (data.seed, data.progress)


# All three.


@pytest.mark.parametrize("kind", [Fishr, Fish, SAM])
@pytest.mark.parametrize("rows", [[0], [0, 3, 6], [0, 3, 6, 1], [0, 2, 4, 6]])
def test_thin_batches_step_to_finite_weights(kind: type, rows: list[int]):
    model = build(kind).train()
    before = model.head.weight.detach().clone()
    losses = model.step([chosen(batch(9, progress=0.5), rows)], HandEngine(model, sgd))
    assert all(bool(torch.isfinite(value).all()) for value in losses.values())
    assert all(bool(torch.isfinite(p).all()) for p in model.parameters())
    assert not torch.equal(model.head.weight, before)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["fish", "sam", "fishr"])
def test_resumes_to_the_same_weights(name: str, toy: Callable[..., ImageSet], tmp_path):
    options = {"embedding_size": 8, "hidden_sizes": [8, 12, 16, 24]}
    settings = {"size": 32, "steps": 16, "batch_size": 12, "eval_every": 4, "checkpoint_every": 4, "log_every": 1}
    config = TrainConfig.model_validate(
        {"algorithm": name, "backbone": {"options": options}, "device": "cpu", **settings}
    )
    sets = {"train": toy(48), "dev": toy(16, root=1)}

    def stop(step: int, _total: int, _figures: dict[str, float]) -> None:
        if step == 10:
            raise KeyboardInterrupt

    fit(config, **sets, seed=0, out=tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        fit(config, **sets, seed=0, out=tmp_path / "cut", progress=stop)
    fit(config, **sets, seed=0, out=tmp_path / "cut")
    parts = [(tmp_path / run / "model.safetensors").read_bytes() for run in ("whole", "cut")]
    assert parts[0] == parts[1]


def test_fishr_needs_two_domains():
    with pytest.raises(ConfigError, match="fishr: 1 training domain"):
        Fishr(LinearBackbone(), num_domains=1)


def test_fish_refuses_several_processes(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 2)
    model = build(Fish)
    with pytest.raises(ConfigError, match="2 processes"):
        model.step([batch(9)], HandEngine(model, sgd))


@pytest.mark.parametrize(
    ("kind", "hparams", "match"),
    [
        (Fishr, {"weight": -1.0}, "weight -1"),
        (Fishr, {"ema": 1.0}, r"ema 1.0[\s\S]*\[0, 1\)"),
        (Fishr, {"anneal": -0.5}, "anneal"),
        (Fish, {"meta_lr": 0.0}, r"\(0, 1\]"),
        (Fish, {"meta_lr": 1.5}, "meta_lr 1.5"),
        (Fish, {"order": "sorted"}, "random, fixed"),
        (SAM, {"rho": -0.05}, "rho"),
        (SAM, {"rho": math.nan}, "rho nan"),
    ],
)
def test_bad_hyperparameters_are_named(kind: type, hparams: dict[str, object], match: str):
    with pytest.raises(ConfigError, match=match):
        kind(LinearBackbone(), num_domains=3, **hparams)
