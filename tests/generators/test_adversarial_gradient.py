"""The attacks on a module against closed forms and NumPy."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from spooflab.errors import ConfigError
from spooflab.generators.adversarial.attackable import attackable
from spooflab.generators.adversarial.gradient_sign import Norm, fgsm, pgd, random_sign
from spooflab.seeds import generator


class Linear(nn.Module):
    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight)

    def forward(self, images: Tensor) -> Tensor:
        return (images * self.weight).sum((1, 2, 3))


def bent(images: Tensor) -> Tensor:
    """A score whose gradient changes with the image."""
    return torch.sin(3 * images).flatten(1).cumsum(1).tanh().sum(1) + images[:, 0].square().sum((1, 2))


@pytest.fixture
def images() -> Tensor:
    return 0.2 + 0.6 * torch.rand(2, 3, 6, 6, generator=generator(1, "images"))


@pytest.fixture
def weight() -> Tensor:
    return torch.randn(3, 6, 6, generator=generator(1, "weight"))


def test_fgsm_is_the_sign_of_the_gradient(images: Tensor, weight: Tensor) -> None:
    moved = fgsm(Linear(weight), images, eps=0.03)
    assert torch.equal(moved, (images + 0.03 * weight.sign()).clamp(0, 1))
    lowered = fgsm(Linear(weight), images, eps=0.03, raise_score=False)
    assert torch.equal(lowered, (images - 0.03 * weight.sign()).clamp(0, 1))


def test_pgd_reaches_the_linear_optimum_in_both_norms(images: Tensor, weight: Tensor) -> None:
    box = pgd(Linear(weight), images, eps=0.05, step=0.02, iters=8)
    torch.testing.assert_close(box, images + 0.05 * weight.sign(), atol=1e-6, rtol=0)
    ball = pgd(Linear(weight), images, eps=0.4, step=0.15, iters=8, norm="l2")
    torch.testing.assert_close(ball, images + 0.4 * weight / weight.norm(), atol=1e-6, rtol=0)


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_images_stay_in_range_and_in_the_ball(images: Tensor, norm: Norm) -> None:
    eps = torch.tensor([0.2, 0.7])
    edge = torch.where(images > 0.5, 1.0, 0.0)
    moved = pgd(bent, edge, eps=eps, step=0.3, iters=6, norm=norm, seeds=torch.tensor([3, 4]))
    assert moved.min() >= 0
    assert moved.max() <= 1
    change = (moved - edge).flatten(1)
    size = change.abs().amax(1) if norm == "linf" else change.norm(dim=1)
    assert (size <= eps + 1e-6).all()
    assert (size > 0.1 * eps).all()


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_momentum_is_dong_s_equation(images: Tensor, norm: Norm) -> None:
    eps, step, decay = 0.1, 0.03, 0.7
    moved = pgd(bent, images, eps=eps, step=step, iters=5, norm=norm, momentum=decay)
    expected = []
    for image in images:
        clean = image.numpy().astype(np.float64)
        x, memory = clean.copy(), np.zeros_like(clean)
        for _ in range(5):
            leaf = torch.tensor(x[None], dtype=torch.float32, requires_grad=True)
            gradient = torch.autograd.grad(bent(leaf).sum(), leaf)[0][0].double().numpy()
            memory = decay * memory + gradient / np.abs(gradient).sum()
            move = np.sign(memory) if norm == "linf" else memory / np.sqrt((memory**2).sum())
            change = x + step * move - clean
            length = np.sqrt((change**2).sum())
            change = np.clip(change, -eps, eps) if norm == "linf" else change * min(1.0, eps / length)
            x = np.clip(clean + change, 0, 1)
        expected.append(x)
    np.testing.assert_allclose(moved.numpy(), np.stack(expected), atol=2e-6)


def test_rows_are_independent_and_seeded(images: Tensor) -> None:
    seeds = torch.tensor([11, 12])
    both = pgd(bent, images, eps=0.1, step=0.03, iters=3, seeds=seeds, momentum=1.0)
    for i in range(2):
        alone = pgd(bent, images[i : i + 1], eps=0.1, step=0.03, iters=3, seeds=seeds[i : i + 1], momentum=1.0)
        assert torch.equal(both[i : i + 1], alone)
    other = pgd(bent, images, eps=0.1, step=0.03, iters=3, seeds=seeds + 5, momentum=1.0)
    assert not torch.equal(both, other)


def test_a_region_holds_the_rest(images: Tensor, weight: Tensor) -> None:
    region = torch.zeros(1, 1, 6, 6)
    region[..., 2:4] = 1
    moved = pgd(Linear(weight), images, eps=0.1, step=0.1, iters=2, region=region, seeds=torch.tensor([1, 2]))
    assert torch.equal((moved != images).any(1, keepdim=True), region.expand(2, 1, 6, 6) > 0)


def test_the_control_has_the_norm_and_no_gradient(images: Tensor) -> None:
    moved = random_sign(images, eps=0.05, seeds=torch.tensor([1, 2]))
    torch.testing.assert_close((moved - images).abs(), torch.full_like(images, 0.05), atol=1e-6, rtol=0)
    ball = random_sign(images, eps=0.5, seeds=torch.tensor([1, 2]), norm="l2")
    torch.testing.assert_close((ball - images).flatten(1).norm(dim=1), torch.full((2,), 0.5), atol=1e-5, rtol=0)
    signs = (moved - images).sign().flatten(1).mean(1)
    assert signs.abs().max() < 4 / 108**0.5


def test_the_model_is_left_as_it_was(images: Tensor) -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5), nn.Flatten(), nn.Linear(64, 1))
    model.train()
    model[2].eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with torch.inference_mode():
        clean = images.clone()
        with attackable(model):
            first = pgd(lambda x: model(x)[:, 0], clean, eps=0.1, step=0.1, iters=2)
            second = pgd(lambda x: model(x)[:, 0], clean, eps=0.1, step=0.1, iters=2)
    assert torch.equal(first, second), "dropout must rest"
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert all(p.grad is None and p.requires_grad for p in model.parameters())
    assert [m.training for m in model] == [True, True, False, True, True]


def test_parameters_made_for_inference_alone_are_refused() -> None:
    with torch.inference_mode():
        model = nn.Linear(2, 1)
    with pytest.raises(ConfigError, match="inference_mode"), attackable(model):
        pass


@pytest.mark.parametrize("bad", [{"iters": 0}, {"norm": "l1"}, {"eps": -0.1}])
def test_bad_settings_are_named(images: Tensor, bad: dict[str, object]) -> None:
    settings: dict[str, object] = {"eps": 0.1, "step": 0.1, "iters": 1, **bad}
    with pytest.raises(ValueError, match="pgd"):
        pgd(bent, images, **settings)  # type: ignore[arg-type]  # wrong on purpose
