"""A frozen part is run once for each image, and nobody can tell from the results."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from spooflab.adapters import ALGORITHMS, FeatureCache, ImageSet, TrainConfig, fit, load_model, predict_scores
from spooflab.adapters.augmentation import sample_augment
from spooflab.adapters.backbones import Backbone, build_backbone
from spooflab.adapters.frozen_part import fed_with_maps, lower, upper
from spooflab.adapters.train_config import AugmentConfig, BackboneConfig
from spooflab.adapters.tuning import tune
from spooflab.errors import ConfigError

SMALL: dict[str, dict[str, Any]] = {
    "resnet-tiny": {"embedding_size": 8, "hidden_sizes": [8, 12, 16, 24]},
    "convnext-tiny": {"hidden_sizes": [8, 12, 16, 24], "depths": [1, 1, 1, 1]},
    "vit-tiny": {"hidden_size": 32, "num_hidden_layers": 4, "num_attention_heads": 2, "intermediate_size": 48},
}
Toy = Callable[..., ImageSet]


@pytest.fixture(autouse=True)
def _own_rng():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


def frozen(name: str = "resnet-tiny", stages: int = 2) -> Backbone:
    config = BackboneConfig(name=name, options=SMALL[name], frozen_stages=stages)
    return tune(build_backbone(config, 32), config)


def config(algorithm: str = "erm", **changes: Any) -> TrainConfig:
    settings: dict[str, Any] = {
        "algorithm": algorithm,
        "backbone": {"options": SMALL["resnet-tiny"], "frozen_stages": 2},
        "augment": {"views": 2},
        "size": 32,
        "steps": 6,
        "batch_size": 12,
        "eval_every": 3,
        "warmup_steps": 0,
        "lr": 3e-3,
        "checkpoint_every": None,
        "device": "cpu",
    }
    return TrainConfig.model_validate(settings | changes)


def both_ways(toy: Toy, settings: TrainConfig, root: Path) -> list[np.ndarray]:
    adapts = ALGORITHMS[settings.algorithm].setting == "adaptation"
    target = toy(24, root=2) if adapts else None
    scores = []
    for cache in (None, root / "features"):
        out = root / ("plain" if cache is None else "cached")
        fit(settings, train=toy(48), dev=toy(24, root=1), seed=3, out=out, cache=cache, target=target)
        scores.append(predict_scores(load_model(out), toy(24, root=4)))
    return scores


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many images each call puts through the frozen part to fill a cache."""
    counts: list[int] = []
    run = FeatureCache._run

    def counted(self: FeatureCache, images: ImageSet, rows: list[int], *rest: Any) -> Tensor:
        counts.append(len(rows))
        return run(self, images, rows, *rest)

    monkeypatch.setattr(FeatureCache, "_run", counted)
    return counts


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("stages", [1, 3])
def test_a_network_started_at_the_cut_gives_the_same_features(name: str, stages: int):
    backbone = frozen(name, stages).eval()
    images = torch.rand(3, 3, 32, 32)
    maps = lower(backbone, images)
    assert torch.equal(upper(backbone, maps), backbone(images))
    # The cut is where it says: the map is the output of stage `stages`, and hooks there see it.
    with backbone.after_stages({stages - 1: torch.zeros_like}):
        changed = backbone(images)
        with fed_with_maps(backbone):
            assert torch.equal(backbone(maps), changed)
    assert not torch.equal(changed, backbone(images))


def test_what_lies_before_the_cut_rests_and_the_rest_learns(toy: Toy, tmp_path: Path):
    start = frozen()
    fit(config(), train=toy(48), dev=toy(24, root=1), seed=0, out=tmp_path / "a")
    fit(config(steps=1), train=toy(48), dev=toy(24, root=1), seed=0, out=tmp_path / "b")
    late, early = (load_model(tmp_path / name).backbone.state_dict() for name in "ab")
    for name, value in late.items():
        if name.endswith("num_batches_tracked"):
            continue
        before_cut = "embedder" in name or "stages.0." in name or "stages.1." in name
        assert torch.equal(value, early[name]) is before_cut, name  # batch norm's statistics as well
    learning = {n for n, p in start.named_parameters() if p.requires_grad}
    assert learning == {n for n, _ in start.named_parameters() if "stages.2." in n or "stages.3." in n}


