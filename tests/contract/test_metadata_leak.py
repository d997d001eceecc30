"""A classifier that sees everything about a file but its pixels must not tell bona fide from attack."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from spooflab.generators.config import GenerationConfig
from spooflab.generators.run import generate
from spooflab.store import iter_images, read_index

sklearn_ensemble = pytest.importorskip("sklearn.ensemble")
sklearn_metrics = pytest.importorskip("sklearn.metrics")


def features(data: bytes) -> list[float]:
    """File size, container, dimensions, mode, encoder tables and every metadata entry, as numbers."""
    image = Image.open(io.BytesIO(data))
    tables = getattr(image, "quantization", None) or {}
    chunks = [
        data.count(tag) for tag in (b"IDAT", b"tEXt", b"zTXt", b"iTXt", b"eXIf", b"iCCP", b"gAMA", b"pHYs", b"tIME")
    ]
    return [
        len(data),
        *image.size,
        len(image.getbands()),
        float(image.format == "PNG"),
        float(len(image.info)),
        float(sum(sum(t) for t in tables.values())),
        *chunks,
        float(data[25] if len(data) > 25 else 0),
    ]


def auc_with_interval(label: np.ndarray, score: np.ndarray, draws: int = 2000) -> tuple[float, float, float]:
    rng = np.random.default_rng(0)
    picks = rng.integers(0, len(label), (draws, len(label)))
    values = [sklearn_metrics.roc_auc_score(label[p], score[p]) for p in picks if 0 < label[p].sum() < len(p)]
    low, high = np.percentile(values, [2.5, 97.5])
    return float(sklearn_metrics.roc_auc_score(label, score)), float(low), float(high)


@pytest.mark.slow
def test_metadata_does_not_tell_the_class(tmp_path: Path) -> None:
    config = GenerationConfig.model_validate(
        {
            "n": 160,
            "seed": 31,
            "bonafide_share": 0.5,
            "faces": [{"kind": "procedural", "subjects": 16, "sessions": 2}],
            "sensor_px": 192,
            "face_px": 128,
            "output_px": 64,
        }
    )
    generate(config, tmp_path / "data")
    index = {row["key"]: row for row in read_index(tmp_path / "data").to_pylist()}
    devices = sorted({row["device_id"] for row in index.values()})
    rows, labels, groups = [], [], []
    for key, data in iter_images(tmp_path / "data"):
        record = index[key]
        rows.append([*features(data), devices.index(record["device_id"]), record["width"], record["height"]])
        labels.append(record["label"] == "bonafide")
        groups.append(record["subject_group"])
    x, y, group = np.array(rows, dtype=float), np.array(labels), np.array(groups)
    score = np.zeros(len(y))
    for held_out in sorted(set(groups)):
        forest = sklearn_ensemble.RandomForestClassifier(200, min_samples_leaf=5, random_state=0)
        forest.fit(x[group != held_out], y[group != held_out])
        score[group == held_out] = forest.predict_proba(x[group == held_out])[:, 1]
    auc, low, high = auc_with_interval(y, score)
    assert low <= 0.5 <= high, f"metadata alone gives AUC {auc:.3f} [{low:.3f}, {high:.3f}]"


@pytest.mark.slow
def test_the_probe_itself_finds_a_planted_leak() -> None:
    """The check can fail: one byte of padding for one class is found."""
    rng = np.random.default_rng(1)
    y = rng.random(120) < 0.5
    x = np.stack([1000.0 + y, rng.random(120)], 1)
    forest = sklearn_ensemble.RandomForestClassifier(50, random_state=0).fit(x[:60], y[:60])
    _, low, _ = auc_with_interval(y[60:], forest.predict_proba(x[60:])[:, 1])
    assert low > 0.9
