"""Shards made by Ray tasks: one machine's cores, or a cluster that shares the store's file system."""

from collections.abc import Iterator, Sequence
from typing import Any

from spooflab.budget import Budget
from spooflab.errors import DataError
from spooflab.location import Location
from spooflab.ray_session import ray_session
from spooflab.shard_runs import ShardDone, Task

RETRIES = 2
"""How often Ray starts a task again whose process died."""
_AHEAD = 2
"""Tasks submitted for each that can run, so that none waits for the driver."""


def run_shards_on_ray(
    task: Task,
    config_json: str,
    out: Location,
    pending: Sequence[int],
    workers: int,
    *,
    budget: Budget | None = None,
    address: str | None = None,
    gpus: float = 0.0,
) -> Iterator[ShardDone | None]:
    """Yield what `task` returns for every pending shard, as they end, until the budget forbids another.

    Tasks commit their shards themselves: nothing but a few numbers comes back, and what Ray runs twice is committed
    once. A running cluster is joined at `address`; without one, a local Ray with `workers` processes is started, which
    listens on this machine alone and has no dashboard.

    Args:
        task: makes a shard; the code must be installed on every machine of the cluster.
        config_json: of the run, for every process to build its parts from.
        out: the store's folder, the same path on every machine.
        pending: shards to make.
        workers: tasks at once, one core each.
        budget: limits; None has none.
        address: of a running cluster, `auto` for the one of this machine.
        gpus: share of a GPU that each task asks for.

    Raises:
        ConfigError: Ray is not installed, or no cluster answers.
        DataError: a task's process keeps dying.
    """
    budget = budget or Budget()
    out = out.absolute()
    with ray_session(address, workers) as ray:
        remote = ray.remote(num_cpus=1, num_gpus=gpus, max_retries=RETRIES)(task)
        waiting, flying = list(pending), list[Any]()
        try:
            while waiting or flying:
                while waiting and len(flying) < _AHEAD * workers and not budget.refusal(len(flying)):
                    flying.append(remote.remote(config_json, out, waiting.pop(0), {}))
                if not flying:
                    return
                ready, flying = ray.wait(flying, num_returns=1)
                done = _result(ray, ready[0], out)
                if done is not None:
                    budget.spend(done)
                yield done
        finally:
            for reference in flying:
                ray.cancel(reference, force=True)


def _result(ray: Any, reference: Any, out: Location) -> ShardDone | None:
    try:
        done: ShardDone | None = ray.get(reference)
    except ray.exceptions.WorkerCrashedError as error:
        raise DataError(
            f"a task's process died {RETRIES + 1} times; {out} keeps every committed shard",
            wanted="processes that stay alive",
            next_step="run again with --resume and without Ray: the local pool finds the sample that does it",
        ) from error
    return done
