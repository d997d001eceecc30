"""Arguments of small, fully filled samples, for tests of what is stored."""

from typing import Any

import numpy as np

from spooflab.images import encode_depth, encode_mask, encode_png
from spooflab.provenance import ALGORITHMIC_MEDIA

SPECIES_TURN = ("bonafide", "print_a4", "replay_phone", "swap_blend+replay_phone")


def sample_fields(number: int = 0, *, size: int = 32) -> dict[str, Any]:
    """Arguments of `Sample.create` for a small, fully filled sample."""
    rng = np.random.default_rng(number)
    species = SPECIES_TURN[number % len(SPECIES_TURN)]
    return {
        "key": f"s{number:08d}",
        "species": species,
        "image": encode_png(rng.integers(0, 256, (size, size, 3), dtype=np.uint8)),
        "mask": encode_mask(rng.integers(0, 256, (size, size), dtype=np.uint8)),
        "depth": encode_depth(rng.integers(0, 65536, (size, size), dtype=np.uint16)) if number % 2 else None,
        "regions": encode_mask(rng.integers(0, 8, (size, size), dtype=np.uint8)),
        "params": {"attack": {"pitch_um": 0.1 * number}, "facts": {"ppi": 400.5}},
        "qc": {
            "mean_luma": 120.25,
            "clipped": 0.01,
            "sharpness": 33.3,
            "face_luma": 110.5,
            "face_clipped": 0.02,
            "face_sharpness": 30.25,
            "moire": 0.004,
        },
        "landmarks": rng.uniform(0, size, (68, 2)),
        "box": [4.0, 5.5, 20.1, 21.0],
        "seed": 2**63 - 1 - number,
        "device_id": "front_phone/u0",
        "device_profile": "front_phone",
        "subject_id": f"procedural/p{number % 3}",
        "subject_group": "g000000",
        "source_id": f"procedural/p{number % 3}s0",
        "face_source": "procedural",
        "instrument_id": "" if species == "bonafide" else "panel_a",
        "digital_source_type": ALGORITHMIC_MEDIA,
        "licence": "Apache-2.0",
        "code_version": "0.1.0+src.test",
    }
