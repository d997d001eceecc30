"""How like a camera its fit is: photographs for the fit, a classifier that tells them apart, a chart's colours."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from spooflab.augment import develop, load_profile
from spooflab.augment.fit import Fit, fit_device, read_photographs
from spooflab.augment.fit.chart import chart_light, to_lab
from spooflab.augment.fit.flat_blocks import block_dct, to_ycc
from spooflab.augment.lens import through_lens


def chart_scene() -> torch.Tensor:
    cells = torch.from_numpy(chart_light()).float().T.reshape(3, 4, 6)
    return cells.repeat_interleave(60, 1).repeat_interleave(60, 2)


def eight_bit(photo: torch.Tensor) -> np.ndarray:
    return (photo * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()


def textures(photo: np.ndarray) -> np.ndarray:
    """Co-occurrences of truncated differences (Pevny et al. 2010), DCT energies by frequency, channel moments."""
    planes = to_ycc(photo.astype(np.float32))
    features = []
    for axis in (0, 1):
        steps = np.clip(np.round(np.diff(planes[0], axis=axis)), -3, 3).astype(int) + 3
        first, second = (steps[:-1], steps[1:]) if axis == 0 else (steps[:, :-1], steps[:, 1:])
        joint = np.bincount((first * 7 + second).ravel(), minlength=49) / first.size
        features.append(np.sqrt(joint))
    coefficients = block_dct(planes)
    for channel in range(3):
        spectrum = np.median(np.abs(coefficients[channel]).reshape(-1, 64), 0)
        features += [np.log(spectrum + 0.1), np.log(np.abs(coefficients[channel]).mean((0, 1)).ravel() + 0.1)]
    features.append(np.array([planes[c].std() for c in range(3)]))
    return np.concatenate(features)


def auc(first: np.ndarray, second: np.ndarray) -> float:
    """Cross-validated by scene: scene i is `first[i]` and `second[i]`, and no scene is on both sides of a fold."""
    x = np.concatenate([first, second])
    label = np.repeat([0, 1], len(first))
    scene = np.tile(np.arange(len(first)), 2)
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.05, max_iter=500))
    told = cross_val_predict(model, x, label, groups=scene, cv=GroupKFold(5), method="decision_function")
    return float(roc_auc_score(label, told))


def photographed(real: Any, scenes: type, folder: Path, kind: str) -> Fit:
    """68 photographs, twelve of them with straight lines, 28 of plain things (four in near dark), eight of a chart."""
    ordinary = [scenes.leaves(i, lines=i < 12, shapes=18 if i < 12 else 60) for i in range(68)]
    real.folder(ordinary + [scenes.plain(i, dark=i >= 24) for i in range(28)], folder)
    charts = {f"chart {i}": eight_bit(real.shoot(chart_scene(), 500 + i)[0]) for i in range(8)}
    # The kind of camera is known, as it mostly is: among fifteen profiles the nearest may be of another kind.
    return fit_device(read_photographs(folder), name="my_camera", prior=load_profile(kind), charts=charts)


def colour_difference(first: Any, second: Any) -> float:
    """A chart at equal exposure, six shots each: the mean difference of the 24 patches, CIE 1976."""

    def patches(device: Any) -> np.ndarray:
        shots = []
        for seed in range(6):
            params = device.device.sample(1, torch.Generator().manual_seed(seed), size=(240, 360))
            params = dataclasses.replace(params, metering=params.metering * 0, error_ev=params.error_ev * 0 - 0.3)
            photo = develop(through_lens(chart_scene()[None], params.view), params)[0]
            shots.append(photo.reshape(3, 4, 60, 6, 60)[:, :, 20:40, :, 20:40].mean((2, 4)).reshape(3, 24).T)
        return torch.stack(shots).mean(0).numpy()

    difference = np.sqrt(((to_lab(patches(first)) - to_lab(patches(second))) ** 2).sum(-1))
    return float(difference.mean())


SHOTS = tuple(range(9000, 89000, 10000))
"""Seeds of eight sets of shots: the AUC of one set of sixty scenes scatters by .045."""


def telling(real: Any, fitted: Fit, scenes: type, camera: type, kind: str) -> dict[str, float]:
    """How well a classifier tells the real camera from another on sixty new scenes, both taking the same ones.

    The mean over sets of shots, each with a classifier of its own; two sets for what is far from its limit.
    """
    new = [scenes.leaves(5000 + i, 256) for i in range(60)]

    def features(device: Any, start: int) -> np.ndarray:
        return np.stack([textures(eight_bit(device.shoot(light, start + i)[0])) for i, light in enumerate(new)])

    taken = {start: features(real, start) for start in SHOTS}

    def told(device: Any, starts: tuple[int, ...]) -> float:
        return float(np.mean([auc(taken[start], features(device, start + 500)) for start in starts]))

    return {
        "itself": told(real, SHOTS[:2]),
        "fitted": told(camera(fitted.profile, unit=fitted.unit), SHOTS),
        "unfitted": told(camera(load_profile(kind), unit=0), SHOTS[:2]),
    }
