"""One model of transformers, loaded from a folder: safetensors alone, nothing fetched, no code of the model's own."""

import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from spooflab.errors import ConfigError, DataError
from spooflab.generators.diffusion.memory import check_memory
from spooflab.generators.diffusion.model_folder import ModelFolder, read_model_folder
from spooflab.generators.diffusion.model_source import ModelSource, locate
from spooflab.generators.diffusion.pipeline import Precision
from spooflab.plain_model import check_plain_model

_PROCESSORS = ("preprocessor_config.json", "processor_config.json")
_NEVER_USED = re.compile(r"neck\.fusion_stage\.layers\.0\.residual_layer1\.")
"""Weights that DPT declares and never uses; its published files lack them (transformers, issue 28292)."""


@dataclass(frozen=True)
class TransformersModel:
    """A loaded model.

    Attributes:
        network: in evaluation mode, on its device.
        processor: the folder's image processor, None where it has none.
        model: where it came from, with its digest: for records.
        licence: as its card names it; empty where there is none.
    """

    network: Any
    processor: Any
    model: str
    licence: str

    def prepare(self, pictures: Tensor) -> Tensor:
        """Return what the network takes, on its device and in its type, for (B, 3, H, W) sRGB in [0, 1].

        The processor sees codes of 8 bits, as it would of a file.
        """
        fed = self.processor(images=list(codes(pictures)), input_data_format="channels_last", return_tensors="pt")
        return self.placed(fed["pixel_values"])

    def placed(self, values: Tensor) -> Tensor:
        """Return values on the network's device and in its type."""
        return values.to(self.network.device, self.network.dtype)


def load_transformers(
    source: ModelSource,
    loader: str,
    accepted: Collection[str],
    *,
    subfolder: str = "",
    device: torch.device | str = "cpu",
    dtype: Precision = "float32",
    needs_processor: bool = True,
) -> TransformersModel:
    """Check a model's folder, then load it.

    Args:
        source: the folder, or the hub's.
        loader: class of transformers that loads it, such as `AutoModelForDepthEstimation`.
        accepted: classes that the folder's configuration may name.
        subfolder: where the model lies within the source, with `/` between names; empty for the source itself.
        device: where it computes.
        dtype: of weights and activations.
        needs_processor: whether a folder without an image processor is refused.

    Raises:
        DataError: it is missing, damaged or incomplete.
        ConfigError: it is a model of another kind, does not fit into memory, or transformers is not installed.
    """
    library = _transformers()
    path = locate(source) / _confined(subfolder)
    folder = read_model_folder(path, variant=source.variant)
    if folder.class_name not in accepted:
        raise ConfigError(f"{path} is a {folder.class_name}", wanted=f"one of {', '.join(sorted(accepted))}")
    check_plain_model(path)
    has_processor = any((path / name).is_file() for name in _PROCESSORS)
    if needs_processor and not has_processor:
        raise DataError(
            f"{path} has no image processor",
            wanted=" or ".join(_PROCESSORS),
            next_step="take it from the repository that the model came from",
        )
    device = torch.device(device)
    check_memory(folder.bytes_as(dtype), device, what=str(source))
    network = _network(getattr(library, loader), folder, source.variant)
    processor = _processor(library.AutoImageProcessor, path) if has_processor else None
    where = f"{source}/{subfolder}" if subfolder else str(source)
    return TransformersModel(
        network.to(device=device, dtype=getattr(torch, dtype)).eval().requires_grad_(False),
        processor,
        f"{where} sha256:{folder.digest}",
        folder.licence,
    )


def codes(pictures: Tensor) -> NDArray[np.uint8]:
    """Return (B, H, W, 3) codes of 8 bits for (B, 3, H, W) in [0, 1]."""
    rounded = (pictures * 255).round().to(torch.uint8).permute(0, 2, 3, 1)
    return np.ascontiguousarray(rounded.numpy())


def check_pictures(pictures: Tensor) -> None:
    """Raise `DataError` unless they are float32 (B, 3, H, W) in [0, 1] on the CPU, one or more."""
    if pictures.ndim != 4 or pictures.shape[1] != 3 or pictures.numel() == 0:
        raise DataError(f"pictures {tuple(pictures.shape)}", wanted="(B, 3, H, W)")
    if pictures.dtype != torch.float32 or pictures.device.type != "cpu":
        raise DataError(f"pictures {pictures.dtype} on {pictures.device}", wanted="float32 on the CPU")
    if not bool(((pictures >= 0) & (pictures <= 1)).all()):
        raise DataError(
            f"pictures from {float(pictures.min())} to {float(pictures.max())}", wanted="sRGB codes within [0, 1]"
        )


def _network(loader: Any, folder: ModelFolder, variant: str | None) -> Any:
    has_variant = any(f".{variant}." in f".{file.name}." for part in folder.parts for file in part.weights)
    try:
        with torch.random.fork_rng(devices=[]):  # what a file lacks is drawn by transformers, from the global state
            network, info = loader.from_pretrained(
                folder.path,
                variant=variant if has_variant else None,
                local_files_only=True,
                use_safetensors=True,
                trust_remote_code=False,
                output_loading_info=True,
            )
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RuntimeError) as error:
        raise DataError(f"{folder.path}: transformers cannot load it: {_first_line(error)}") from error
    missing = sorted(str(key) for key in info["missing_keys"] if not _NEVER_USED.match(str(key)))
    if missing:
        shown = ", ".join(missing[:3]) + (", …" if len(missing) > 3 else "")
        raise DataError(
            f"{folder.path}: {len(missing)} weights are missing: {shown}",
            wanted=f"a whole {folder.class_name}",
            next_step="take the folder anew from where it was made; a base model that was never trained for the task "
            "lacks them too",
        )
    return network


def _processor(loader: Any, path: Path) -> Any:
    try:
        # Pillow's resampling everywhere: torchvision's, where it is installed, rounds in other ways.
        return loader.from_pretrained(path, local_files_only=True, trust_remote_code=False, backend="pil")
    except (OSError, ValueError, TypeError, KeyError, AttributeError, ImportError) as error:
        raise DataError(f"{path}: transformers cannot load its image processor: {_first_line(error)}") from error


def _confined(subfolder: str) -> PurePosixPath:
    inner = PurePosixPath(subfolder)
    if inner.is_absolute() or ".." in inner.parts or "\\" in subfolder or ":" in subfolder:
        raise ConfigError(f"subfolder {subfolder!r}", wanted="a folder within the model's, such as models/encoder")
    return inner


def _first_line(error: Exception) -> str:
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0]


def _transformers() -> Any:
    try:
        import transformers
    except ImportError as error:
        raise ConfigError("this model needs transformers", next_step="pip install 'spooflab[diffusion]'") from error
    return transformers
