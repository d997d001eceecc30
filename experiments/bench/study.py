"""What a study costs beside its runs: 24 small runs on two processes, from the start of the command to the last run."""

import subprocess
import sys
import tempfile
import time
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import yaml

from spooflab.config import load_config
from spooflab.experiments.bench.timing import Row
from spooflab.experiments.study_config import StudyConfig
from spooflab.images import encode_png
from spooflab.provenance import ALGORITHMIC_MEDIA
from spooflab.sample import QC_FIGURES, Sample
from spooflab.store import Store

WORKERS = 2
STUDY: dict[str, Any] = {
    "algorithms": [{"name": name} for name in ("erm", "dann", "mixstyle", "ohem")],
    "seeds": [0, 1, 2],
    "bootstrap": 100,
}
SUBJECTS = 24
SPECIES = ("bonafide", "print_a4", "replay_phone")
DEVICES = ("phone", "webcam")


def study_cases(threads: int) -> list[dict[str, Any]]:
    """Run the command once and compare with its runs alone, as if they had filled both processes without a gap.

    Twice: by the wall time from the start of the command (Python, libraries, plan, leak checks, worker processes,
    and processes that idle at the end), and by that from the start of the first run, which leaves out what one run
    alone would have loaded as well. The report that follows the last run is not counted.
    """
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        _noise(root / "data")
        with as_file(files("spooflab.configs") / "studies" / "quickstart.yaml") as path:
            train = load_config(path, StudyConfig).train  # of the smallest study that is shipped
        (root / "study.yaml").write_text(yaml.safe_dump(STUDY | {"train": train}), encoding="utf-8")
        words = ["-m", "spooflab.cli", "study", str(root / "study.yaml"), "--data", str(root / "data")]
        words += ["--out", str(root / "out"), "--workers", str(WORKERS)]
        began = time.time()
        subprocess.run(  # noqa: S603  # our own command
            [sys.executable, *words], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        ends = [path.stat().st_mtime for path in (root / "out").glob("runs/*/done")]
        first = min(path.stat().st_mtime for path in (root / "out").glob("runs/*/lock"))
        seconds = pq.read_table(root / "out" / "times.parquet").column("cell_seconds").to_pylist()
    alone = sum(seconds) / WORKERS
    runs = len(seconds)
    name = f"{runs} runs of {sum(seconds) / runs:.1f} s, {WORKERS} processes"
    walls = {
        f"{name}, from the start of the command": max(ends) - began,
        f"{name}, from the first run on ({first - began:.1f} s later)": max(ends) - first,
    }
    return [
        Row(name, runs / wall, "the runs alone", runs / alone, alone / wall).to_json() for name, wall in walls.items()
    ]


def _noise(root: Path) -> None:
    """Commit a data set of noise: two folds, as many subjects as a split wants."""
    store = Store.create(root, {"made": "by a benchmark"}, shards=1)
    samples = []
    for place, (subject, species, device) in enumerate(
        (subject, species, device) for subject in range(SUBJECTS) for species in SPECIES for device in DEVICES
    ):
        pixels = np.random.default_rng(place).integers(0, 256, (128, 128, 3), dtype=np.uint8)
        samples.append(
            Sample.create(
                key=f"{place:012x}",
                species=species,
                image=encode_png(pixels),
                params={},
                qc=dict.fromkeys(QC_FIGURES, 1.0),
                landmarks=[],
                box=[],
                seed=place,
                digital_source_type=ALGORITHMIC_MEDIA,
                code_version="benchmark",
                device_id=f"{device}-0",
                device_profile=device,
                subject_id=f"s{subject}",
                subject_group=f"g{subject // 2}",
                source_id=f"face-{subject}",
                face_source="noise",
                licence="CC0-1.0",
                instrument_id="" if species == "bonafide" else f"{species}-0",
                donor_id="",
            )
        )
    lease = store.claim(0)
    assert lease is not None
    with lease:
        store.commit(lease, samples)
