"""Processes that are killed, stopped or refused at one of their calls to the file system while they commit a shard.

Each is forked from this one, which has but one thread: run by `faults.in_own_process`.
"""

import errno
import os
import random
import resource
import signal
import sys
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from final_files import left_over, shard_hashes
from small_samples import sample_fields

from spooflab.errors import DataError
from spooflab.lease import Lease, LeaseLost
from spooflab.sample import Sample
from spooflab.store import COMMIT_POINTS, Store

PLAN = {"seed": 3}
ROWS = 2
DONE, LOST, HELD, REFUSED = 0, 3, 4, 5
"""How a child ended: it committed, its lease was lost, it got none, it told that the disk refused."""
SEEN = ("open", "fsync", "link", "replace", "unlink", "mkdir", "utime")
Act = Callable[[], None]


def samples(shard: int) -> list[Sample]:
    return [Sample.create(**sample_fields(shard * ROWS + row, size=16)) for row in range(ROWS)]


MADE: dict[int, list[Sample]] = {}


def made(shard: int) -> list[Sample]:
    """Samples of a shard, drawn once: forked children have them too."""
    if shard not in MADE:
        MADE[shard] = samples(shard)
    return MADE[shard]


def finish(root: Path) -> None:
    store = Store.open(root, PLAN)
    for shard in store.pending():
        commit(held(store, shard), shard)


def commit(lease: Lease, shard: int, hook: Callable[[str], None] | None = None) -> None:
    with lease:
        lease.renew(made(shard)[0].key)
        Store.open(lease.path.parent.parent, PLAN).commit(lease, made(shard), hook=hook)


def held(store: Store, shard: int) -> Lease:
    lease = store.claim(shard)
    if lease is None:
        raise AssertionError(f"{store.root}: shard {shard} is held by a process that is gone")
    return lease


def undisturbed(root: Path, shards: int = 1) -> dict[str, str]:
    Store.create(root, PLAN, shards=shards)
    finish(root)
    return shard_hashes(root)


def forked(work: Act) -> int:
    """Fork a child that does the work, and return its process number; `HOW` its status tells of how it ended."""
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        work()
        status = DONE
    except LeaseLost:
        status = LOST
    except DataError as error:
        status = REFUSED if "--resume" in str(error) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(status)


def at_call(number: int, act: Act) -> None:
    """From now on, do something before this process's call to the file system with that number, from 0."""
    calls = [0]

    def counting(call: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*arguments: Any, **options: Any) -> Any:
            calls[0] += 1
            if calls[0] == number + 1:
                act()
            return call(*arguments, **options)

        return counted

    for name in SEEN:
        setattr(os, name, counting(getattr(os, name)))


def at_point(name: str, act: Act) -> Callable[[str], None]:
    """Return a hook that does something at one of `COMMIT_POINTS`."""
    return lambda point: act() if point == name else None


def send(number: signal.Signals) -> Act:
    return lambda: os.kill(os.getpid(), number)


def take_and_commit(root: Path, hook: Callable[[str], None] | None = None) -> None:
    lease = Store.open(root, PLAN).claim(0)
    if lease is None:
        os._exit(HELD)
    commit(lease, 0, hook)


def calls_of_a_commit(folder: Path, arm: Callable[[int], None]) -> int:
    """Return how many calls of `take_and_commit` can be armed."""
    number = 0
    while True:
        root = folder / f"counted-{number}"
        Store.create(root, PLAN, shards=1)

        def work(root: Path = root, number: int = number) -> None:
            arm(number)
            take_and_commit(root)

        if os.waitpid(forked(work), 0)[1] == DONE:
            return number
        number += 1


def killed_at(number: int) -> None:
    at_call(number, send(signal.SIGKILL))


def as_promised(root: Path, wanted: dict[str, str], outcome: dict[str, Any]) -> bool:
    """Finish a store, compare it with the undisturbed one, and count what is amiss; say whether nothing is."""
    finish(root)
    store = Store.open(root)
    store.clean_partial()
    report = store.verify()
    found = shard_hashes(root)
    lost = len(set(wanted) - set(found)) * ROWS
    wrong = sum(wanted.get(name) != digest for name, digest in found.items())
    outcome["lost"] += lost
    outcome["duplicated"] += report.count("duplicate")
    outcome["silently_wrong"] += wrong if report.ok else 0
    left = left_over(root)
    return not lost and not wrong and report.problems == () and left == []


def begun(injected: int) -> dict[str, Any]:
    return {"injected": injected, "survived": 0, "lost": 0, "duplicated": 0, "silently_wrong": 0, "hung": 0}


def killed(rng: random.Random, count: int, folder: Path) -> dict[str, Any]:
    """Kill a process at each commit point, then before drawn calls; what has a final name then must be whole."""
    wanted, calls = undisturbed(folder / "whole"), calls_of_a_commit(folder, killed_at)
    outcome = begun(count)
    for number in range(count):
        root = folder / f"killed-{number}"
        Store.create(root, PLAN, shards=1)

        def work(root: Path = root, number: int = number) -> None:
            if number < len(COMMIT_POINTS):
                take_and_commit(root, at_point(COMMIT_POINTS[number], send(signal.SIGKILL)))
            killed_at(rng.randrange(calls))
            take_and_commit(root)

        rng.random()  # each child draws anew
        status = os.waitpid(forked(work), 0)[1]
        whole = all(digest == wanted[name] for name, digest in shard_hashes(root).items())
        outcome["silently_wrong"] += not whole
        outcome["survived"] += as_promised(root, wanted, outcome) and whole and os.WIFSIGNALED(status)
    return outcome | {"also": f"all {len(COMMIT_POINTS)} commit points and drawn ones of {calls} calls"}


