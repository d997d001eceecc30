"""The identity encoder that comes with the package: a small convolutional network on the inner face."""

import hashlib
import json
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn
from torch.nn import functional as F

from spooflab.atomic import replace, write_aside
from spooflab.errors import DataError
from spooflab.generators.diffusion.identity_crop import SIDE, identity_crop

FORMAT = "spooflab.identity/1"
IDENTITY_FOLDER = "identity_encoder"
"""Its folder within a model's."""
CONFIG, WEIGHTS = "config.json", "model.safetensors"
LEVELS = (32, 64, 128, 192)
GROUPS = 8


class Block(nn.Module):
    """A pre-activated residual block that halves the sides (He et al. 2016, with group norms)."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.GroupNorm(GROUPS, before), nn.GroupNorm(GROUPS, after)
        self.conv1 = nn.Conv2d(before, after, 3, stride=2, padding=1)
        self.conv2 = nn.Conv2d(after, after, 3, padding=1)
        self.skip = nn.Conv2d(before, after, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, after, H / 2, W / 2) of (B, before, H, W)."""
        inner = self.conv2(F.silu(self.norm2(self.conv1(F.silu(self.norm1(x))))))
        out: Tensor = inner + self.skip(F.avg_pool2d(x, 2))
        return out


class IdentityNet(nn.Module):
    """Inner faces to unit vectors, near for one person and far for two.

    Args:
        width: numbers in an embedding.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width
        self.stem = nn.Conv2d(3, LEVELS[0], 3, padding=1, stride=2)
        pairs = zip((LEVELS[0], *LEVELS[:-1]), LEVELS, strict=True)
        self.blocks = nn.ModuleList(Block(before, after) for before, after in pairs)
        self.norm = nn.GroupNorm(GROUPS, LEVELS[-1])
        self.head = nn.Linear(LEVELS[-1] * 4, width)

    def forward(self, faces: Tensor) -> Tensor:
        """Return (B, width) unit vectors of crops (B, 3, `SIDE`, `SIDE`), sRGB in [0, 1]."""
        x = self.stem(faces * 2 - 1)
        for block in self.blocks:
            x = block(x)
        return F.normalize(self.head(F.silu(self.norm(x)).flatten(1)), dim=-1)


class NetIdentity:
    """An `IdentityEncoder` with an `IdentityNet`.

    Args:
        net: the network.
        model: its name and digest, for records.
    """

    def __init__(self, net: IdentityNet, model: str) -> None:
        self._net, self.model, self.width = net.eval().requires_grad_(False), model, net.width

    @classmethod
    def load(cls, folder: Path, *, name: str) -> "NetIdentity":
        """Read `config.json` and `model.safetensors`.

        Raises:
            DataError: one is missing or damaged, or the weights are another network's.
        """
        net, digest = load_identity(folder)
        return cls(net, f"{name} sha256:{digest}")

    def embed(self, pictures: Tensor, landmarks: Tensor) -> Tensor:
        """Return (B, width) unit vectors of faces.

        Args:
            pictures: (B, 3, H, W) sRGB in [0, 1].
            landmarks: (B, 68, 2) pixels.
        """
        crops = [identity_crop(pictures[k : k + 1], landmarks[k : k + 1]) for k in range(len(pictures))]
        with torch.inference_mode():
            return self._net(torch.cat(crops))  # type: ignore[no-any-return]


def load_identity(folder: Path) -> tuple[IdentityNet, str]:
    """Return the encoder of a folder that `save_identity` wrote, and the SHA-256 of its weights' file.

    Raises:
        DataError: a file is missing or damaged, or the weights are another network's.
    """
    path = folder / WEIGHTS
    try:
        width = json.loads((folder / CONFIG).read_text(encoding="utf-8"))["width"]
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        with safe_open(path, framework="pt") as file:
            if (file.metadata() or {}).get("format") != FORMAT:
                raise DataError(f"{path}: not of format {FORMAT}", wanted="what diffusion training writes")
            held = {key: file.get_tensor(key).float() for key in file.keys()}  # noqa: SIM118
        net = IdentityNet(width)
        net.load_state_dict(held)
    except (OSError, ValueError, KeyError, TypeError, SafetensorError, RuntimeError) as error:
        raise DataError(f"{folder}: no identity encoder: {error}", wanted=f"{CONFIG} and {WEIGHTS}") from error
    return net, digest


def save_identity(net: IdentityNet, folder: Path) -> None:
    """Write the encoder's folder, weights in half precision."""
    folder.mkdir(parents=True, exist_ok=True)
    weights = {key: value.detach().half().contiguous() for key, value in net.state_dict().items()}
    facts = json.dumps({"format": FORMAT, "width": net.width, "side": SIDE}, indent=1)
    for name, data in ((WEIGHTS, save(weights, {"format": FORMAT})), (CONFIG, facts.encode())):
        aside = folder / f"{name}.part"
        aside.unlink(missing_ok=True)
        write_aside(aside, data)
        replace(aside, folder / name)