@pytest.mark.parametrize(
    "changes",
    [
        {"algorithm": "erm"},
        {"algorithm": "mixstyle", "hparams": {"layers": (1, 2)}},
        *(
            pytest.param(changes, marks=pytest.mark.slow)
            for changes in (
                {"algorithm": "adda"},
                {"algorithm": "mixup"},
                {"algorithm": "mixstyle"},
                {"algorithm": "erm", "averaging": "ema"},
                {"algorithm": "erm", "backbone": {"options": SMALL["resnet-tiny"], "tuning": "frozen"}},
                {
                    "algorithm": "erm",
                    "backbone": {"name": "vit-tiny", "options": SMALL["vit-tiny"], "frozen_stages": 2},
                },
                {"algorithm": "erm", "augment": {"flip": 0, "shift": 0, "gain": 0}},
            )
        ),
    ],
    ids=lambda changes: "-".join([changes["algorithm"], *(k for k in changes if k != "algorithm")]),
)
def test_a_cached_training_is_the_uncached_one(changes: dict[str, Any], toy: Toy, tmp_path: Path):
    plain, cached = both_ways(toy, config(**changes), tmp_path)
    assert np.ptp(plain) > 1e-3
    np.testing.assert_allclose(cached, plain, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_every_algorithm_trains_from_the_cache(algorithm: str, toy: Toy, tmp_path: Path):
    plain, cached = both_ways(toy, config(algorithm), tmp_path)
    np.testing.assert_allclose(cached, plain, atol=1e-4)


def test_each_image_is_run_once_whatever_the_fold_and_the_seed(toy: Toy, tmp_path: Path, shown: list[int]):
    settings = config(backbone={"options": SMALL["resnet-tiny"], "tuning": "frozen"}, steps=20)
    start = tmp_path / "start"
    fit(config(backbone={"options": SMALL["resnet-tiny"]}), train=toy(48), dev=toy(24, root=1), seed=0, out=start)
    whole, dev = toy(48), toy(24, root=1)
    for fold, seed in enumerate((0, 0, 1)):
        rows = [row for row in range(48) if row % 3 != fold]
        out = tmp_path / str(fold)
        fit(settings, train=whole.subset(rows), dev=dev, seed=seed, out=out, cache=tmp_path / "features", start=start)
    assert sum(shown) == 2 * 48 + 24  # two views of what some fold trains on, dev as it is


def test_a_map_does_not_depend_on_what_was_missing_with_it(toy: Toy, tmp_path: Path):
    # With the real network: the smaller ones happen to add up alike in every batch.
    backbone = tune(build_backbone(BackboneConfig(frozen_stages=2), 96), BackboneConfig(frozen_stages=2))
    backbone.to(memory_format=torch.channels_last)
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (67, 3, 96, 96), generator=generator, dtype=torch.uint8)
    images = ImageSet(pixels, torch.arange(67) % 2, torch.zeros(67).long(), [str(i) for i in range(67)], ["x"] * 67)
    device = torch.device("cpu")
    together = FeatureCache(tmp_path / "together", backbone).plain(images).rows(range(67), device)
    for rows in ([5], [66], [1, 2]):
        alone = FeatureCache(tmp_path / str(rows), backbone).plain(images.subset(rows))
        assert torch.equal(alone.rows(range(len(rows)), device), together[rows])


