"""Tent, T3A and AdaBN against loops of their own, what they leave alone, and a shift that they undo."""

import copy
import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from conformance import build
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from spooflab.adapters import (
    ERM,
    MCD,
    T3A,
    TEST_TIME,
    AdaBN,
    Algorithm,
    ImageSet,
    Tent,
    TrainConfig,
    fit,
    predict_scores,
)
from spooflab.adapters.model_files import build_algorithm
from spooflab.adapters.tent import entropy
from spooflab.errors import ConfigError, DataError

Toy = Callable[..., ImageSet]
every_method = pytest.mark.parametrize("name", TEST_TIME)

RESNET = {"options": {"embedding_size": 8, "hidden_sizes": [8, 8, 12, 16]}}
VIT = {
    "name": "vit-tiny",
    "options": {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 16},
}


def config(**changes: object) -> TrainConfig:
    fields: dict[str, object] = {"backbone": RESNET, "device": "cpu", "size": 32, "checkpoint_every": None}
    return TrainConfig.model_validate(fields | changes)


def make(backbone: dict = RESNET, algorithm: str = "erm") -> Algorithm:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        model = build_algorithm(config(backbone=backbone, algorithm=algorithm), num_domains=3)
        with torch.no_grad():
            model.head.weight *= 4  # predictions away from a coin
            for layer in model.modules():
                if isinstance(layer, _BatchNorm):
                    layer.weight.uniform_(0.5, 1.5)
                    layer.bias.uniform_(-0.5, 0.5)
                    layer.running_mean.uniform_(-0.3, 0.3)
                    layer.running_var.uniform_(0.5, 2)
    return model.eval()


def torn(model: Algorithm, images: ImageSet) -> Algorithm:
    """Move the head's offset so that the model gives half of the images to each class."""
    with torch.no_grad():
        model.head.bias[1] -= model.logits(float_images(images)).diff(dim=1).median()
    return model


def float_images(images: ImageSet) -> torch.Tensor:
    return images.images.float() / 255


def likelihood(logits: torch.Tensor) -> np.ndarray:
    return logits.detach().double().softmax(1)[:, 1].numpy()


# Loops of their own.


def tent_by_hand(model: Algorithm, batches: list[torch.Tensor], lr: float) -> np.ndarray:
    """Batch norms in training mode, a gradient by autograd, Adam by its formula."""
    own, scores = copy.deepcopy(model), []
    norms = [m for m in own.modules() if isinstance(m, _BatchNorm | nn.LayerNorm)]
    for layer in norms:
        layer.train()
    parameters = [p for layer in norms for p in (layer.weight, layer.bias)]
    first = [torch.zeros_like(p) for p in parameters]
    second = [torch.zeros_like(p) for p in parameters]
    for t, batch in enumerate(batches, 1):
        logits = own.logits(batch)
        p = logits.softmax(1)
        gradients = torch.autograd.grad(-(p * p.log()).sum(1).mean(), parameters)
        scores.append(likelihood(logits))
        with torch.no_grad():
            for value, m, v, g in zip(parameters, first, second, gradients, strict=True):
                m.mul_(0.9).add_(0.1 * g)
                v.mul_(0.999).add_(0.001 * g * g)
                value -= lr * (m / (1 - 0.9**t)) / ((v / (1 - 0.999**t)).sqrt() + 1e-8)
    return np.concatenate(scores)


@pytest.mark.parametrize("backbone", [RESNET, VIT])
def test_tent_is_adam_on_the_entropy(backbone: dict, toy: Toy):
    model, images = make(backbone), toy(22)
    batches = [float_images(images)[a:b] for a, b in [(0, 8), (8, 15), (15, 22)]]  # 22 in three even parts
    got = Tent(lr=0.01, batch_size=8).scores(model, images)
    expected = tent_by_hand(model, batches, 0.01)
    # float32 through Adam's quotient of small numbers; one step moves a score by 1e-2 and more.
    np.testing.assert_allclose(got, expected, atol=2e-4)
    assert np.abs(got - Tent(lr=0.0, batch_size=8).scores(model, images))[8:].max() > 5e-3


def test_tent_starts_from_the_batch_s_statistics_and_layer_norms_as_they_are(toy: Toy):
    images = toy(12)
    resnet, vit = make(RESNET), make(VIT)
    trained = copy.deepcopy(resnet)
    for layer in trained.modules():
        if isinstance(layer, _BatchNorm):
            layer.train()
    own = likelihood(trained.logits(float_images(images)))
    np.testing.assert_allclose(Tent(batch_size=12).scores(resnet, images), own, atol=1e-5)
    assert np.abs(own - predict_scores(resnet, images)).max() > 0.01
    np.testing.assert_allclose(Tent(batch_size=12).scores(vit, images), predict_scores(vit, images), atol=1e-6)


