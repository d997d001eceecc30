"""Pixel-wise supervision: losses in NumPy, finite differences, tokens as maps, training, files, and fused scores."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from conformance import LinearBackbone, numeric_gradient
from stages import StagedBackbone, picture_batch

from spooflab.adapters import ADDA, ERM, MCD, T3A, BackboneConfig, Batch, ImageSet, Tent, TrainConfig, fit, load_model
from spooflab.adapters.backbones import build_backbone
from spooflab.adapters.pixel_head import PixelConfig, PixelHead, spatial_map
from spooflab.adapters.scoring import predict_log_odds, predict_scores
from spooflab.errors import ConfigError, DataError

BOTH = {"mask_weight": 0.5, "depth_weight": 2.0}


def with_maps(size: int = 6, side: int = 8) -> Batch:
    """Pictures of 4 by 4 pixels with maps of 8 by 8 places: one without a mask, one without relief."""
    gen = torch.Generator().manual_seed(2)
    data = picture_batch(size)
    covered = (torch.rand(size, side, side, generator=gen) < 0.5).double() * (1 - data.label)[:, None, None]
    face = torch.zeros(size, side, side, dtype=torch.float64)
    face[:, 1:7, 2:7] = 1
    known = face * (torch.rand(size, side, side, generator=gen) < 0.8)
    relief = known * (2 * torch.rand(size, side, side, generator=gen, dtype=torch.float64) - 1)
    mask_known = torch.ones_like(face)
    mask_known[0], covered[0], known[1], relief[1] = 0, 0, 0, 0
    return dataclasses.replace(data, maps=torch.stack([covered, mask_known, relief, known, face], 1))


def model(config: dict | PixelConfig, kind: type = ERM) -> ERM:
    torch.manual_seed(0)
    made = kind(StagedBackbone(2), num_domains=3)
    made.pixel = PixelHead(PixelConfig.model_validate(config), made.backbone, 4)
    return made.double()


def learnt(made: ERM, data: Batch) -> np.ndarray:
    """Return the maps (B, K, 4, 4) by hand."""
    features = data.images.numpy()
    for part in made.backbone.parts[: made.pixel.stage + 1]:
        features = np.tanh(np.einsum("oc,bchw->bohw", part.weight.detach().numpy(), features))
    weight, bias = (p.detach().numpy() for p in made.pixel.outputs.parameters())
    return np.einsum("oc,bchw->bohw", weight[:, :, 0, 0], features) + bias[:, None, None]


def by_hand(made: ERM, data: Batch) -> dict[str, float]:
    """Place by place: 2 by 2 places of the maps make one of the network's."""
    config, scores = made.pixel.config, learnt(made, data)
    totals: dict[str, list[float]] = {"mask": [], "depth": []}
    for i, label in enumerate(data.label.tolist()):
        sums = {"mask": [0.0, 0.0], "depth": [0.0, 0.0]}
        for row in range(4):
            for column in range(4):
                area = data.maps[i, :, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2].mean((1, 2)).tolist()
                covered, mask_known, relief, known, face = area
                target, share = (1 - covered / mask_known if mask_known else 0.0), mask_known
                if config.mask_target == "uniform":
                    target, share = float(label), 1.0
                p = 1 / (1 + np.exp(-scores[i, 0, row, column]))
                sums["mask"][0] -= share * (target * np.log(p) + (1 - target) * np.log(1 - p))
                sums["mask"][1] += share
                target, share = (relief / known if known else 0.0), known
                if config.depth_target == "flat" and not label:
                    target, share = 0.0, face
                sums["depth"][0] += share * (scores[i, 1, row, column] - target) ** 2
                sums["depth"][1] += share
        for name, (total, area) in sums.items():
            totals[name] += [total / area] if area else []
    return {name: float(np.mean(values)) for name, values in totals.items()}


@pytest.mark.parametrize(
    "targets", [{}, {"mask_target": "uniform"}, {"depth_target": "flat"}, {"stage": 0}], ids=lambda t: str(t)
)
def test_losses_are_the_formula_place_by_place(targets: dict):
    made, data = model(BOTH | targets), with_maps()
    wanted, losses = by_hand(made, data), made(data)
    assert losses["pixel_mask"].item() == pytest.approx(wanted["mask"], rel=1e-10)
    assert losses["pixel_depth"].item() == pytest.approx(wanted["depth"], rel=1e-10)
    plain = made.update(data)["loss"].item()
    assert losses["loss"].item() == pytest.approx(plain + 0.5 * wanted["mask"] + 2 * wanted["depth"], rel=1e-10)


