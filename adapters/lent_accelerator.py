"""An `accelerate.Accelerator` for one training, and torch's random state given back afterwards."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from spooflab.adapters.train_config import TrainConfig
from spooflab.errors import ConfigError

if TYPE_CHECKING:
    from accelerate import Accelerator


@dataclass(frozen=True)
class Tracked:
    """Where a training's figures go besides its log.

    Attributes:
        tracker: one of accelerate's, by its name.
        folder: of trackers that write files.
        run: how the training is called there, parts set off by `/`.
    """

    tracker: str
    folder: Path
    run: str


@contextmanager
def lent_accelerator(config: TrainConfig, out: Path, tracked: Tracked | None = None) -> Iterator["Accelerator"]:
    """Lend an Accelerator, and forget its process-wide state afterwards unless it was there before.

    Args:
        config: its precision, device and tracker count.
        out: folder of the training.
        tracked: a tracker in place of the configuration's.

    Raises:
        ConfigError: accelerate or the tracker is not installed, or the machine does not have the precision.
    """
    try:
        from accelerate import Accelerator
        from accelerate.state import AcceleratorState, is_initialized
        from accelerate.tracking import get_available_trackers
    except ImportError as error:
        raise ConfigError(f"training: {error}", next_step="pip install 'spooflab[adapt]'") from error

    existed = is_initialized()
    if tracked is None and config.tracker != "none":
        tracked = Tracked(config.tracker, out, "tracker")
    if tracked is not None and tracked.tracker not in map(str, get_available_trackers()):
        # accelerate itself would train without it.
        raise ConfigError(
            f"tracker {tracked.tracker}: not installed", next_step=f"pip install {tracked.tracker}, or tracker: none"
        )
    tracker, folder = (None, out) if tracked is None else (tracked.tracker, tracked.folder)
    try:
        try:
            accelerator = Accelerator(
                mixed_precision=config.precision, cpu=config.device == "cpu", log_with=tracker, project_dir=str(folder)
            )
        except ValueError as error:
            raise ConfigError(f"precision {config.precision!r}: {error}", wanted="'no', or 'bf16' on a CPU") from error
        if config.precision == "fp16" and accelerator.device.type == "cpu":
            # accelerate itself would train in float32 without a word.
            raise ConfigError("precision 'fp16' on a CPU", wanted="'no', or 'bf16' on a CPU")
        if tracked is not None:
            _start(accelerator, tracked)
        yield accelerator
    finally:
        if not existed:
            # The state is one per process and fixed at first use; the next training may want another precision.
            AcceleratorState._reset_state(reset_partial_state="RANK" not in os.environ)


def _start(accelerator: Any, tracked: Tracked) -> None:
    """Begin the run at its tracker."""
    # TensorBoard's runs are folders; the others have a project, and a name for each run in it.
    named = {"wandb": {"name": tracked.run, "dir": str(tracked.folder)}, "mlflow": {"run_name": tracked.run}}
    tracked.folder.mkdir(parents=True, exist_ok=True)
    if tracked.tracker in named:
        accelerator.init_trackers("spooflab", init_kwargs=named)
    else:
        accelerator.init_trackers(tracked.run)


@contextmanager
def own_randomness(device: torch.device) -> Iterator[None]:
    """Use torch's global generators (dropout, initialisation), and give them back as they were."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        yield


def reseed(device: torch.device, seed: int) -> None:
    """Seed torch's global generators, of the CPU and of `device` at least."""
    if device.type == "cpu":
        # `torch.manual_seed` spends a hundred times as long on devices that nothing runs on.
        torch.default_generator.manual_seed(seed)
    else:
        torch.manual_seed(seed)
