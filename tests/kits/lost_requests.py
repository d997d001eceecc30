"""Requests of a commit to an S3 server that fail: before they are carried out, or with their reply lost."""

import random
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from faults import Outcome
from s3_server import s3_server
from s3fs import S3FileSystem
from silent_leases import silence
from small_samples import sample_fields

from spooflab.errors import StoreUnreachable
from spooflab.lease import newest_generations
from spooflab.sample import Sample
from spooflab.store import Store
from spooflab.store_files import files_at

BUCKET, SHARDS, ROWS = "lost", 2, 2


def lost_requests(rng: random.Random, count: int, folder: Path) -> Outcome:
    """Let one request of a store's filling fail, go on, and hold the end against a folder that nothing disturbed."""
    whole = Store.create(folder / "whole", {"seed": 3}, shards=SHARDS)
    _fill(whole)
    wanted = _hashes(whole)
    survived = lost = duplicated = silent = refused = 0
    with s3_server(BUCKET):
        requests = _requests_of_a_filling()
        for number in range(count):
            turn, reply_lost = rng.randrange(requests), bool(number % 2)
            store = _begun()
            with _failing(turn, after=reply_lost):
                try:
                    _fill(store)
                except StoreUnreachable:
                    refused += 1
            half_way = store.verify()  # which may name a whole object of which no record speaks yet
            silent += half_way.count("corrupt") + half_way.count("duplicate")
            _fill(store)
            report, found = store.verify(), _hashes(store)
            rows = sum(record.rows for record in store.committed())
            lost += max(0, SHARDS * ROWS - rows)
            duplicated += report.count("duplicate")
            silent += found != wanted
            survived += found == wanted and report.problems == ()
    also = (
        f"{requests} requests, lost before and after they were carried out; {refused} runs were told and gone on with"
    )
    return Outcome(count, survived, lost, duplicated, silent, also=also)


def _begun() -> Store:
    return Store.create(f"s3://{BUCKET}/{uuid.uuid4().hex}", {"seed": 3}, shards=SHARDS)


def _requests_of_a_filling() -> int:
    store = _begun()
    with _failing(-1, after=False) as seen:
        _fill(store)
    return seen[0]


def _fill(store: Store) -> None:
    for shard in store.pending():
        lease = store.claim(shard)
        if lease is None:  # what the failure kept from being given back
            generation = newest_generations(files_at(store.root))[shard]
            silence(store, f"leases/shard-{shard:05d}.{generation:06d}")
            lease = store.claim(shard)
        assert lease is not None
        with lease:
            store.commit(lease, [Sample.create(**sample_fields(shard * ROWS + row)) for row in range(ROWS)])


def _hashes(store: Store) -> list[str]:
    return [record.sha256 for record in store.committed()]


@contextmanager
def _failing(turn: int, *, after: bool) -> Iterator[list[int]]:
    """Let the request of that number fail, and count them; none fails at -1."""
    whole, seen = S3FileSystem._call_s3, [0]

    async def call(fs: Any, method: str, *args: Any, **options: Any) -> Any:
        mine = seen[0] == turn
        seen[0] += 1
        if mine and not after:
            raise ConnectionResetError("the request was lost")
        answer = await whole(fs, method, *args, **options)
        if mine:
            raise ConnectionResetError("the reply was lost")
        return answer

    S3FileSystem._call_s3 = call
    try:
        yield seen
    finally:
        S3FileSystem._call_s3 = whole
