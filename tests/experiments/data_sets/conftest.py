"""Small stores, filled by hand: two labels, four species, three people, one camera of one unit."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from spooflab.augment import CaptureDevice, load_profile
from spooflab.generators.catalogue import build_attack
from spooflab.images import encode_depth, encode_mask, encode_png
from spooflab.provenance import ALGORITHMIC_MEDIA
from spooflab.sample import QC_FIGURES, Sample, Skip
from spooflab.seeds import generator
from spooflab.store import Store

SPECIES = ("bonafide", "print_a4", "replay_phone", "swap_blend+replay_phone")
MakeStore = Callable[..., Path]


def fields(number: int, *, seed: int = 0, size: int = 32) -> dict[str, Any]:
    """Arguments of `Sample.create`."""
    rng = np.random.default_rng([seed, number])
    species = SPECIES[number % len(SPECIES)]
    angle = {"dtype": "float32", "value": float(number)}
    return {
        "key": f"s{number:08d}",
        "species": species,
        "image": encode_png(rng.integers(0, 256, (size, size, 3), dtype=np.uint8)),
        "mask": encode_mask(rng.integers(0, 256, (size, size), dtype=np.uint8)),
        "depth": encode_depth(rng.integers(0, 65536, (size, size), dtype=np.uint16)) if number % 2 else None,
        "params": {"attack": {"yaw_deg": angle, "kind": {"dtype": "int64", "value": 3}}, "facts": {"ppi": 400.5}},
        "qc": dict.fromkeys(QC_FIGURES, 0.5 * number),
        "landmarks": [(4.0, 5.0)],
        "box": [4.0, 5.5, 20.1, 21.0],
        "seed": number,
        "device_id": "front_phone/u0",
        "device_profile": "front_phone",
        "subject_id": f"procedural/p{number % 3}",
        "subject_group": "g000000",
        "source_id": f"procedural/p{number % 3}s0",
        "donor_id": f"procedural/p{(number + 1) % 3}" if "swap" in species else "",
        "face_source": "procedural",
        "instrument_id": "" if species == "bonafide" else "panel_a",
        "digital_source_type": ALGORITHMIC_MEDIA,
        "licence": "CC0-1.0",
        "code_version": "0.1.0+src.test",
    }


PLAN: dict[str, Any] = {
    "config": {"seed": 7, "faces": [{"kind": "procedural", "subjects": 3, "sessions": 1}]},
    "faces_sha256": "0",
    "code": {"spooflab": "0.1.0"},
}


def fill(root: Path, shards: Sequence[Sequence[Sample]], skips: Sequence[Skip] = (), plan: Any = None) -> Path:
    """Write a finished store; the skips belong to its last shard."""
    store = Store.create(root, PLAN if plan is None else plan, shards=len(shards))
    for shard, samples in enumerate(shards):
        with store.claim(shard) as lease:  # type: ignore[union-attr]  # nobody else is about
            store.commit(lease, samples, skips if shard == len(shards) - 1 else ())
    return root


@pytest.fixture
def make_store(tmp_path: Path) -> MakeStore:
    """Makes a store of `rows` samples in shards of five, with one skip."""

    def make(name: str = "data", rows: int = 12, *, seed: int = 0, plan: Any = None, **changes: Any) -> Path:
        samples = [Sample.create(**(fields(n, seed=seed) | changes)) for n in range(rows)]
        skips = [Skip(f"s{rows:08d}", "print_a4", "qc_moire"), Skip(f"s{rows + 1:08d}", "print_a4", "no_donor")]
        return fill(tmp_path / name, [samples[n : n + 5] for n in range(0, rows, 5)], skips, plan)

    return make


@pytest.fixture
def drawn_store(tmp_path: Path) -> MakeStore:
    """Makes a store whose parameters are true draws of the plan's priors; pictures of `colour(number)` and noise."""

    def make(name: str = "drawn", rows: int = 24, *, colour: Callable[[int], int] = lambda number: 128) -> Path:
        config = {**PLAN["config"], "n": rows + 2, "attacks": ["replay_phone"], "devices": ["front_phone"]}
        config |= {"units_per_device": 1, "sensor_px": 256}
        attacks, camera = (
            (build_attack("bonafide"), build_attack("replay_phone")),
            CaptureDevice(load_profile("front_phone")),
        )
        samples = []
        for n in range(rows):
            attack = attacks[n % 2].sample(1, generator(n, "attack"))
            shot = camera.sample(1, generator(n, "device"), size=(256, 256))
            noise = np.random.default_rng(n).integers(-9, 10, (32, 32, 3))
            changes = {
                "species": ("bonafide", "replay_phone")[n % 2],
                "instrument_id": ("", "panel_a")[n % 2],
                "donor_id": "",
                "subject_group": f"g{n % 4:06d}",
                "device_id": camera.device_id,
                "image": encode_png(np.clip(colour(n) + noise, 0, 255).astype(np.uint8)),
                "params": {"attack": attack.to_json(), "device": shot.to_json(), "facts": {}},
            }
            samples.append(Sample.create(**(fields(n) | changes)))
        skips = [Skip(f"s{rows:08d}", "replay_phone", "qc_moire"), Skip(f"s{rows + 1:08d}", "bonafide", "no_landmarks")]
        shards = [samples[n : n + 7] for n in range(0, rows, 7)]
        return fill(tmp_path / name, shards, skips, {**PLAN, "config": config})

    return make
