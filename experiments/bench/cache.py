"""Cells of a study over a frozen backbone per second: with a feature cache, and running the backbone each time."""

import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from spooflab.adapters import AugmentConfig, BackboneConfig, ImageSet, TrainConfig, fit, predict_scores
from spooflab.adapters.feature_cache import FeatureCache
from spooflab.experiments.bench.timing import paired

BACKBONE = BackboneConfig(name="vit-tiny", tuning="frozen")
CELLS = ("erm", "dann", "ohem", "irm", "vrex", "coral", "sd", "rsc")
"""One seed each."""
STEPS = 100
BATCH = 32
SIDE = 96
TRAIN, DEV, TEST = 256, 64, 64
ROUNDS = 2


def cache_cases(threads: int) -> list[dict[str, Any]]:
    """Time a study of eight cells over a frozen network, its cache empty at first, against the same without a cache."""
    torch.set_num_threads(threads)
    sets = [_images(count, root) for root, count in enumerate((TRAIN, DEV, TEST))]
    return [
        paired(
            f"{len(CELLS)} cells, {BACKBONE.name} frozen",
            lambda: _study(sets, cached=True),
            items=len(CELLS),
            rounds=ROUNDS,
            peer_name="the same without a cache",
            peer=lambda: _study(sets, cached=False),
            clock=time.process_time if threads == 1 else time.perf_counter,
        )
    ]


def _study(sets: list[ImageSet], *, cached: bool) -> None:
    train, dev, test = sets
    with tempfile.TemporaryDirectory() as folder:
        cache = Path(folder) / "features" if cached else None
        for algorithm in CELLS:
            config = TrainConfig(
                algorithm=algorithm,
                backbone=BACKBONE,
                augment=AugmentConfig(views=2),
                size=SIDE,
                steps=STEPS,
                batch_size=BATCH,
                eval_every=STEPS // 2,
                checkpoint_every=None,
                device="cpu",
            )
            model = fit(config, train=train, dev=dev, seed=0, out=Path(folder) / algorithm, cache=cache).model
            maps = None if cache is None else FeatureCache(cache, model.backbone).plain(test)
            predict_scores(model, test, config.eval_batch_size, maps=maps)


def _images(count: int, root: int) -> ImageSet:
    gen = torch.Generator().manual_seed(root)
    pixels = torch.randint(0, 256, (count, 3, SIDE, SIDE), generator=gen, dtype=torch.uint8)
    labels, domains = torch.arange(count) % 2, torch.arange(count) // 2 % 4
    return ImageSet(pixels, labels, domains, [f"{root}-{i}" for i in range(count)], ["x"] * count)
