"""Bytes that depend on nothing but the plan, and augmentations that depend on nothing but seed, epoch and key."""

import hashlib
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from faults import Fault, Outcome
from final_files import shard_hashes
from small_generation import SMALL, nothing_left
from torch.utils.data import DataLoader, Dataset

from spooflab.augment import CaptureDevice, DeviceShift
from spooflab.augment.bridges import KeyedCamera
from spooflab.generators.plan import plan_record
from spooflab.generators.run import _prepare, generate, make_shard
from spooflab.provenance import code_facts
from spooflab.store import Store

Endure = Callable[[Fault], Outcome]
pytestmark = pytest.mark.slow
WORKERS = (0, 1, 2, 4)


def orders(rng: random.Random, count: int, folder: Path) -> Outcome:
    """Make one plan in drawn orders, in two runs, and by two and four workers."""
    generate(SMALL, folder / "whole")
    wanted = shard_hashes(folder / "whole")
    outcome = Outcome()
    for number in range(count):
        out, way = folder / f"again-{number}", number % 4
        if way >= 2:
            generate(SMALL, out, workers=way if way == 2 else 4)
        else:
            lab, plan = _prepare(SMALL.model_dump_json())
            Store.create(out, plan=plan_record(SMALL, lab.refs(), code_facts()), shards=plan.shards)
            drawn = rng.sample(range(plan.shards), plan.shards)
            for shard in drawn if way == 0 else drawn[: plan.shards // 2]:
                make_shard(SMALL.model_dump_json(), out, shard, {})
            generate(SMALL, out, resume=True)
        wrong = sum(shard_hashes(out).get(name) != digest for name, digest in wanted.items())
        outcome += Outcome(1, int(not wrong and nothing_left(out)), silently_wrong=wrong)
    return outcome


def test_workers_order_and_resumption_change_no_byte(endure: Endure) -> None:
    how = "one plan in drawn orders, half before and half after an end, by 2 and by 4 workers"
    endure(Fault("determinism", how, orders, trimmed=2, full=8))


class OnePicture(Dataset[Any]):
    """One picture under many keys, photographed by a bridge: results differ as far as the shots do."""

    def __init__(self, shoot: Callable[[np.ndarray, int], np.ndarray], count: int) -> None:
        self.shoot, self.count = shoot, count
        coarse = torch.rand(1, 3, 5, 6, generator=torch.Generator().manual_seed(0))
        smooth = torch.nn.functional.interpolate(coarse, (32, 32), mode="bilinear")[0]
        self.picture = (smooth * 255).to(torch.uint8).permute(1, 2, 0).contiguous().numpy()

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> tuple[int, str]:
        return index, hashlib.sha256(self.shoot(self.picture, index).tobytes()).hexdigest()


def bridged() -> dict[str, tuple[Callable[[np.ndarray, int], np.ndarray], Callable[[int], None]]]:
    """Return, by library, what photographs a picture under a key, and what sets the epoch."""
    from spooflab.augment.bridges.albumentations import AlbumentationsDevice
    from spooflab.augment.bridges.kornia import KorniaDevice
    from spooflab.augment.bridges.torchvision import TorchvisionDevice

    shift = DeviceShift([CaptureDevice("front_phone"), CaptureDevice("kiosk")])
    keyed, tv = KeyedCamera(shift, seed=1), TorchvisionDevice(shift, seed=1)
    album, kornia = AlbumentationsDevice(shift, seed=1), KorniaDevice(shift, seed=1)

    def by_camera(picture: np.ndarray, key: int) -> np.ndarray:
        photo = torch.from_numpy(picture).permute(2, 0, 1)[None]
        return keyed.photograph(photo, keyed.shots(keyed.seeds([key]), (32, 32))).numpy()

    def by_torchvision(picture: np.ndarray, key: int) -> np.ndarray:
        found: np.ndarray = tv({"image": torch.from_numpy(picture).permute(2, 0, 1), "key": key})["image"].numpy()
        return found

    def by_albumentations(picture: np.ndarray, key: int) -> np.ndarray:
        found: np.ndarray = album(image=picture, key=key)["image"]
        return found

    def by_kornia(picture: np.ndarray, key: int) -> np.ndarray:
        kornia.set_keys([key])
        photo = torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 255
        found: np.ndarray = (kornia(photo) * 255).round().to(torch.uint8).numpy()
        return found

    return {
        "the camera itself": (by_camera, keyed.set_epoch),
        "torchvision": (by_torchvision, tv.set_epoch),
        "albumentations": (by_albumentations, album.set_epoch),
        "kornia": (by_kornia, kornia.set_epoch),
    }


def epochs(rng: random.Random, count: int, folder: Path) -> Outcome:
    """Load one picture under many keys through every bridge, by 0 to 4 workers, over two epochs and once more."""
    outcome, fewest = Outcome(), 1.0
    for shoot, set_epoch in bridged().values():
        data = OnePicture(shoot, count)
        by_epoch: list[dict[int, str]] = []
        for epoch in (0, 1):
            set_epoch(epoch)
            runs = []
            for workers in WORKERS:
                order = rng.sample(range(count), count)
                loader = DataLoader(data, batch_size=rng.choice((1, 4, 7)), sampler=order, num_workers=workers)
                runs.append(
                    {int(k): digest for keys, digests in loader for k, digest in zip(keys, digests, strict=True)}
                )
            by_epoch.append(runs[0])
            distinct = len(set(runs[0].values())) / count
            fewest = min(fewest, distinct)
            for run in runs:
                outcome += Outcome(1, int(run == runs[0] and distinct >= 0.99), silently_wrong=int(run != runs[0]))
        assert not any(by_epoch[0][key] == by_epoch[1][key] for key in by_epoch[0])
    also = f"{count} keys each; {100 * fewest:.1f} % distinct in the epoch with the fewest, none as in the epoch before"
    return outcome + Outcome(also=also)


@pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning")  # four workers on fewer cores
def test_bridges_draw_by_seed_epoch_and_key_alone(endure: Endure) -> None:
    pytest.importorskip("albumentations")
    pytest.importorskip("torchvision")
    how = "loaders of 0, 1, 2 and 4 workers in drawn orders and batches, two epochs, through four bridges"
    endure(Fault("determinism", how, epochs, trimmed=12, full=256))
