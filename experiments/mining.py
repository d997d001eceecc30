"""Generator in the loop: rounds of search and training, beside a random control and beside no new data.

A base set is drawn once, and for each seed a detector is trained on it. Then, round by round, the arm `mined` searches
the attacks' and devices' parameters for what its detector gets wrong, the arm `random` draws as many samples from the
prior, and each trains a detector anew on the base set and all that it has rendered so far: same steps, same initial
weights. The arm `erm` gets no new data; its detector is that of the base set. All are judged on subjects and camera
units that no arm trains on: a pool of the prior, and its part that detectors of other training sets find hardest.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from spooflab.adapters import ImageSet
from spooflab.adapters.mining import Ledger, Region, Render, image_set
from spooflab.atomic import write_over
from spooflab.errors import ConfigError
from spooflab.experiments.mining_config import MiningConfig
from spooflab.experiments.mining_data import Makers, build_makers, prior_set
from spooflab.experiments.mining_detector import Detector, figures, train_detector
from spooflab.experiments.mining_round import Judged, drawn_from, mined_round, random_round
from spooflab.experiments.run_folder import Busy, RunFolder
from spooflab.experiments.scores import FloatArray, IntArray
from spooflab.provenance import code_version
from spooflab.seeds import seed as named_seed

ARMS = ("erm", "random", "mined")
PLAN, RESULTS, TRIALS = "mine.json", "results.json", "trials.jsonl"
Progress = Callable[[str], None]


@dataclass(frozen=True)
class Ground:
    """What all seeds and arms share.

    Attributes:
        makers: the lab by subjects and camera units.
        base: what every arm of every seed starts from.
        dev: fixes thresholds.
        pool: tested on.
        hard: rows of the pool's attacks that the reference detectors rate most bona fide.
        hard_bonafide: rows of its bona fides that they rate least so.
    """

    config: MiningConfig
    out: Path
    makers: Makers
    base: list[Render]
    dev: ImageSet
    pool: ImageSet
    hard: IntArray
    hard_bonafide: IntArray


def mine(config: MiningConfig, out: Path, *, resume: bool = False, progress: Progress = print) -> dict[str, Any]:
    """Run all seeds and arms, or go on where a run of the same configuration stopped; return `results.json`.

    Every render is kept when it is made and every training when it ends (or at its checkpoints), and all else follows
    from them, so that a run that was killed ends with the same files.

    Raises:
        ConfigError: `out` holds a run and `resume` is not given, it holds another configuration's, or a process is at
            it.
    """
    _claim(config, out, resume)
    try:
        with RunFolder(out).lease():
            return _run(config, out, progress)
    except Busy as error:
        raise ConfigError(str(error), next_step="wait for it, or give another --out") from error


def _run(config: MiningConfig, out: Path, progress: Progress) -> dict[str, Any]:
    ground = _ground(config, out, progress)
    rounds = [row for seed in config.seeds for row in _seed_rounds(ground, seed, progress)]
    results = {
        "config": config.model_dump(mode="json"),
        "code_version": code_version(),
        "pool": {"attacks": _count(ground.pool, 0), "bonafide": _count(ground.pool, 1), "hard": len(ground.hard)},
        "rounds": rounds,
    }
    write_over(out / RESULTS, _text(results))
    return results


def _claim(config: MiningConfig, out: Path, resume: bool) -> None:
    plan = _text({"config": config.model_dump(mode="json")})
    out.mkdir(parents=True, exist_ok=True)
    path = out / PLAN
    if not path.exists():
        write_over(path, plan)
    elif path.read_bytes() != plan:
        raise ConfigError(f"{out} holds a run of another configuration", next_step="give another --out")
    elif not resume:
        raise ConfigError(f"{out} holds a run", wanted="an empty folder, or --resume to go on with it")


def _ground(config: MiningConfig, out: Path, progress: Progress) -> Ground:
    makers = build_makers(config)
    root = config.generation.seed
    progress(f"base set: {config.base} renders, source-dev: {config.dev}, pool: {config.pool}")
    base = prior_set(makers.train, Ledger(out / "base", "base"), config.base, named_seed(root, "mining", "base"))
    dev = _prior_images(config, makers, "dev", out / "dev", config.dev, named_seed(root, "mining", "dev"))
    pool = _prior_images(config, makers, "test", out / "pool", config.pool, named_seed(root, "mining", "pool"))
    odds = np.zeros(len(pool))
    for number in range(config.references):
        progress(f"reference detector {number + 1} of {config.references}")
        folder, seed = out / f"reference-{number}", named_seed(root, "mining", "reference", number)
        train = _prior_images(config, makers, "train", folder / "base", config.base, seed)
        odds += _trained(config, train, dev, seed, folder / "training").scores(pool.images)
    attacks, genuine = (np.flatnonzero(pool.labels.numpy() == label) for label in (0, 1))
    return Ground(
        config,
        out,
        makers,
        base,
        dev,
        pool,
        hard=_top(odds, attacks, config.hard_share),
        hard_bonafide=_top(-odds, genuine, config.hard_share),
    )


def _prior_images(config: MiningConfig, makers: Makers, part: str, folder: Path, count: int, seed: int) -> ImageSet:
    renders = prior_set(getattr(makers, part), Ledger(folder, folder.name), count, seed)
    return image_set(renders, makers.profiles)


def _top(odds: FloatArray, rows: IntArray, share: float) -> IntArray:
    """Return the `share` of `rows` whose odds are highest, equal ones in order."""
    order = rows[np.argsort(-odds[rows], kind="stable")]
    return order[: max(1, round(share * len(rows)))]


def _trained(config: MiningConfig, train: ImageSet, dev: ImageSet, seed: int, out: Path) -> Detector:
    return train_detector(
        config.training, train=train, dev=dev, seed=seed, out=out, bpcer=config.bpcer, members=config.members
    )


def _seed_rounds(ground: Ground, seed: int, progress: Progress) -> list[dict[str, Any]]:
    """Run the arms of one seed; return one row for each arm and round."""
    config, makers = ground.config, ground.makers
    folder = ground.out / f"seed-{seed}"
    progress(f"seed {seed}: base detector")
    first = _trained(config, image_set(ground.base, makers.profiles), ground.dev, seed, folder / "training")
    mined, found = _mined_arm(ground, seed, first, progress)
    random = _random_arm(ground, seed, first, progress)
    rows = []
    for arm, detectors, judged in (
        ("erm", [first] * config.rounds, [[] for _ in range(config.rounds)]),
        ("random", *random),
        ("mined", *mined),
    ):
        before = first
        for number, (detector, renders) in enumerate(zip(detectors, judged, strict=True), start=1):
            row = {"seed": seed, "arm": arm, "round": number, **_measured(ground, detector)}
            row["spent"] = _spent(renders)
            row["new"] = _acceptance(before, detector, [j.render for j in renders])
            row["found"] = _acceptance(before, detector, found[number - 1])
            rows.append(row)
            before = detector
    return rows


Arm = tuple[list[Detector], list[list[Judged]]]


def _mined_arm(ground: Ground, seed: int, first: Detector, progress: Progress) -> tuple[Arm, list[list[Render]]]:
    """Mine round by round; return the detectors, the renders, and each round's region seen on test subjects."""
    config, makers = ground.config, ground.makers
    spaces = {name: makers.train.space(name) for name in makers.train.species if name != "bonafide"}
    detectors, judged, tested = list[Detector](), list[list[Judged]](), list[list[Render]]()
    renders, detector, start = list(ground.base), first, Region(())
    for number in range(1, config.rounds + 1):
        folder = ground.out / f"seed-{seed}" / "mined" / f"round-{number}"
        root = named_seed(seed, "mined", number)
        progress(f"seed {seed}, round {number}: search, {config.round.trials} of {config.round.attacks} attacks")
        new, region = mined_round(
            makers.train, detector, config.round, folder, name=f"mined{number}", start=start, seed=root
        )
        _write_trials(folder, new)
        test = Ledger(folder / "found", f"found{number}")
        tested.append(drawn_from(region, makers.test, spaces, test, config.found_test, named_seed(root, "found")))
        renders += [item.render for item in new]
        train = image_set(renders, makers.profiles)
        detector = _trained(config, train, ground.dev, seed, folder / "training")
        detectors.append(detector)
        judged.append(new)
    return (detectors, judged), tested