ORDERS = ("successor commits first", "wakes while its successor works", "its successor dies")


def stopped(rng: random.Random, count: int, folder: Path) -> dict[str, Any]:
    """Stop a process before a call, let its term pass and another take over, and wake it at three moments."""
    wanted, calls = undisturbed(folder / "whole"), calls_of_a_commit(folder, killed_at)
    outcome, places = begun(count), [(call, order) for order in ORDERS for call in range(calls)]
    rng.shuffle(places)
    ends = dict.fromkeys((DONE, LOST, HELD, REFUSED, 1), 0)
    for number in range(count):
        call, order = places[number % len(places)]
        root = folder / f"stopped-{number}"
        store = Store.create(root, PLAN, shards=1)

        def work(root: Path = root, call: int = call) -> None:
            at_call(call, send(signal.SIGSTOP))
            take_and_commit(root)

        child = forked(work)
        assert os.WIFSTOPPED(os.waitpid(child, os.WUNTRACED)[1])
        for path in (root / "leases").iterdir():
            os.utime(path, (0, 0))  # its term is over
        lease = store.claim(0)
        if order == ORDERS[0] and lease is not None:
            commit(lease, 0)
        if order == ORDERS[2] and lease is not None:
            os.utime(lease.path, (0, 0))
        os.kill(child, signal.SIGCONT)
        end = os.WEXITSTATUS(os.waitpid(child, 0)[1])
        ends[end] += 1
        if order == ORDERS[1] and lease is not None:
            commit(lease, 0)
        survived = as_promised(root, wanted, outcome) and end in (DONE, LOST, HELD)
        if not survived:
            sys.stderr.write(f"call {call}, {order}: ended with {end}\n")
        outcome["survived"] += survived
    return outcome | {"also": f"woken, {ends[LOST]} saw that they were replaced, {ends[DONE]} had nothing left to harm"}


def refused(rng: random.Random, count: int, folder: Path) -> dict[str, Any]:
    """Let the disk be full, by turns at a size that a file may not exceed and at a call that writes."""
    wanted, calls = undisturbed(folder / "whole"), calls_of_a_commit(folder, no_space_at)
    size = (folder / "whole" / "shards" / "shard-00000.parquet").stat().st_size
    outcome = begun(count)
    for number in range(count):
        root = folder / f"full-{number}"
        Store.create(root, PLAN, shards=1)

        def work(root: Path = root, number: int = number) -> None:
            if number % 2:
                no_space_at(number // 2 % calls)
            else:
                most = rng.randrange(size)
                resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
            take_and_commit(root)

        rng.random()
        end = os.WEXITSTATUS(os.waitpid(forked(work), 0)[1])
        found = shard_hashes(root)
        whole = all(digest == wanted[name] for name, digest in found.items())
        survived = as_promised(root, wanted, outcome) and whole and end == REFUSED
        if not survived:
            sys.stderr.write(f"{number}: ended with {end}, {sorted(found)}\n")
        outcome["survived"] += survived
    return outcome | {"also": f"{calls} calls of a commit that write"}


def no_space_at(number: int) -> None:
    """From now on, refuse this process's call that writes with that number, and all later ones: the disk is full."""
    calls = [0]

    def refusing(call: Callable[..., Any], writes: Callable[..., bool]) -> Callable[..., Any]:
        def counted(*arguments: Any, **options: Any) -> Any:
            if writes(*arguments):
                calls[0] += 1
                if calls[0] > number:
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return call(*arguments, **options)

        return counted

    def makes(path: object, flags: int = 0, *rest: object) -> bool:
        return bool(flags & os.O_CREAT)

    os.open = refusing(os.open, makes)
    Path.write_text = refusing(Path.write_text, lambda *a: True)  # type: ignore[method-assign]  # the fault
    for name in ("fsync", "link"):
        setattr(os, name, refusing(getattr(os, name), lambda *a: True))


def launchers(rng: random.Random, count: int, folder: Path) -> dict[str, Any]:
    """Two or three processes fill one folder from different ends; each shard must be committed by one of them."""
    shards = 8
    outcome, wanted = begun(count), undisturbed(folder / "whole", shards)
    for number in range(count):
        root = folder / f"shared-{number}"
        order = [rng.sample(range(shards), shards) for _ in range(rng.choice((2, 3)))]
        children = [forked(partial(launch, root, mine, who)) for who, mine in enumerate(order)]
        ends = [os.WEXITSTATUS(os.waitpid(child, 0)[1]) for child in children]
        told = sorted(line for path in folder.glob("committed-*") for line in path.read_text().split())
        for path in folder.glob("committed-*"):
            path.unlink()
        outcome["duplicated"] += len(told) - len(set(told))
        alone = told == sorted(map(str, range(shards)))
        outcome["survived"] += as_promised(root, wanted, outcome) and alone and set(ends) == {DONE}
    return outcome | {"also": f"{shards} shards each, begun by whoever came first"}


def launch(root: Path, order: list[int], who: int) -> None:
    try:
        store = Store.create(root, PLAN, shards=len(order))
    except DataError:
        store = Store.open(root, PLAN)
    for shard in order:
        lease = store.claim(shard)
        if lease is not None:
            commit(lease, shard)
            with (root.parent / f"committed-{who}").open("a") as file:
                file.write(f"{shard}\n")
