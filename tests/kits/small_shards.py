"""A task that makes shards of tiny samples, some of which end their process."""

import json
import os
import signal
import time

from small_samples import sample_fields

from spooflab.lease import Lease
from spooflab.location import Location
from spooflab.sample import Sample, Skip
from spooflab.shard_runs import GIVEN_UP, GivenUp, ShardDone, commit_shard

ROWS = 3


def make_shard(config_json: str, out: Location, shard: int, given_up: GivenUp) -> ShardDone | None:
    """Three tiny samples; `signals` names the ones that end their process, `slow_s` how long each takes."""
    config = json.loads(config_json)

    def make(lease: Lease) -> tuple[list[Sample], list[Skip]]:
        samples, skips = list[Sample](), list[Skip]()
        if config.get("outside"):
            os.kill(os.getpid(), signal.SIGABRT)
        for row in range(ROWS):
            fields = sample_fields(shard * ROWS + row)
            key = str(fields["key"])
            lease.renew(key)
            if key in given_up:
                skips.append(Skip(key, str(fields["species"]), given_up[key], GIVEN_UP[given_up[key]]))
                continue
            time.sleep(config.get("slow_s", 0.0))
            if key in config.get("signals", {}):
                os.kill(os.getpid(), config["signals"][key])
            samples.append(Sample.create(**sample_fields(shard * ROWS + row)))
        return samples, skips

    return commit_shard(out, shard, make)
