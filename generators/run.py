"""Generate a data set: every pending shard of a plan is made, by as many processes as asked, and committed."""

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch

from spooflab.allocator import keep_freed_memory
from spooflab.errors import ConfigError, DataError, SkipSample
from spooflab.generators.config import GenerationConfig
from spooflab.generators.lab import Lab
from spooflab.generators.plan import Plan, SampleSpec, make_plan, plan_record
from spooflab.lease import Lease, LeaseLost
from spooflab.provenance import code_facts
from spooflab.sample import Sample, Skip
from spooflab.store import Store


@dataclass(frozen=True)
class ShardDone:
    """What one committed shard holds."""

    shard: int
    rows: int
    skips: int
    sha256: str


@dataclass(frozen=True)
class Summary:
    """What a run left behind.

    Attributes:
        shards: number of shards of the plan.
        committed: how many are committed now.
        rows: samples in the store.
        skips: samples recorded as skipped, with their reasons in the shards' commit records.
    """

    shards: int
    committed: int
    rows: int
    skips: int


def generate(
    config: GenerationConfig,
    out: Path,
    *,
    workers: int = 1,
    resume: bool = False,
    progress: Callable[[ShardDone], None] | None = None,
) -> Summary:
    """Make every shard of `config`'s plan that `out` lacks.

    The bytes of a shard depend on the configuration and the code alone, not on workers, order or interruptions.

    Args:
        config: what to make.
        out: the store's folder; must be empty or absent unless `resume`.
        workers: processes; 1 works in this process.
        resume: continue a store that holds the same plan.
        progress: called after each commit, in this process.

    Raises:
        DataError: `out` holds something else, the plan differs from the stored one, or a worker process died.
        ConfigError: the configuration names something unknown.
    """
    if workers < 1:
        raise ConfigError(f"workers: {workers}", wanted="a number of processes >= 1")
    _prepare.cache_clear()  # folders and models may have changed since this process made something of them
    lab, plan = _prepare(config.model_dump_json())
    record = plan_record(config, lab.refs(), code_facts())
    store = Store.open(out, plan=record) if resume else Store.create(out, plan=record, shards=plan.shards)
    for done in _run(config, out, store.pending(), workers):
        if done is not None and progress is not None:
            progress(done)
    return summarise(store)


def summarise(store: Store) -> Summary:
    """Count what is committed."""
    records = store.committed()
    return Summary(
        shards=store.shards,
        committed=len(records),
        rows=sum(r.rows for r in records),
        skips=sum(len(r.skips) for r in records),
    )


def make_shard(config_json: str, out: Path, shard: int) -> ShardDone | None:
    """Make and commit one shard; None where another process holds, has finished or has taken it over."""
    torch.set_num_threads(1)
    keep_freed_memory()
    lab, plan = _prepare(config_json)
    store = Store.open(out)
    lease = store.claim(shard)
    if lease is None:
        return None
    with lease, suppress(LeaseLost):
        samples, skips = _make(lab, plan.shard(shard), lease)
        record = store.commit(lease, samples, skips)
        return ShardDone(shard, record.rows, len(record.skips), record.sha256)
    return None


def _make(lab: Lab, specs: Sequence[SampleSpec], lease: Lease) -> tuple[list[Sample], list[Skip]]:
    samples: list[Sample] = []
    skips: list[Skip] = []
    # Face by face, so that each is loaded and read once; samples do not depend on their order, which is put back below.
    for spec in sorted(specs, key=lambda s: (s.face.source, s.face.source_id, s.index)):
        lease.renew()
        try:
            samples.append(lab.make(spec))
        except SkipSample as skip:
            skips.append(
                Skip(
                    key=spec.key,
                    species=spec.species,
                    reason=skip.reason,
                    detail=skip.detail,
                    face_source=spec.face.source,
                    subject_id=spec.face.subject_id,
                )
            )
        except Exception as error:
            error.add_note(f"while making {spec.key}: {spec.species} of {spec.face.source_id} by {spec.device_id}")
            raise
    place = {spec.key: spec.index for spec in specs}
    return sorted(samples, key=lambda s: place[s.key]), sorted(skips, key=lambda s: place[s.key])


def _run(config: GenerationConfig, out: Path, pending: list[int], workers: int) -> Iterator[ShardDone | None]:
    text = config.model_dump_json()
    if workers <= 1:
        for shard in pending:
            yield make_shard(text, out, shard)
        return
    # Forked children would inherit torch's thread pool in an unusable state; spawned ones start clean.
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        futures: dict[Future[ShardDone | None], int] = {pool.submit(make_shard, text, out, s): s for s in pending}
        try:
            for future in as_completed(futures):
                yield future.result()
        except BrokenProcessPool as error:
            raise DataError(
                f"a worker process died (killed, or out of memory); {out} keeps every committed shard",
                wanted=f"{workers} workers that stay alive",
                next_step="run the same command again with --resume, perhaps with fewer --workers",
            ) from error
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


@lru_cache(maxsize=2)
def _prepare(config_json: str) -> tuple[Lab, Plan]:
    config = GenerationConfig.model_validate_json(config_json)
    lab = Lab(config)
    return lab, make_plan(config, lab.refs(), lab.device_ids)
