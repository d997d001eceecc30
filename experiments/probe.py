"""How long a step, a score and an image take on this machine: a few of each, before a study runs."""

import hashlib
import json
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from spooflab.atomic import read_plain
from spooflab.errors import SpooflabError
from spooflab.experiments.protocols import column
from spooflab.experiments.run import machine
from spooflab.experiments.run_folder import write_atomic
from spooflab.experiments.run_spec import RunSpec
from spooflab.experiments.warm_start import pretraining
from spooflab.json_text import json_object

if TYPE_CHECKING:
    from spooflab.adapters import ImageSet

PROBE_FILE = "probe.json"
BUDGET_S = 5.0
"""Of one setting, about; a single step that is slower is waited for."""
_STEPS = 8
_IMAGES = 96
_NO_MATTER = (
    *("steps", "lr", "weight_decay", "warmup_steps", "schedule", "clip_norm", "eval_every", "patience", "monitor"),
    *("calibrate", "checkpoint_every", "log_every", "tracker"),
)
"""Training settings that leave the length of a step as it is."""


@dataclass(frozen=True)
class Measured:
    """What one training setting takes on this machine, in seconds.

    Attributes:
        setup: to build the network.
        step: an optimiser step, the median of a few.
        score: to score one image.
        feature: to run the frozen part over one image, 0 where nothing of it is kept.
        feature_bytes: what is kept of one image.
        adapt: to score one image with the column's test-time method, 0 without one.
        model_bytes: of the weights.
    """

    setup: float
    step: float
    score: float
    feature: float
    feature_bytes: float
    adapt: float
    model_bytes: float


@dataclass(frozen=True)
class Probe:
    """Figures of this machine.

    Attributes:
        settings: by `timing_key`; a setting that could not be tried is absent.
        image: seconds to read, decode and resize one image of the data set, by size.
        problems: why a setting could not be tried.
    """

    settings: dict[str, Measured]
    image: dict[int, float]
    problems: dict[str, str]


def timing_key(run: RunSpec) -> str:
    """Return a digest of what decides how long a step of a run takes: all but rates, losses' weights and lengths."""
    config = {name: value for name, value in run.train_config.items() if name not in _NO_MATTER}
    config["hparams"] = {name: v for name, v in config.get("hparams", {}).items() if not isinstance(v, float)}
    parts = [config, run.cache, None if run.test_time is None else run.test_time["name"]]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def probe(
    runs: Sequence[RunSpec], index: pa.Table, out: Path, *, threads: int = 1, told: Callable[[str], None] | None = None
) -> Probe:
    """Measure every distinct setting among `runs` once; what was measured on this machine before is read.

    Args:
        runs: of a plan; what they start from is measured as well.
        index: the data set's rows.
        out: folder of the study, which gets `probe.json`.
        threads: of torch, as cells will have.
        told: called with the name of each setting before it is tried.
    """
    import torch

    import spooflab.experiments.executors.preload  # noqa: F401  # or the first setting would pay for the imports of all

    here = {**machine(), "threads": threads}
    path = out / PROBE_FILE
    known = json_object(read_plain(path), path, wanted="what spooflab study measured") if path.is_file() else {}
    if known.get("machine") != here:
        known = {"machine": here, "settings": {}, "image": {}}
    problems: dict[str, str] = {}
    settings: dict[str, RunSpec] = {}
    for run in runs:
        for each in (run, pretraining(run)):
            if each is not None:
                settings.setdefault(timing_key(each), each)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        for size in {int(run.train_config["size"]) for run in settings.values()}:
            if str(size) not in known["image"]:
                known["image"][str(size)] = _image_seconds(runs[0], index, size)
        for key, run in settings.items():
            if key not in known["settings"]:
                if told:
                    told(run.label)
                try:
                    known["settings"][key] = asdict(_measure(run, index))
                except SpooflabError as error:  # the study will tell the same of its cells
                    problems[run.label] = error.seen
    finally:
        torch.set_num_threads(before)
    write_atomic(path, (json.dumps(known, indent=1, sort_keys=True) + "\n").encode())
    measured = {key: Measured(**value) for key, value in known["settings"].items()}
    return Probe(measured, {int(size): seconds for size, seconds in known["image"].items()}, problems)


