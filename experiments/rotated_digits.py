"""Does an algorithm learn? Digits turned by 0 to 60 degrees are the domains, 75 degrees is held out.

`python -m spooflab.experiments.rotated_digits OUT [--seeds 5] [--workers 2] [--algorithms erm dann …]` writes
`OUT/runs.jsonl`, one line per training (those that are there are kept), and `OUT/table.md`.

After the rotated digits of Ghifary et al. 2015 and DomainBed (Gulrajani & Lopez-Paz 2021), small enough for a laptop:
scikit-learn's 1,797 digits of 8 x 8, each at one angle alone, told even from odd, as our algorithms know two classes.
"""

import json
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import lru_cache
from math import sqrt
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
import tyro
from torch import Tensor
from torch.nn import functional as F

from spooflab.adapters import ALGORITHMS, ImageSet, TrainConfig, fit, predict_scores
from spooflab.errors import ConfigError
from spooflab.seeds import generator

ANGLES_DEG = (0, 15, 30, 45, 60, 75)
"""The last one is held out."""
SIDE = 32
_DEV_SHARE = 0.2
_LEVEL = 0.95
BASELINE = "erm"
TRAINING: dict[str, Any] = {
    "backbone": {"name": "resnet-tiny", "options": {"embedding_size": 8, "hidden_sizes": [8, 16, 32, 64]}},
    "size": SIDE,
    "steps": 300,
    "batch_size": 60,
    "lr": 3e-3,
    "eval_every": 50,
    "checkpoint_every": None,
    "device": "cpu",
    "augment": {"flip": 0.0, "shift": 0.0, "gain": 0.0},
}
"""Of every algorithm, with its own defaults."""


def main(
    out: tyro.conf.Positional[Path], /, *, seeds: int = 5, workers: int = 1, algorithms: tuple[str, ...] = ()
) -> int:
    """Train every algorithm on five angles and measure it on the sixth.

    Args:
        out: folder of the figures; runs that it holds are not made again.
        seeds: trainings of each algorithm, 2 or more; a seed decides the deal of the digits, too.
        workers: processes.
        algorithms: names; none means all, and the baseline always is among them.
    """
    unknown = sorted(set(algorithms) - set(ALGORITHMS))
    if unknown or seeds < 2 or workers < 1:
        raise ConfigError(
            f"algorithms {unknown}, seeds {seeds}, workers {workers}",
            wanted=f"names of {', '.join(ALGORITHMS)}; 2 or more seeds; 1 or more workers",
        )
    names = list(dict.fromkeys((BASELINE, *(algorithms or ALGORITHMS))))
    out.mkdir(parents=True, exist_ok=True)
    held = read_runs(out)
    wanted = [(name, seed) for name in names for seed in range(seeds) if (name, seed) not in held]
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        for (name, seed), figures in zip(wanted, pool.map(_run, wanted), strict=True):
            held[name, seed] = figures
            with (out / "runs.jsonl").open("a", encoding="utf-8") as file:
                file.write(json.dumps({"algorithm": name, "seed": seed, **figures}) + "\n")
            sys.stderr.write(f"{name} {seed}: {figures}\n")
    (out / "table.md").write_text(table(held, names, seeds), encoding="utf-8")
    sys.stdout.write(f"{out / 'table.md'}\n")
    return 0


def read_runs(out: Path) -> dict[tuple[str, int], dict[str, float]]:
    """Return the figures of the runs that a folder holds, by algorithm and seed."""
    path, held = out / "runs.jsonl", dict[tuple[str, int], dict[str, float]]()
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        row = json.loads(line)
        held[row.pop("algorithm"), row.pop("seed")] = row
    return held


def _run(which: tuple[str, int]) -> dict[str, float]:
    torch.set_num_threads(1)
    return run(*which)


def run(algorithm: str, seed: int, **changes: Any) -> dict[str, float]:
    """Train once; return accuracies at the dev rows of the sources and at the held-out angle, and the seconds.

    Args:
        algorithm: name.
        seed: of the deal and of the training.
        changes: of `TRAINING`.
    """
    train, dev, test, target = digit_sets(seed)
    config = TrainConfig.model_validate({"algorithm": algorithm, "domain_by": ["angle"], **TRAINING, **changes})
    more: dict[str, Any] = {"target": target} if ALGORITHMS[algorithm].setting == "adaptation" else {}
    with TemporaryDirectory() as folder:
        result = fit(config, train=train, dev=dev, seed=seed, out=Path(folder), **more)
    return {
        "dev": accuracy(predict_scores(result.model, dev), dev.labels),
        "held_out": accuracy(predict_scores(result.model, test), test.labels),
        "seconds": round(result.seconds, 2),
    }


