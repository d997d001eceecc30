"""From a trained run to a file with its card: made, compared with PyTorch, judged by its own scores, then written."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field, PositiveInt

from spooflab.adapters import ImageSet, load_model
from spooflab.adapters.model_files import CARD as MODEL_CARD
from spooflab.adapters.temperature import fit_temperature
from spooflab.atomic import disk_errors, write_over
from spooflab.config import Config
from spooflab.errors import ConfigError, DataError
from spooflab.experiments.calibration import BINS, calibration
from spooflab.experiments.export import card as facts
from spooflab.experiments.export.calibration_rows import calibration_pictures
from spooflab.experiments.export.card_page import card_page, latency_page
from spooflab.experiments.export.detector import Detector
from spooflab.experiments.export.figures import decision, judged, operating_points, score_rows
from spooflab.experiments.export.int8 import MOST_AUC_LOST, WAYS, quantise
from spooflab.experiments.export.latency import measure_latency
from spooflab.experiments.export.onnx_graph import OPSET, to_onnx, with_facts
from spooflab.experiments.export.parity import Parity, measure_parity
from spooflab.experiments.export.runtime import (
    Pictures,
    Runtime,
    Scores,
    as_pictures,
    in_batches,
    onnx_runtime,
    pytorch_runtime,
)
from spooflab.experiments.export.torchscript import load_torchscript, to_torchscript
from spooflab.experiments.export.trained_run import TrainedRun
from spooflab.experiments.metrics import evaluate
from spooflab.experiments.scores import FloatArray, ScoreSet

CARD, PAGE, LATENCY = "card.json", "card.md", "latency.json"
FILES = {"onnx": "model.onnx", "torchscript": "model.pt"}
_COMPARED = 256
_FAR_FROM_RECORD = 0.02


class ExportConfig(Config):
    """What kind of file, and how it is made."""

    format: Literal["onnx", "torchscript"] = "onnx"
    int8: bool = False
    calibration: Path | None = None
    calibration_images: PositiveInt = 256
    calibrate: bool = False
    licence: str = facts.NOT_STATED
    threads: PositiveInt = 1
    latency: bool = True
    bootstrap: int = Field(default=2000, ge=1)


@dataclass(frozen=True)
class _Judging:
    """The rows that choose and judge, with their pictures: source-dev first."""

    dev: Pictures
    test: Pictures
    run: TrainedRun

    def sets(self, scores: Scores) -> tuple[ScoreSet, ScoreSet | None]:
        """Return source-dev's and the held-out rows' scores, ready to be counted."""
        count = len(self.run.dev)
        dev = score_rows(self.run.rows(self.run.dev), scores.likelihood[:count])
        if not self.run.test:
            return dev, None
        return dev, score_rows(self.run.rows(self.run.test), scores.likelihood[count:])

    def scored(self, runtime: Runtime) -> Scores:
        """Score all rows."""
        return in_batches(runtime, np.concatenate([self.dev, self.test]))


def export_run(run: TrainedRun, out: Path, config: ExportConfig) -> dict[str, Any]:
    """Write the model, `card.json`, `card.md` and `latency.json` into `out`; return the card.

    The same run, settings and machine give the same bytes, latency apart. Nothing is written unless all checks pass.

    Raises:
        ConfigError: settings that do not go together, or a network that cannot be exported.
        DataError: the file differs from PyTorch, loses too much in 8 bits, or the run is not what it says.
    """
    _check_request(config, out)
    rows = _load_rows(run)
    detector, before = _detector(run, rows, config)
    name = FILES[config.format]
    data = to_onnx(detector) if config.format == "onnx" else to_torchscript(detector)
    exported = _runtime(data, name, config)
    parity = measure_parity(pytorch_runtime(detector), exported, rows.dev[:_COMPARED], size=detector.size)
    scores, small = rows.scored(exported), None
    changed_against = _decisions(rows.sets(before)[0], decision(rows.sets(before)[0])["threshold"])
    if config.int8:
        data, scores, small = _in_8_bits(data, scores, rows, config)
    card = _card(run, rows, scores, detector, config, parity, small)
    dev = rows.sets(scores)[0]
    changed = int((_decisions(dev, card["decision"]["threshold"]) != changed_against).sum())
    card["parity"]["dev_decisions_changed"] = changed
    if config.format == "onnx":
        data = with_facts(data, _file_facts(card))
    card["model"] |= {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
    latency = _latency(_runtime(data, name, config), rows, config) if config.latency else None
    _write(out, name, data, card, latency)
    return card | {"latency": latency}


def _check_request(config: ExportConfig, out: Path) -> None:
    if config.int8 and config.format != "onnx":
        raise ConfigError(f"--int8 with --format {config.format}", wanted="--format onnx, whose runtime has 8-bit code")
    if config.calibration is not None and not config.int8:
        raise ConfigError("--calibration without --int8", wanted="both: it names the pictures for 8-bit ranges")
    if (out / MODEL_CARD).exists():
        raise ConfigError(f"{out} holds a training", wanted="a folder of its own for the export")
    if out.is_dir() and not (out / CARD).is_file() and any(out.iterdir()):
        raise ConfigError(f"{out} holds other files", wanted="a new folder, or one of an earlier export")


def _load_rows(run: TrainedRun) -> _Judging:
    images = ImageSet.load(run.data, [*run.dev, *run.test], run.config.size, run.config.domain_by)
    pictures = as_pictures(images.images)
    return _Judging(pictures[: len(run.dev)], pictures[len(run.dev) :], run)


def _detector(run: TrainedRun, rows: _Judging, config: ExportConfig) -> tuple[Detector, Scores]:
    """Return the module to export and what it says of all rows, having compared that with what the run recorded."""
    model = load_model(run.folder)
    scores = rows.scored(pytorch_runtime(Detector(model, run.config.size)))
    if run.recorded is not None:
        recorded = dict(zip(*(run.recorded.column(name).to_pylist() for name in ("key", "score")), strict=True))
        known: FloatArray = np.array([recorded[key] for key in (*run.dev, *run.test)], dtype=np.float64)
        apart = float(np.nanmax(np.abs(known - scores.likelihood)))
        if apart > _FAR_FROM_RECORD:
            raise DataError(
                f"{run.folder}: its scores differ by {apart:.3f} from those that the run recorded",
                wanted="the weights and the pictures of the run",
            )
    if not config.calibrate:
        return Detector(model, run.config.size), scores
    labels = (~rows.sets(scores)[0].attack).astype(np.int64)
    weight = model.class_loss.weight.tolist()
    model.score_temperature = fit_temperature(
        scores.log_odds[: len(run.dev)], labels, attack_weight=weight[0], bonafide_weight=weight[1]
    )
    detector = Detector(model, run.config.size)
    return detector, rows.scored(pytorch_runtime(detector))


def _runtime(data: bytes, name: str, config: ExportConfig) -> Runtime:
    if config.format == "onnx":
        return onnx_runtime(data, name=name, threads=config.threads)
    return pytorch_runtime(load_torchscript(data))


def _in_8_bits(
    data: bytes, scores: Scores, rows: _Judging, config: ExportConfig
) -> tuple[bytes, Scores, dict[str, Any]]:
    """Return the first way of 8 bits that keeps source-dev's AUC; the held-out rows choose nothing.

    Raises:
        DataError: none does.
    """
    pictures, words = calibration_pictures(rows.run, rows.dev, config.calibration, config.calibration_images)
    tried = []
    for way in WAYS:
        found = quantise(data, pictures, way)
        small = rows.scored(onnx_runtime(found.data, name="the 8-bit model", threads=config.threads))
        auc = _auc_pairs(rows, scores, small)
        if auc["source-dev"]["lost"] <= MOST_AUC_LOST:
            difference = np.abs(small.likelihood - scores.likelihood)
            return (
                found.data,
                small,
                {
                    "way": way,
                    "nodes": found.nodes,
                    "kept": found.kept,
                    "calibration": words,
                    "calibration_rows": len(pictures),
                    "auc": auc,
                    "mean_score_difference": float(difference.mean()),
                    "largest_score_difference": float(difference.max()),
                },
            )
        tried.append(f"{way} loses {100 * auc['source-dev']['lost']:.2f} points")
    raise DataError(
        f"--int8: of source-dev's AUC, {', '.join(tried)}; nothing was written",
        wanted=f"at most {100 * MOST_AUC_LOST:g} point lost",
        next_step="export without --int8, or give more pictures with --calibration and --calibration-images",
    )


def _auc_pairs(rows: _Judging, scores: Scores, small: Scores) -> dict[str, Any]:
    pairs = {}
    for part, before, after in zip(("source-dev", "held out"), rows.sets(scores), rows.sets(small), strict=True):
        if before is not None and after is not None:
            auc = [evaluate(rows_set).auc for rows_set in (before, after)]
            if auc[0] is not None and auc[1] is not None:
                pairs[part] = {"float": auc[0], "int8": auc[1], "lost": auc[0] - auc[1]}
    return pairs


def _card(
    run: TrainedRun,
    rows: _Judging,
    scores: Scores,
    detector: Detector,
    config: ExportConfig,
    parity: Parity,
    small: dict[str, Any] | None,
) -> dict[str, Any]:
    dev, test = rows.sets(scores)
    chosen, data = decision(dev), facts.data_facts(run)
    told = None if test is None else judged(test, chosen["threshold"], replicates=config.bootstrap)
    onnx = {"opset": OPSET, "exporter": "torch.onnx.export (dynamo)"}
    return {
        "card": facts.FORMAT,
        "purpose": facts.PURPOSE,
        "model": {
            "file": FILES[config.format],
            "format": config.format,
            "precision": "int8" if small else "float32",
            **(onnx if config.format == "onnx" else {"exporter": "torch.jit.trace"}),
        },
        "input": facts.input_facts(run, detector.size),
        "output": facts.output_facts(),
        "decision": chosen,
        "calibration": _calibration(scores, dev, detector.temperature, config, trained=run.config.calibrate),
        "operating_points": operating_points(dev, test),
        "training": facts.training_facts(run),
        "data": data,
        "held_out": {"fold": run.fold, "values": list(run.held_out), **(told or {"figures": None})},
        "parity": parity.to_json(),
        "int8": small,
        "limits": facts.limits(run, data, judged=told is not None),
        "licence": config.licence,
        "made_with": facts.made_with(),
    }


def _calibration(
    scores: Scores, dev: ScoreSet, temperature: float, config: ExportConfig, *, trained: bool
) -> dict[str, Any]:
    plain = 1 / (1 + np.exp(-np.clip(scores.log_odds[: len(dev)], -700, 700)))
    words = "Not calibrated: the temperature is 1."
    if trained or config.calibrate:
        when = "at export" if config.calibrate else "in training"
        words = f"One temperature, fitted {when} on the source-dev rows that the error is told of, too."
    return {
        "temperature": temperature,
        "words": words,
        "ece_before": _calibration_error(ScoreSet.build(plain, dev.attack)),
        "ece_after": _calibration_error(dev),
        "convention": f"{BINS} bins of equal weight on the source-dev rows, both classes weigh one half",
    }


def _calibration_error(scores: ScoreSet) -> float:
    found = calibration(scores)
    assert found is not None  # these are likelihoods
    return found.ece


def _decisions(scores: ScoreSet, threshold: float) -> Any:
    return scores.score >= threshold


def _file_facts(card: dict[str, Any]) -> dict[str, str]:
    """Return the key facts that travel inside an ONNX file."""
    told = {
        "purpose": card["purpose"],
        "input": f"{card['input']['colour']}; {card['input']['before_the_model']}",
        "threshold": repr(card["decision"]["threshold"]),
        "temperature": repr(card["calibration"]["temperature"]),
        "weights_sha256": card["training"]["weights_sha256"],
        "data_fingerprint": card["data"]["fingerprint"],
        "held_out": ", ".join(card["held_out"]["values"]),
        "licence": card["licence"],
        "version": card["made_with"]["spooflab"],
    }
    return {f"spooflab.{name}": value for name, value in told.items()}


def _latency(runtime: Runtime, rows: _Judging, config: ExportConfig) -> dict[str, Any]:
    import torch

    threads = config.threads if config.format == "onnx" else torch.get_num_threads()
    name = "onnxruntime" if config.format == "onnx" else "torch"
    version = facts.made_with()[name]
    return {"runtime": f"{name} {version}", **measure_latency(runtime, rows.dev, threads=threads)}


def _write(out: Path, name: str, data: bytes, card: dict[str, Any], latency: dict[str, Any] | None) -> None:
    """Write the files, the card last: a reader that finds card and model at odds knows that this was cut short."""
    with disk_errors(str(out)):
        out.mkdir(parents=True, exist_ok=True)
        write_over(out / name, data)
        write_over(out / LATENCY, (json.dumps(latency, indent=1) + "\n").encode())
        write_over(out / PAGE, f"{card_page(card)}\n{latency_page(latency)}".encode())
        write_over(out / CARD, (json.dumps(card, indent=1, sort_keys=True, allow_nan=False) + "\n").encode())
