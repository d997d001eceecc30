"""Which executor a study runs on: its file's, or the command line's."""

from typing import Annotated, Literal

from pydantic import Field

from spooflab.experiments.executors.local import LocalExecutor
from spooflab.experiments.executors.ray import RayExecutor
from spooflab.experiments.executors.slurm import SlurmExecutor

AnyExecutor = Annotated[LocalExecutor | RayExecutor | SlurmExecutor, Field(discriminator="name")]
ExecutorName = Literal["local", "ray", "slurm"]


def chosen_executor(
    configured: AnyExecutor | None,
    workers_of_study: int,
    *,
    name: ExecutorName | None = None,
    workers: int | None = None,
) -> LocalExecutor | RayExecutor | SlurmExecutor:
    """Return what a study runs on.

    Args:
        configured: the file's `executor`.
        workers_of_study: the file's `workers`, for `local` alone.
        name: of the command line; another than the file's comes with its defaults.
        workers: of the command line: cells at once, on any executor.
    """
    kinds = {"local": LocalExecutor, "ray": RayExecutor, "slurm": SlurmExecutor}
    chosen = configured or LocalExecutor()
    if name is not None and name != chosen.name:
        chosen = kinds[name]()
    if workers is None and chosen.name == "local" and chosen.workers is None:
        workers = workers_of_study
    return chosen if workers is None else chosen.with_workers(workers)
