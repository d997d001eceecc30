"""Files of IP-Adapters (Ye et al. 2023), plain and FaceID: read and held against a UNet before they are loaded."""

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError, safe_open

from spooflab.errors import ConfigError, DataError
from spooflab.generators.diffusion.diffusers_library import diffusers_library

_PROJECTION, _ATTENTION = "image_proj.", "ip_adapter."
_PLAIN_TOKENS = 4
_KEYS = {
    "plain": ("norm.weight", "norm.bias", "proj.weight", "proj.bias"),
    "FaceID": ("norm.weight", "norm.bias", "proj.0.weight", "proj.0.bias", "proj.2.weight", "proj.2.bias"),
}
_FLOATS = ("F32", "F16", "BF16")
_Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class IdentityAdapter:
    """What `read_adapter` found.

    Attributes:
        path: its safetensors file.
        kind: `plain` (a picture's global embedding) or `FaceID` (a face recogniser's embedding).
        width: numbers in an identity's embedding.
        shapes: of its tensors, by key.
    """

    path: Path
    kind: Literal["plain", "FaceID"]
    width: int
    shapes: _Shapes

    @property
    def parameters(self) -> int:
        """Numbers in all tensors."""
        return sum(math.prod(shape) for shape in self.shapes.values())

    @property
    def has_lora(self) -> bool:
        """Whether it changes the UNet's own attention as well."""
        return any("_lora." in key for key in self.shapes)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the file: which adapter this is, for records."""
        with self.path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()


def read_adapter(path: Path) -> IdentityAdapter:
    """Tell the adapter's form and width from the header of its file; no weight is read.

    Raises:
        DataError: no whole safetensors file, keys or shapes that no plain or FaceID adapter has, or another form.
    """
    try:
        with safe_open(path, framework="numpy") as file:
            slices = {key: file.get_slice(key) for key in file.keys()}  # noqa: SIM118  # no mapping
            types = {key: part.get_dtype() for key, part in slices.items()}
            shapes = {key: tuple(part.get_shape()) for key, part in slices.items()}
    except (OSError, SafetensorError) as error:
        raise DataError(f"{path} is no whole safetensors file: {error}") from error
    strange = [key for key in shapes if not key.startswith((_PROJECTION, _ATTENTION)) or types[key] not in _FLOATS]
    if strange or not shapes:
        raise DataError(
            f"{path} holds {_some(strange) if strange else 'nothing'}",
            wanted=f"an IP-Adapter: floating-point tensors {_PROJECTION}* and {_ATTENTION}*",
        )
    projection = {key.removeprefix(_PROJECTION): s for key, s in shapes.items() if key.startswith(_PROJECTION)}
    kind: Literal["plain", "FaceID"]
    if "proj.weight" in projection:
        kind, wanted = "plain", _plain(path, projection)
    elif "proj.2.weight" in projection and "norm.weight" in projection:
        kind, wanted = "FaceID", _face_id(path, projection)
    else:
        raise DataError(
            f"{path} has a projection of {_some(projection)}",
            wanted="a plain IP-Adapter or FaceID; Plus and Full Face read patches of a picture, not one embedding",
        )
    _compare(path, projection, wanted, _PROJECTION)
    return IdentityAdapter(path, kind, wanted["proj.weight" if kind == "plain" else "proj.0.weight"][1], shapes)


def check_fits(adapter: IdentityAdapter, unet: Path) -> None:
    """Compare the adapter's attention with that of the UNet whose configuration lies in the folder `unet`.

    Raises:
        DataError: a key is missing, strange or of another shape than this UNet wants.
        ConfigError: the adapter holds LoRA weights and peft is not installed.
    """
    unet_class = diffusers_library().UNet2DConditionModel
    with torch.device("meta"):  # the shapes of all layers, without their weights
        model: Any = unet_class.from_config(unet_class.load_config(unet, local_files_only=True))
    names = list(model.attn_processors)
    layers = [model.get_submodule(name.removesuffix(".processor")) for name in names]
    wanted: dict[str, tuple[int, ...]] = {}
    width = model.config.cross_attention_dim
    for number, (name, layer) in enumerate(zip(names, layers, strict=True)):
        if not name.endswith("attn1.processor"):
            wanted |= {f"{number}.to_{part}_ip.weight": tuple(layer.to_k.weight.shape) for part in "kv"}
        if adapter.has_lora:
            wanted |= _lora(adapter, number, layer)
    found = {k.removeprefix(_ATTENTION): s for k, s in adapter.shapes.items() if k.startswith(_ATTENTION)}
    _compare(adapter.path, found, wanted, _ATTENTION)
    _compare(
        adapter.path,
        {"norm.weight": adapter.shapes[f"{_PROJECTION}norm.weight"]},
        {"norm.weight": (width,)},
        _PROJECTION,
    )
    if adapter.has_lora and find_spec("peft") is None:
        raise ConfigError(
            f"{adapter.path} holds LoRA weights, which need peft", next_step="pip install 'spooflab[diffusion]'"
        )


def _plain(path: Path, shapes: _Shapes) -> dict[str, tuple[int, ...]]:
    weight, norm = _sizes(path, shapes, "plain", "proj.weight", "norm.weight")
    tokens = _PLAIN_TOKENS * norm[0]
    return {
        "proj.weight": (tokens, weight[1]), "proj.bias": (tokens,), "norm.weight": norm, "norm.bias": norm,
    }  # fmt: skip


def _face_id(path: Path, shapes: _Shapes) -> dict[str, tuple[int, ...]]:
    first, second, norm = _sizes(path, shapes, "FaceID", "proj.0.weight", "proj.2.weight", "norm.weight")
    hidden = max(first[0] // first[1], 1) * first[1]
    tokens = max(second[0] // norm[0], 1) * norm[0]
    return {
        "proj.0.weight": (hidden, first[1]), "proj.0.bias": (hidden,),
        "proj.2.weight": (tokens, hidden), "proj.2.bias": (tokens,), "norm.weight": norm, "norm.bias": norm,
    }  # fmt: skip


def _sizes(path: Path, shapes: _Shapes, kind: str, *names: str) -> list[tuple[int, ...]]:
    """Return the shapes that all others follow from, once all keys are there and these are matrices and a vector."""
    missing = sorted(set(_KEYS[kind]) - set(shapes))
    if missing:
        raise DataError(f"{path} lacks {_PROJECTION}{_some(missing)}", wanted=f"all of a {kind} projection")
    for name in names:
        if len(shapes[name]) != (1 if name.startswith("norm") else 2) or 0 in shapes[name]:
            raise DataError(f"{path}: {_PROJECTION}{name} {shapes[name]}", wanted="matrices, and a vector for the norm")
    return [shapes[name] for name in names]


def _lora(adapter: IdentityAdapter, number: int, layer: Any) -> dict[str, tuple[int, ...]]:
    """Return the shapes of one attention's LoRA, whose rank is that of its own first matrix."""
    wanted: dict[str, tuple[int, ...]] = {}
    for part, linear in {"q": layer.to_q, "k": layer.to_k, "v": layer.to_v, "out": layer.to_out[0]}.items():
        down, up = (f"{number}.to_{part}_lora.{way}.weight" for way in ("down", "up"))
        rank = (adapter.shapes.get(_ATTENTION + down) or (1,))[0]
        wanted |= {down: (rank, linear.weight.shape[1]), up: (linear.weight.shape[0], rank)}
    return wanted


def _compare(path: Path, found: _Shapes, wanted: _Shapes, prefix: str) -> None:
    missing, strange = sorted(set(wanted) - set(found)), sorted(set(found) - set(wanted))
    if missing or strange:
        said = [f"lacks {prefix}{_some(missing)}"] * bool(missing) + [f"has {prefix}{_some(strange)}"] * bool(strange)
        raise DataError(f"{path} {' and '.join(said)}", wanted="an adapter made for this kind of UNet, whole")
    for key, shape in wanted.items():
        if found[key] != shape:
            raise DataError(
                f"{path}: {prefix}{key} {found[key]}", wanted=f"{shape}, as the UNet and the other keys have"
            )


def _some(names: Any) -> str:
    names = list(names)
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
