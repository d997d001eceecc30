"""What every learning algorithm keeps, whatever it optimises."""

import copy
import dataclasses
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch

from spooflab.adapters import ALGORITHMS, Algorithm, Batch, ImageSet, TrainConfig, fit, load_model, predict_scores
from spooflab.adapters.class_loss import ClassLoss
from spooflab.adapters.model_files import build_algorithm
from spooflab.adapters.pixel_head import PixelConfig, PixelHead
from spooflab.adapters.train_config import hyperparameters

SIZE = 32
SMALL = {"embedding_size": 8, "hidden_sizes": [8, 12, 16, 24]}
# A penalty at full weight from a tenth of the way on keeps an untrained network from learning in 40 steps, and
# sharpness-aware steps are slower at first.
LEARNS_WITH: dict[str, dict[str, object]] = {
    "irm": {"hparams": {"anneal": 0.75}},
    "ib_erm": {"hparams": {"anneal": 0.75}},
    "sam": {"steps": 80},
    "ada": {"steps": 80},
}
every_algorithm = pytest.mark.parametrize("name", ALGORITHMS)
FAST = ("erm", "dann", "ssdg", "mcc")
every_algorithm_slowly = pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in FAST else pytest.mark.slow) for name in ALGORITHMS]
)


def config(name: str, **changes: object) -> TrainConfig:
    fields = {"size": SIZE, "steps": 40, "batch_size": 16, "eval_every": 20, "lr": 3e-3, "checkpoint_every": None}
    return TrainConfig.model_validate(
        {"algorithm": name, "backbone": {"options": SMALL}, "device": "cpu", **fields, **changes}
    )


def make(name: str) -> Algorithm:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        return build_algorithm(config(name), num_domains=3)


def adapts(name: str) -> bool:
    return ALGORITHMS[name].setting == "adaptation"


def batch(name: str, seed: int = 0) -> Batch:
    gen = torch.Generator().manual_seed(1)
    rows = torch.arange(12)
    images, target = torch.rand(2, 12, 3, SIZE, SIZE, generator=gen)
    return Batch(
        images,
        rows % 2,
        rows % 3,
        seed=seed,
        progress=0.5,
        target=target if adapts(name) else None,
        target_rows=rows if adapts(name) else None,
    )


