"""Ingest and generate's faces over a hostile folder: what came of every file, and what the decoder took."""

import json
import os
import random
from collections import Counter
from pathlib import Path

import numpy as np
from faults import Outcome, counted
from hostile_files import UNREAD, write_pictures

from spooflab.bounded_decoder import MOST_MIB, PICTURES, decoder_of
from spooflab.errors import SkipSample
from spooflab.experiments.ingest.clip import JOBS
from spooflab.experiments.ingest.config import IngestConfig
from spooflab.experiments.ingest.run import ingest
from spooflab.generators.faces.folder import FolderFaces
from spooflab.images import decode_own_png
from spooflab.reasons import REASONS
from spooflab.store import iter_images, read_index


def ingested(root: Path, reader: str, out: Path) -> tuple[dict[str, np.ndarray], Counter[str]]:
    """Ingest whole frames at the size of the kit's pictures; return stored pictures by path, and counts by reason."""
    config = IngestConfig(
        reader=reader, root=str(root), licence="for tests", consent="none: drawn", size=48, crop="frame", faces="given",
        frames=2, shard_size=500,
    )  # fmt: skip
    _, findings = ingest(config, out)
    assert findings is not None
    rows = read_index(out).select(["key", "params"]).to_pylist()
    paths = {row["key"]: str(json.loads(row["params"])["path"]) for row in rows}
    stored = {paths[key]: decode_own_png(data) for key, data in iter_images(out)}
    assert all(broken.detail for broken in findings.broken)
    return stored, Counter(broken.reason for broken in findings.broken)


def loaded(faces: FolderFaces) -> tuple[set[str], Counter[str]]:
    """Load every face; return the paths of those that came, and counts by reason."""
    came: set[str] = set()
    reasons: Counter[str] = Counter()
    for ref in faces.refs():
        try:
            face = faces.load(ref)
        except SkipSample as skip:
            reasons[skip.reason] += 1
        else:
            assert bool(face.radiance.isfinite().all())
            came.add(ref.source_id)
    return came, reasons


def peak_mib() -> float:
    """Return the most memory that this process's decoders have held."""
    return max(decoder_of(module).peak_mib for module in (PICTURES, JOBS))


def endured(rng: random.Random, count: int, folder: Path) -> dict[str, int | str]:
    """Have so many hostile files read by ingest and by generate's faces: each becomes a picture or has a reason."""
    root = folder / "data"
    wanted = write_pictures(rng, count, root / "live")
    names = [name for _, _, inner in os.walk(root) for name in inner if not name.endswith(UNREAD)]
    stored, broken = ingested(root, "folder", folder / "out")
    faces = FolderFaces(root, detector="template", geometry="none", dense="mean_head", size=32, min_eyes_px=4)
    came, reasons = loaded(faces)
    wrong = sum(1 for path, pixels in wanted.items() if not _same(stored.get(f"live/{path}"), pixels))
    ended = min(len(stored) + broken.total(), len(came) + reasons.total())
    sound = set(broken) | set(reasons) <= set(REASONS) and 0 < peak_mib() <= MOST_MIB
    told = f"{len(stored)} pictures, {len({*broken, *reasons})} reasons; decoder at most {peak_mib():.0f} MiB"
    return counted(Outcome(len(names), ended if sound else 0, silently_wrong=wrong, also=told))


def _same(seen: np.ndarray | None, wanted: np.ndarray) -> bool:
    # None: a backslash in a path, which ingest does not follow; the contract's test says which these are.
    return seen is None or np.array_equal(seen, wanted)
