"""The detector of a mining experiment: trained anew, once or several times, on a growing set; asked for log-odds."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from spooflab.adapters import Algorithm, ImageSet, TrainConfig, fit, load_model
from spooflab.adapters.scoring import as_input
from spooflab.experiments.metrics import curve_figures
from spooflab.experiments.scores import FloatArray, ScoreSet
from spooflab.seeds import seed as named_seed


@dataclass(frozen=True)
class Detector:
    """Trained models and the mean log-odds from which they accept.

    Attributes:
        models: in eval mode; one, or several trainings of the same set.
        threshold: bona fide log-odds.
    """

    models: tuple[Algorithm, ...]
    threshold: float

    @torch.inference_mode()
    def judge(self, image: Tensor) -> tuple[float, Tensor]:
        """Return log-odds and features of one image (3, S, S) uint8; several models' unit features stand in a row."""
        pixels = as_input(image[None], next(self.models[0].parameters()).device)
        features = [model.backbone(pixels)[0].float().cpu() for model in self.models]
        joint = features[0] if len(features) == 1 else torch.cat([F.normalize(f, dim=0) for f in features])
        odds = torch.stack([log_odds(model.predict(pixels))[0].cpu() for model in self.models])
        return float(odds.mean()), joint

    @torch.inference_mode()
    def scores(self, images: Tensor, batch_size: int = 64) -> FloatArray:
        """Return the log-odds (N,) of images (N, 3, S, S) uint8."""
        device = next(self.models[0].parameters()).device
        members = []
        for model in self.models:
            parts = [model.predict(as_input(part, device)).cpu() for part in torch.split(images, batch_size)]
            members.append(log_odds(torch.cat(parts)))
        odds: FloatArray = torch.stack(members).mean(0).numpy()
        return odds


def log_odds(likelihood: Tensor) -> Tensor:
    """Return log p / (1 - p) in float64, finite."""
    p = likelihood.double().clamp(1e-300, 1 - 2.0**-53)
    return torch.logit(p)


def train_detector(
    config: TrainConfig, *, train: ImageSet, dev: ImageSet, seed: int, out: Path, bpcer: float, members: int = 1
) -> Detector:
    """Train on `train`, or take up the folders' finished models; the threshold rejects `bpcer` of dev's bona fides.

    Args:
        config: of each training.
        train: images.
        dev: fixes the threshold.
        seed: of the first training; those after it have seeds derived from it.
        out: folder of the first training; those after it lie beside it, numbered.
        bpcer: share of dev's bona fides below the threshold.
        members: trainings.
    """
    models = []
    for number in range(members):
        folder = out if number == 0 else out.with_name(f"{out.name}-{number}")
        own = seed if number == 0 else named_seed(seed, "member", number)
        done = (folder / "model.safetensors").is_file()
        models.append(load_model(folder) if done else fit(config, train=train, dev=dev, seed=own, out=folder).model)
    plain = Detector(tuple(models), 0.0)
    genuine = np.sort(plain.scores(dev.images[dev.labels == 1]))
    return Detector(plain.models, float(genuine[int(np.floor(bpcer * len(genuine)))]))


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
