"""A classifier that sees everything about a file but its pixels must not tell bona fide from attack."""

import io
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from faults import Fault, Outcome
from PIL import Image

from spooflab.generators.config import GenerationConfig
from spooflab.generators.run import generate
from spooflab.store import iter_images, read_index

sklearn_ensemble = pytest.importorskip("sklearn.ensemble")
sklearn_metrics = pytest.importorskip("sklearn.metrics")
Endure = Callable[[Fault], Outcome]
pytestmark = pytest.mark.slow
CHUNKS = (b"IDAT", b"tEXt", b"zTXt", b"iTXt", b"eXIf", b"iCCP", b"gAMA", b"pHYs", b"tIME")


def encoder(image: Image.Image, data: bytes) -> list[float]:
    """Container, encoder tables, colour type and every chunk, as numbers."""
    tables = getattr(image, "quantization", None) or {}
    return [
        float(image.format == "PNG"),
        float(sum(sum(table) for table in tables.values())),
        *(float(data.count(tag)) for tag in CHUNKS),
        float(data[25] if len(data) > 25 else 0),
    ]


def views(root: Path) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]:
    """Return what may be seen of each file but its pixels, by kind; labels; groups of subjects."""
    index = {row["key"]: row for row in read_index(root).to_pylist()}
    devices = sorted({row["device_id"] for row in index.values()})
    seen: dict[str, list[list[float]]] = {"metadata": [], "file size": [], "encoder": []}
    labels, groups = [], []
    for key, data in iter_images(root):
        record, image = index[key], Image.open(io.BytesIO(data))
        seen["metadata"].append(
            [*image.size, len(image.getbands()), len(image.info), devices.index(record["device_id"]), record["width"]]
        )
        seen["file size"].append([len(data)])
        seen["encoder"].append(encoder(image, data))
        labels.append(record["label"] == "bonafide")
        groups.append(record["subject_group"])
    arrays = {name: np.array(rows, dtype=float) for name, rows in seen.items()}
    return {**arrays, "all": np.hstack(list(arrays.values()))}, np.array(labels), np.array(groups)


def score(x: np.ndarray, y: np.ndarray, group: np.ndarray) -> np.ndarray:
    """Score each row by a forest that saw no subject of its group."""
    scores = np.zeros(len(y))
    for held_out in sorted(set(group)):
        forest = sklearn_ensemble.RandomForestClassifier(100, min_samples_leaf=5, random_state=0)
        forest.fit(x[group != held_out], y[group != held_out])
        scores[group == held_out] = forest.predict_proba(x[group == held_out])[:, 1]
    return scores


def auc_with_interval(label: np.ndarray, score: np.ndarray, draws: int = 2000) -> tuple[float, float, float]:
    rng = np.random.default_rng(0)
    picks = rng.integers(0, len(label), (draws, len(label)))
    values = [sklearn_metrics.roc_auc_score(label[p], score[p]) for p in picks if 0 < label[p].sum() < len(p)]
    low, high = np.percentile(values, [2.5, 97.5])
    return float(sklearn_metrics.roc_auc_score(label, score)), float(low), float(high)


def looked_at(rng: random.Random, count: int, folder: Path) -> Outcome:
    """Train a classifier on each view of files but their pixels; its interval must hold chance."""
    config = GenerationConfig.model_validate(
        {
            "n": 40 * count,
            "seed": 31,
            "bonafide_share": 0.5,
            "faces": [{"kind": "procedural", "subjects": 4 * count, "sessions": 2}],
            "sensor_px": 128,
            "face_px": 96,
            "output_px": 32,
        }
    )
    generate(config, folder / "data")
    seen, label, group = views(folder / "data")
    told = {name: auc_with_interval(label, score(x, label, group)) for name, x in seen.items()}
    chance = sum(low <= 0.5 <= high for _, low, high in told.values())
    also = ", ".join(f"{name} AUC {auc:.2f} [{low:.2f}, {high:.2f}]" for name, (auc, low, high) in told.items())
    return Outcome(len(told), chance, silently_wrong=len(told) - chance, also=f"{len(label)} samples: {also}")


def test_files_do_not_tell_the_class(endure: Endure) -> None:
    endure(Fault("leakage", "a forest on metadata, file size, encoder, and all of them", looked_at, trimmed=2, full=6))


def test_the_probe_itself_finds_a_planted_leak() -> None:
    """The check can fail: one byte of padding for one class is found."""
    rng = np.random.default_rng(1)
    y = rng.random(120) < 0.5
    x = np.stack([1000.0 + y, rng.random(120)], 1)
    _, low, _ = auc_with_interval(y, score(x, y, np.arange(120) % 4))
    assert low > 0.9
