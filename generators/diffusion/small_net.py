"""The trunk of the small networks that come with a model, and their files: half precision, read strictly."""

import hashlib
from pathlib import Path

from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor, nn
from torch.nn import functional as F

from spooflab.atomic import write_over
from spooflab.errors import DataError

LEVELS = (32, 64, 128, 192)
_GROUPS = 8


class Block(nn.Module):
    """A pre-activated residual block that halves the sides (He et al. 2016, with group norms)."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.GroupNorm(_GROUPS, before), nn.GroupNorm(_GROUPS, after)
        self.conv1 = nn.Conv2d(before, after, 3, stride=2, padding=1)
        self.conv2 = nn.Conv2d(after, after, 3, padding=1)
        self.skip = nn.Conv2d(before, after, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, after, H / 2, W / 2) of (B, before, H, W)."""
        inner = self.conv2(F.silu(self.norm2(self.conv1(F.silu(self.norm1(x))))))
        out: Tensor = inner + self.skip(F.avg_pool2d(x, 2))
        return out


class Trunk(nn.Module):
    """Pictures to maps of `LEVELS[-1]` channels and a 32nd of the sides."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, LEVELS[0], 3, padding=1, stride=2)
        pairs = zip((LEVELS[0], *LEVELS[:-1]), LEVELS, strict=True)
        self.blocks = nn.ModuleList(Block(before, after) for before, after in pairs)
        self.norm = nn.GroupNorm(_GROUPS, LEVELS[-1])

    def maps(self, pictures: Tensor) -> Tensor:
        """Return (B, `LEVELS[-1]`, H / 32, W / 32) of pictures (B, 3, H, W), sRGB in [0, 1]."""
        x = self.stem(pictures * 2 - 1)
        for block in self.blocks:
            x = block(x)
        return F.silu(self.norm(x))


def save_half(net: nn.Module, path: Path, told: str) -> None:
    """Write a network's weights in half precision, with the format `told` in the header."""
    weights = {key: value.detach().half().contiguous() for key, value in net.state_dict().items()}
    write_over(path, save(weights, {"format": told}))


def read_half(path: Path, told: str) -> tuple[dict[str, Tensor], str]:
    """Return float32 weights of a file that `save_half` wrote, and its SHA-256.

    Raises:
        DataError: a file of another format.
        OSError, SafetensorError: none, or a damaged one.
    """
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    with safe_open(path, framework="pt") as file:
        if (file.metadata() or {}).get("format") != told:
            raise DataError(f"{path}: not of format {told}", wanted="what diffusion training writes")
        return {key: file.get_tensor(key).float() for key in file.keys()}, digest  # noqa: SIM118  # no mapping
