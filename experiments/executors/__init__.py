"""Where the cells of a study run: processes of this machine, a Ray cluster, or the job arrays of a Slurm cluster."""

from spooflab.experiments.executors.choice import AnyExecutor, chosen_executor
from spooflab.experiments.executors.local import LocalExecutor
from spooflab.experiments.executors.protocol import Executor, Report, Task
from spooflab.experiments.executors.ray import RayExecutor
from spooflab.experiments.executors.slurm import SlurmExecutor
from spooflab.experiments.executors.time_limit import within

__all__ = [
    "AnyExecutor",
    "Executor",
    "LocalExecutor",
    "RayExecutor",
    "Report",
    "SlurmExecutor",
    "Task",
    "chosen_executor",
    "within",
]
