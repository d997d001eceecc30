"""A small made-up data set and a trainer that returns plausible scores at once: studies without training."""

import hashlib
import io
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from spooflab.experiments.run import execute
from spooflab.experiments.run_folder import RunFolder
from spooflab.experiments.run_spec import RunSpec
from spooflab.experiments.training import Trained
from spooflab.images import encode_png
from spooflab.provenance import ALGORITHMIC_MEDIA, code_version
from spooflab.sample import QC_FIGURES, Sample
from spooflab.seeds import seed as named_seed
from spooflab.store import Store
from spooflab.taxonomy import species_of

SPECIES = (
    "bonafide",
    "print_a4",
    "print_photo",
    "print_cut",
    "replay_phone",
    "replay_monitor",
    "swap_blend",
    "swap_blend+replay_phone",
)
DEVICES = ("dslr", "front_phone", "kiosk", "webcam")
HARD = {"swap_blend": 2.4, "replay_phone": 1.2, "print_photo": 0.8, "swap_blend+replay_phone": 1.6}
SKILL = {"erm": 2.2, "dann": 2.6, "mixstyle": 3.4, "ohem": 2.5}


def make_index(subjects: int = 24, species: Iterable[str] = SPECIES, sessions: int = 1) -> pa.Table:
    """Each subject once per species, device and session; four subjects are one group of donors."""
    rows = []
    for subject in range(subjects):
        group = subject // 4
        for name in species:
            kind = species_of(name)
            for place, device in enumerate(DEVICES):
                for session in range(sessions):
                    key = hashlib.sha256(f"{subject}{name}{device}{session}".encode()).hexdigest()[:12]
                    donor = group * 4 + (subject + 1) % 4 if "swap" in name else None
                    facts = {"distance_mm": 320.0 + subject, "yaw_deg": 4.5, "panel_ppi": 401.0, "lens_seed": 7}
                    rows.append(
                        {
                            "key": key,
                            "label": kind.label,
                            "channel": kind.channel,
                            "species": name,
                            "family": kind.family,
                            "instrument_id": "" if kind.label == "bonafide" else f"{name}-{subject % 2}",
                            "device_id": f"{device}-{(subject + place) % 2}",
                            "device_profile": device,
                            "subject_id": f"s{subject:02}",
                            "subject_group": f"g{group}",
                            "source_id": f"face-{subject:02}-{session}",
                            "donor_id": "" if donor is None else f"s{donor:02}",
                            "face_source": "procedural",
                            "params": json.dumps({"facts": facts}),
                            "image_sha256": hashlib.sha256(key.encode()).hexdigest(),
                            "synthetic": True,
                            "digital_source_type": "algorithmicMedia",
                            "licence": "CC0-1.0",
                            "generator": "spooflab 0.1.0",
                            "code_version": "0.1.0+src.000000000000",
                        }
                    )
    return pa.Table.from_pylist(rows)


def picture(key: str) -> bytes:
    """A small flat picture whose colour the key decides."""
    colour = tuple(hashlib.sha256(key.encode()).digest()[:3])
    buffer = io.BytesIO()
    Image.new("RGB", (32, 32), colour).save(buffer, "PNG")
    return buffer.getvalue()


def made_up_scores(spec: RunSpec, index: pa.Table, keys: tuple[str, ...]) -> np.ndarray:
    """Scores in [0, 1]: bona fide above attacks by the algorithm's skill, less for what is hard or unseen."""
    rows = {row["key"]: row for row in index.select(["key", "species", "subject_id", "device_profile"]).to_pylist()}
    skill = SKILL.get(spec.train_config["algorithm"], 2.0)
    out = []
    for key in keys:
        row = rows[key]
        noise = np.random.default_rng(named_seed(0, key)).normal(0, 0.8)
        noise += np.random.default_rng(named_seed(0, spec.label, spec.seed, key)).normal(0, 0.8)
        noise += np.random.default_rng(named_seed(0, "subject", row["subject_id"])).normal(0, 0.6)
        place = skill if row["species"] == "bonafide" else -skill + HARD.get(row["species"], 0.4)
        place -= 0.9 * (row["species"] == "bonafide" and row["device_profile"] == "webcam")
        out.append(1 / (1 + np.exp(-(place + noise))))
    return np.array(out)


@pytest.fixture(scope="session")
def index() -> pa.Table:
    """The small data set."""
    return make_index()


@pytest.fixture(scope="session")
def indexed() -> Callable[..., pa.Table]:
    """Make a data set of another size."""
    return make_index


def write_store(root: Path, index: pa.Table) -> Path:
    """Commit a data set whose attacks carry a faint stripe pattern of their own species."""
    store = Store.create(root, {"made": "by a test"}, shards=1)
    samples = []
    kinds = sorted(set(index.column("species").to_pylist()))
    for place, row in enumerate(index.to_pylist()):
        rng = np.random.default_rng(place)
        pixels = rng.normal(120, 20, (32, 32, 3))
        if row["label"] == "attack":
            pixels += 40 * np.sin(np.arange(32) * (1.0 + 0.4 * kinds.index(row["species"])))[None, :, None]
        samples.append(
            Sample.create(
                key=row["key"],
                species=row["species"],
                image=encode_png(np.clip(pixels, 0, 255).astype(np.uint8)),
                params=json.loads(row["params"]),
                qc=dict.fromkeys(QC_FIGURES, 1.0),
                landmarks=[],
                box=[],
                seed=place,
                digital_source_type=ALGORITHMIC_MEDIA,
                code_version=code_version(),
                **{
                    name: row[name]
                    for name in (
                        *("device_id", "device_profile", "subject_id", "subject_group", "source_id"),
                        *("face_source", "licence", "instrument_id", "donor_id"),
                    )
                },
            )
        )
    lease = store.claim(0)
    assert lease is not None
    with lease:
        store.commit(lease, samples)
    return root


@pytest.fixture(scope="session")
def stored() -> Callable[[Path, pa.Table], Path]:
    """Commit a data set to disk."""
    return write_store


@pytest.fixture
def fake_task(index: pa.Table) -> Callable[[RunSpec, Path], None]:
    """Run a cell with made-up scores."""
    return task_on(index)


@pytest.fixture(scope="session")
def task_for() -> Callable[[pa.Table], Callable[[RunSpec, Path], None]]:
    """Make the task that runs cells of a data set with made-up scores."""
    return task_on


def task_on(index: pa.Table, pictures: Callable[[str], bytes] = picture) -> Callable[[RunSpec, Path], None]:
    """Return a task that runs cells on `index` with made-up scores."""

    def trainer(spec: RunSpec, _: Path) -> Trained:
        dev, test = made_up_scores(spec, index, spec.dev), made_up_scores(spec, index, spec.test)
        return Trained(dev, test, best_step=80, seconds=0.5, history=[{"step": 80, "eer": 0.1}])

    def task(spec: RunSpec, out: Path) -> None:
        folder = RunFolder(out / "runs" / spec.run_id)
        execute(spec, folder, index=index, pictures=lambda keys: [(k, pictures(k)) for k in keys], trainer=trainer)

    return task


@pytest.fixture
def study_yaml() -> dict[str, Any]:
    """A study of three algorithms with one seed."""
    return {
        "protocol": {"name": "leave_one_attack_out", "split": {"test": 0.34, "dev": 0.17}},
        "algorithms": [{"name": name, "label": label} for name, label in (("erm", "ERM"), ("dann", "DANN"))],
        "seeds": [0],
        "bootstrap": 200,
        "workers": 0,
    }
