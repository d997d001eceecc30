"""The smallest data sets that the generator makes of two species, and what is made of them by the command line."""

import json
import os
import subprocess
import sys
from pathlib import Path

from final_files import left_over

from spooflab.generators.config import GenerationConfig
from spooflab.store import Store

SMALL = GenerationConfig.model_validate(
    {
        "n": 8,
        "seed": 11,
        "faces": [{"kind": "procedural", "subjects": 4, "sessions": 1}],
        "attacks": ["print_a4"],
        "bonafide_share": 0.5,
        "devices": ["old_phone"],
        "sensor_px": 128,
        "face_px": 96,
        "output_px": 32,
        "shard_size": 2,
    }
)
"""Of the generator itself, for what is called many times."""
TINY = {
    "n": 4,
    "seed": 1,
    "faces": [{"kind": "procedural", "subjects": 4, "sessions": 1}],
    "attacks": ["replay_phone"],
    "devices": ["front_phone"],
    "bonafide_share": 0.5,
    "sensor_px": 192,
    "face_px": 96,
    "output_px": 64,
    "shard_size": 2,
}
"""Of the command line, as a configuration file holds it."""
COMMAND = (sys.executable, "-m", "spooflab.cli")


def config_file(folder: Path, **changes: object) -> Path:
    """Write `SMALL`, with changes, as a configuration file."""
    path = folder / "config.yaml"
    path.write_text(json.dumps({**SMALL.model_dump(mode="json"), **changes}), encoding="utf-8")
    return path


def start(*arguments: object, command: tuple[str, ...] = COMMAND, **environment: str) -> subprocess.Popen[str]:
    """Start a command at the head of its own process group."""
    return subprocess.Popen(
        [*command, *map(str, arguments)],
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def nothing_left(root: Path) -> bool:
    """Say whether a store is whole, and nothing lies about in it."""
    return Store.open(root).verify().problems == () and not left_over(root)
