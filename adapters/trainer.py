"""Train an algorithm on one set, pick weights on source-dev, and resume at any step to the same result."""

import json
import math
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from spooflab.adapters.algorithm import Algorithm
from spooflab.adapters.augmentation import apply_augment, sample_augment
from spooflab.adapters.balanced_sampler import BalancedSampler
from spooflab.adapters.batch import Batch
from spooflab.adapters.checkpoints import Checkpoint, load_checkpoint, save_checkpoint
from spooflab.adapters.dev_figures import dev_figures
from spooflab.adapters.image_set import ImageSet, Unlabelled
from spooflab.adapters.lent_accelerator import lent_accelerator, own_randomness
from spooflab.adapters.mining.resampling import ResampledSampler, renew
from spooflab.adapters.model_files import build_algorithm, save_model
from spooflab.adapters.run_identity import check_same_run, run_identity
from spooflab.adapters.scoring import predict_scores
from spooflab.adapters.set_checks import check_labelled, check_target
from spooflab.adapters.shuffled_walk import ShuffledWalk
from spooflab.adapters.train_config import TrainConfig
from spooflab.errors import ConfigError, DataError
from spooflab.seeds import seed as named_seed

if TYPE_CHECKING:
    from accelerate import Accelerator

Progress = Callable[[int, int, dict[str, float]], None]
"""Called with (steps done, steps planned, latest figures)."""


@dataclass(frozen=True)
class FitResult:
    """What a training gives back.

    Attributes:
        model: the algorithm with the weights of `best_step`, in eval mode.
        best_step: optimiser steps after which source-dev was best.
        dev_history: one row per evaluation: `step`, `eer`, `loss`.
        seconds: wall time of this call (a resumed run counts its last part).
        steps: optimiser steps made in all.
        stopped_early: whether patience ended it.
    """

    model: Algorithm
    best_step: int
    dev_history: list[dict[str, float]]
    seconds: float
    steps: int
    stopped_early: bool


def fit(
    config: TrainConfig,
    *,
    train: ImageSet,
    dev: ImageSet,
    seed: int,
    out: Path,
    target: ImageSet | None = None,
    progress: Progress | None = None,
) -> FitResult:
    """Train, or go on where `out` stopped. The process's random state is left as it was.

    Data order, augmentation and initial backbone depend on `seed` and the data, never on the algorithm, so that
    algorithms compared at one seed see the same batches.

    Args:
        config: what to train and how.
        train: training images, both classes.
        dev: source-dev images, both classes; never rows of the held-out target.
        seed: root of every draw.
        out: folder of this run: `model.safetensors`, `model.json`, `log.jsonl`, `checkpoints/`.
        target: images to adapt to, for algorithms of setting `adaptation` and for these alone. Their labels, domains
            and species are dropped here; batches of the source's size walk through them in a shuffled order.
        progress: told about each logged step.

    Raises:
        DataError: unusable sets, or a loss that is not finite.
        ConfigError: unusable settings, or `out` holds another run.
    """
    check_labelled("train", train, config.size)
    check_labelled("dev", dev, config.size)
    check_target(config, target, train, dev)
    unlabelled = None if target is None else target.unlabelled()
    started = time.perf_counter()
    with lent_accelerator(config, out) as accelerator, own_randomness(accelerator.device):
        run = _Run(config, accelerator, train, dev, seed, out, progress, unlabelled)
        run.resume()
        run.loop()
        return run.result(started)


def learning_rate(config: TrainConfig, step: int) -> float:
    """Return the rate of optimiser step `step` (from 0): linear warm-up, then a half cosine down to 0."""
    warmup = min(config.warmup_steps, config.steps - 1)
    if step < warmup:
        return config.lr * (step + 1) / (warmup + 1)
    done = (step - warmup) / (config.steps - warmup)
    return config.lr * 0.5 * (1 + math.cos(math.pi * done))


