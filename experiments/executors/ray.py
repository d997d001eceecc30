"""Cells as tasks of Ray: a running cluster, or Ray started on this machine for the study and stopped after it."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, PositiveInt

from spooflab.config import Config
from spooflab.errors import ConfigError
from spooflab.experiments.executors.ending import Died, Ending, as_error, attempt
from spooflab.experiments.executors.protocol import Report, Task
from spooflab.experiments.executors.time_limit import overran
from spooflab.experiments.run_spec import RunSpec
from spooflab.ray_session import ray_session


class RayExecutor(Config):
    """Tasks of a Ray cluster. Every machine sees the study's folder and the data under the same paths."""

    name: Literal["ray"] = "ray"
    address: str | None = Field(default=None, description="of a running cluster, or `auto`; None starts Ray here")
    workers: PositiveInt | None = Field(default=None, description="cells at once; None takes what there is room for")
    cpus_per_run: PositiveInt = Field(default=1, description="cores of a cell, and its torch threads")
    gpus_per_run: float = Field(default=0, ge=0, description="GPUs of a cell; a share lets several cells use one")
    retries: int = Field(default=1, ge=0, description="further tries of a cell whose process died")

    @property
    def lanes(self) -> int:
        """Cells at once: what was asked for, else what this machine's cores would do."""
        return self.workers or max(1, (os.cpu_count() or 1) // self.cpus_per_run)

    @property
    def apart(self) -> bool:
        """Tasks have processes of their own."""
        return True

    def with_workers(self, workers: int) -> "RayExecutor":
        """Return the same with another number of cells at once.

        Raises:
            ConfigError: fewer than one.
        """
        if workers < 1:
            raise ConfigError(f"{workers} workers on ray", wanted="1 or more; the executor local has 0")
        return self.model_copy(update={"workers": workers})

    def run(self, specs: Sequence[RunSpec], task: Task, out: Path, report: Report) -> None:
        """Run the cells as `Executor` says.

        Raises:
            ConfigError: Ray is not installed, the cluster is out of reach, or has no room for one cell.
        """
        if not specs:
            return
        with ray_session(self.address, self.lanes * self.cpus_per_run) as ray:
            most = self.workers or 2 * self._room(ray)  # some wait at the cluster, so that none of it idles
            remote = ray.remote(_attempt).options(
                num_cpus=self.cpus_per_run, num_gpus=self.gpus_per_run, max_retries=self.retries
            )
            waiting = list(specs)
            flying: dict[Any, RunSpec] = {}
            try:
                while waiting or flying:
                    while waiting and len(flying) < most:
                        spec = waiting.pop(0)
                        flying[remote.remote(task, spec, out.absolute(), self.cpus_per_run)] = spec
                    for done in ray.wait(list(flying), num_returns=1)[0]:
                        spec = flying.pop(done)
                        report(spec, _ended(ray, done, spec, out))
            except BaseException:
                for left in flying:
                    ray.cancel(left, force=True)
                raise

    def _room(self, ray: Any) -> int:
        has = ray.cluster_resources()
        room = has.get("CPU", 0) // self.cpus_per_run
        if self.gpus_per_run:
            room = min(room, has.get("GPU", 0) // self.gpus_per_run)
        if room < 1:
            raise ConfigError(
                f"ray has {has.get('CPU', 0):g} cores and {has.get('GPU', 0):g} GPUs",
                wanted=f"room for one cell: {self.cpus_per_run} cores, {self.gpus_per_run:g} GPUs",
            )
        return int(room)


def _attempt(task: Task, spec: RunSpec, out: Path, threads: int) -> Ending | None:
    import torch

    torch.set_num_threads(threads)
    return attempt(task, spec, out)


def _ended(ray: Any, done: Any, spec: RunSpec, out: Path) -> BaseException | None:
    try:
        return as_error(ray.get(done))
    except ray.exceptions.RayError as error:
        first = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
        return overran(spec, out) or Died(f"the process died ({type(error).__name__}: {first})")
