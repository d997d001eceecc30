"""Images pushed to where the detector fails: against finite differences, NumPy and Pillow."""

from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from conformance import LinearBackbone, batch, build, log_softmax, per_sample_loss
from PIL import Image, ImageOps
from torch import Tensor

from spooflab.adapters import ADA, ERM, AugMax, Batch
from spooflab.adapters.augmax import chains, jensen_shannon, mix, operate
from spooflab.adapters.backbones import build_backbone
from spooflab.adapters.train_config import BackboneConfig
from spooflab.errors import ConfigError

HOLDS: dict[str, Any] = {"step_size": 0.02, "steps": 2, "gamma": 3.0}


def slope_of(height: Any, images: Tensor, eps: float = 1e-5) -> Tensor:
    """Central differences of a scalar function of images."""
    slopes = torch.zeros_like(images)
    for i in range(images.numel()):
        up, down = images.clone(), images.clone()
        up.view(-1)[i] += eps
        down.view(-1)[i] -= eps
        slopes.view(-1)[i] = (height(up) - height(down)) / (2 * eps)
    return slopes


def loss_of(model: Any, images: Tensor, label: Tensor) -> np.ndarray:
    return per_sample_loss(model, Batch(images, label, torch.zeros_like(label)))


@pytest.mark.parametrize("distance", ["half_square", "mean_square"])
def test_ada_climbs_the_papers_height(distance: str) -> None:
    data, model = batch(3), build(ADA, distance=distance, **HOLDS)
    weight = model.backbone.weight.detach()
    start = torch.tanh(data.images.flatten(1) @ weight.T)

    def height(images: Tensor) -> float:
        square = (torch.tanh(images.flatten(1) @ weight.T) - start) ** 2
        cost = square.sum() / 2 if distance == "half_square" else square.mean(1).sum()
        return float(loss_of(model, images, data.label).sum() - 3.0 * float(cost))

    expected = data.images
    for _ in range(2):
        expected = (expected + 0.02 * slope_of(height, expected)).clamp(0, 1)
    climbed = model.climb(data.images, data.label)
    torch.testing.assert_close(climbed, expected, atol=1e-9, rtol=0)
    assert (loss_of(model, climbed, data.label) > loss_of(model, data.images, data.label)).all()


def test_ada_learns_from_both_and_without_any_is_erm() -> None:
    data, erm = batch(), build(ERM)
    both, none = build(ADA, probability=1.0, **HOLDS), build(ADA, probability=0.0, **HOLDS)
    losses = [loss_of(both, images, data.label) for images in (data.images, both.climb(data.images, data.label))]
    assert float(both.update(data)["loss"].detach()) == pytest.approx(float(np.concatenate(losses).mean()), abs=1e-12)
    assert torch.equal(none.update(data)["loss"], erm.update(data)["loss"])


def test_climbing_moves_images_alone_and_not_the_network() -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        small = {"embedding_size": 8, "hidden_sizes": [8, 12, 16, 24]}
        made = [build_backbone(BackboneConfig(options=small), 32) for _ in range(2)]
        models = [ADA(made[0], steps=2, step_size=1.0).train(), AugMax(made[1], steps=2).train()]
    images = torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(2))
    label = torch.arange(4) % 2
    for model in models:
        before = {name: t.clone() for name, t in model.state_dict().items()}

        def pushed(rows: slice, model: Any = model) -> Tensor:
            if isinstance(model, ADA):
                return model.climb(images[rows], label[rows])
            gen = torch.Generator().manual_seed(3)
            augmented = torch.stack([1 - images, images**2, images.flip(3)])[:, rows]
            return model.hardest(images[rows], label[rows], augmented, gen)

        moved = pushed(slice(0, 4))
        assert not torch.equal(moved, images)
        # The draws of a shorter batch are a prefix of the longer one's only for the amounts: compare the climb alone.
        if isinstance(model, ADA):
            torch.testing.assert_close(moved[:1], pushed(slice(0, 1)), atol=1e-5, rtol=0)
        assert model.training
        assert all(module.training for module in model.modules())
        assert all(torch.equal(before[name], t) for name, t in model.state_dict().items())
        assert all(p.grad is None for p in model.parameters())


def test_a_mix_is_the_papers() -> None:
    gen = torch.Generator().manual_seed(4)
    images, augmented = torch.rand(2, 3, 4, 5, generator=gen), torch.rand(3, 2, 3, 4, 5, generator=gen)
    amount, shares = torch.rand(2, generator=gen), torch.rand(2, 3, generator=gen).softmax(1)
    mixed = mix(images, augmented, amount, shares)
    for b in range(2):
        blend = sum(float(shares[b, w]) * augmented[w, b].double() for w in range(3))
        wanted = (1 - float(amount[b])) * images[b].double() + float(amount[b]) * blend
        torch.testing.assert_close(mixed[b].double(), wanted, atol=1e-6, rtol=0)