def striped(count: int, root: int) -> ImageSet:
    gen = torch.Generator().manual_seed(root)
    labels, domains = torch.arange(count) % 2, (torch.arange(count) // 2) % 3
    images = 60 + 80 * torch.rand(count, 3, SIZE, SIZE, generator=gen)
    images[labels == 1, :, :, ::4] += 40
    return ImageSet(images.to(torch.uint8), labels, domains, [f"{root}-{i}" for i in range(count)], ["x"] * count)


@every_algorithm
def test_update_gives_a_finite_scalar_loss_with_a_gradient(name: str):
    model = make(name).train()
    losses = model.update(batch(name))
    assert losses["loss"].shape == ()
    assert all(value.shape == () and torch.isfinite(value) for value in losses.values())
    losses["loss"].backward()
    missing = [
        k for k, p in model.named_parameters() if p.requires_grad and (p.grad is None or not p.grad.isfinite().all())
    ]
    assert missing == []


@every_algorithm
def test_update_is_a_function_of_weights_and_batch(name: str):
    before = torch.get_rng_state()
    first = make(name).train().update(batch(name, 7))["loss"].detach()
    torch.rand(3)  # the global generator must not matter
    second = make(name).train().update(batch(name, 7))["loss"].detach()
    torch.set_rng_state(before)
    assert torch.equal(first, second)


@every_algorithm
def test_predict_is_a_likelihood_and_the_same_alone_or_in_a_batch(name: str):
    model, images = make(name).eval(), batch(name).images
    with torch.inference_mode():
        together = model.predict(images)
        alone = torch.cat([model.predict(images[i : i + 1]) for i in range(len(images))])
        again = model.predict(images)
    assert together.shape == (12,)
    assert bool(((together >= 0) & (together <= 1)).all())
    assert torch.equal(together, again)
    torch.testing.assert_close(together, alone, atol=1e-6, rtol=0)
    # Nothing else comes between the scores and the likelihood, such as a hyper-parameter that is a temperature as well.
    with torch.inference_mode():
        torch.testing.assert_close(together, model.logits(images).double().softmax(1)[:, 1], atol=1e-6, rtol=0)


@every_algorithm_slowly
def test_predict_scores_do_not_depend_on_batch_size_and_leave_the_mode(name: str):
    model, images = make(name).train(), striped(10, 5)
    scores = [predict_scores(model, images, size) for size in (1, 3, 64)]
    assert model.training
    assert scores[0].dtype == np.float64
    np.testing.assert_allclose(scores[0], scores[1], atol=1e-6)
    np.testing.assert_allclose(scores[0], scores[2], atol=1e-6)


@every_algorithm
def test_state_goes_through_safetensors(name: str):
    model, other = make(name).train(), make(name)
    model.update(batch(name))["loss"].backward()  # moves the batch-norm statistics
    data = safetensors.torch.save({key: t.contiguous().clone() for key, t in model.state_dict().items()})
    other.load_state_dict(safetensors.torch.load(data))
    images = batch(name).images
    with torch.inference_mode():
        assert torch.equal(model.eval().predict(images), other.eval().predict(images))


@every_algorithm_slowly
def test_learns_and_comes_back_from_its_files(name: str, tmp_path: Path):
    plan = config(name, **LEARNS_WITH.get(name, {}))
    target = striped(64, 4) if adapts(name) else None
    result = fit(plan, train=striped(64, 1), dev=striped(32, 2), seed=0, out=tmp_path, target=target)
    fresh = striped(64, 3)
    scores = predict_scores(result.model, fresh)
    # 64 fair coins exceed 47 heads once in 20 000 times; a separable problem must do better.
    assert int(((scores >= 0.5) == (fresh.labels.numpy() == 1)).sum()) > 47
    assert not result.model.training
    np.testing.assert_array_equal(scores, predict_scores(load_model(tmp_path), fresh))


@every_algorithm_slowly
def test_the_class_loss_is_the_configured_one(name: str):
    """Plain cross-entropy to the bit under equal stakes; another loss is another loss, with a gradient."""
    plain, data = make(name).train(), batch(name)
    equal, focal = copy.deepcopy(plain), copy.deepcopy(plain)
    equal.class_loss = ClassLoss(cost_false_accept=7.0, cost_false_reject=7.0)
    focal.class_loss = ClassLoss("focal")
    losses = [model.update(data)["loss"] for model in (plain, equal, focal)]
    assert torch.equal(losses[0], losses[1])
    assert not torch.equal(losses[0], losses[2])
    losses[2].backward()
    assert all(bool(p.grad.isfinite().all()) for p in focal.parameters() if p.requires_grad)


@every_algorithm_slowly
def test_pixel_losses_are_added_from_the_same_pass_where_there_is_one(name: str):
    maps = torch.rand(12, 5, 32, 32, generator=torch.Generator().manual_seed(2))
    data, passes = dataclasses.replace(batch(name), maps=maps), []
    plain = make(name).train()
    model = copy.deepcopy(plain)
    model.pixel = PixelHead(PixelConfig(mask_weight=0.5, depth_weight=2.0, stage=2), model.backbone, SIZE)
    for each in (plain, model):
        each.backbone.register_forward_hook(lambda *_, each=each: passes.append(each is model))
    losses, key = model(data), model.labels_in
    added = 0.5 * losses["pixel_mask"] + 2 * losses["pixel_depth"]
    torch.testing.assert_close(losses[key] - added, plain(data)[key], rtol=1e-5, atol=1e-5)
    losses[key].backward()
    assert bool(model.pixel.outputs.weight.grad.any())
    assert passes.count(True) - passes.count(False) == (name in ("mixup", "fourier_mix", "mldg"))


@every_algorithm
def test_a_batch_may_lack_a_class(name: str):
    """Batches drawn as the data come have one class now and then; and a domain may be absent as well."""
    model, whole = make(name).train(), batch(name)
    for label in (0, 1):
        losses = model.update(
            dataclasses.replace(whole, label=torch.full_like(whole.label, label), domain=whole.domain % 2)
        )
        model.zero_grad()
        losses["loss"].backward()
        assert all(bool(value.isfinite()) for value in losses.values())
        assert all(bool(p.grad.isfinite().all()) for p in model.parameters() if p.requires_grad)


@every_algorithm
def test_hyperparameters_are_keywords_with_defaults(name: str):
    defaults = hyperparameters(ALGORITHMS[name])
    defaults.pop("num_domains", None)
    assert config(name, hparams=defaults).hparams.keys() == defaults.keys()
    model = make(name)
    assert all(getattr(model, key) == value for key, value in defaults.items() if hasattr(model, key))


@every_algorithm
def test_search_ranges_are_of_its_hyperparameters(name: str):
    for key, (low, high, scale) in ALGORITHMS[name].SEARCH.items():
        assert key in hyperparameters(ALGORITHMS[name])
        assert low < high
        assert scale == "linear" or (scale == "log" and low > 0)
