"""A task that makes shards of tiny samples, some of which end their process."""

import json
import os
import signal
import time
from pathlib import Path

from small_samples import sample_fields

from spooflab.lease import Lease
from spooflab.location import Location
from spooflab.sample import Sample, Skip
from spooflab.shard_runs import GIVEN_UP, GivenUp, ShardDone, commit_shard

ROWS = 3


def make_shard(config_json: str, out: Location, shard: int, given_up: GivenUp) -> ShardDone | None:
    """Three tiny samples.

    `signals` names the ones that end their process, `slow_s` how long each takes, `lives` how many attempts at a sample
    of `signals` end so before one passes, and `begun` a file that gets a line for each sample begun.
    """
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
            begun = _begun(config.get("begun", ""), key)
            time.sleep(config.get("slow_s", 0.0))
            if key in config.get("signals", {}) and begun <= config.get("lives", {}).get(key, begun):
                os.kill(os.getpid(), config["signals"][key])
            samples.append(Sample.create(**sample_fields(shard * ROWS + row)))
        return samples, skips

    return commit_shard(out, shard, make)


def _begun(path: str, key: str) -> int:
    """Note that a sample is begun; return how often it was by now."""
    if not path:
        return 0
    with open(path, "a", encoding="utf-8") as file:  # one short line: appended whole, whoever else does
        file.write(f"{key}\n")
    return Path(path).read_text(encoding="utf-8").split().count(key)
