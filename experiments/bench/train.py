"""Training images per second: the trainer against a bare PyTorch loop, every algorithm against ERM."""

import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from spooflab.adapters import ALGORITHMS, ImageSet, TrainConfig, fit
from spooflab.adapters.model_files import build_algorithm
from spooflab.adapters.trainer import open_run
from spooflab.experiments.bench.timing import paired

STEPS, BATCH, SIDE, ROUNDS = 20, 32, 112, 3
"""Of whole trainings, and of the steps of ERM."""
SMALL_BATCH, SMALL_SIDE, SMALL_STEPS, SMALL_ROUNDS = 24, 64, 3, 5
"""Of the steps of every algorithm."""
AVERAGED = {f"erm with {kind}": {"averaging": kind} for kind in ("ema", "swad")}


def train_cases(threads: int) -> list[dict[str, Any]]:
    """Time whole trainings of ERM and its bare steps against PyTorch, and every algorithm's steps against ERM's.

    A whole training includes set-up, balanced sampling, the finite-number guard, the log, one dev evaluation of 16
    images and the saved model, but no checkpoints. Its peer makes the same network, draws random batches, clips, steps
    `torch.optim.AdamW` and evaluates the same images; it never augments. The peer of ERM's steps is handed the rows of
    the very batches. Against ERM both have our augmentation; a ratio of 0.5 is an algorithm at twice ERM's time, late
    in its training, when what is annealed is at work. ERM's own ratio there says how much is noise.
    """
    torch.set_num_threads(threads)
    return [*_trainings(threads), _erm_steps(threads), *_algorithm_steps(threads)]


def _trainings(threads: int) -> list[dict[str, Any]]:
    train, dev = _images(256, SIDE), _images(16, SIDE)
    plain = _config(steps=STEPS, eval_every=STEPS)
    how: dict[str, Any] = {"items": STEPS * BATCH, "rounds": ROUNDS, "clock": _clock(threads)}
    peer = _bare_loop(plain, train, dev)
    cases = {"erm training, no augmentation": plain, "erm training": _config(True, steps=STEPS, eval_every=STEPS)}
    with tempfile.TemporaryDirectory() as folder:
        return [
            paired(name, _training(config, train, dev, Path(folder)), peer_name="bare PyTorch loop", peer=peer, **how)
            for name, config in cases.items()
        ]


def _erm_steps(threads: int) -> dict[str, Any]:
    """Pair steps of the trainer, without augmentation, with bare ones on the same rows."""
    train, config, count = _images(256, SIDE), _config(), STEPS // 2
    with (
        tempfile.TemporaryDirectory() as out,
        open_run(config, train=train, dev=_images(16, SIDE), seed=0, out=Path(out)) as run,
    ):
        bare = _BareSteps(config, train, [run.sampler.batch(step)[0] for step in range(8 * count)])
        ours, peer = _steps(run, count), partial(bare.run, count)
        clock, items = _clock(threads), count * BATCH
        name = "erm step, no augmentation"
        return paired(name, ours, items=items, peer_name="bare step", peer=peer, rounds=7, clock=clock)


def _algorithm_steps(threads: int) -> list[dict[str, Any]]:
    """Pair steps of each algorithm with steps of ERM: a small network, three domains, our augmentation."""
    train, dev, target = (_images(count, SMALL_SIDE) for count in (255, 16, 129))
    rows = []
    for name, changes in {**{name: {"algorithm": name} for name in ALGORITHMS}, **AVERAGED}.items():
        config = _config(True, size=SMALL_SIDE, batch_size=SMALL_BATCH, **changes)
        adapts = target if ALGORITHMS[config.algorithm].setting == "adaptation" else None
        sets = {"train": train, "dev": dev, "seed": 0}
        with tempfile.TemporaryDirectory() as out, ExitStack() as runs:
            erm = runs.enter_context(
                open_run(_config(True, size=SMALL_SIDE, batch_size=SMALL_BATCH), **sets, out=Path(out))  # type: ignore[arg-type]  # the three differ
            )
            run = runs.enter_context(open_run(config, **sets, out=Path(out), target=adapts))  # type: ignore[arg-type]
            erm.done = run.done = 9 * config.steps // 10
            rows.append(
                paired(
                    f"{name} step",
                    _steps(run, SMALL_STEPS),
                    items=SMALL_STEPS * SMALL_BATCH,
                    peer_name="erm step",
                    peer=_steps(erm, SMALL_STEPS),
                    rounds=SMALL_ROUNDS,
                    clock=_clock(threads),
                )
            )
    return rows


def _clock(threads: int) -> Callable[[], float]:
    # What other processes take is left out, where one thread is all there is.
    return time.process_time if threads == 1 else time.perf_counter


def _config(augmented: bool = False, **changes: object) -> TrainConfig:
    augment = {} if augmented else {"flip": 0, "shift": 0, "gain": 0}
    fields = {"size": SIDE, "steps": 1000, "batch_size": BATCH, "checkpoint_every": None, "augment": augment}
    return TrainConfig.model_validate({**fields, **changes})


def _steps(run: Any, count: int) -> Callable[[], None]:
    def make() -> None:
        for _ in range(count):
            run.advance()

    return make


class _BareSteps:
    """What one would write by hand, from set to updated weights, on given rows."""

    def __init__(self, config: TrainConfig, train: ImageSet, rows: list[list[int]]) -> None:
        self.config, self.train, self.rows = config, train, iter(rows)
        torch.manual_seed(0)
        self.model = build_algorithm(config, num_domains=1).to(memory_format=torch.channels_last).train()
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=config.lr, fused=True)

    def run(self, count: int) -> None:
        """Make `count` steps."""
        for _ in range(count):
            index = torch.tensor(next(self.rows))
            self.optimizer.zero_grad()
            logits = self.model.logits(_as_input(self.train.images[index]))
            F.cross_entropy(logits, self.train.labels[index]).backward()  # type: ignore[no-untyped-call]  # torch's own
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.config.clip_norm)
            self.optimizer.step()


def _training(config: TrainConfig, train: ImageSet, dev: ImageSet, folder: Path) -> Callable[[], None]:
    def run() -> None:
        fit(config, train=train, dev=dev, seed=0, out=folder)

    return run


def _bare_loop(config: TrainConfig, train: ImageSet, dev: ImageSet) -> Callable[[], None]:
    def run() -> None:
        rows = [torch.randint(0, len(train), (config.batch_size,)).tolist() for _ in range(config.steps)]
        bare = _BareSteps(config, train, rows)
        bare.run(config.steps)
        bare.model.eval()
        with torch.inference_mode():
            bare.model.predict(_as_input(dev.images))

    return run


def _as_input(images: Tensor) -> Tensor:
    return (images.float() / 255).contiguous(memory_format=torch.channels_last)


def _images(count: int, side: int) -> ImageSet:
    gen = torch.Generator().manual_seed(count)
    images = torch.randint(0, 256, (count, 3, side, side), dtype=torch.uint8, generator=gen)
    labels = torch.arange(count) % 2
    return ImageSet(
        images, labels, (torch.arange(count) // 2) % 3, [f"{count}-{i}" for i in range(count)], ["x"] * count
    )
