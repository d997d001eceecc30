"""Where the time of training steps goes: making batches, and all the rest."""

import time
from collections.abc import Iterator
from contextlib import contextmanager


class StepClock:
    """Seconds of the steps since `figures` was last asked, evaluations and checkpoints left out."""

    def __init__(self) -> None:
        self.steps, self.step_s, self.data_s = 0, 0.0, 0.0

    @contextmanager
    def step(self) -> Iterator[None]:
        """Measure a whole step."""
        tic = time.perf_counter()
        yield
        self.step_s += time.perf_counter() - tic
        self.steps += 1

    @contextmanager
    def data(self) -> Iterator[None]:
        """Measure what a step waits for its batch."""
        tic = time.perf_counter()
        yield
        self.data_s += time.perf_counter() - tic

    def figures(self, batch_size: int) -> dict[str, float]:
        """Return `images_per_s`, `data_s` (seconds per step) and `data_share` (of the step), and begin anew."""
        rate, data_s, share = batch_size * self.steps / self.step_s, self.data_s / self.steps, self.data_s / self.step_s
        self.steps, self.step_s, self.data_s = 0, 0.0, 0.0
        return {"images_per_s": round(rate, 1), "data_s": round(data_s, 6), "data_share": round(share, 4)}
