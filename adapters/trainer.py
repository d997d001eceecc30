"""Train an algorithm on one set, pick weights on source-dev, and resume at any step to the same result."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from spooflab.adapters.algorithm import Algorithm
from spooflab.adapters.averaged_network import AveragedNetwork
from spooflab.adapters.averaging import Ema, Swad, Valley
from spooflab.adapters.batch import Batch
from spooflab.adapters.batch_order import batch_order, class_shares
from spooflab.adapters.checkpoints import Checkpoint, load_checkpoint, save_checkpoint
from spooflab.adapters.dev_figures import dev_figures
from spooflab.adapters.feed import CachedFeed, Feed
from spooflab.adapters.frozen_part import fed_with_maps
from spooflab.adapters.image_set import ImageSet, Unlabelled
from spooflab.adapters.lent_accelerator import Tracked, lent_accelerator, own_randomness, reseed
from spooflab.adapters.lent_engine import LentEngine
from spooflab.adapters.mining.resampling import ResampledSampler, renew
from spooflab.adapters.model_files import build_algorithm, read_model_files, save_model
from spooflab.adapters.optimiser import adamw, learning_rate, optimiser_tensors, restore_optimiser
from spooflab.adapters.run_identity import check_same_run, run_identity
from spooflab.adapters.run_log import RunLog
from spooflab.adapters.selection import Selection
from spooflab.adapters.set_checks import check_labelled, check_maps, check_step, check_target
from spooflab.adapters.shuffled_walk import ShuffledWalk
from spooflab.adapters.step_clock import StepClock
from spooflab.adapters.target_validators import TARGET_MONITORS, target_figure
from spooflab.adapters.temperature import calibrate
from spooflab.adapters.train_config import TrainConfig
from spooflab.errors import ConfigError
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
        best_step: optimiser steps after which source-dev was best; of a SWAD, the last step that it averages.
        dev: source-dev figures of these weights: `step`, `eer`, `loss`.
        dev_history: one such row per evaluation: of averaged weights for EMA, of the plain ones for SWAD.
        seconds: wall time of this call (a resumed run counts its last part).
        steps: optimiser steps made in all.
        stopped_early: whether patience, or the end of SWAD's valley, ended it.
    """

    model: Algorithm
    best_step: int
    dev: dict[str, float]
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
    cache: Path | None = None,
    start: Path | None = None,
    keep: int | None = None,
    oracle: ImageSet | None = None,
    tracked: Tracked | None = None,
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
        cache: folder of a `FeatureCache`: what is frozen of the backbone is run once for each image (and view), now or
            by whichever training came first. Results are the same, to rounding; the saved model works on images.
        start: folder of a model that an earlier call saved, whose backbone's weights are the start of this one.
        keep: step whose weights are kept, whatever the figures say; a step of an evaluation, chosen beforehand.
        oracle: labelled images of the target, of which `oracle_eer` and `oracle_loss` stand in the history. They
            choose nothing: they tell what choosing by them would have given.
        tracked: a tracker in place of the configuration's, with the name of this run.

    Raises:
        DataError: unusable sets, or a loss that is not finite.
        ConfigError: unusable settings, or `out` holds another run.
    """
    started = time.perf_counter()
    with open_run(
        config,
        train=train,
        dev=dev,
        seed=seed,
        out=out,
        target=target,
        progress=progress,
        cache=cache,
        start=start,
        keep=keep,
        oracle=oracle,
        tracked=tracked,
    ) as run:
        run.resume()
        run.loop()
        return run.result(started)


@contextmanager
def open_run(
    config: TrainConfig,
    *,
    train: ImageSet,
    dev: ImageSet,
    seed: int,
    out: Path,
    target: ImageSet | None = None,
    progress: Progress | None = None,
    cache: Path | None = None,
    start: Path | None = None,
    keep: int | None = None,
    oracle: ImageSet | None = None,
    tracked: Tracked | None = None,
) -> Iterator["_Run"]:
    """Lend a training that has not made a step and written nothing; arguments and errors are those of `fit`."""
    check_labelled("train", train, config.size)
    check_labelled("dev", dev, config.size)
    check_target(config, target, train, dev)
    check_maps(config, train)
    check_step(config, keep)
    if oracle is not None:
        check_labelled("oracle", oracle, config.size)
    unlabelled = None if target is None else target.unlabelled()
    with lent_accelerator(config, out, tracked) as accelerator, own_randomness(accelerator.device):
        yield _Run(config, accelerator, train, dev, seed, out, progress, unlabelled, cache, start, keep, oracle)


class _Run:
    """The state of one training."""

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
        cache: Path | None = None,
        start: Path | None = None,
        keep: int | None = None,
        oracle: ImageSet | None = None,
    ) -> None:
        processes = accelerator.num_processes
        if config.batch_size % (processes * config.accumulate):
            raise ConfigError(
                f"batch_size {config.batch_size}",
                wanted=f"a multiple of {processes} processes × {config.accumulate} micro-batches",
            )
        self.config, self.train, self.dev, self.target, self.oracle = config, train, dev, target, oracle
        self.accelerator: Any = accelerator  # its annotations promise None and bool where it never gives them
        self.seed, self.out, self.progress = seed, out, progress
        domains, self.domain = torch.unique(train.domains, return_inverse=True)
        self.sampler = batch_order(config, train.labels, self.domain, seed)
        self.walk = ShuffledWalk(len(target), batch_size=config.batch_size, seed=seed) if target is not None else None
        reseed(accelerator.device, named_seed(seed, "init"))
        shares = class_shares(config, train.labels)
        self.model = build_algorithm(config, num_domains=len(domains), shares=shares, start=start).train()
        # Convolutions run a quarter faster with channels last, on CPU and GPU alike.
        self.model.to(accelerator.device).to(memory_format=torch.channels_last)
        self.averaged = AveragedNetwork(config.averaging, self.model) if config.averaging.kind != "none" else None
        self.optimizer = adamw(self.model, config)
        names = None if target is None else target.keys
        self.engine = LentEngine(accelerator, self.model, self.optimizer, config, names)
        device = accelerator.device
        self.feed = Feed(config, seed, device) if cache is None else CachedFeed(config, seed, device, self.model, cache)
        self.done, self.clock = 0, StepClock()
        self.selection = Selection(config.monitor, keep)
        self.log = RunLog(out / "log.jsonl", accelerator, tracked=bool(self.accelerator.trackers))
        self.identity = run_identity(config, train, dev, seed, target)
        if start is not None:
            self.identity["start"] = read_model_files(start)[0]["sha256"]
        if keep is not None:
            self.identity["keep"] = keep
        if oracle is not None:
            self.identity["oracle"] = run_identity(config, oracle, dev, seed)["train"]

    def resume(self) -> None:
        """Take up the newest verified checkpoint of `out`, if it is this run's."""
        self.out.mkdir(parents=True, exist_ok=True)
        found, torn = load_checkpoint(self.out / "checkpoints")
        if found is not None:
            check_same_run(found.state["identity"], self.identity, self.out)
            self._restore(found)
        self.log.trim(self.done)
        for name in torn:
            self.log.write({"event": "torn_checkpoint", "name": name, "resumed_at": self.done})
        if not self.done:
            for label, domain in self.sampler.empty_cells():
                self.log.write({"event": "empty_cell", "label": label, "domain": domain})

    def loop(self) -> None:
        """Step until the plan, the patience or SWAD's valley ends."""
        while not self._finished():
            with self.clock.step():
                parts = self.advance()
            if self.done % self.config.log_every == 0 or self.done == self.config.steps:
                self._report(parts)
            if self.done % self.config.eval_every == 0 or self.done == self.config.steps:
                self.evaluate()
            every = self.config.checkpoint_every
            if every and (self.done % every == 0 or self._finished()):
                self.checkpoint()

    def advance(self) -> dict[str, Tensor]:
        """Make one optimiser step, count it, and let an average see the weights."""
        parts = self.step()
        self.done += 1
        if self.averaged is not None and self._counts():
            self.averaged.average.add(self.model.state_dict())
        return parts

    def step(self, rate: float | None = None) -> dict[str, Tensor]:
        """Make one optimiser step, at the schedule's rate; everything it draws is named by (seed, step, process)."""
        self._reseed("step")
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(self.config, self.done) if rate is None else rate
        with self.clock.data():
            if isinstance(self.sampler, ResampledSampler) and self.sampler.due(self.done):
                renew(self.sampler, self.model, self.train, self.config, self.done)
            batches = self._batches()
        self.engine.begin(self.done, batches)
        with fed_with_maps(self.model) if self.feed.cached else nullcontext():
            return self.model.step(batches, self.engine)

    def evaluate(self) -> None:
        """Score source-dev and keep the weights if they are the best so far; EMA's in place of the plain ones.

        SWAD watches the plain weights' loss, and takes the mean over its valley once the training is over.
        """
        if not self._counts():
            return
        average = None if self.averaged is None else self.averaged.average
        scored = self._averaged() if isinstance(average, Ema) else self.model
        figures = self._figures(scored)
        self._log_dev("dev", figures)
        self.selection.consider(self.done, figures, scored.state_dict())
        if isinstance(average, Swad):
            average.evaluated(figures["loss"])
            if self._finished():
                self._take_valley(average.valley)

    def checkpoint(self) -> None:
        """Write all that `resume` needs."""
        if not self.accelerator.is_main_process:
            return
        tensors = {f"model/{name}": t for name, t in self.model.state_dict().items()}
        tensors |= {f"best/{name}": t for name, t in self.selection.weights.items()}
        tensors |= {f"optimizer/{name}": t for name, t in optimiser_tensors(self.optimizer).items()}
        if self.averaged is not None:
            tensors |= {f"average/{name}": t for name, t in self.averaged.tensors().items()}
        if isinstance(self.sampler, ResampledSampler):
            tensors["resample/probability"] = self.sampler.probability
        scaler = self.accelerator.scaler
        state = {
            "identity": self.identity,
            **self.selection.state(),
            "averaging": None if self.averaged is None else self.averaged.state(),
            "scaler": scaler.state_dict() if scaler is not None else None,
        }
        save_checkpoint(self.out / "checkpoints", self.done, tensors, state)

    def result(self, started: float) -> FitResult:
        """Load the best weights, save the model, and say how it went."""
        model = self.accelerator.unwrap_model(self.engine.wrapped, keep_fp32_wrapper=False)
        vars(model).pop("forward", None)  # what mixed precision left on the instance
        model.load_state_dict(self.selection.weights)
        model.eval()
        if self.config.calibrate:
            calibrate(model, self.dev, self.config.eval_batch_size)
        if self.accelerator.is_main_process:
            best_step, dev = self.selection.best_step, self.selection.dev
            notes = {"setting": model.setting, "seed": self.seed, "best_step": best_step, "dev": dev}
            save_model(model, self.config, self.out, notes=notes)
        if self.accelerator.trackers:
            self.accelerator.end_training()
        return FitResult(
            model=model,
            best_step=self.selection.best_step,
            dev=self.selection.dev,
            dev_history=self.selection.history,
            seconds=time.perf_counter() - started,
            steps=self.done,
            stopped_early=self.done < self.config.steps,
        )

    def _finished(self) -> bool:
        patience = self.config.patience
        ended = self.averaged is not None and self.averaged.finished
        return self.done >= self.config.steps or ended or (patience is not None and self.selection.stale >= patience)

    def _counts(self) -> bool:
        """Whether the weights after the step just made are averaged and scored: an algorithm may not be there yet."""
        return self.model.selectable or self.done == self.config.steps

    def _reseed(self, what: str) -> None:
        reseed(self.accelerator.device, named_seed(self.seed, what, self.done, self.accelerator.process_index))

    def _figures(self, model: Algorithm) -> dict[str, float]:
        figures = dev_figures(self.feed.scores(model, self.dev), self.dev.labels.numpy())
        if self.target is not None and self.config.monitor in TARGET_MONITORS:
            figures[self.config.monitor] = target_figure(self.config.monitor, self.feed.scores(model, self.target))
        if self.oracle is not None:
            told = dev_figures(self.feed.scores(model, self.oracle), self.oracle.labels.numpy())
            figures |= {f"oracle_{name}": value for name, value in told.items()}
        return self._from_main(figures) if self.accelerator.num_processes > 1 else figures

    def _averaged(self) -> Algorithm:
        """Return the averaged network; batch norm takes its statistics from the batches of the last steps."""
        assert self.averaged is not None
        self._reseed("statistics")
        first = max(0, self.done - self.config.averaging.statistics_steps)
        with self.accelerator.autocast():
            batches = (batch for step in range(first, self.done) for batch in self._batches(step))
            return self.averaged.network(batches, cached=self.feed.cached)

    def _take_valley(self, valley: Valley) -> None:
        """Let the mean over SWAD's valley be what the training gives back."""
        averaged, rows = self._averaged(), self.selection.history
        figures = self._figures(averaged)
        last = len(rows) - 1 if valley.end is None else valley.end
        begin = last if valley.start is None else valley.start
        after = rows[begin - 1]["step"] if begin else 0
        span = {"after_step": int(after), "to_step": int(rows[last]["step"])}
        self._log_dev("averaged", figures, **span)
        self.selection.take(span["to_step"], figures, averaged.state_dict())

    def _batches(self, step: int | None = None) -> list[Batch]:
        """Draw this process's micro-batches of a step (the next one): contiguous parts of the global batch."""
        config, device = self.config, self.accelerator.device
        step = self.done if step is None else step
        rows, epochs = self.sampler.batch(step)
        share = config.batch_size // (self.accelerator.num_processes * config.accumulate)
        first = self.accelerator.process_index * config.accumulate
        batches = []
        for part in range(first, first + config.accumulate):
            chosen = slice(part * share, (part + 1) * share)
            index = torch.tensor(rows[chosen])
            target, target_rows = self._target(chosen, step)
            batches.append(
                Batch(
                    images=self.feed.batch(self.train, rows[chosen], epochs[chosen]),
                    label=self.train.labels[index].to(device),
                    domain=self.domain[index].to(device),
                    seed=named_seed(self.seed, "batch", step, part),
                    progress=step / config.steps,
                    keys=[self.train.keys[i] for i in rows[chosen]],
                    species=[self.train.species[i] for i in rows[chosen]],
                    maps=self.feed.pixel_maps(self.train, rows[chosen], epochs[chosen]),
                    target=target,
                    target_rows=target_rows,
                    cached=self.feed.cached,
                )
            )
        return batches

    def _target(self, chosen: slice, step: int) -> tuple[Tensor | None, Tensor | None]:
        """Return the part `chosen` of a step's target images, and their rows."""
        if self.target is None or self.walk is None:
            return None, None
        rows, epochs = self.walk.batch(step)
        images = self.feed.batch(self.target, rows[chosen], epochs[chosen])
        return images, torch.tensor(rows[chosen], device=images.device)

    def _restore(self, found: Checkpoint) -> None:
        tensors, state = found
        self.model.load_state_dict(_under("model/", tensors))
        restore_optimiser(self.optimizer, _under("optimizer/", tensors))
        self.selection.restore(_under("best/", tensors), state)
        if self.averaged is not None:
            self.averaged.restore(_under("average/", tensors), state["averaging"], self.accelerator.device)
        if isinstance(self.sampler, ResampledSampler):
            self.sampler.probability = tensors["resample/probability"]
        if state["scaler"] is not None:
            self.accelerator.scaler.load_state_dict(state["scaler"])
        self.done = state["step"]

    def _report(self, parts: dict[str, Tensor]) -> None:
        row = {name: float(value) for name, value in parts.items()}
        row |= {"lr": self.optimizer.param_groups[0]["lr"], **self.clock.figures(self.config.batch_size)}
        self.log.write({"event": "train", "step": self.done, **row})
        self.log.track(row, self.done)
        if self.progress is not None:
            history = self.selection.history
            latest = {f"dev_{k}": v for k, v in history[-1].items() if k != "step"} if history else {}
            self.progress(self.done, self.config.steps, row | latest)

    def _log_dev(self, event: str, figures: dict[str, float], **span: int) -> None:
        self.log.write({"event": event, "step": self.done, **span, **figures})
        self.log.track({f"{event}_{name}": value for name, value in figures.items()}, self.done)

    def _from_main(self, figures: dict[str, float]) -> dict[str, float]:
        from accelerate.utils import broadcast

        values = torch.tensor(list(figures.values()), dtype=torch.float64, device=self.accelerator.device)
        shared: Any = broadcast(values)
        return dict(zip(figures, shared.tolist(), strict=True))


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}
