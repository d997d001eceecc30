"""Generate a data set: every pending shard of a plan is made, by as many processes as asked, and committed."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any, Literal

from spooflab.budget import Budget
from spooflab.errors import ConfigError, DataError, SkipSample
from spooflab.generators.config import GenerationConfig
from spooflab.generators.lab import Lab
from spooflab.generators.plan import Plan, SampleSpec, make_plan, plan_record
from spooflab.lease import Lease
from spooflab.location import Location
from spooflab.part import Part
from spooflab.provenance import code_facts
from spooflab.sample import Sample, Skip
from spooflab.shard_pool import run_shards
from spooflab.shard_ray import run_shards_on_ray
from spooflab.shard_runs import GIVEN_UP, GivenUp, ShardDone, Summary, commit_shard, one_thread, summarise
from spooflab.store import Store

Executor = Literal["local", "ray"]


@dataclass(frozen=True)
class Begun:
    """What a run has before it.

    Attributes:
        fingerprint: of the plan, as every commit record has it.
        counts: planned samples of each species, bona fide first.
        shards: of this run's share of the plan.
        pending: of these, the ones that are not committed yet.
    """

    fingerprint: str
    counts: Mapping[str, int]
    shards: int
    pending: int


def generate(
    config: GenerationConfig,
    out: Location,
    *,
    workers: int = 1,
    resume: bool = False,
    part: Part | None = None,
    budget: Budget | None = None,
    executor: Executor = "local",
    ray_address: str | None = None,
    gpus: float = 0.0,
    begun: Callable[[Begun], None] | None = None,
    progress: Callable[[ShardDone], None] | None = None,
) -> Summary:
    """Make every shard of `config`'s plan that `out` lacks.

    The bytes of a shard depend on the configuration and the code alone, not on workers, order or interruptions.

    Args:
        config: what to make.
        out: the store's folder or URL; must be empty or absent unless `resume`.
        workers: processes; 1 works in this process, unwatched (see `run_shards`).
        resume: continue a store that holds the same plan.
        part: this launcher's share, where several fill the store; the first of them begins it. None is all of it.
        budget: limits, counted from now on. None has none.
        executor: `local` processes, or `ray` tasks.
        ray_address: of a running Ray cluster; None starts one on this machine.
        gpus: share of a GPU that each Ray task asks for.
        begun: called once, when the plan is known and before the first shard is made.
        progress: called after each commit, in this process.

    Raises:
        DataError: `out` holds something else, the plan differs from the stored one, or worker processes keep dying.
        ConfigError: the configuration names something unknown.
    """
    if workers < 1:
        raise ConfigError(f"workers: {workers}", wanted="a number of processes >= 1")
    _prepare.cache_clear()  # folders and models may have changed since this process made something of them
    lab, plan = _prepare(config.model_dump_json())
    record = plan_record(config, lab.refs(), code_facts())
    store = _store(out, record, plan.shards, resume=resume, shared=part is not None)
    share, lacking = part or Part(), store.pending()
    pending = share.of(lacking)
    if budget is not None and budget.max_gb is not None:
        budget.stored = store.stored_bytes()
    if begun is not None:
        begun(Begun(store.fingerprint, plan.counts(), len(share.of(range(store.shards))), len(pending)))
    run = run_shards if executor == "local" else partial(run_shards_on_ray, address=ray_address, gpus=gpus)
    for done in run(make_shard, config.model_dump_json(), out, pending, workers, budget=budget):
        if done is not None and progress is not None:
            progress(done)
    return summarise(store)


def _store(out: Location, record: Mapping[str, Any], shards: int, *, resume: bool, shared: bool) -> Store:
    """Begin a store, or open one: to go on with it, or because another launcher has begun it."""
    if not resume and not (shared and Store.begun(out)):
        try:
            return Store.create(out, plan=record, shards=shards)
        except DataError:
            if not (shared and Store.begun(out)):
                raise
    return Store.open(out, plan=record)


def make_shard(config_json: str, out: Location, shard: int, given_up: GivenUp) -> ShardDone | None:
    """Make and commit one shard; None where another process holds, has finished or has taken it over."""
    one_thread()
    lab, plan = _prepare(config_json)
    return commit_shard(out, shard, lambda lease: _make(lab, plan.shard(shard), lease, given_up))


def _make(lab: Lab, specs: Sequence[SampleSpec], lease: Lease, given_up: GivenUp) -> tuple[list[Sample], list[Skip]]:
    samples: list[Sample] = []
    skips: list[Skip] = []
    # Face by face, so that each is loaded and read once; samples do not depend on their order, which is put back below.
    for spec in sorted(specs, key=lambda s: (s.face.source, s.face.source_id, s.index)):
        lease.renew(spec.key)
        try:
            if reason := given_up.get(spec.key):
                raise SkipSample(reason, GIVEN_UP[reason])
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


@lru_cache(maxsize=2)
def _prepare(config_json: str) -> tuple[Lab, Plan]:
    config = GenerationConfig.model_validate_json(config_json)
    lab = Lab(config)
    return lab, make_plan(config, lab.refs(), lab.device_ids)