def test_a_damaged_file_is_made_anew(toy: Toy, tmp_path: Path, shown: list[int]):
    images, backbone = toy(8), frozen()
    device = torch.device("cpu")
    first = FeatureCache(tmp_path, backbone).plain(images).rows(range(8), device)
    (file,) = tmp_path.rglob("*.safetensors")
    data = bytearray(file.read_bytes())
    data[-5] ^= 1
    file.unlink()
    for content in (bytes(data), bytes(data[:100])):
        file.write_bytes(content)
        assert torch.equal(FeatureCache(tmp_path, backbone).plain(images).rows(range(8), device), first)
    assert shown == [8, 8, 8]
    assert torch.equal(FeatureCache(tmp_path, backbone).plain(images.subset([5, 2])).rows([1], device), first[2:3])
    assert len(shown) == 3


def test_whoever_comes_second_waits_and_reads(toy: Toy, tmp_path: Path, shown: list[int]):
    images = toy(32)
    caches = [FeatureCache(tmp_path, frozen()) for _ in range(2)]
    caches[1].backbone.load_state_dict(caches[0].backbone.state_dict())
    caches[1] = FeatureCache(tmp_path, caches[1].backbone)
    assert caches[0].folder == caches[1].folder
    threads = [threading.Thread(target=cache.plain, args=(images,)) for cache in caches]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert shown == [32]


def test_other_weights_another_cut_or_another_augmentation_are_another_entry(toy: Toy, tmp_path: Path):
    backbone = frozen()
    folder = FeatureCache(tmp_path, backbone).folder
    with torch.no_grad():
        next(p for p in backbone.parameters() if p.requires_grad).add_(1)
    assert FeatureCache(tmp_path, backbone).folder == folder  # a learning weight is none of the frozen part's
    with torch.no_grad():
        next(p for p in backbone.parameters() if not p.requires_grad).mul_(1.01)
    assert FeatureCache(tmp_path, backbone).folder != folder
    cache, images = FeatureCache(tmp_path, backbone), toy(4)
    cpu = torch.device("cpu")
    seen = [cache.view(images, AugmentConfig(gain=g), v).rows(range(4), cpu) for g in (0.1, 0.2) for v in (0, 1)]
    assert len({float(maps.sum()) for maps in seen}) == 4


def test_views_take_turns_and_know_no_seed():
    drawn = [
        sample_augment(AugmentConfig(views=3), ["a", "b"], [e, e], size=64, seed=s).gain for e, s in ((1, 0), (4, 9))
    ]
    assert torch.equal(*drawn)
    other = sample_augment(AugmentConfig(views=3), ["a", "b"], [2, 2], size=64, seed=0).gain
    assert not torch.equal(drawn[0], other)


def test_settings_that_cannot_be_are_told(toy: Toy, tmp_path: Path):
    sets = {"train": toy(24), "dev": toy(24, root=1), "seed": 0, "out": tmp_path / "out", "cache": tmp_path}
    with pytest.raises(ConfigError, match="learns in all its parts"):
        fit(config(backbone={"options": SMALL["resnet-tiny"]}), **sets)
    with pytest.raises(ConfigError, match="augmented anew each time"):
        fit(config(augment={}), **sets)
    with pytest.raises(ConfigError, match="frozen_stages 9"):
        frozen(stages=9)
    with pytest.raises(ValueError, match="choose one"):
        BackboneConfig(frozen_stages=1, tuning="lora")
    backbone = frozen()
    with pytest.raises(ConfigError, match="first that runs"), fed_with_maps(backbone), backbone.after_stages({0: abs}):
        pass


def test_an_architecture_that_cannot_be_cut_is_told():
    from transformers import SwinConfig, SwinModel

    from spooflab.adapters.frozen_part import freeze_stages

    swin = SwinModel(SwinConfig(image_size=32, embed_dim=8, depths=[1, 1], num_heads=[1, 1], window_size=4))
    with pytest.raises(ConfigError, match="does not start in the middle"):
        freeze_stages(Backbone(swin, size=32, mean=[0.5] * 3, deviation=[0.5] * 3), 1)
