"""What a generation will cost, from samples of its own plan made on the spot."""

import time
from contextlib import suppress
from dataclasses import asdict, dataclass

import numpy as np

from spooflab.errors import ConfigError, SkipSample
from spooflab.generators.config import GenerationConfig
from spooflab.generators.lab import Lab
from spooflab.generators.plan import make_plan
from spooflab.sample import Sample
from spooflab.shard_runs import one_thread
from spooflab.shards import encode_shard
from spooflab.spoken import duration


@dataclass(frozen=True)
class Price:
    """An estimate for a whole plan.

    Attributes:
        samples, shards: of the plan.
        tried, refused: samples made for the estimate, and how many of these quality control or a limit refused.
        hours, hours_error: wall time by the given number of processes, and its standard error (samples are taken as
            independent; some species take ten times as long as others, so that few samples tell little).
        gb: bytes of the shards, in 10^9.
    """

    samples: int
    shards: int
    tried: int
    refused: int
    hours: float
    hours_error: float
    gb: float

    def sentence(self, workers: int) -> str:
        """Return the estimate for a person."""
        error = f" ± {duration(3600 * self.hours_error)}" if self.tried > 1 else ""
        refused = f", {self.refused} of them refused" if self.refused else ""
        processes = f"{workers} process{'es' * (workers > 1)}"
        return (
            f"{self.samples} samples in {self.shards} shards: about {duration(3600 * self.hours)}{error} by "
            f"{processes} like this one, {self.gb:.3g} GB ({self.tried} samples tried{refused})"
        )

    def to_json(self) -> dict[str, float]:
        """Return the fields."""
        return asdict(self)


def price(config: GenerationConfig, *, workers: int = 1, probe: int = 12) -> Price:
    """Make `probe` samples spread evenly over the plan, in this process, and extrapolate.

    Nothing is written. The time of a sample is that of one thread in a quiet process; what processes take from each
    other (memory bandwidth, a shared GPU) is not in it.

    Raises:
        ConfigError: no sample to try.
    """
    if probe < 1 or workers < 1:
        raise ConfigError(f"probe {probe}, workers {workers}", wanted="1 or more of each")
    one_thread()
    lab = Lab(config)
    plan = make_plan(config, lab.refs(), lab.device_ids)
    count = min(probe, config.n)
    specs = [plan.spec(index) for index in sorted({round((k + 0.5) * config.n / count - 0.5) for k in range(count)})]
    seconds, made = [], list[Sample]()
    for spec in specs:
        started = time.perf_counter()
        with suppress(SkipSample):
            made.append(lab.make(spec))
        seconds.append(time.perf_counter() - started)
    # The first sample warms caches and threads up.
    kept = np.array(seconds[1:] or seconds)
    per_hour = config.n / workers / 3600
    error = kept.std(ddof=1) / np.sqrt(len(kept)) if len(kept) > 1 else 0.0
    size = len(encode_shard(made).to_pybytes()) / len(specs) if made else 0.0
    return Price(
        samples=config.n,
        shards=plan.shards,
        tried=len(specs),
        refused=len(specs) - len(made),
        hours=float(kept.mean()) * per_hour,
        hours_error=float(error) * per_hour,
        gb=size * config.n / 1e9,
    )