def test_gradient_is_the_finite_difference():
    made, data = model(BOTH), with_maps()
    made(data)["loss"].backward()
    for parameter in (made.pixel.outputs.weight, made.backbone.parts[0].weight, made.backbone.parts[1].weight):
        numeric = numeric_gradient(parameter, lambda: made(data)["loss"].item())
        np.testing.assert_allclose(parameter.grad.numpy(), numeric, atol=1e-7)


def test_what_is_unknown_teaches_nothing():
    made, data = model(BOTH), with_maps()
    unknown = dataclasses.replace(data, maps=torch.zeros_like(data.maps))
    losses = made(unknown)
    losses["loss"].backward()
    assert losses["pixel_mask"].item() == losses["pixel_depth"].item() == 0
    assert not made.pixel.outputs.weight.grad.any()
    # A changed value under an unknown place, and a picture alone or among others.
    wild = data.maps.clone()
    wild[0, 0] = 0.7
    alone = [made(dataclasses.replace(data, maps=m))["pixel_mask"].item() for m in (data.maps, wild)]
    assert alone[0] == alone[1]


def test_labels_are_enough_for_uniform_masks_and_nothing_else():
    data = picture_batch()
    assert model({"mask_weight": 1.0, "mask_target": "uniform"})(data)["pixel_mask"].item() > 0
    with pytest.raises(DataError, match="maps=True"):
        model({"mask_weight": 1.0})(data)


@pytest.mark.parametrize("score", ["map", "mean"])
def test_scores_are_mean_likelihoods_and_do_not_saturate(score: str):
    made, data = model({"mask_weight": 1.0, "score": score}), picture_batch()
    places = 1 / (1 + np.exp(-learnt(made, data)[:, 0].reshape(8, -1)))
    plain = torch.softmax(made.logits(data.images), 1)[:, 1].detach().numpy()
    wanted = places.mean(1) if score == "map" else (places.mean(1) + plain) / 2
    np.testing.assert_allclose(made.predict(data.images).detach(), wanted, rtol=1e-10)
    with torch.no_grad():
        made.pixel.outputs.bias += 200
        made.head.bias += torch.tensor([0.0, 200.0], dtype=torch.float64)
    odds = made.log_odds(data.images)
    assert bool(odds.isfinite().all())
    assert len(odds.unique()) == 8


def test_methods_that_adapt_the_class_head_refuse_another_score():
    images = half_covered(4, 0)
    for method in (Tent(), T3A()):
        with pytest.raises(ConfigError, match=r"one linear head|pixels' map"):
            method.scores(model({"mask_weight": 1.0, "score": "map"}), images)


def test_tokens_of_patches_are_a_map():
    tokens = torch.arange(2 * 21 * 3.0).view(2, 21, 3)
    for others, patches in ((5, 4), (1, 0), (0, 0)):
        given = tokens[:, 5 - others :] if others != 1 else tokens[:, 4:]
        if not patches:
            given = tokens[:, 5:]
        got = spatial_map(given, patches)
        assert got.shape == (2, 3, 4, 4)
        assert got[1, 2, 3, 1].item() == tokens[1, 5 + 3 * 4 + 1, 2].item()
    assert spatial_map(tokens[:, :4], 4).shape == (2, 3, 2, 2)  # merged patches
    with pytest.raises(ConfigError, match="patch tokens"):
        spatial_map(tokens, 0)
    with pytest.raises(ConfigError, match="patch tokens"):
        spatial_map(tokens[:, 0], 4)
    with pytest.raises(ConfigError, match="0 known stages"):
        PixelHead(PixelConfig(mask_weight=1), LinearBackbone(), 2)
    with pytest.raises(ConfigError, match="stage 2 of a backbone with 2"):
        PixelHead(PixelConfig(mask_weight=1, stage=2), StagedBackbone(2), 4)
    with pytest.raises(ValueError, match="mask_weight 0"):
        PixelConfig(depth_weight=1, score="map")


@pytest.mark.parametrize(
    ("name", "options", "side"),
    [
        ("resnet-tiny", {"embedding_size": 8, "hidden_sizes": [8, 8, 12, 16]}, 2),
        ("convnext-tiny", {"hidden_sizes": [4, 4, 8, 8], "depths": [1, 1, 1, 1]}, 2),
        ("vit-tiny", {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 16}, 4),
    ],
)
def test_presets_have_maps(name: str, options: dict, side: int):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        made = ERM(build_backbone(BackboneConfig(name=name, options=options), 64), num_domains=1)
    made.pixel = PixelHead(PixelConfig(mask_weight=1, mask_target="uniform"), made.backbone, 64)
    data = Batch(torch.rand(2, 3, 64, 64), torch.tensor([0, 1]), torch.zeros(2, dtype=torch.int64))
    with made.pixel.watching(made.backbone, lambda _images: True) as seen:
        made.backbone(data.images)
    assert made.pixel(seen[0])["mask"].shape == (2, side, side)
    made(data)["loss"].backward()
    assert bool(made.pixel.outputs.weight.grad.any())


