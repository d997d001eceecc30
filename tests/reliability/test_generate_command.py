"""The command itself, with its real generator: killed, crashed by a sample, and out of space."""

import hashlib
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from faults import Fault, Outcome
from final_files import shard_hashes
from small_generation import COMMAND, SMALL, config_file, nothing_left, start

from spooflab.generators.run import generate
from spooflab.store import Store, read_index

Endure = Callable[[Fault], Outcome]
pytestmark = pytest.mark.slow
DEADLINE_S = 600.0


def rows_amiss(root: Path, wanted: Path) -> tuple[int, int]:
    """Return how many rows a store lacks and holds twice, beside another."""
    found = [key for shard in sorted((root / "shards").glob("*.parquet")) for key in keys(shard)]
    expected = [key for shard in sorted((wanted / "shards").glob("*.parquet")) for key in keys(shard)]
    return len(set(expected) - set(found)), len(found) - len(set(found))


def keys(shard: Path) -> list[str]:
    found: list[str] = pq.read_table(shard, columns=["key"]).column("key").to_pylist()
    return found


def killed(rng: random.Random, count: int, folder: Path) -> Outcome:
    """Kill `spooflab generate` and all its workers, a drawn while after its first shard; resume; again and again."""
    generate(SMALL, folder / "whole")
    wanted, config = shard_hashes(folder / "whole"), config_file(folder)
    outcome = Outcome()
    for number in range(count):
        out = folder / f"killed-{number}"
        workers = ("--workers", number % 2 + 1)
        child = start("generate", config, "--out", out, *workers)
        end = time.monotonic() + DEADLINE_S
        while not list(out.glob("leases/*")) and time.monotonic() < end and child.poll() is None:
            time.sleep(0.01)
        time.sleep(rng.uniform(0.0, 1.0))
        ended = child.poll() is not None
        os.killpg(child.pid, signal.SIGKILL)
        child.communicate()
        whole = all(wanted[name] == digest for name, digest in shard_hashes(out).items())
        again = start("generate", "--out", out, "--resume")
        told = again.communicate(timeout=DEADLINE_S)[1]
        assert again.returncode == 0, told
        lost, twice = rows_amiss(out, folder / "whole")
        same = shard_hashes(out) == wanted and nothing_left(out)
        outcome += Outcome(1, int(whole and same and not ended), lost, twice, int(not whole))
    return outcome


def test_the_command_is_killed(endure: Endure) -> None:
    endure(Fault("kill", "`spooflab generate` with its workers, then `--resume`", killed, trimmed=1, full=10))


def skipped(root: Path) -> set[tuple[str, str]]:
    return {(skip.key, skip.reason) for record in Store.open(root).committed() for skip in record.skips}


def crashed(rng: random.Random, count: int, folder: Path) -> Outcome:
    """Let one sample end its process with SIGSEGV whenever it is tried."""
    generate(SMALL, folder / "whole")
    config, rows = config_file(folder), read_index(folder / "whole").column("key").to_pylist()
    script = (sys.executable, str(Path(__file__).parents[1] / "kits" / "crashing_generate.py"))
    outcome = Outcome()
    for number, bad in enumerate(rng.sample(rows, count)):
        out, log = folder / f"crashed-{number}", folder / f"log-{number}"
        child = start(
            "generate", config, "--out", out, "--workers", "2", command=script, CRASHING_KEYS=bad, CRASHING_LOG=str(log)
        )
        told = child.communicate(timeout=DEADLINE_S)[1]
        skips = skipped(out) - skipped(folder / "whole")
        attempts = log.read_text().split().count(bad)
        lost, twice = rows_amiss(out, folder / "whole")
        others = sum(shard_hashes(out).get(n) != d for n, d in shard_hashes(folder / "whole").items())
        survived = (
            child.returncode == 3
            and skips == {(bad, "process_died")}
            and attempts <= 3
            and others == 2  # the shard with the sample, and its record
            and nothing_left(out)
            and "process_died" in told
        )
        outcome += Outcome(
            1, int(survived), lost - 1, twice, also="3 attempts each, skipped with `process_died`, exit status 3"
        )
    return outcome


def test_a_sample_crashes_its_process(endure: Endure) -> None:
    endure(
        Fault("crash", "SIGSEGV at one sample of `spooflab generate`, whenever it is tried", crashed, trimmed=1, full=3)
    )


FULL = """
set -e
mount -t tmpfs -o size=$1k tmpfs "$2"
shift
folder=$1
shift
set +e
"$@" generate "$folder/../config.yaml" --out "$folder/data" 2> "$folder/../told"
echo $? > "$folder/../status"
cp -r "$folder/data/shards" "$folder/../left"
mount -o remount,size=64m "$folder"
"$@" generate --out "$folder/data" --resume
cp -r "$folder/data" "$folder/../data"
"""


def full(rng: random.Random, count: int, folder: Path) -> Outcome:
    """Generate into a file system that is too small, give it space, and resume."""
    plan = SMALL.model_copy(update={"output_px": 96})
    generate(plan, folder / "whole")
    wanted = shard_hashes(folder / "whole")
    size = sum(path.stat().st_size for path in (folder / "whole" / "shards").iterdir())
    outcome = Outcome()
    for number in range(count):
        place = folder / f"full-{number}"
        (place / "disk").mkdir(parents=True)
        config_file(place, output_px=96)
        kib = rng.randrange(40, int(0.9 * size / 1024))
        command = [
            "unshare",
            "--user",
            "--map-root-user",
            "--mount",
            "sh",
            "-c",
            FULL,
            "sh",
            str(kib),
            str(place / "disk"),
        ]
        subprocess.run([*command, *COMMAND], check=True, timeout=DEADLINE_S, capture_output=True)
        told, status = (place / "told").read_text(), (place / "status").read_text().strip()
        left = {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in (place / "left").iterdir()}
        whole = all(digest == wanted[name] for name, digest in left.items())
        lost, twice = rows_amiss(place / "data", folder / "whole")
        clear = status == "2" and "No space left" in told and "--resume" in told and "Traceback" not in told
        if not clear:
            sys.stderr.write(f"{kib} KiB: {status}: {told}\n")
        same = shard_hashes(place / "data") == wanted and nothing_left(place / "data")
        outcome += Outcome(1, int(whole and clear and same), lost, twice, int(not whole))
    return outcome


def test_the_disk_is_full(endure: Endure) -> None:
    asked = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", "mount -t tmpfs tmpfs /mnt"]
    if shutil.which("unshare") is None or subprocess.run(asked, capture_output=True, check=False).returncode:
        pytest.skip("no file system of its own can be mounted here")
    endure(
        Fault(
            "disk",
            "`spooflab generate` into a file system of too few kilobytes, then more space",
            full,
            trimmed=0,
            full=4,
        )
    )
