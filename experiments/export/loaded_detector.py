"""A detector to score with: an exported file with its card, or a training's own folder."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from spooflab.adapters import load_model
from spooflab.adapters.model_files import CARD as MODEL_CARD
from spooflab.adapters.model_files import read_model_files
from spooflab.errors import ConfigError, DataError, SpooflabError
from spooflab.experiments.export.detector import Detector
from spooflab.experiments.export.export import CARD, FILES
from spooflab.experiments.export.runtime import Runtime, onnx_runtime, pytorch_runtime
from spooflab.experiments.export.torchscript import load_torchscript
from spooflab.experiments.run_folder import DONE, RunFolder
from spooflab.json_text import parse_json

_MOST_CARD_BYTES = 16 * 2**20


@dataclass(frozen=True)
class LoadedDetector:
    """A model that scores, with what its card says.

    Attributes:
        name: of the file or folder.
        runtime: scores one batch.
        size: side of its pictures in pixels.
        threshold: bona fide iff score ≥ it; None where nothing tells one.
        threshold_source: who chose it, in words.
        face_share, stored_px: how the training set's pictures are framed; None where nothing tells.
    """

    name: str
    runtime: Runtime
    size: int
    threshold: float | None
    threshold_source: str
    face_share: float | None = None
    stored_px: int | None = None


def load_detector(path: Path, *, threads: int = 1, trust_torchscript: bool = False) -> LoadedDetector:
    """Open an export's folder or model file, a training's folder, or a study's cell.

    Args:
        path: of it.
        threads: of onnxruntime.
        trust_torchscript: whether a TorchScript file may be loaded: unlike ONNX, it is a program.

    Raises:
        ConfigError: it is none of these, or a TorchScript file without leave.
        DataError: a file is missing or damaged, or not the one that its card names.
    """
    if path.is_dir():
        if (path / CARD).is_file():
            named = [name for name in FILES.values() if (path / name).is_file()]
            return _exported(path / _named(path, named), threads, trust_torchscript)
        if (path / MODEL_CARD).is_file():
            return _trained(path)
        if (path / "training" / MODEL_CARD).is_file():
            return _trained(path / "training")
    elif path.suffix in (".onnx", ".pt"):
        return _exported(path, threads, trust_torchscript)
    raise ConfigError(
        f"{path}: no model",
        wanted=f"an exported model.onnx with its {CARD}, the folder of an export, of a training, or of a study's cell",
    )


def _named(folder: Path, present: list[str]) -> str:
    """Return the model that the folder's card is of: a card names no file elsewhere."""
    model = _card(folder).get("model")
    name = model.get("file") if isinstance(model, dict) else None
    if name not in present:
        here = ", ".join(present) or "no model"
        raise DataError(f"{folder}: its card is of {name!r}; here: {here}", wanted="both of one export")
    return str(name)


def _exported(file: Path, threads: int, trust_torchscript: bool) -> LoadedDetector:
    card = _card(file.parent)
    try:
        data = file.read_bytes()
    except OSError as error:
        raise DataError(f"{file}: {error.strerror or error}", wanted="a readable model") from error
    try:
        wanted, told = card["model"]["sha256"], card["input"]
        size, threshold = int(told["shape"][1]), float(card["decision"]["threshold"])
        share, stored = told["face_share"], told["stored_px"]
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise DataError(f"{file.parent / CARD}: not a card: {error!r}", wanted="the card of spooflab export") from error
    if hashlib.sha256(data).hexdigest() != wanted:
        raise DataError(
            f"{file} is not the file that {CARD} describes", wanted="both of one export", next_step="export it again"
        )
    if file.suffix == ".pt" and not trust_torchscript:
        raise ConfigError(
            f"{file} is TorchScript: to load it is to run the program in it",
            wanted="an ONNX file, which is data",
            next_step="export with --format onnx, or say --trust-torchscript if you made the file",
        )
    try:
        if file.suffix == ".pt":
            runtime = pytorch_runtime(load_torchscript(data))
        else:
            runtime = onnx_runtime(data, name=str(file), threads=threads)
        runtime(np.zeros((1, size, size, 3), np.uint8))
    except SpooflabError:
        raise
    except Exception as error:  # the runtimes' own errors share no base
        told = str(error).strip().splitlines() or [type(error).__name__]
        raise DataError(f"{file} does not take what its card says: {told[0]}", wanted="both of one export") from error
    return LoadedDetector(str(file), runtime, size, threshold, f"the card {file.parent / CARD}", share, stored)


def _trained(folder: Path) -> LoadedDetector:
    size = int(read_model_files(folder)[0]["config"]["size"])
    threshold, source = None, "nothing"
    cell = RunFolder(folder.parent)
    if folder.name == "training" and (folder.parent / DONE).is_file():
        record = cell.read()[0]
        if not record["identity"].get("test_time"):
            threshold, source = record["metrics"]["threshold"], f"the study's cell {folder.parent}"
    runtime = pytorch_runtime(Detector(load_model(folder), size))
    return LoadedDetector(str(folder), runtime, size, threshold, source)


def _card(folder: Path) -> dict[str, Any]:
    path = folder / CARD
    try:
        if path.stat().st_size > _MOST_CARD_BYTES:
            raise ValueError(f"{path.stat().st_size} bytes")
        card = parse_json(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(
            f"{path}: {error.strerror or error}",
            wanted="the card beside the model: it holds the threshold and the hash",
            next_step="keep the files of spooflab export together",
        ) from error
    except ValueError as error:
        raise DataError(f"{path}: not JSON: {error}", wanted="the card of spooflab export") from error
    if not isinstance(card, dict):
        raise DataError(f"{path}: holds {type(card).__name__}", wanted="the card of spooflab export")
    return card
