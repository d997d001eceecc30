"""Unsupervised validators: figures of unlabelled target images by which an adaptation's weights are chosen.

The four are pytorch-adapt's: the entropy of the predictions, information maximisation (entropy less the entropy of the
mean prediction), batch nuclear norm (Cui et al. 2020), and soft neighbourhood density (Saito et al. 2021, temperature
0.05). All look at the class probabilities alone. None knows whether a prediction is right: a network that gives every
image one class has the lowest entropy.
"""

import warnings
from typing import Any, get_args

import numpy as np
import numpy.typing as npt
import torch

from spooflab.adapters.train_config import TargetMonitor
from spooflab.errors import ConfigError, DataError

TARGET_MONITORS: tuple[str, ...] = get_args(TargetMonitor)
_CLASSES = {"entropy": "EntropyValidator", "im": "IMValidator", "bnm": "BNMValidator", "snd": "SNDValidator"}


def target_figure(name: str, scores: npt.NDArray[np.float64]) -> float:
    """Return a validator's score with its sign turned, so that less is better.

    Args:
        name: one of `TARGET_MONITORS`.
        scores: (N,) bona fide likelihoods of the target's images.

    Raises:
        DataError: a score is not finite.
        ConfigError: pytorch-adapt is not installed.
    """
    if not len(scores) or not np.isfinite(scores).all():
        raise DataError(f"{len(scores)} target scores, not all finite", wanted="numbers in [0, 1], one or more")
    share = torch.from_numpy(np.clip(scores, 1e-12, 1 - 1e-12))
    preds = torch.stack([1 - share, share], dim=1)
    validator = getattr(_validators(name), _CLASSES[name])()
    score: float = validator(target_train={"preds": preds, "logits": preds.log()})
    return -float(score)


def _validators(name: str) -> Any:
    try:
        with warnings.catch_warnings():
            # torchmetrics 0.9.3 reads versions through setuptools' old module, and setuptools says so.
            warnings.filterwarnings("ignore", message="pkg_resources is deprecated", category=UserWarning)
            from pytorch_adapt import validators
    except ImportError as error:
        raise ConfigError(f"monitor {name}: {error}", next_step="pip install 'spooflab[adapt]'") from error
    return validators
