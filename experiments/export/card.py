"""The model card as JSON: what a file is, what it was trained and judged on, how to feed it, where to be careful."""

from collections.abc import Mapping
from typing import Any

import numpy as np

import spooflab
from spooflab.experiments.data_provenance import describe_data
from spooflab.experiments.export.detector import INPUT, OUTPUTS
from spooflab.experiments.export.trained_run import TrainedRun
from spooflab.experiments.protocols import column

FORMAT = 1
"""Raised when a key of the card changes its meaning."""

PURPOSE = (
    "Presentation attack detection: to tell a live face before a camera from a print, a screen, a mask or makeup, so "
    "that a face recognition system can refuse the attack. It identifies nobody and compares no two faces."
)
NOT_STATED = "not stated by who exported it; the licences of data and backbone below bind"


def input_facts(run: TrainedRun, size: int) -> dict[str, Any]:
    """Return what the model takes, and what has to be done before it."""
    share = face_share(run)
    framing = (
        "pictures framed as those of the training set; they are not aligned by landmarks, and no face is looked for"
        if share is None
        else f"a face whose longer side takes about {share:.0%} of the picture's (the training set's median), as those "
        "of the training set; they are not aligned by landmarks, and no face is looked for"
    )
    return {
        "name": INPUT,
        "type": "uint8",
        "shape": ["batch", size, size, 3],
        "colour": "sRGB, in the order R G B, values 0 to 255 as a decoder gives them",
        "inside_the_model": "division by 255, normalisation, network, temperature",
        "before_the_model": f"decode, turn upright (EXIF), convert to sRGB, resize the whole picture to {size} x "
        f"{size} with Pillow's bicubic filter (antialiased, uint8), whatever its shape: as `spooflab score` does",
        "framing": framing,
        "face_share": share,
        "stored_px": int(np.median(run.rows(run.seen).column("width").to_numpy())),
    }


def face_share(run: TrainedRun) -> float | None:
    """Return the median of (longer side of the face's box / longer side of the picture); None where no box is known."""
    rows = run.rows(run.seen)
    boxes, widths, heights = (rows.column(name).to_pylist() for name in ("box", "width", "height"))
    shares = [max(b[2:4]) / max(w, h) for b, w, h in zip(boxes, widths, heights, strict=True) if b]
    return round(float(np.median(shares)), 4) if shares else None


def training_facts(run: TrainedRun) -> dict[str, Any]:
    """Return what was trained, and how."""
    config = run.config
    return {
        "label": run.label,
        "algorithm": config.algorithm,
        "setting": run.card.get("setting", ""),
        "backbone": config.backbone.model_dump(mode="json"),
        "config": config.model_dump(mode="json"),
        "seed": run.card.get("seed"),
        "best_step": run.card.get("best_step"),
        "weights_sha256": run.card["sha256"],
        "rows": run.train_rows,
    }


def data_facts(run: TrainedRun) -> dict[str, Any]:
    """Return what the training saw: counts of species, devices and sources, synthetic share, licences, fingerprint."""
    rows = run.rows(run.seen)
    told = describe_data(rows, run.data)
    # A folder's name tells of the machine; the fingerprint of the rows alone would look like that of a data set.
    kept = {name: value for name, value in told.items() if name not in ("folder", "fingerprint", "species_by_device")}
    species = sorted(set(run.train_species) | set(told["species"]))
    synthetic = column(rows, "synthetic").astype(bool)
    return {
        "fingerprint": run.fingerprint,
        "described_by": "source-dev rows, which come from the same sources as the training rows"
        if run.recorded is not None
        else "training and source-dev rows",
        "species_seen": species,
        "devices_seen": sorted(told["devices"]),
        "synthetic_share": round(float(synthetic.mean()), 6),
        **kept,
    }


def limits(run: TrainedRun, data: Mapping[str, Any], *, judged: bool) -> list[str]:
    """Return in plain sentences what nobody should expect of the model."""
    told = [
        "It says how alike a picture is to the live faces and attacks that it was trained on; an attack of another "
        "kind, a camera of another kind, or another framing may be scored with confidence and wrongly.",
        "The threshold was chosen on pictures of the training's own sources. Choose it anew on pictures of the place "
        "of use before anybody is refused by it, and never let it decide about a person alone.",
    ]
    if data["synthetic_share"] == 1:
        told.append("All pictures described here were simulated: nothing here says how it does on photographs.")
    elif data["synthetic_share"]:
        told.append(f"{data['synthetic_share']:.0%} of the pictures described here were simulated.")
    if run.card.get("setting") == "adaptation":
        told.append(
            "Its algorithm adapted to the very pictures that judge it, without their labels: its held-out "
            "figures are transductive, and new pictures may fare worse."
        )
    if not judged:
        told.append("No held-out rows judged it: every figure here is of source-dev, which also chose its weights.")
    return told


def made_with() -> dict[str, str]:
    """Return the versions that made the file."""
    from importlib.metadata import PackageNotFoundError, version

    found = {"spooflab": spooflab.__version__}
    for name in ("torch", "transformers", "onnx", "onnxscript", "onnxruntime"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def output_facts() -> dict[str, str]:
    """Return what the model gives."""
    odds, likelihood = OUTPUTS
    return {
        odds: "(batch,) float64: log-odds of bona fide, before the temperature",
        likelihood: "(batch,) float64 in [0, 1]: the score, sigmoid(log-odds / temperature); higher is more alive",
    }
