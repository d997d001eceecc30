"""The file of weights: written small, read strictly, and nothing but safetensors."""

import hashlib
from functools import lru_cache
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from spooflab.errors import ConfigError
from spooflab.generators.face_net.network import Conv, Network

SHIPPED = Path(__file__).with_name("weights.safetensors")
"""The weights that come with the package."""
FORMAT = "spooflab.face_net/1"
_WANTED = f"a safetensors file of format {FORMAT}, as `spooflab.generators.face_net.training` writes it"
_NEXT = "leave the path out to use the weights that come with the package"


def pack(network: Network, facts: dict[str, str]) -> bytes:
    """Return the file of a network: half precision for the convolutions, full for the rest; `facts` as its header."""
    held = {}
    for name, value in network.state_dict().items():
        if name.endswith("num_batches_tracked"):
            continue
        held[name] = value.to(torch.float16).contiguous() if value.ndim == 4 else value.contiguous()
    return bytes(save(held, {"format": FORMAT, **facts}))


def read_weights(path: Path) -> tuple[Network, str]:
    """Return the network of a file, ready to read, and the file's SHA-256.

    Raises:
        ConfigError: no such file, no safetensors file, one of something else, a tensor too many, too few, of another
            shape or with a value that is not finite.
    """
    path = path.resolve()
    try:
        stat = path.stat()
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror or error}", wanted=_WANTED, next_step=_NEXT) from error
    return _read(path, stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=4)
def _read(path: Path, size: int, changed_ns: int) -> tuple[Network, str]:
    del size, changed_ns  # part of the key: a file that is replaced is read again
    try:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        with safe_open(path, framework="pt") as file:
            told = (file.metadata() or {}).get("format")
            held = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # no mapping: it has no iterator
    except (OSError, SafetensorError) as error:
        raise ConfigError(f"{path}: no readable safetensors file: {error}", wanted=_WANTED, next_step=_NEXT) from error
    if told != FORMAT:
        raise ConfigError(f"{path}: format {told!r}", wanted=_WANTED, next_step=_NEXT)
    network = Network()
    wanted = {k: v for k, v in network.state_dict().items() if not k.endswith("num_batches_tracked")}
    _check(path, held, wanted)
    network.load_state_dict({k: v.to(torch.float32) for k, v in held.items()}, strict=False)
    return fused(network), digest


def _check(path: Path, held: dict[str, Tensor], wanted: dict[str, Tensor]) -> None:
    missing, strange = sorted(set(wanted) - set(held)), sorted(set(held) - set(wanted))
    if missing or strange:
        raise ConfigError(
            f"{path}: tensors missing: {', '.join(missing[:5]) or 'none'}; unknown: {', '.join(strange[:5]) or 'none'}",
            wanted=_WANTED,
            next_step=_NEXT,
        )
    for name, value in held.items():
        if value.shape != wanted[name].shape:
            seen, wish = tuple(value.shape), tuple(wanted[name].shape)
            raise ConfigError(f"{path}: {name} is {seen}", wanted=f"{wish}", next_step=_NEXT)
        if not value.is_floating_point() or not bool(value.isfinite().all()):
            raise ConfigError(
                f"{path}: {name} holds values that are no finite numbers", wanted=_WANTED, next_step=_NEXT
            )


def fused(network: Network) -> Network:
    """Return the network in evaluation mode with its batch norms inside its convolutions: the same, a third faster."""
    network.eval().requires_grad_(False)
    for module in network.modules():
        if isinstance(module, Conv):
            conv, norm = module[0], module[1]
            assert isinstance(conv, nn.Conv2d)
            assert isinstance(norm, nn.BatchNorm2d)
            module[0], module[1] = fuse_conv_bn_eval(conv, norm), nn.Identity()
    return network.to(memory_format=torch.channels_last)