def _random_arm(ground: Ground, seed: int, first: Detector, progress: Progress) -> Arm:
    config, makers = ground.config, ground.makers
    detectors, judged = list[Detector](), list[list[Judged]]()
    renders, detector = list(ground.base), first
    for number in range(1, config.rounds + 1):
        folder = ground.out / f"seed-{seed}" / "random" / f"round-{number}"
        progress(f"seed {seed}, round {number}: random control")
        new = random_round(
            makers.train,
            detector,
            config.round,
            folder,
            name=f"random{number}",
            seed=named_seed(seed, "random", number),
        )
        _write_trials(folder, new)
        renders += [item.render for item in new]
        train = image_set(renders, makers.profiles)
        detector = _trained(config, train, ground.dev, seed, folder / "training")
        detectors.append(detector)
        judged.append(new)
    return detectors, judged


def _measured(ground: Ground, detector: Detector) -> dict[str, Any]:
    """Judge the pool: all of it, and the hard attacks against all bona fides; both at dev's threshold, too."""
    odds = detector.scores(ground.pool.images)
    attacks, genuine = (np.flatnonzero(ground.pool.labels.numpy() == label) for label in (0, 1))
    species = np.array(ground.pool.species)
    by_species = {
        name: float((odds[attacks][species[attacks] == name] >= detector.threshold).mean())
        for name in sorted(set(species[attacks].tolist()))
    }
    return {
        "threshold": detector.threshold,
        "test": {**figures(odds[genuine], odds[attacks], detector.threshold), "apcer_by_species": by_species},
        "hard": figures(odds[genuine], odds[ground.hard], detector.threshold),
        "hard_bonafide": figures(odds[ground.hard_bonafide], odds[attacks], detector.threshold),
    }


