"""The detector of a mining experiment: trained anew on a growing set, then asked for log-odds."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from spooflab.adapters import Algorithm, ImageSet, TrainConfig, fit, load_model
from spooflab.adapters.scoring import as_input
from spooflab.experiments.metrics import curve_figures
from spooflab.experiments.scores import FloatArray, ScoreSet


@dataclass(frozen=True)
class Detector:
    """A trained model and the log-odds from which it accepts.

    Attributes:
        model: in eval mode.
        threshold: bona fide log-odds.
    """

    model: Algorithm
    threshold: float

    @torch.inference_mode()
    def judge(self, image: Tensor) -> tuple[float, Tensor]:
        """Return log-odds and features of one image (3, S, S) uint8."""
        pixels = as_input(image[None], next(self.model.parameters()).device)
        features = self.model.backbone(pixels)[0].float().cpu()
        return float(log_odds(self.model.predict(pixels))[0]), features

    @torch.inference_mode()
    def scores(self, images: Tensor, batch_size: int = 64) -> FloatArray:
        """Return the log-odds (N,) of images (N, 3, S, S) uint8."""
        device = next(self.model.parameters()).device
        parts = [self.model.predict(as_input(part, device)).cpu() for part in torch.split(images, batch_size)]
        odds: FloatArray = log_odds(torch.cat(parts)).numpy()
        return odds


def log_odds(likelihood: Tensor) -> Tensor:
    """Return log p / (1 - p) in float64, finite."""
    p = likelihood.double().clamp(1e-300, 1 - 2.0**-53)
    return torch.logit(p)


def train_detector(
    config: TrainConfig, *, train: ImageSet, dev: ImageSet, seed: int, out: Path, bpcer: float
) -> Detector:
    """Train on `train`, or take up the folder's finished model; the threshold rejects `bpcer` of dev's bona fides."""
    done = (out / "model.safetensors").is_file()
    model = load_model(out) if done else fit(config, train=train, dev=dev, seed=seed, out=out).model
    plain = Detector(model, 0.0)
    genuine = np.sort(plain.scores(dev.images[dev.labels == 1]))
    return Detector(model, float(genuine[int(np.floor(bpcer * len(genuine)))]))


def figures(genuine: FloatArray, attacks: FloatArray, threshold: float) -> dict[str, float]:
    """Return `eer` and `auc` of the two sets, `apcer` and `bpcer` at the threshold."""
    label = np.repeat([False, True], [len(genuine), len(attacks)])
    scores = ScoreSet.build(np.concatenate([genuine, attacks]), label)
    curve = curve_figures(scores)
    return {
        "eer": float(curve["eer"][0]),
        "auc": float(curve["auc"][0]),
        "apcer": float((attacks >= threshold).mean()),
        "bpcer": float((genuine < threshold).mean()),
    }