def test_adda_and_mcd_learn_pixels_where_they_learn_labels():
    target = torch.rand(6, 3, 4, 4, generator=torch.Generator().manual_seed(8), dtype=torch.float64)
    data = dataclasses.replace(with_maps(), target=target)
    adda = model(BOTH, ADDA)
    assert "pixel_mask" in adda(data)
    adda.begin_adapting()
    losses = adda(data)
    losses["loss"].backward()
    assert "pixel_mask" not in losses
    assert not adda.pixel.outputs.weight.grad.any()
    mcd = model(BOTH, MCD)
    losses, plain = mcd(data), mcd.update(data)
    pixels = 0.5 * losses["pixel_mask"] + 2 * losses["pixel_depth"]
    torch.testing.assert_close(losses["class"], plain["class"] + pixels)
    torch.testing.assert_close(losses["loss"], plain["loss"])
    torch.testing.assert_close(losses["discrepancy"], plain["discrepancy"])


def half_covered(count: int, root: int) -> ImageSet:
    """Attacks are bona fide pictures one half of which, left or right, has stripes; their maps say which."""
    gen = torch.Generator().manual_seed(root)
    labels = torch.arange(count) % 2
    images = 60 + 80 * torch.rand(count, 3, 32, 32, generator=gen)
    maps = torch.zeros(count, 5, 32, 32, dtype=torch.float16)
    maps[:, 1] = 1
    for i in torch.nonzero(labels == 0)[:, 0].tolist():
        half = slice(0, 16) if i % 4 else slice(16, 32)
        images[i, :, ::4, half] += 80
        maps[i, 0, :, half] = 1
    keys = [f"{root}-{i}" for i in range(count)]
    return ImageSet(images.to(torch.uint8), labels, labels * 0, keys, ["x"] * count, maps)


@pytest.mark.slow
def test_training_learns_where_the_attack_is_and_resumes_to_the_same_bytes(tmp_path: Path):
    config = TrainConfig.model_validate({
        "backbone": {"options": {"embedding_size": 8, "hidden_sizes": [8, 12, 12, 16]}},
        "device": "cpu", "size": 32, "steps": 60, "batch_size": 16, "eval_every": 30, "lr": 1e-2,
        "checkpoint_every": 25, "log_every": 1, "augment": {"shift": 0.1},
        "pixel": {"mask_weight": 2.0, "depth_weight": 0.1, "stage": 1, "score": "mean"},
    })  # fmt: skip
    sets = {"train": half_covered(64, 1), "dev": half_covered(24, 2)}
    result = fit(config, **sets, seed=0, out=tmp_path / "whole")
    with pytest.raises(StopIteration):
        fit(config, **sets, seed=0, out=tmp_path / "cut", progress=stop_at(40))
    fit(config, **sets, seed=0, out=tmp_path / "cut")
    assert len({(tmp_path / name / "model.safetensors").read_bytes() for name in ("whole", "cut")}) == 1
    fresh = half_covered(24, 3)
    again = load_model(tmp_path / "whole")
    np.testing.assert_array_equal(predict_scores(again, fresh), predict_scores(result.model, fresh))
    assert (predict_log_odds(again, fresh)[fresh.labels == 1] > 0).mean() > 0.8
    attacks = fresh.subset(torch.nonzero(fresh.labels == 0)[:, 0])
    with torch.inference_mode(), again.pixel.watching(again.backbone, lambda _images: True) as seen:
        again.backbone(attacks.images / 255)
        places = again.pixel(seen[0])["mask"]
    halves = torch.stack([places[..., :2].mean((1, 2)), places[..., 2:].mean((1, 2))], 1)
    left = attacks.maps[:, 0, 0, 0] == 1
    assert (halves.argmin(1) == torch.where(left, 0, 1)).double().mean() > 0.8
    with pytest.raises(DataError, match="train images without maps"):
        fit(config, train=dataclasses.replace(sets["train"], maps=None), dev=sets["dev"], seed=0, out=tmp_path / "no")


def stop_at(step: int) -> Callable[[int, int, dict[str, float]], None]:
    def tell(done: int, _total: int, _figures: dict[str, float]) -> None:
        if done >= step:
            raise StopIteration

    return tell
