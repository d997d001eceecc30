"""Watched pools whose processes are killed and stopped, and what their stores hold afterwards.

`drivers_killed` forks its drivers from a process of one thread: it is run by `faults.in_own_process`.
"""

import json
import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from faults import Outcome, counted
from final_files import left_over, shard_hashes
from small_shards import ROWS, make_shard

from spooflab.shard_pool import run_shards
from spooflab.shard_runs import ShardDone, summarise
from spooflab.store import Store

PLAN = {"seed": 3}
LEASE_S = 5.0
LATE_S = 5.0
"""Beyond its lease's term: within this, a process that hangs must be gone, and orphans must have ended."""
DEADLINE_S = 300.0


def begin(root: Path, shards: int) -> Store:
    return Store.create(root, PLAN, shards=shards)


def fill(root: Path, workers: int, lease_s: float = LEASE_S, **config: Any) -> list[ShardDone]:
    found = run_shards(make_shard, json.dumps(config), root, Store.open(root).pending(), workers, lease_s=lease_s)
    return [done for done in found if done is not None]


def undisturbed(root: Path, shards: int) -> dict[str, str]:
    begin(root, shards)
    fill(root, 1)
    return shard_hashes(root)


def whole_so_far(root: Path, wanted: dict[str, str]) -> bool:
    """Say whether all that has a final name now is as in an undisturbed run."""
    return all(wanted[name] == digest for name, digest in shard_hashes(root).items())


def judged(root: Path, wanted: dict[str, str], faults: int, survived: int, hung: int, also: str) -> Outcome:
    """Compare a store that is finished with the undisturbed one."""
    found, report = shard_hashes(root), Store.open(root).verify()
    lost = sum(name not in found for name in wanted if name.endswith(".parquet")) * ROWS
    lost += summarise(Store.open(root)).given_up
    wrong = sum(wanted.get(name) != digest for name, digest in found.items())
    left = left_over(root)
    same = found == wanted and report.problems == () and left == []
    return Outcome(
        faults,
        survived if same else 0,
        lost,
        report.count("duplicate"),
        wrong if report.ok else 0,
        hung,
        also,
    )


def holders(root: Path) -> dict[int, int]:
    """Return the processes that hold a lease, as its file says, each with its shard."""
    found = {}
    for path in (root / "leases").iterdir():
        with suppress(OSError, ValueError, KeyError):
            found[int(json.loads(path.read_text())["pid"])] = int(path.name[6:11])
    return found


def stop_one(rng: random.Random, root: Path, struck: "Counter[str]", within_s: float, *, holding: bool) -> int | None:
    """Stop a process a drawn while after it is seen with a shard; return its number, None where none was stopped.

    A sample is struck twice at most: at the third time in a row it is given up, and that is another fault.

    Args:
        rng: draws the process and the while.
        root: of the store.
        struck: how often each sample was; counts on.
        within_s: the longest while.
        holding: let go on what holds no shard now: nothing is kept from anybody.
    """
    held = [pid for pid in holders(root) if alive(pid)]
    if not held:
        time.sleep(0.01)
        return None
    victim = rng.choice(held)
    time.sleep(rng.uniform(0.0, within_s))
    try:
        os.kill(victim, signal.SIGSTOP)
    except ProcessLookupError:
        return None
    shard = holders(root).get(victim)
    sample = "" if shard is None else Store.open(root).making(shard)
    if (shard is None and holding) or struck[sample] >= 2:
        os.kill(victim, signal.SIGCONT)
        return None
    struck[sample] += bool(sample)
    return victim


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in "ZX"


def gone(pid: int) -> bool:
    return not alive(pid)


def until(true: Callable[[], bool], seconds: float) -> bool:
    """Wait for something, for so long at most; say whether it came."""
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


def workers_killed(rng: random.Random, count: int, folder: Path) -> Outcome:
    """Kill processes that hold a shard, each a drawn while after it took one; the pool makes up for them."""
    shards = 4 * count + 4
    wanted, root, over = undisturbed(folder / "whole", shards), folder / "killed", threading.Event()
    begin(root, shards)
    dead, struck, sound = set[int](), Counter[str](), 0

    def kill() -> None:
        nonlocal sound
        while len(dead) < count and not over.is_set():
            victim = stop_one(rng, root, struck, 0.6, holding=False)
            if victim is not None:
                os.kill(victim, signal.SIGKILL)
                until(partial(gone, victim), DEADLINE_S)
                dead.add(victim)
                sound += whole_so_far(root, wanted)

    thread = threading.Thread(target=kill)
    thread.start()
    try:
        done = fill(root, 2, lease_s=60.0, slow_s=0.05, begun=str(folder / "begun"))
    finally:
        over.set()
        thread.join()
    begun = len((folder / "begun").read_text().split())
    again = -(-(begun - shards * ROWS) // ROWS)
    also = f"{again} shards' samples made again, {len(done)} of {shards} shards told"
    return judged(root, wanted, len(dead), sound if again <= len(dead) else 0, 0, also)


def drivers_killed(rng: random.Random, count: int, folder: Path) -> dict[str, Any]:
    """Kill the process that watches two workers, a drawn while after they got to work, and begin again."""
    shards = 3 * count + 4
    wanted, root = undisturbed(folder / "whole", shards), folder / "killed"
    begin(root, shards)
    kills = sound = orphans = 0
    longest = 0.0
    while kills < count:
        child = os.fork()
        if not child:
            os.setsid()
            os.close(2)
            os.open(os.devnull, os.O_WRONLY)  # what orphans say of their end
            fill(root, 2, lease_s=60.0, slow_s=0.1)
            os._exit(0)
        assert until(lambda: bool([pid for pid in holders(root) if alive(pid)]), DEADLINE_S)
        time.sleep(rng.uniform(0.0, 0.7))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        kills, began = kills + 1, time.monotonic()
        gone = until(lambda child=child: not session(child), LATE_S * 3)  # type: ignore[misc]  # bound at once
        longest = max(longest, time.monotonic() - began)
        orphans += not gone
        for pid in session(child):
            os.kill(pid, signal.SIGKILL)
        sound += gone and whole_so_far(root, wanted)
    fill(root, 1)
    return counted(judged(root, wanted, kills, sound, orphans, f"workers ended at most {longest:.1f} s later"))


def session(leader: int) -> list[int]:
    """Return the living processes of a session."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            state, _, _, number = path.read_text().rpartition(")")[2].split()[:4]
            if int(number) == leader and state not in "ZX":
                found.append(int(path.parent.name))
    return found


def workers_stopped(rng: random.Random, count: int, folder: Path) -> Outcome:
    """Stop processes that hold a shard, at a drawn moment; each must be gone when its term and a little have passed."""
    shards = 2 * count + 4
    wanted, root, over = undisturbed(folder / "whole", shards), folder / "stopped", threading.Event()
    begin(root, shards)
    struck, lasted = Counter[str](), list[float]()

    def stop() -> None:
        while len(lasted) < count and not over.is_set():
            victim = stop_one(rng, root, struck, 0.6, holding=True)
            if victim is not None:
                began = time.monotonic()
                until(partial(gone, victim), DEADLINE_S)
                lasted.append(time.monotonic() - began)

    thread = threading.Thread(target=stop)
    thread.start()
    try:
        fill(root, 2, slow_s=0.2)
    finally:
        over.set()
        thread.join()
    late = sum(seconds > LEASE_S + LATE_S for seconds in lasted)
    also = f"lease {LEASE_S:.0f} s, gone after at most {max(lasted):.1f} s"
    return judged(root, wanted, len(lasted), len(lasted) - late, late, also)
