"""What a folder's training was made of, so that another one is never resumed from it."""

import json
import zlib
from pathlib import Path
from typing import Any

from torch import Tensor

from spooflab.adapters.image_set import ImageSet, Unlabelled
from spooflab.adapters.train_config import TrainConfig
from spooflab.errors import ConfigError


def run_identity(
    config: TrainConfig, train: ImageSet, dev: ImageSet, seed: int, target: Unlabelled | None = None
) -> dict[str, Any]:
    """Return what a checkpoint must agree on to be resumed."""
    return {
        "config": config.model_dump(mode="json"),
        "seed": seed,
        "train": _labelled(train),
        "dev": _labelled(dev),
        "target": None if target is None else _fingerprint(list(target.keys), target.images),
    }


def _labelled(images: ImageSet) -> str:
    names: list[Any] = [list(images.keys), images.labels.tolist(), images.domains.tolist()]
    if images.maps is not None:
        names.append(zlib.crc32(images.maps.numpy().data))
    return _fingerprint(names, images.images)


def _fingerprint(names: list[Any], pixels: Tensor) -> str:
    text = json.dumps(names).encode()
    return f"{len(pixels)}-{zlib.crc32(text):08x}-{zlib.crc32(pixels.numpy().data):08x}"


def check_same_run(theirs: dict[str, Any], ours: dict[str, Any], out: Path) -> None:
    """Raise `ConfigError`, naming what differs, unless `theirs` (of a checkpoint in `out`) equals `ours`."""
    flat_a, flat_b = {**theirs, **theirs["config"]}, {**ours, **ours["config"]}
    changed = sorted(
        key for key in flat_a.keys() | flat_b.keys() if key != "config" and flat_a.get(key) != flat_b.get(key)
    )
    if changed:
        raise ConfigError(
            f"{out} holds a run with another {', '.join(changed)}",
            wanted="the same config, data and seed to resume",
            next_step="give another --out, or delete that folder",
        )