def accuracy(scores: np.ndarray[Any, np.dtype[np.float64]], labels: Tensor) -> float:
    """Return the share of scores on their label's side of 0.5."""
    return float(((scores > 0.5) == (labels.numpy() == 1)).mean())


def digit_sets(seed: int) -> tuple[ImageSet, ImageSet, ImageSet, ImageSet]:
    """Return training, dev, test and unlabelled target sets; even digits are class 1, angles are the domains.

    Digits are dealt to the angles, so that no digit is at two of them. Half of those at the held-out angle are the
    test, half the target that unsupervised adaptation may see.
    """
    digits, classes = _digits()
    order = torch.randperm(len(digits), generator=generator(seed, "digits"))
    dealt = torch.empty(len(digits), dtype=torch.int64)
    dealt[order] = torch.arange(len(digits)) % len(ANGLES_DEG)
    turned = torch.empty(len(digits), 3, SIDE, SIDE, dtype=torch.uint8)
    for number, angle in enumerate(ANGLES_DEG):
        turned[dealt == number] = rotated(digits[dealt == number], angle)
    label = 1 - classes % 2
    whole = ImageSet(
        turned, label, dealt, [f"digit-{k:04d}" for k in range(len(digits))], [f"digit{c}" for c in classes.tolist()]
    )
    sources, held_out = order[dealt[order] < len(ANGLES_DEG) - 1], order[dealt[order] == len(ANGLES_DEG) - 1]
    dev = int(_DEV_SHARE * len(sources))
    half = len(held_out) // 2
    parts = (sources[dev:], sources[:dev], held_out[:half], held_out[half:])
    return tuple(whole.subset(rows) for rows in parts)  # type: ignore[return-value]  # four of them


def rotated(digits: Tensor, angle_deg: float) -> Tensor:
    """Return (N, 3, `SIDE`, `SIDE`) uint8: digits (N, 8, 8) of 0-16 turned counter-clockwise and enlarged."""
    turn = torch.tensor(float(np.deg2rad(angle_deg)))
    c, s = turn.cos(), turn.sin()
    warp = torch.stack([torch.stack([c, -s, 0 * c]), torch.stack([s, c, 0 * c])]) * sqrt(2)  # corners stay inside
    grid = F.affine_grid(warp.expand(len(digits), 2, 3), [len(digits), 1, SIDE, SIDE], align_corners=False)
    made = F.grid_sample(digits[:, None] / 16, grid, mode="bicubic", align_corners=False).clamp(0, 1)
    return (made * 255).round().to(torch.uint8).expand(-1, 3, -1, -1)


@lru_cache(maxsize=1)
def _digits() -> tuple[Tensor, Tensor]:
    from sklearn.datasets import load_digits

    bunch: Any = load_digits()
    return torch.from_numpy(bunch.images).float(), torch.from_numpy(bunch.target).long()


def table(held: dict[tuple[str, int], dict[str, float]], names: Sequence[str], seeds: int) -> str:
    """Return the Markdown table: means over seeds, and what separates each from the baseline, paired by seed."""
    rows = [
        f"| algorithm | setting | sources, % | 75 degrees, % | against {BASELINE}, points ({_LEVEL:.0%} interval) | "
        "seconds |",
        "|---|---|---|---|---|---|",
    ]
    base = [held[BASELINE, seed]["held_out"] for seed in range(seeds)]
    for name in names:
        runs = [held[name, seed] for seed in range(seeds)]
        dev, out, seconds = (float(np.mean([run[key] for run in runs])) for key in ("dev", "held_out", "seconds"))
        apart = np.array([run["held_out"] for run in runs]) - np.array(base)
        middle, reach = paired(apart)
        against = (
            ""
            if name == BASELINE
            else f"{100 * middle:+.1f} ({100 * (middle - reach):+.1f} to {100 * (middle + reach):+.1f})"
        )
        rows.append(
            f"| `{name}` | {ALGORITHMS[name].setting} | {100 * dev:.1f} | {100 * out:.1f} | {against} | {seconds:.0f} |"
        )
    return "\n".join(rows) + "\n"


def paired(apart: np.ndarray[Any, np.dtype[np.float64]]) -> tuple[float, float]:
    """Return mean and half-width of the t interval of paired differences (N,), N of 2 or more."""
    from scipy.stats import t

    reach = t.ppf((1 + _LEVEL) / 2, len(apart) - 1) * apart.std(ddof=1) / sqrt(len(apart))
    return float(apart.mean()), float(reach)


if __name__ == "__main__":
    try:
        raise SystemExit(tyro.cli(main))
    except ConfigError as error:
        sys.stderr.write(f"error: {error}\n")
        raise SystemExit(2) from None