class _Run:
    """The state of one training, and the `Engine` that algorithms are lent."""

    def __init__(
        self,
        config: TrainConfig,
        accelerator: "Accelerator",
        train: ImageSet,
        dev: ImageSet,
        seed: int,
        out: Path,
        progress: Progress | None,
        target: Unlabelled | None = None,
    ) -> None:
        processes = accelerator.num_processes
        if config.batch_size % (processes * config.accumulate):
            raise ConfigError(
                f"batch_size {config.batch_size}",
                wanted=f"a multiple of {processes} processes × {config.accumulate} micro-batches",
            )
        self.config, self.train, self.dev, self.target = config, train, dev, target
        self.accelerator: Any = accelerator  # its annotations promise None and bool where it never gives them
        self.seed, self.out, self.progress = seed, out, progress
        domains, self.domain = torch.unique(train.domains, return_inverse=True)
        self.sampler = _sampler(config, train.labels, self.domain, seed)
        self.walk = ShuffledWalk(len(target), batch_size=config.batch_size, seed=seed) if target is not None else None
        torch.manual_seed(named_seed(seed, "init"))
        self.model = build_algorithm(config, num_domains=len(domains)).train()
        # Convolutions run a quarter faster with channels last, on CPU and GPU alike.
        self.model.to(memory_format=torch.channels_last)
        self.optimizer = _adamw(self.model, config)
        self.wrapped, self.stepper = accelerator.prepare(self.model, self.optimizer)
        self.done, self.stale, self.best_step = 0, 0, 0
        self.history: list[dict[str, float]] = []
        self.best: dict[str, Tensor] = {}
        self.micro: list[Batch] = []
        self.losses_seen: list[Tensor] = []
        self.identity = run_identity(config, train, dev, seed, target)

    # The Engine of `Algorithm.step`.

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        losses: dict[str, Tensor] = self.wrapped(batch)
        self.losses_seen.append(losses["loss"].detach())
        return losses

    def backward(self, loss: Tensor, *, last: bool = True) -> None:
        with nullcontext() if last else self.accelerator.no_sync(self.wrapped):
            self.accelerator.backward(loss)

    def optimise(self) -> None:
        norm = self.accelerator.clip_grad_norm_(self.wrapped.parameters(), self.config.clip_norm)
        witness = torch.stack(self.losses_seen).sum()
        # fp16 gradients overflow by design now and then: the scaler skips that step and lowers its scale.
        if not math.isfinite(float(witness if self.config.precision == "fp16" else witness + norm)):
            self._not_finite(float(norm))
        self.stepper.step()
        self.stepper.zero_grad()
        self.losses_seen.clear()

    # The loop.

    def resume(self) -> None:
        """Take up the newest verified checkpoint of `out`, if it is this run's."""
        self.out.mkdir(parents=True, exist_ok=True)
        found, torn = load_checkpoint(self.out / "checkpoints")
        if found is not None:
            check_same_run(found.state["identity"], self.identity, self.out)
            self._restore(found)
        self._trim_log()
        for name in torn:
            self._log({"event": "torn_checkpoint", "name": name, "resumed_at": self.done})
        if not self.done:
            for label, domain in self.sampler.empty_cells():
                self._log({"event": "empty_cell", "label": label, "domain": domain})

    def loop(self) -> None:
        """Step until the plan or the patience ends."""
        tic, tic_step = time.perf_counter(), self.done
        while not self._finished():
            parts = self.step()
            self.done += 1
            if self.done % self.config.log_every == 0 or self.done == self.config.steps:
                rate = (self.done - tic_step) * self.config.batch_size / (time.perf_counter() - tic)
                self._report(parts, rate)
                tic, tic_step = time.perf_counter(), self.done
            if self.done % self.config.eval_every == 0 or self.done == self.config.steps:
                self.evaluate()
                tic, tic_step = time.perf_counter(), self.done
            every = self.config.checkpoint_every
            if every and (self.done % every == 0 or self._finished()):
                self.checkpoint()

    def step(self) -> dict[str, Tensor]:
        """Make one optimiser step; everything it draws is named by (seed, step, process)."""
        torch.manual_seed(named_seed(self.seed, "step", self.done, self.accelerator.process_index))
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(self.config, self.done)
        if isinstance(self.sampler, ResampledSampler) and self.sampler.due(self.done):
            renew(self.sampler, self.model, self.train, self.config, self.done)
        self.micro = self._batches()
        return self.model.step(self.micro, self)

    def evaluate(self) -> None:
        """Score source-dev and keep the weights if they are the best so far."""
        if not self.model.selectable and self.done < self.config.steps:
            return
        scores = predict_scores(self.model, self.dev, self.config.eval_batch_size)
        figures = dev_figures(scores, self.dev.labels.numpy())
        if self.accelerator.num_processes > 1:
            figures = self._from_main(figures)
        self.history.append({"step": float(self.done), **figures})
        self._log({"event": "dev", "step": self.done, **figures})
        best = min(self.history, key=lambda row: _rank(row, self.config.monitor))
        self.stale = 0 if best is self.history[-1] else self.stale + 1
        if best is self.history[-1]:
            self.best_step = self.done
            self.best = {name: t.detach().cpu().clone() for name, t in self.model.state_dict().items()}

    def checkpoint(self) -> None:
        """Write all that `resume` needs."""
        if not self.accelerator.is_main_process:
            return
        tensors = {f"model/{name}": t for name, t in self.model.state_dict().items()}
        tensors |= {f"best/{name}": t for name, t in self.best.items()}
        for index, slots in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer/{index}/{name}": t for name, t in slots.items()}
        if isinstance(self.sampler, ResampledSampler):
            tensors["resample/probability"] = self.sampler.probability
        scaler = self.accelerator.scaler
        state = {
            "identity": self.identity,
            "history": self.history,
            "best_step": self.best_step,
            "stale": self.stale,
            "scaler": scaler.state_dict() if scaler is not None else None,
        }
        save_checkpoint(self.out / "checkpoints", self.done, tensors, state)

    def result(self, started: float) -> FitResult:
        """Load the best weights, save the model, and say how it went."""
        model = self.accelerator.unwrap_model(self.wrapped, keep_fp32_wrapper=False)
        vars(model).pop("forward", None)  # what mixed precision left on the instance
        model.load_state_dict(self.best)
        model.eval()
        if self.accelerator.is_main_process:
            dev = next(row for row in self.history if row["step"] == self.best_step)
            notes = {"setting": model.setting, "seed": self.seed, "best_step": self.best_step, "dev": dev}
            save_model(model, self.config, self.out, notes=notes)
        if self.config.tracker != "none":
            self.accelerator.end_training()
        return FitResult(
            model=model,
            best_step=self.best_step,
            dev_history=self.history,
            seconds=time.perf_counter() - started,
            steps=self.done,
            stopped_early=self.done < self.config.steps,
        )

    def _finished(self) -> bool:
        patience = self.config.patience
        return self.done >= self.config.steps or (patience is not None and self.stale >= patience)

    def _batches(self) -> list[Batch]:
        """Draw this process's micro-batches of the step: contiguous parts of the global batch."""
        config, device = self.config, self.accelerator.device
        rows, epochs = self.sampler.batch(self.done)
        share = config.batch_size // (self.accelerator.num_processes * config.accumulate)
        first = self.accelerator.process_index * config.accumulate
        batches = []
        for part in range(first, first + config.accumulate):
            chosen = slice(part * share, (part + 1) * share)
            index = torch.tensor(rows[chosen])
            target, target_rows = self._target(chosen)
            batches.append(
                Batch(
                    images=self._augmented(self.train, rows[chosen], epochs[chosen]),
                    label=self.train.labels[index].to(device),
                    domain=self.domain[index].to(device),
                    seed=named_seed(self.seed, "batch", self.done, part),
                    progress=self.done / config.steps,
                    keys=[self.train.keys[i] for i in rows[chosen]],
                    species=[self.train.species[i] for i in rows[chosen]],
                    target=target,
                    target_rows=target_rows,
                )
            )
        return batches

    def _target(self, chosen: slice) -> tuple[Tensor | None, Tensor | None]:
        """Return the part `chosen` of the step's target images, and their rows."""
        if self.target is None or self.walk is None:
            return None, None
        rows, epochs = self.walk.batch(self.done)
        images = self._augmented(self.target, rows[chosen], epochs[chosen])
        return images, torch.tensor(rows[chosen], device=images.device)

    def _augmented(self, images: ImageSet | Unlabelled, rows: list[int], epochs: list[int]) -> Tensor:
        keys = [images.keys[i] for i in rows]
        params = sample_augment(self.config.augment, keys, epochs, size=self.config.size, seed=self.seed)
        chosen = images.images.index_select(0, torch.tensor(rows))
        return apply_augment(chosen.to(self.accelerator.device), params)

    def _restore(self, found: Checkpoint) -> None:
        tensors, state = found
        model = {name.removeprefix("model/"): t for name, t in tensors.items() if name.startswith("model/")}
        self.model.load_state_dict(model)
        self.best = {name.removeprefix("best/"): t for name, t in tensors.items() if name.startswith("best/")}
        if isinstance(self.sampler, ResampledSampler):
            self.sampler.probability = tensors["resample/probability"]
        parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
        slots: dict[int, dict[str, Tensor]] = {}
        for name, tensor in tensors.items():
            if name.startswith("optimizer/"):
                _, index, slot = name.split("/")
                # The fused optimiser walks memory: moments must lie as their parameter does (channels last).
                like = parameters[int(index)]
                slots.setdefault(int(index), {})[slot] = (
                    torch.empty_like(like, device="cpu").copy_(tensor) if tensor.shape == like.shape else tensor
                )
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": slots, "param_groups": groups})
        if state["scaler"] is not None:
            self.accelerator.scaler.load_state_dict(state["scaler"])
        self.done, self.history = state["step"], state["history"]
        self.best_step, self.stale = state["best_step"], state["stale"]

    def _report(self, parts: dict[str, Tensor], images_per_s: float) -> None:
        row = {name: float(value) for name, value in parts.items()}
        row |= {"lr": self.optimizer.param_groups[0]["lr"], "images_per_s": round(images_per_s, 1)}
        self._log({"event": "train", "step": self.done, **row})
        if self.config.tracker != "none":
            self.accelerator.log(row, step=self.done)
        if self.progress is not None:
            latest = {f"dev_{k}": v for k, v in self.history[-1].items() if k != "step"} if self.history else {}
            self.progress(self.done, self.config.steps, row | latest)

    def _log(self, row: dict[str, Any]) -> None:
        if self.accelerator.is_main_process:
            with (self.out / "log.jsonl").open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")

    def _trim_log(self) -> None:
        """Drop the rows of steps that will be made again, and a half-written last line."""
        path = self.out / "log.jsonl"
        if path.exists() and self.accelerator.is_main_process:
            whole = [line for line in path.read_text(encoding="utf-8").splitlines() if line.endswith("}")]
            kept = [line for line in whole if json.loads(line).get("step", 0) <= self.done] if self.done else []
            path.write_text("".join(f"{line}\n" for line in kept), encoding="utf-8")

    def _from_main(self, figures: dict[str, float]) -> dict[str, float]:
        from accelerate.utils import broadcast

        values = torch.tensor(list(figures.values()), dtype=torch.float64, device=self.accelerator.device)
        shared: Any = broadcast(values)
        return dict(zip(figures, shared.tolist(), strict=True))

    def _not_finite(self, norm: float) -> None:
        bad = [i for i, loss in enumerate(self.losses_seen) if not math.isfinite(float(loss))]
        what = f"loss is {float(self.losses_seen[bad[0]])}" if bad else f"gradient norm is {norm}"
        micro = self.micro[bad[0] : bad[0] + 1] if bad and bad[0] < len(self.micro) else self.micro
        keys = [key for batch in micro for key in batch.keys]
        seen = f"step {self.done}: {what}; batch keys: {', '.join(keys)}"
        if self.target is not None:
            rows = [row for batch in micro if batch.target_rows is not None for row in batch.target_rows.tolist()]
            seen += f"; target keys: {', '.join(self.target.keys[row] for row in rows)}"
        raise DataError(
            seen,
            wanted="finite numbers",
            next_step="look at these images; else lower lr, or set precision: 'no'",
        )


def _sampler(config: TrainConfig, labels: Tensor, domain: Tensor, seed: int) -> BalancedSampler:
    if config.resample is None:
        return BalancedSampler(labels, domain, batch_size=config.batch_size, seed=seed)
    every = config.resample.every or max(1, round(len(labels) / config.batch_size))
    return ResampledSampler(labels, domain, batch_size=config.batch_size, seed=seed, every=every)


def _adamw(model: Algorithm, config: TrainConfig) -> torch.optim.AdamW:
    """AdamW that decays matrices and kernels but not biases, norms or scales."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": config.weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=config.lr, fused=True)


def _rank(row: dict[str, float], monitor: str) -> tuple[float, float]:
    # A small dev set reaches EER 0 early and often; the loss decides among equals.
    return (row[monitor], row["loss"])
