"""Cells as job arrays of a Slurm cluster, submitted by submitit; each job runs one cell or several."""

import json
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, PositiveInt

from spooflab.config import Config
from spooflab.errors import ConfigError
from spooflab.experiments.executors.ending import Died, as_error, attempt
from spooflab.experiments.executors.protocol import Report, Task
from spooflab.experiments.executors.time_limit import overran
from spooflab.experiments.run_folder import write_atomic
from spooflab.experiments.run_spec import RunSpec

_ARRAY = 1000
"""Jobs of one array; Slurm's own bound (MaxArraySize) is 1001 unless a site sets another."""


class SlurmExecutor(Config):
    """Job arrays of a Slurm cluster. Every node sees the study's folder and the data under the same paths."""

    name: Literal["slurm"] = "slurm"
    partition: str | None = Field(default=None, description="None takes the cluster's default")
    minutes: PositiveInt = Field(default=60, description="time limit of one job")
    array_parallelism: PositiveInt = Field(default=16, description="jobs at once")
    runs_per_job: PositiveInt = Field(
        default=1, description="cells that a job runs in turn; more where cells are short"
    )
    cpus_per_run: PositiveInt = Field(default=1, description="cores of a job, and its torch threads")
    gpus_per_run: int = Field(default=0, ge=0, description="GPUs of a job")
    memory_gb: float | None = Field(default=None, gt=0, description="of a job; None takes the cluster's default")
    requeues: int = Field(default=3, ge=0, description="times that a job at its time limit is put into the queue again")
    setup: tuple[str, ...] = Field(default=(), description="shell lines before a job, as `module load cuda`")
    parameters: dict[str, str | int | float | bool] = Field(
        default_factory=dict, description="further options of sbatch, as {account: lab, qos: long}"
    )
    cluster: Literal["slurm", "local"] = Field(
        default="slurm", description="local: submitit's own stand-in, processes of this machine, to try a file"
    )

    @property
    def lanes(self) -> int:
        """Cells at once, where the cluster has room."""
        return self.array_parallelism

    @property
    def apart(self) -> bool:
        """Jobs have processes of their own."""
        return True

    def with_workers(self, workers: int) -> "SlurmExecutor":
        """Return the same with another number of jobs at once.

        Raises:
            ConfigError: fewer than one.
        """
        if workers < 1:
            raise ConfigError(f"{workers} workers on slurm", wanted="1 or more; the executor local has 0")
        return self.model_copy(update={"array_parallelism": workers})

    def run(self, specs: Sequence[RunSpec], task: Task, out: Path, report: Report) -> None:
        """Run the cells as `Executor` says; an interrupt takes its jobs out of the queue.

        Raises:
            ConfigError: submitit is not installed, or this machine does not submit to Slurm.
        """
        if not specs:
            return
        folder = (out / "slurm").absolute()
        endings = folder / f"endings-{secrets.token_hex(4)}"
        executor = self._executor(folder)
        # The stand-in starts all jobs of an array at once; arrays of Slurm bound themselves.
        size = self.array_parallelism if self.cluster == "local" else _ARRAY
        waiting = list(specs)
        while waiting:
            groups = _groups(waiting, self.runs_per_job)[:size]
            waiting = waiting[sum(map(len, groups)) :]
            with executor.batch():
                jobs = [executor.submit(Cells(self.cpus_per_run), task, g, out.absolute(), endings) for g in groups]
            for job, group in _as_they_end(dict(zip(jobs, groups, strict=True)), 1 if self.cluster == "local" else 10):
                told = [spec for spec in group if _ending_file(endings, spec).is_file()]
                for spec in told:
                    report(spec, as_error(json.loads(_ending_file(endings, spec).read_text(encoding="utf-8"))))
                for spec in group[len(told) : len(told) + 1]:
                    report(spec, overran(spec, out) or _died(job))
                waiting += group[len(told) + 1 :]  # whose turn never came, because the job died before
                _forget(job)

    def _executor(self, folder: Path) -> Any:
        try:
            import submitit
        except ImportError as error:
            raise ConfigError(
                f"executor slurm: {error}", wanted="submitit", next_step="pip install 'spooflab[slurm]'"
            ) from error
        try:
            executor = submitit.AutoExecutor(
                folder=folder / "%j", cluster=self.cluster, slurm_max_num_timeout=self.requeues
            )
        except RuntimeError as error:
            raise ConfigError(
                f"executor slurm: {str(error).splitlines()[0]}",
                wanted="a machine from which sbatch and srun work",
                next_step="executor: {name: slurm, cluster: local, ...} tries the same file on this machine",
            ) from error
        executor.update_parameters(
            name="spooflab",
            timeout_min=self.minutes,
            cpus_per_task=self.cpus_per_run,
            slurm_partition=self.partition,
            slurm_array_parallelism=self.array_parallelism,
            slurm_additional_parameters=dict(self.parameters),
            **({"gpus_per_node": self.gpus_per_run} if self.gpus_per_run else {}),
            **({} if self.memory_gb is None else {"mem_gb": self.memory_gb}),
            **({"slurm_setup": list(self.setup), "local_setup": list(self.setup)} if self.setup else {}),
        )
        return executor


@dataclass(frozen=True)
class Cells:
    """What a job does: its cells in turn, each with a file that tells how it ended.

    Attributes:
        threads: of torch.
    """

    threads: int

    def __call__(self, task: Task, specs: Sequence[RunSpec], out: Path, endings: Path) -> None:
        """Run the cells; those that are done already are left as they are."""
        import torch

        torch.set_num_threads(self.threads)
        for spec in specs:
            write_atomic(_ending_file(endings, spec), json.dumps(attempt(task, spec, out)).encode())

    def checkpoint(self, task: Task, specs: Sequence[RunSpec], out: Path, endings: Path) -> Any:
        """Tell submitit how a job that was preempted, or came to its time limit, goes on: as it began.

        Finished cells are skipped, and a training resumes from its own checkpoint where it writes any.
        """
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self, task, specs, out, endings)


def _as_they_end(jobs: dict[Any, tuple[RunSpec, ...]], poll_s: int) -> Iterator[tuple[Any, tuple[RunSpec, ...]]]:
    """Yield each job with its cells once it has ended; whatever stops this takes the rest out of the queue."""
    from submitit.helpers import as_completed

    left = set(jobs)
    try:
        for job in as_completed(list(jobs), poll_frequency=poll_s):
            left.discard(job)
            yield job, jobs[job]
    finally:
        for job in left:
            job.cancel(check=False)


def _groups(specs: Sequence[RunSpec], size: int) -> list[tuple[RunSpec, ...]]:
    return [tuple(specs[first : first + size]) for first in range(0, len(specs), size)]


def _ending_file(endings: Path, spec: RunSpec) -> Path:
    """Return the file in which a job tells how a cell ended; submitit's pickled result is never opened."""
    return endings / f"{spec.run_id}.json"


def _died(job: Any) -> Died:
    return Died(f"slurm job {job.job_id} ended in the middle of it, state {job.state}; its log: {job.paths.stderr}")


def _forget(job: Any) -> None:
    """Delete what submitit pickled for a job that has ended; logs stay."""
    for path in (job.paths.submitted_pickle, job.paths.result_pickle):
        path.unlink(missing_ok=True)
