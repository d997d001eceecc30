"""Saliency against closed forms: linear and quadratic models, a convolution, a model that looks at one place."""

import copy
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from spooflab.adapters import TrainConfig
from spooflab.adapters.algorithm import Algorithm
from spooflab.adapters.model_files import build_algorithm
from spooflab.experiments.explain.pointing import pointing
from spooflab.experiments.explain.saliency import (
    ATTACK,
    BASELINE,
    BONAFIDE,
    blurred,
    cam_stage,
    evidence,
    grad_cam,
    integrated_gradients,
    randomised,
)


def images(count: int = 3, side: int = 16) -> Tensor:
    return torch.rand(count, 3, side, side, generator=torch.Generator().manual_seed(3))


def network(backbone: str = "resnet-tiny", size: int = 96, pixel: Any = None, **options: Any) -> Algorithm:
    settings = {"size": size, "backbone": {"name": backbone} | options, "pixel": pixel or {}}
    config = TrainConfig.model_validate(settings)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return build_algorithm(config, num_domains=2).eval()


class Patch(nn.Module):
    """Looks at one square, and nowhere else."""

    def __init__(self, top: int, left: int, side: int) -> None:
        super().__init__()
        self.rows, self.columns = slice(top, top + side), slice(left, left + side)

    def forward(self, x: Tensor) -> Tensor:
        return x[:, :, self.rows, self.columns].mean((1, 2, 3))


def test_integrated_gradients_of_a_linear_model_are_weight_times_distance_from_grey() -> None:
    x = images()
    weight = torch.randn(x.shape[1:], generator=torch.Generator().manual_seed(4))
    found = integrated_gradients(nn.Identity(), lambda v: (v * weight).sum((1, 2, 3)), x)
    torch.testing.assert_close(found.attribution, (weight * (x - BASELINE)).double(), rtol=1e-5, atol=1e-6)
    assert float(found.gap.max()) < 1e-4


def test_integrated_gradients_of_a_quadratic_model_are_the_integral_and_complete() -> None:
    # ∫ 2w(b + α(x − b)) dα · (x − b) = w(x² − b²); Gauss-Legendre is exact for a line.
    x = images()
    weight = torch.randn(x.shape[1:], generator=torch.Generator().manual_seed(4))
    found = integrated_gradients(nn.Identity(), lambda v: (v**2 * weight).sum((1, 2, 3)), x, steps=4)
    torch.testing.assert_close(found.attribution, (weight * (x**2 - BASELINE**2)).double(), rtol=1e-4, atol=1e-5)
    assert float(found.gap.max()) < 1e-3


def test_integrated_gradients_of_a_bent_function_add_up_better_with_more_steps() -> None:
    x = images()
    weight = torch.randn(x.shape[1:], generator=torch.Generator().manual_seed(4))
    gaps = [
        float(
            integrated_gradients(
                nn.Identity(), lambda v: torch.tanh(((v - BASELINE) * weight).sum((1, 2, 3))), x, steps=steps
            )
            .gap.abs()
            .max()
        )
        for steps in (2, 128)
    ]
    assert gaps[1] < 0.01 < 0.1 < gaps[0]