def test_divergence_is_that_of_numpy() -> None:
    logits = [torch.randn(5, 2, generator=torch.Generator().manual_seed(i), dtype=torch.float64) * 3 for i in range(3)]
    each = [np.exp(log_softmax(row.numpy())) for row in logits]
    middle = sum(each) / 3
    wanted = np.mean([(p * np.log(p / middle)).sum(1).mean() for p in each])
    assert float(jensen_shannon(logits)) == pytest.approx(wanted, abs=1e-12)
    assert float(jensen_shannon([logits[0]] * 3)) == pytest.approx(0, abs=1e-12)


def test_augmax_climbs_by_signs_and_spares_the_misjudged() -> None:
    data, model = batch(), build(AugMax, steps=3, patience=2)
    augmented = torch.stack([1 - data.images, data.images**3, data.images.flip(1)])
    gen = torch.Generator().manual_seed(6)
    amount = torch.rand(8, generator=gen).double()
    heights = torch.rand(8, 3, generator=gen).double()
    budget = np.full(8, 2)
    stayed = 0

    def risk(m: Tensor, q: Tensor) -> float:
        return float(loss_of(model, mix(data.images, augmented, m, q.softmax(1)), data.label).sum())

    for _ in range(3):
        seen = mix(data.images, augmented, amount, heights.softmax(1))
        budget -= loss_of(model, seen, data.label) > np.log(2)  # of two classes: misjudged
        by_amount = slope_of(partial(risk, q=heights), amount)
        by_height = slope_of(partial(risk, amount), heights)
        climbs = torch.tensor(budget > 0).double()
        stayed += int((climbs == 0).sum())
        amount = (amount + 0.1 * climbs * by_amount.sign()).clamp(0, 1)
        heights = heights + 0.1 * climbs[:, None] * by_height.sign()
    expected = mix(data.images, augmented, amount, heights.softmax(1))
    found = model.hardest(data.images, data.label, augmented, torch.Generator().manual_seed(6))
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)
    assert 0 < stayed < 24


def test_augmax_adds_the_divergence_to_the_class_loss() -> None:
    data = batch()
    plain, parts = build(ERM).update(data)["loss"].detach(), build(AugMax, weight=4.0).update(data)
    assert float(parts["class_loss"]) == pytest.approx(float(plain), abs=1e-12)
    assert float(parts["divergence"]) > 0
    assert float(parts["loss"].detach()) == pytest.approx(
        float(parts["class_loss"] + 4 * parts["divergence"]), abs=1e-12
    )


@pytest.mark.parametrize("level", [0.1, 1.7, 3.0, 9.0])
def test_operations_are_pillows(level: float) -> None:
    gen = torch.Generator().manual_seed(7)
    images = ((torch.rand(2, 3, 20, 21, generator=gen) ** 2 * 200 + 20).round()) / 255
    images[1] = images[1].mul(255).div(16).floor().mul(16) / 255
    wanted = {
        "autocontrast": ImageOps.autocontrast,
        "equalize": ImageOps.equalize,
        "posterize": lambda picture: ImageOps.posterize(picture, 4 - int(level * 0.4)),
        "solarize": lambda picture: ImageOps.solarize(picture, 256 - int(level * 25.6)),
    }
    for name, pillows in wanted.items():
        found = operate(name, images, torch.full((2,), level)) * 255
        for row, image in zip(found, images, strict=True):
            picture = Image.fromarray(image.mul(255).round().byte().permute(1, 2, 0).numpy())
            expected = torch.from_numpy(np.array(pillows(picture))).permute(2, 0, 1).float()
            # Both stretch with a rounding of their own: one level.
            torch.testing.assert_close(row, expected, atol=1.001 if name == "autocontrast" else 1e-3, rtol=0)


def test_chains_are_drawn_anew_and_keep_the_range() -> None:
    images = torch.rand(6, 3, 16, 16, generator=torch.Generator().manual_seed(8))
    one, two = (chains(images, 3, 3.0, torch.Generator().manual_seed(9)) for _ in range(2))
    assert one.shape == (3, 6, 3, 16, 16)
    assert torch.equal(one, two)
    assert one.min() >= 0
    assert one.max() <= 1
    assert not torch.equal(one[0], one[1])


@pytest.mark.parametrize(
    ("kind", "wrong"),
    [
        (ADA, {"gamma": -1.0}), (ADA, {"steps": 0}), (ADA, {"probability": 1.5}), (ADA, {"distance": "cosine"}),
        (AugMax, {"weight": -1.0}), (AugMax, {"width": 0}), (AugMax, {"severity": 0.0}), (AugMax, {"patience": 0}),
    ],
)  # fmt: skip
def test_bad_settings_are_named(kind: type, wrong: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        kind(LinearBackbone(), num_domains=3, **wrong)