def _measure(run: RunSpec, index: pa.Table) -> Measured:
    """Make a few steps of one setting on noise with the labels and domains of the run's training rows."""
    import torch

    from spooflab.adapters import ALGORITHMS, FeatureCache, TrainConfig
    from spooflab.adapters.trainer import open_run

    config = TrainConfig.model_validate(run.train_config)
    images = _noise(run, index, config)
    frozen = bool(config.backbone.tuning == "frozen" or config.backbone.frozen_stages)
    dev = replace(images, keys=[f"dev {key}" for key in images.keys])
    adapts = ALGORITHMS[config.algorithm].setting == "adaptation"
    target = replace(images, keys=[f"target {key}" for key in images.keys]) if adapts else None

    def clock() -> float:
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        return time.perf_counter()

    with tempfile.TemporaryDirectory() as folder:
        cache = Path(folder) / "features" if run.cache and frozen else None
        began = clock()
        with open_run(config, train=images, dev=dev, seed=0, out=Path(folder), target=target, cache=cache) as training:
            setup = clock() - began
            training.advance()  # the first step pays for what later ones find made
            steps: list[float] = []
            while len(steps) < _STEPS and (not steps or clock() - began < BUDGET_S):
                start = clock()
                training.advance()
                steps.append(clock() - start)
            training.feed.scores(training.model, dev)
            start = clock()
            training.feed.scores(training.model, dev)
            score = (clock() - start) / len(dev)
            model = training.model.eval()
            feature, size = 0.0, 0.0
            if cache is not None:
                start = clock()
                FeatureCache(Path(folder) / "again", model.backbone).plain(images)
                feature = (clock() - start) / len(images)
                size = sum(p.stat().st_size for p in (Path(folder) / "again").rglob("*.safetensors")) / len(images)
            weights = sum(t.nbytes for t in model.state_dict().values())
            return Measured(setup, median(steps), score, feature, size, _adapt_seconds(run, model, dev, clock), weights)


def _adapt_seconds(run: RunSpec, model: Any, images: "ImageSet", clock: Callable[[], float]) -> float:
    from spooflab.adapters import TEST_TIME

    if run.test_time is None:
        return 0.0
    method: Any = TEST_TIME[run.test_time["name"]]
    start = clock()
    method(**run.test_time["hparams"]).scores(model, images)
    return (clock() - start) / len(images)


def _noise(run: RunSpec, index: pa.Table, config: Any) -> "ImageSet":
    """Return random pictures, labelled as the run's training rows are, of each class and domain as many."""
    import torch

    from spooflab.adapters import ATTACK, BONAFIDE, ImageSet
    from spooflab.adapters.image_set import domain_numbers
    from spooflab.adapters.pixel_maps import CHANNELS, SIDE

    place = {key: row for row, key in enumerate(column(index, "key").tolist())}
    rows = index.take(pa.array([place[key] for key in run.train], type=pa.int64()))
    domain = domain_numbers(rows, config.domain_by)
    kinds = list(zip(column(rows, "label").tolist(), domain.tolist(), strict=True))
    seen: Counter[tuple[str, int]] = Counter()
    rank = []
    for kind in kinds:
        rank.append(seen[kind])
        seen[kind] += 1
    chosen = np.argsort(rank, kind="stable")[: max(_IMAGES, 2 * config.batch_size)].tolist()
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (len(chosen), 3, config.size, config.size), generator=generator, dtype=torch.uint8)
    label = column(rows, "label")[chosen]
    maps = torch.rand((len(chosen), len(CHANNELS), SIDE, SIDE), generator=generator).half()
    return ImageSet(
        pixels,
        torch.tensor([BONAFIDE if name == "bonafide" else ATTACK for name in label]),
        domain[chosen],
        [run.train[row] for row in chosen],
        column(rows, "species")[chosen].tolist(),
        maps if config.pixel.needs_maps else None,
    )


def _image_seconds(run: RunSpec, index: pa.Table, size: int) -> float:
    from spooflab.adapters import ImageSet

    keys = column(index, "key").tolist()[:_IMAGES]  # of one shard or two: shards are read whole
    start = time.perf_counter()
    ImageSet.load(run.data, keys, size)
    return (time.perf_counter() - start) / len(keys)
