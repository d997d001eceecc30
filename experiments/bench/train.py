"""Training images per second through the trainer, against a bare PyTorch loop over the same network and images."""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from spooflab.adapters import ALGORITHMS, AugmentConfig, ImageSet, TrainConfig, fit
from spooflab.adapters.model_files import build_algorithm
from spooflab.experiments.bench.timing import paired

STEPS = 20
BATCH = 32
SIDE = 112
ROUNDS = 3


def train_cases(threads: int) -> list[dict[str, Any]]:
    """Time whole trainings of 20 steps; ERM has a peer, with and without our train-time augmentation.

    Ours includes set-up, balanced sampling, the finite-number guard, the log, one dev evaluation of 16 images and the
    saved model, but no checkpoints. The peer makes the same network, draws random batches, clips, steps
    `torch.optim.AdamW` and evaluates the same images; it never augments.
    """
    torch.set_num_threads(threads)
    train, dev = _images(256), _images(16)
    plain = TrainConfig(
        size=SIDE,
        steps=STEPS,
        batch_size=BATCH,
        eval_every=STEPS,
        checkpoint_every=None,
        augment=AugmentConfig(flip=0, shift=0, gain=0),
    )
    peer: dict[str, Any] = {"peer_name": "bare PyTorch loop", "peer": _bare_loop(plain, train, dev)}
    cases = {"erm, no augmentation": plain, **{name: _augmented(plain, name) for name in ALGORITHMS}}
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for name, config in cases.items():
            ours = _training(config, train, dev, Path(folder))
            against = peer if config.algorithm == "erm" else {}
            rows.append(paired(name, ours, items=STEPS * BATCH, rounds=ROUNDS, **against))
    return rows


def _augmented(config: TrainConfig, algorithm: str) -> TrainConfig:
    return config.model_copy(update={"algorithm": algorithm, "augment": AugmentConfig()})


def _training(config: TrainConfig, train: ImageSet, dev: ImageSet, folder: Path) -> Callable[[], None]:
    def run() -> None:
        fit(config, train=train, dev=dev, seed=0, out=folder / config.algorithm)

    return run


def _bare_loop(config: TrainConfig, train: ImageSet, dev: ImageSet) -> Callable[[], None]:
    def as_input(images: Tensor) -> Tensor:
        return (images.float() / 255).contiguous(memory_format=torch.channels_last)

    def run() -> None:
        torch.manual_seed(0)
        model = build_algorithm(config, num_domains=1).to(memory_format=torch.channels_last).train()
        optimizer = torch.optim.AdamW(model.parameters(), lr=config.lr, fused=True)
        for _ in range(config.steps):
            index = torch.randint(0, len(train), (config.batch_size,))
            optimizer.zero_grad()
            F.cross_entropy(model.logits(as_input(train.images[index])), train.labels[index]).backward()  # type: ignore[no-untyped-call]  # torch's own
            torch.nn.utils.clip_grad_norm_(model.parameters(), config.clip_norm)
            optimizer.step()
        model.eval()
        with torch.inference_mode():
            model.predict(as_input(dev.images))

    return run


def _images(count: int) -> ImageSet:
    gen = torch.Generator().manual_seed(count)
    images = torch.randint(0, 256, (count, 3, SIDE, SIDE), dtype=torch.uint8, generator=gen)
    labels = torch.arange(count) % 2
    return ImageSet(images, labels, (torch.arange(count) // 2) % 3, [f"s{i}" for i in range(count)], ["x"] * count)
