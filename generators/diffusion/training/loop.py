"""The loop that every part is trained by: accelerate, moving averages, checkpoints, a log, sheets of samples."""

import hashlib
import json
import sys
import time
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from spooflab.errors import DataError
from spooflab.generators.diffusion.training.config import Plan
from spooflab.generators.diffusion.training.processes import check_batch, no_accelerator, processes, share
from spooflab.generators.diffusion.training.state import resume_state, save_state, trained
from spooflab.seeds import generator, seed

_LOG_EVERY = 25
_CLIP = 1.0


class Stage(nn.Module, ABC):
    """One part's training: what a batch is and what is wrong with it.

    Attributes:
        name: of its folder, and of its draws.
    """

    name: str

    @abstractmethod
    def draw(self, batch: int, generator: torch.Generator) -> dict[str, Tensor]:
        """Return a batch on the CPU, each value with the batch first; all that is random is drawn here."""

    @abstractmethod
    def forward(self, **batch: Tensor) -> dict[str, Tensor]:
        """Return the losses, which are summed."""

    @abstractmethod
    def sheet(self) -> Tensor:
        """Return (3, H, W) in [0, 1]: what the part makes now, for a person to look at."""


def fit(stage: Stage, plan: Plan, work: Path, *, root: int, about: str, precision: Literal["no", "bf16"]) -> None:
    """Train a stage, from its last checkpoint where there is one, and leave the averaged weights in it.

    Steps draw from `(root, name, step)`, so that a stopped run goes on to the same weights.

    Args:
        stage: changed in place.
        plan: how long and how fast.
        work: folder of this stage's `state.safetensors`, `log.jsonl` and `sheets/`; made if missing.
        root: of all draws.
        about: what the weights follow from; a state written for another one is refused.
        precision: of the computation; the same for all stages of a process, as accelerate wants it.

    Raises:
        ConfigError: the batch cannot be dealt out to the processes evenly.
        DataError: another run's state, or a loss that is not finite.
    """
    from accelerate import Accelerator
    from diffusers.training_utils import EMAModel

    check_batch(plan.batch, processes().num_processes, stage.name)
    work.mkdir(parents=True, exist_ok=True)
    accelerator = Accelerator(cpu=no_accelerator(), mixed_precision=precision)
    parameters = [p for _, p in trained(stage)]
    optimiser = torch.optim.AdamW(parameters, lr=plan.rate, weight_decay=0.01)
    averages = EMAModel(parameters, decay=plan.ema, use_ema_warmup=True, power=0.75)
    key, path = hashlib.sha256(about.encode()).hexdigest(), work / "state.safetensors"
    first = resume_state(path, stage, optimiser, averages.shadow_params, key)
    averages.optimization_step = first
    wrapped, prepared = accelerator.prepare(stage, optimiser)
    averages.to(accelerator.device)
    began, rank, world = time.monotonic(), accelerator.process_index, accelerator.num_processes
    stage.train()
    for step in range(first, plan.steps):
        torch.manual_seed(seed(root, stage.name, "kernel", step) % 2**32)  # for layers that draw, such as dropout
        for group in optimiser.param_groups:
            group["lr"] = rate_at(step, plan)
        batch = stage.draw(plan.batch, generator(root, stage.name, step))
        own = share(batch, rank, world)
        losses = wrapped(**{name: value.to(accelerator.device) for name, value in own.items()})
        total = torch.stack(list(losses.values())).sum()
        if not bool(total.isfinite()):
            raise DataError(f"{stage.name}: loss {float(total.detach())} at step {step}", next_step="lower the rate")
        accelerator.backward(total)
        accelerator.clip_grad_norm_(parameters, _CLIP)
        prepared.step()
        prepared.zero_grad(set_to_none=True)
        averages.step(parameters)
        done = step + 1
        if not accelerator.is_main_process:
            continue
        if done % _LOG_EVERY == 0 or done == plan.steps:
            shown = {name: round(float(value.detach()), 5) for name, value in losses.items()}
            _log(work, {"step": done, "seconds": round(time.monotonic() - began), "rate": rate_at(step, plan), **shown})
        if done % plan.save_every == 0 or done == plan.steps:
            save_state(path, stage, optimiser, averages.shadow_params, done, key)
        if done % plan.sheet_every == 0 or done == plan.steps:
            averages.store(parameters)
            averages.copy_to(parameters)
            write_sheet(work / "sheets" / f"{done:06d}.png", stage.eval().sheet())
            averages.restore(parameters)
            stage.train()
    accelerator.wait_for_everyone()
    if plan.ema > 0 and (first or plan.steps):
        averages.copy_to(parameters)
    stage.eval().to("cpu")


def rate_at(step: int, plan: Plan) -> float:
    """Return the learning rate: a linear rise, a plateau, a linear fall to 0 at the end."""
    rise = min(1.0, (step + 1) / max(plan.warm, 1))
    fall = 1.0 if plan.cool == 0 else min(1.0, (plan.steps - step) / max(plan.cool * plan.steps, 1))
    return plan.rate * min(rise, fall)


def write_sheet(path: Path, sheet: Tensor) -> None:
    """Write a sheet of samples as PNG."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = (sheet.clamp(0, 1) * 255).round().to(torch.uint8).permute(1, 2, 0).cpu().numpy()
    Image.fromarray(np.ascontiguousarray(pixels)).save(path)


def _log(work: Path, entry: dict[str, Any]) -> None:
    line = json.dumps(entry)
    with (work / "log.jsonl").open("a", encoding="utf-8") as file:
        file.write(line + "\n")
    sys.stderr.write(f"{work.name}: {line}\n")
