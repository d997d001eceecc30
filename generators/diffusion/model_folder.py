"""A folder in the format of diffusers: its parts, their weights' shapes and its licence, read without loading it."""

import hashlib
import math
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from spooflab.errors import DataError
from spooflab.json_text import read_json

_INDEX, _CONFIG = "model_index.json", "config.json"
DIFFUSERS_JSON = "JSON as diffusers writes it"
"""What is wanted where a file of a pipeline is something else."""
_NAME = re.compile(r"[A-Za-z]\w*")
_WEIGHTLESS = ("Scheduler", "Tokenizer", "TokenizerFast", "Processor", "ImageProcessorFast", "FeatureExtractor")
_BYTES = {"float32": 4, "float16": 2, "bfloat16": 2}


@dataclass(frozen=True)
class Part:
    """One model of a pipeline.

    Attributes:
        name: its folder, such as `unet`; empty for a folder that is one model, such as a ControlNet.
        class_name: its class in diffusers or transformers.
        weights: its safetensors files; none for schedulers, tokenizers and processors.
        parameters: numbers in them.
    """

    name: str
    class_name: str
    weights: tuple[Path, ...]
    parameters: int


@dataclass(frozen=True)
class ModelFolder:
    """What `read_model_folder` found.

    Attributes:
        path: the folder.
        class_name: of the pipeline, or of the one model.
        parts: in the order of the index.
        licence: as its card names it; empty where there is none.
    """

    path: Path
    class_name: str
    parts: tuple[Part, ...]
    licence: str

    @property
    def parameters(self) -> int:
        """Numbers in all weights."""
        return sum(part.parameters for part in self.parts)

    def bytes_as(self, dtype: str) -> int:
        """Return the bytes that the weights take as `float32`, `float16` or `bfloat16`."""
        return self.parameters * _BYTES[dtype]

    @cached_property
    def digest(self) -> str:
        """SHA-256 over names and contents of index, configurations and weights: which model this is, for records."""
        files = [path for part in self.parts for path in part.weights]
        files += [path for path in self.path.rglob("*.json") if path.is_file()]
        total = hashlib.sha256()
        for path in sorted(set(files)):
            with path.open("rb") as file:
                content = hashlib.file_digest(file, "sha256").hexdigest()
            total.update(f"{path.relative_to(self.path).as_posix()} {content}\n".encode())
        return total.hexdigest()


def read_model_folder(path: Path, *, variant: str | None = None) -> ModelFolder:
    """Check a pipeline's folder, or that of one model, and return what it holds; no weight is read.

    Args:
        path: a folder with `model_index.json` (a pipeline) or `config.json` (one model).
        variant: infix of the weight files to take (`fp16`); parts that have none of it take the plain ones.

    Raises:
        DataError: no such file, damaged JSON or weights, a part without safetensors, or a part whose class lies neither
            in diffusers nor in transformers: loading it would run code that came with the model.
    """
    index, config = path / _INDEX, path / _CONFIG
    if index.is_file():
        entries = read_json(index, wanted=DIFFUSERS_JSON)
        class_name = _class_name(entries, index)
        named = {k: v for k, v in entries.items() if not k.startswith("_") and isinstance(v, list)}
        parts = [_part(path, name, entry, variant) for name, entry in named.items() if entry != [None, None]]
    elif config.is_file():
        class_name = _class_name(read_json(config, wanted=DIFFUSERS_JSON), config)
        parts = [_weights("", class_name, path, variant)]
    else:
        raise DataError(f"{path} holds neither {_INDEX} nor {_CONFIG}", wanted="a folder that diffusers has saved")
    return ModelFolder(path, class_name, tuple(parts), _licence(path))


def _part(path: Path, name: str, entry: list[Any], variant: str | None) -> Part:
    where = f"{path / _INDEX}: {name}"
    if not _NAME.fullmatch(name) or len(entry) != 2 or not all(isinstance(word, str) for word in entry):
        raise DataError(f"{where}: {entry!r}", wanted="a name with its library and class")
    library, class_name = entry
    if library not in ("diffusers", "transformers") and not _is_of_diffusers(library):
        raise DataError(
            f"{where} comes from {library!r}, which is code of the model's own",
            wanted="classes of diffusers and transformers alone",
        )
    folder = path / name
    if not folder.is_dir():
        raise DataError(f"{where}: there is no folder {name}", wanted="every part that the index names")
    if class_name.endswith(_WEIGHTLESS):
        return Part(name, class_name, (), 0)
    return _weights(name, class_name, folder, variant)


def _is_of_diffusers(library: str) -> bool:
    """Return whether `library` is a folder of pipelines that diffusers itself ships, such as `stable_diffusion`."""
    try:
        import diffusers
    except ImportError:
        return False
    return bool(_NAME.fullmatch(library)) and (Path(diffusers.__file__).parent / "pipelines" / library).is_dir()


def _weights(name: str, class_name: str, folder: Path, variant: str | None) -> Part:
    found = sorted(folder.glob("*.safetensors"))
    chosen = [file for file in found if variant is not None and f".{variant}" in file.name]
    chosen = chosen or [file for file in found if len(file.suffixes) == 1]
    if not chosen:
        others = sorted(file.name for pattern in ("*.bin", "*.pt", "*.pth", "*.ckpt") for file in folder.glob(pattern))
        raise DataError(
            f"{folder}: no safetensors"
            + (f", only {', '.join(others)}, which may run code when read" if others else ""),
            wanted="weights as *.safetensors",
            next_step="save it again with safe_serialization=True where it was made",
        )
    return Part(name, class_name, tuple(chosen), sum(_parameters(file) for file in chosen))


def _parameters(file: Path) -> int:
    """Return how many numbers a safetensors file holds, from its header."""
    try:
        with safe_open(file, framework="numpy") as opened:
            return sum(math.prod(opened.get_slice(key).get_shape()) for key in opened.keys())  # noqa: SIM118  # no mapping
    except (OSError, SafetensorError) as error:
        raise DataError(f"{file} is no whole safetensors file: {error}") from error


def _class_name(content: dict[str, Any], file: Path) -> str:
    name = content.get("_class_name") or next(iter(content.get("architectures") or []), None)
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise DataError(f"{file}: class {name!r}", wanted="one class of diffusers or transformers, by its name")
    return name


def _licence(path: Path) -> str:
    """Return the licence that the model card's front matter names, empty where there is none."""
    card = path / "README.md"
    if not card.is_file():
        return ""
    lines = card.read_text(encoding="utf-8", errors="replace").splitlines()
    if not lines or lines[0].strip() != "---":
        return ""
    for line in lines[1:]:
        if line.strip() == "---":
            break
        key, _, value = line.partition(":")
        if key.strip() == "license":
            return value.strip().strip("\"'")
    return ""
