"""Gradient reversal, and the schedule of its weight: what domain-adversarial algorithms share."""

import math
import warnings
from typing import Any, Literal

from spooflab.errors import ConfigError

Schedule = Literal["constant", "ganin"]


def reversal_weight(weight: float, schedule: Schedule, progress: float) -> float:
    """Return λ at `progress` p in [0, 1]: `weight`, or `weight` · (2 / (1 + exp(−10 p)) − 1)."""
    return weight if schedule == "constant" else weight * (2.0 / (1.0 + math.exp(-10.0 * progress)) - 1.0)


def gradient_reversal(name: str) -> Any:
    """Return pytorch-adapt's layer, identity forwards and −weight times the gradient backwards; `name` is for errors.

    Raises:
        ConfigError: pytorch-adapt is not installed.
    """
    # Imported on use: pytorch-adapt pulls in torchmetrics, which takes a second and is part of an extra.
    try:
        with warnings.catch_warnings():
            # torchmetrics 0.9.3 reads versions through setuptools' old module, and setuptools says so.
            warnings.filterwarnings("ignore", message="pkg_resources is deprecated", category=UserWarning)
            from pytorch_adapt.layers import GradientReversal
    except ImportError as error:
        raise ConfigError(f"{name}: {error}", next_step="pip install 'spooflab[adapt]'") from error
    return GradientReversal()