def test_more_steps_lower_the_entropy_further(toy: Toy):
    model, images = make(), toy(16)

    def mean_entropy(steps: int) -> float:
        p = torch.tensor(Tent(lr=5e-3, steps=steps, batch_size=16).scores(model, images))
        return entropy(torch.stack([(1 - p).log(), p.log()], 1)).mean().item()

    values = [mean_entropy(steps) for steps in (1, 3, 6)]
    assert values[0] > values[1] > values[2]


def test_entropy_by_hand():
    logits = torch.tensor([[0.0, 0.0], [0.0, math.log(3.0)], [0.0, 1e4]], dtype=torch.float64)
    expected = [math.log(2), -0.25 * math.log(0.25) - 0.75 * math.log(0.75), 0.0]
    np.testing.assert_allclose(entropy(logits), expected, atol=1e-12)


def t3a_by_hand(model: Algorithm, batches: list[torch.Tensor], keep: int | None, normalise: bool) -> np.ndarray:
    with torch.no_grad():
        head, features = model.head, [model.backbone(batch) for batch in batches]
        logits = [head(f).double().numpy() for f in features]
        own = head(head.weight).double().numpy()
    weights = head.weight.detach().double().numpy()

    def spread(row: np.ndarray) -> float:
        p = np.exp(row - row.max()) / np.exp(row - row.max()).sum()
        return -float((p * np.log(p)).sum())

    sets = [[(spread(own[k]), weights[k] / np.linalg.norm(weights[k]))] for k in range(2)]
    scores = []
    for batch, rows in zip(features, logits, strict=True):
        z = batch.double().numpy()
        for feature, row in zip(z, rows, strict=True):
            sets[int(row.argmax())].append((spread(row), feature / np.linalg.norm(feature)))
        sets = [sorted(members, key=lambda member: member[0])[:keep] for members in sets]
        centres = [np.mean([unit for _, unit in members], axis=0) for members in sets]
        if normalise:
            centres = [c / np.linalg.norm(c) for c in centres]
        scores += [1 / (1 + math.exp(-(feature @ centres[1] - feature @ centres[0]))) for feature in z]
    return np.array(scores)


@pytest.mark.parametrize(("keep", "normalise"), [(3, True), (3, False), (1, True), (None, True)])
def test_t3a_is_the_papers_loop(keep: int | None, normalise: bool, toy: Toy):
    images = toy(22)
    model = torn(make(), images)
    batches = [float_images(images)[a:b] for a, b in [(0, 8), (8, 15), (15, 22)]]
    got = T3A(keep=keep, normalise=normalise, batch_size=8).scores(model, images)
    np.testing.assert_allclose(got, t3a_by_hand(model, batches, keep, normalise), atol=1e-6)
    assert len({*(model.logits(float_images(images)).argmax(1).tolist())}) == 2  # both sets grow


def test_adabn_is_one_batch_of_everything(toy: Toy):
    model, images = make(), toy(30)
    whole = copy.deepcopy(model)
    for layer in whole.modules():
        if isinstance(layer, _BatchNorm):
            layer.train()  # a batch norm in training normalises by the batch's population variance
    with torch.no_grad():
        expected = likelihood(whole.logits(float_images(images)))
    for size in (30, 7):
        np.testing.assert_allclose(AdaBN(batch_size=size).scores(model, images), expected, atol=1e-5)
    assert np.abs(expected - predict_scores(model, images)).max() > 0.01


# What they leave alone, and what they depend on.


@every_method
def test_the_given_model_stays_as_it_is(name: str, toy: Toy):
    model, images = make().train(), toy(10)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    hooks = [len(m._forward_pre_hooks) for m in model.modules()]
    pixels = images.images.clone()
    TEST_TIME[name](batch_size=4).scores(model, images)
    assert model.training
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert all(p.requires_grad and p.grad is None for p in model.parameters())
    assert hooks == [len(m._forward_pre_hooks) for m in model.modules()]
    assert torch.equal(pixels, images.images)


@every_method
def test_scores_are_likelihoods_and_the_same_again(name: str, toy: Toy):
    model, images, method = make(), toy(13), TEST_TIME[name](batch_size=5)
    scores = method.scores(model, images)
    torch.rand(3)  # the global generator must not matter
    with torch.inference_mode():
        again = method.scores(model, images)
    np.testing.assert_array_equal(scores, again)
    assert scores.dtype == np.float64
    assert scores.shape == (13,)
    assert ((scores >= 0) & (scores <= 1)).all()
    assert (method.setting, method.scores(model, images.subset([])).shape) == ("test_time", (0,))


