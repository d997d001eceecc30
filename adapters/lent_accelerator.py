"""An `accelerate.Accelerator` for one training, and torch's random state given back afterwards."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from spooflab.adapters.train_config import TrainConfig
from spooflab.errors import ConfigError

if TYPE_CHECKING:
    from accelerate import Accelerator


@contextmanager
def lent_accelerator(config: TrainConfig, out: Path) -> Iterator["Accelerator"]:
    """Lend an Accelerator, and forget its process-wide state afterwards unless it was there before.

    Raises:
        ConfigError: accelerate is not installed, or the machine does not have the precision.
    """
    try:
        from accelerate import Accelerator
        from accelerate.state import AcceleratorState, is_initialized
    except ImportError as error:
        raise ConfigError(f"training: {error}", next_step="pip install 'spooflab[adapt]'") from error

    existed = is_initialized()
    tracker = None if config.tracker == "none" else config.tracker
    try:
        try:
            accelerator = Accelerator(
                mixed_precision=config.precision, cpu=config.device == "cpu", log_with=tracker, project_dir=str(out)
            )
        except ValueError as error:
            raise ConfigError(f"precision {config.precision!r}: {error}", wanted="'no', or 'bf16' on a CPU") from error
        if config.precision == "fp16" and accelerator.device.type == "cpu":
            # accelerate itself would train in float32 without a word.
            raise ConfigError("precision 'fp16' on a CPU", wanted="'no', or 'bf16' on a CPU")
        if tracker:
            accelerator.init_trackers("tracker")
        yield accelerator
    finally:
        if not existed:
            # The state is one per process and fixed at first use; the next training may want another precision.
            AcceleratorState._reset_state(reset_partial_state="RANK" not in os.environ)


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
