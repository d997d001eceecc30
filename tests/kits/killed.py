"""Train once in peace, and once through many SIGKILLs; run as a script, so that children fork from one thread.

Three kills of five come from outside, at a drawn step and a drawn moment within it. The others happen inside the
writing of a checkpoint, at places that a clock would hardly hit: half a file written, all but the renaming done, half
of an old checkpoint deleted, the log half rewritten.
"""

import json
import os
import random
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path

import torch

torch.set_num_threads(1)

from interrupted import small  # noqa: E402  # threads first

from spooflab import atomic  # noqa: E402
from spooflab.adapters import ImageSet, checkpoints, fit, run_log  # noqa: E402
from spooflab.adapters.model_files import build_algorithm  # noqa: E402

KILLS = int(sys.argv[3])
CONFIG = small(
    algorithm="fishr",
    steps=20 * KILLS,
    eval_every=20,
    log_every=1,
    averaging={"kind": "ema", "decay": 0.9, "statistics_steps": 2},
)
PLACES = ("state.safetensors", "state.json", "rename", "renamed", "delete", "trim", "state.safetensors", "delete")


def toy(count: int, root: int) -> ImageSet:
    gen = torch.Generator().manual_seed(root)
    labels, domains = torch.arange(count) % 2, torch.arange(count) // 2 % 3
    images = (60 + 80 * torch.rand(count, 3, 32, 32, generator=gen)).to(torch.uint8)
    return ImageSet(images, labels, domains, [f"{root}-{i}" for i in range(count)], ["x"] * count)


def start(out: Path, prepare: Callable[[], None] = lambda: None) -> int:
    """Fork a child that trains into `out`."""
    child = os.fork()
    if not child:
        try:
            prepare()
            fit(CONFIG, train=toy(48, 0), dev=toy(16, 1), seed=4, out=out)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    return child


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def dies_at(place: str, visit: int) -> Callable[[], None]:
    """Return what makes a process kill itself when it comes to `place` for the `visit`-th time."""
    left = [visit]

    def now() -> bool:
        left[0] -= 1
        return not left[0]

    def half_write(path: Path, data: bytes) -> None:
        if path.name == place and now():
            path.write_bytes(data[: len(data) // 2])
            die()
        atomic.write_aside(path, data)

    def rename(source: Path, final: Path) -> None:
        if place == "rename" and now():
            die()
        atomic.replace(source, final)
        if place == "renamed" and now():
            die()

    def half_delete(folder: Path, ignore_errors: bool = False) -> None:
        if folder.exists() and now():
            next(folder.iterdir()).unlink()
            die()
        delete(folder, ignore_errors=ignore_errors)

    def half_trim(path: Path, data: bytes) -> None:
        path.with_name(".log.jsonl.half").write_bytes(data[: len(data) // 2])
        die()

    delete = shutil.rmtree

    def prepare() -> None:
        checkpoints.write_aside, checkpoints.replace = half_write, rename
        if place == "delete":
            checkpoints.shutil.rmtree = half_delete
        if place == "trim":
            run_log.write_over = half_trim

    return prepare


def logged_step(out: Path) -> int:
    """The step of the last whole row of the log."""
    path = out / "log.jsonl"
    lines = path.read_bytes()[-2000:].split(b"\n")[1:-1] if path.exists() else []
    return json.loads(lines[-1]).get("step", 0) if lines else 0


def kill_after(child: int, out: Path, steps: int, moment_s: float) -> None:
    kept = sorted((out / "checkpoints").glob("step-*"))
    aim = (int(kept[-1].name[5:]) if kept else 0) + steps
    while logged_step(out) < aim:
        if os.waitpid(child, os.WNOHANG)[0]:
            raise SystemExit(f"the child ended by itself before step {aim}")
        time.sleep(0.003)
    time.sleep(moment_s)
    os.kill(child, signal.SIGKILL)


def main(whole: Path, cut: Path) -> None:
    """Print, for each life, how it ended and the newest checkpoint it left."""
    import accelerate.utils  # noqa: F401  # what each child would import anew

    build_algorithm(CONFIG, num_domains=3)
    assert os.waitpid(start(whole), 0)[1] == 0
    rng, lives = random.Random(20), []
    inside = -(-2 * KILLS // 5)
    plan = [*(PLACES * KILLS)[:inside], *[""] * (KILLS - inside)]
    rng.shuffle(plan)
    for place in plan:
        child = start(cut, dies_at(place, 1 if place == "trim" else rng.randint(1, 3)) if place else lambda: None)
        if not place:
            kill_after(child, cut, rng.randint(1, 18), rng.uniform(0, 0.01))
        status = os.waitpid(child, 0)[1]
        kept = sorted(path.name for path in (cut / "checkpoints").glob("step-*"))
        lives.append({"place": place, "signal": os.WTERMSIG(status), "kept": kept[-1:]})
    assert os.waitpid(start(cut), 0)[1] == 0
    sys.stdout.write(json.dumps(lives))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
