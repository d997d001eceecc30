"""Checkpoints and lists of renders with a bit flipped or an end cut off, and what a run makes of them."""

import random
from pathlib import Path

import torch
from faults import Outcome
from flips import damaged

from spooflab.adapters.checkpoints import Checkpoint, load_checkpoint, save_checkpoint
from spooflab.adapters.mining import Ledger, Made, Point
from spooflab.errors import SkipSample
from spooflab.seeds import generator

RENDERS = 8


def saved(folder: Path) -> dict[int, Checkpoint]:
    """Save three checkpoints, of which two are kept; return these by step."""
    for step in (5, 10, 15):
        tensors = {"model/w": torch.randn(40, 3, generator=generator(step)), "best/w": torch.full((7,), float(step))}
        state = {"identity": {"seed": 4}, "best_step": step - 1, "history": [[step, 0.1 * step]], "scaler": None}
        save_checkpoint(folder, step, tensors, state)
    found = {}
    for step in (10, 15):
        path = folder / f"step-{step:08d}"
        aside = path.with_name("aside")
        aside.mkdir()
        path.rename(aside / path.name)
        found[step], _ = load_checkpoint(aside)
        (aside / path.name).rename(path)
        aside.rmdir()
    return {step: checkpoint for step, checkpoint in found.items() if checkpoint is not None}


def same(a: Checkpoint, b: Checkpoint) -> bool:
    return (
        a.state == b.state
        and a.tensors.keys() == b.tensors.keys()
        and all(torch.equal(tensor, b.tensors[name]) for name, tensor in a.tensors.items())
    )


def checkpoints_damaged(rng: random.Random, count: int, folder: Path) -> Outcome:
    """Damage a file of the newest checkpoint: the one before must be found, and the damage named."""
    kept = saved(folder)
    survived = lost = silent = unharmed = 0
    for _ in range(count):
        path = rng.choice(sorted((folder / "step-00000015").iterdir()))
        good = path.read_bytes()
        path.write_bytes(damaged(good, rng)[0])
        found, torn = load_checkpoint(folder)
        if found is None:
            lost += 1
        elif torn == ["step-00000015"] and same(found, kept[10]):
            survived += 1
        elif torn == [] and same(found, kept[15]):  # a space between two words of JSON became another
            survived += 1
            unharmed += 1
        else:
            silent += 1
        path.write_bytes(good)
    also = f"{count - unharmed} times the one before is taken, {unharmed} times the damage says nothing else"
    return Outcome(count, survived, lost, 0, silent, also=also)


class Drawn:
    """Makes a picture of a few pixels from the point's seed; refuses every fourth."""

    def __init__(self) -> None:
        self.made = 0

    def make(self, point: Point) -> Made:
        self.made += 1
        if point.seed % 4 == 3:
            raise SkipSample("qc_face_px", "too near")
        image = torch.randint(0, 256, (3, 16, 16), generator=generator(point.seed), dtype=torch.uint8)
        return Made(image, {"drawn": point.seed / 7})


def asked(folder: Path) -> tuple[list[object], int]:
    """Ask for all renders; return them as plain values, and how many were made anew."""
    ledger, maker = Ledger(folder, "s"), Drawn()
    renders = [ledger.render(maker, Point("print_a4", "phone/u0", seed)) for seed in range(RENDERS)]  # type: ignore[arg-type]  # a maker by its one method
    told = [(r.key, r.point, None if r.image is None else r.image.tolist(), r.record, r.refused) for r in renders]
    return list(told), maker.made


def files(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def renders_damaged(rng: random.Random, count: int, folder: Path) -> Outcome:
    """Damage the list of renders or a picture: what cannot be trusted must be made again, to the same bytes."""
    wanted, _ = asked(folder)
    kept = files(folder)
    survived = lost = silent = again = 0
    for _ in range(count):
        path = rng.choice(sorted(kept)) if rng.random() < 0.5 else folder / "renders.jsonl"
        path.write_bytes(damaged(kept[path], rng)[0])
        found, made = asked(folder)
        again += made
        lost += len(found) < len(wanted)
        silent += found != wanted
        survived += found == wanted and files(folder) == kept
    return Outcome(
        count, survived, lost, 0, silent, also=f"{again / count:.1f} of {RENDERS} renders made again, on average"
    )