@every_method
def test_labels_are_not_looked_at(name: str, toy: Toy):
    model, images, method = make(), toy(12), TEST_TIME[name](batch_size=5)
    lied = replace(images, labels=1 - images.labels, domains=images.domains + 2, species=["?"] * 12)
    np.testing.assert_array_equal(method.scores(model, images), method.scores(model, lied))


@every_method
def test_online_says_whether_the_order_matters(name: str, toy: Toy):
    images = toy(24)
    model = torn(make(), images)
    order = torch.randperm(24, generator=torch.Generator().manual_seed(1))
    method = TEST_TIME[name](batch_size=6)
    straight, shuffled = method.scores(model, images), method.scores(model, images.subset(order))
    gap = np.abs(straight[order.numpy()] - shuffled).max()
    assert gap > 1e-3 if method.online else gap < 1e-5


@every_method
def test_bad_settings_and_models(name: str, toy: Toy):
    kind = TEST_TIME[name]
    with pytest.raises(ConfigError, match=f"{name}.*batch_size 0"):
        kind(batch_size=0)
    if name == "t3a":
        with pytest.raises(ConfigError, match="keep 0"):
            T3A(keep=0)
        with pytest.raises(ConfigError, match="MCD does not predict with one linear head"):
            T3A().scores(make(algorithm="mcd"), toy(4))
        return
    with pytest.raises(ConfigError, match=r"no norm layer|no batch norm"):
        kind().scores(build(ERM).float(), toy(4))


def test_batch_norms_ask_for_company(toy: Toy):
    with pytest.raises(DataError, match="a batch of one image"):
        Tent(batch_size=1).scores(make(), toy(4))
    assert len(Tent(batch_size=1).scores(make(VIT), toy(4))) == 4
    assert len(Tent(batch_size=3).scores(make(), toy(4))) == 4  # 2 + 2, not 3 + 1
    with pytest.raises(ConfigError, match="no batch norm"):
        AdaBN().scores(make(VIT), toy(4))
    assert AdaBN().scores(make(algorithm="mcd"), toy(4)).shape == (4,)
    assert isinstance(make(algorithm="mcd"), MCD)


# A shift that they undo: another gain and offset of the images.


@pytest.fixture(scope="module")
def trained(toy: Toy, tmp_path_factory: pytest.TempPathFactory) -> list[Algorithm]:
    settings = config(steps=60, batch_size=16, eval_every=30, lr=3e-3, warmup_steps=5)
    models = []
    for seed in range(3):
        train, dev = toy(96, root=10 + seed), toy(32, root=20 + seed)
        models.append(fit(settings, train=train, dev=dev, seed=seed, out=tmp_path_factory.mktemp("model")).model)
    return models


def shifted(images: ImageSet, gain: float, offset: float) -> ImageSet:
    return replace(images, images=(images.images * gain + offset).clamp(0, 255).to(torch.uint8))


def error(scores: np.ndarray, images: ImageSet) -> float:
    """Mean of both classes' error rates at the threshold ½."""
    wrong = (scores >= 0.5) != (images.labels.numpy() == 1)
    return float(np.mean([wrong[images.labels == label].mean() for label in (0, 1)]))


@pytest.mark.slow
@pytest.mark.parametrize("method", [Tent(batch_size=32), AdaBN()])
def test_batch_statistics_undo_gain_and_offset(method: Tent | AdaBN, trained: list[Algorithm], toy: Toy):
    for seed, model in enumerate(trained):
        dark = shifted(toy(128, root=30 + seed), 0.6, 20.0)
        # All images fall on one side of the threshold without; Tent and AdaBN err on 4, 4-5 and 19 % of them.
        assert error(predict_scores(model, dark), dark) == pytest.approx(0.5, abs=0.02)
        assert error(method.scores(model, dark), dark) < 0.25


@pytest.mark.slow
def test_t3a_moves_the_boundary_while_both_classes_are_predicted(trained: list[Algorithm], toy: Toy):
    for seed, model in enumerate(trained):
        images = toy(128, root=30 + seed)
        harsh, dark = shifted(images, 1.3, -20.0), shifted(images, 0.6, 20.0)
        before, after = (
            error(predict_scores(model, harsh), harsh),
            error(T3A(batch_size=32).scores(model, harsh), harsh),
        )
        assert before > 0.15
        assert after < before - 0.04
        # Where every image falls into one class, the other's set keeps only the classifier's row: no way back.
        assert error(T3A(batch_size=32).scores(model, dark), dark) == pytest.approx(0.5, abs=0.02)