def test_grad_cam_is_the_activation_weighted_by_its_mean_gradient() -> None:
    layer = nn.Conv2d(3, 4, 3, stride=2, padding=1)
    with torch.no_grad():
        for tensor in layer.parameters():
            tensor.copy_(torch.randn(tensor.shape, generator=torch.Generator().manual_seed(5)))
    place = torch.randn(4, 8, 8, generator=torch.Generator().manual_seed(6))
    model = nn.Sequential(layer)
    x = images()
    found = grad_cam(model, layer, lambda v: (model(v) * place).sum((1, 2, 3)), x)
    with torch.no_grad():
        activation = layer(x).numpy()
    expected = np.zeros((3, 8, 8))
    for channel in range(4):
        expected += float(place[channel].mean()) * activation[:, channel]
    grown = torch.nn.functional.interpolate(
        torch.from_numpy(np.maximum(expected, 0))[:, None], (16, 16), mode="bilinear", align_corners=False
    )[:, 0]
    torch.testing.assert_close(found, grown, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("inside", [True, False])
def test_a_model_that_looks_at_one_place_wins_the_game_there_and_loses_it_elsewhere(inside: bool) -> None:
    model = Patch(4, 8, 6)
    x = images(12) * 0.4 + 0.55  # brighter than grey: all evidence is positive
    saliency = integrated_gradients(model, model, x).saliency.numpy()
    masks = np.zeros((12, 16, 16), dtype=bool)
    if inside:
        masks[:, 3:11, 7:15] = True
    else:
        masks[:, 12:, :6] = True
    game = pointing(saliency, masks, [f"s{n}" for n in range(12)])
    assert game.hits == (12 if inside else 0)
    assert game.energy is not None
    assert game.energy == pytest.approx(1.0 if inside else 0.0, abs=0.05)
    assert game.beats_chance == inside


def test_evidence_for_attack_is_the_negative_of_that_for_bona_fide() -> None:
    model = network(size=32)
    x = images(side=32)
    with torch.no_grad():
        attack, bonafide = evidence(model, ATTACK)(x), evidence(model, BONAFIDE)(x)
        score = model.predict(x)
    torch.testing.assert_close(attack, -bonafide)
    torch.testing.assert_close(torch.sigmoid(bonafide), score)


def test_grad_cam_is_read_from_the_deepest_map_that_is_not_too_coarse() -> None:
    model = network()
    assert cam_stage(model) == 2  # 96 px: 24, 12, 6 and 3 places a side
    assert cam_stage(model, least=3) == 3
    assert cam_stage(model, least=50) == 0
    assert cam_stage(network("vit-tiny", 32)) is None


@pytest.mark.parametrize(
    "settings",
    [
        {"tuning": "frozen"},
        {"frozen_stages": 2},
        {"pixel": {"mask_weight": 1.0, "mask_target": "uniform", "score": "map", "stage": 1}},
    ],
)
def test_frozen_networks_and_those_that_score_by_a_map_are_seen_through(settings: dict[str, Any]) -> None:
    model = network(size=32, **settings)
    x = images(side=32)
    stage = cam_stage(model, least=2)
    assert stage is not None
    found = grad_cam(model, model.backbone.stages[stage], evidence(model), x) + grad_cam(
        model, model.backbone.stages[stage], evidence(model, BONAFIDE), x
    )
    assert (found.amax((1, 2)) > 0).all()
    assert float(integrated_gradients(model, evidence(model), x).gap.max()) < 0.05


def test_a_shuffled_network_keeps_its_values_and_loses_their_places() -> None:
    model = network(size=32)
    before = copy.deepcopy(model.state_dict())
    blank = randomised(model, torch.Generator().manual_seed(1))
    again = randomised(model, torch.Generator().manual_seed(1))
    for name, tensor in blank.state_dict().items():
        assert torch.equal(tensor, again.state_dict()[name])
        assert torch.equal(model.state_dict()[name], before[name])
        assert torch.equal(tensor.flatten().sort().values, before[name].flatten().sort().values)
    assert not torch.equal(blank.head.weight, model.head.weight)
    x = images(side=32)
    with torch.no_grad():
        assert not torch.allclose(blank.logits(x), model.logits(x))


def test_blurring_keeps_the_amount_and_spreads_it() -> None:
    dot = torch.zeros(1, 48, 48, dtype=torch.float64)
    dot[0, 24, 24] = 1
    found = blurred(dot)
    assert float(found.sum()) == pytest.approx(1, abs=1e-6)
    # A Gaussian of one pixel: 1 / 2π at its centre, sampled and normalised.
    assert float(found[0, 24, 24]) == pytest.approx(1 / (2 * np.pi), rel=1e-3)