def _acceptance(before: Detector, after: Detector, renders: Sequence[Render]) -> dict[str, Any] | None:
    """Return the share of attacks among `renders` accepted before and after training; None where there are none."""
    images = [render.image for render in renders if render.image is not None and render.point.species != "bonafide"]
    if not images:
        return None
    stack = torch.stack(images)
    rates = [float((d.scores(stack) >= d.threshold).mean()) for d in (before, after)]
    return {"before": rates[0], "after": rates[1], "images": len(images)}


def _spent(renders: Sequence[Judged]) -> dict[str, Any]:
    """Count renders by phase, refused ones among them, and how many fooled the detector."""
    phases: dict[str, dict[str, int]] = {}
    for item in renders:
        phase = "prior bona fide" if item.phase == "prior" and item.render.point.species == "bonafide" else item.phase
        count = phases.setdefault(phase, {"renders": 0, "refused": 0, "fooled": 0})
        count["renders"] += 1
        count["refused"] += bool(item.render.refused)
        count["fooled"] += item.fooled
    return phases


def _write_trials(folder: Path, renders: Sequence[Judged]) -> None:
    write_over(folder / TRIALS, "".join(json.dumps(j.to_json(), sort_keys=True) + "\n" for j in renders).encode())


def _count(images: ImageSet, label: int) -> int:
    return int((images.labels == label).sum())


def _text(value: dict[str, Any]) -> bytes:
    return (json.dumps(value, indent=1, sort_keys=True, allow_nan=False) + "\n").encode()
