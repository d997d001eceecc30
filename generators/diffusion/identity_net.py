"""The identity encoder that comes with the package: a small convolutional network on the inner face."""

import json
from pathlib import Path

import torch
from safetensors import SafetensorError
from torch import Tensor, nn
from torch.nn import functional as F

from spooflab.atomic import write_over
from spooflab.errors import DataError
from spooflab.generators.diffusion.identity_crop import SIDE, identity_crop
from spooflab.generators.diffusion.small_net import LEVELS, Trunk, read_half, save_half

FORMAT = "spooflab.identity/1"
IDENTITY_FOLDER = "identity_encoder"
"""Its folder within a model's."""
IDENTITY_JUDGE = "identity_judge"
"""Folder of a second encoder, from other draws: it measures what was painted, and nothing is painted for it."""
CONFIG, WEIGHTS = "config.json", "model.safetensors"


class IdentityNet(Trunk):
    """Inner faces to unit vectors, near for one person and far for two.

    Args:
        width: numbers in an embedding.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width
        self.head = nn.Linear(LEVELS[-1] * 4, width)

    def forward(self, faces: Tensor) -> Tensor:
        """Return (B, width) unit vectors of crops (B, 3, `SIDE`, `SIDE`), sRGB in [0, 1]."""
        return F.normalize(self.head(self.maps(faces).flatten(1)), dim=-1)


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
        held, digest = read_half(path, FORMAT)
        net = IdentityNet(width)
        net.load_state_dict(held)
    except (OSError, ValueError, KeyError, TypeError, SafetensorError, RuntimeError) as error:
        raise DataError(f"{folder}: no identity encoder: {error}", wanted=f"{CONFIG} and {WEIGHTS}") from error
    return net, digest


def save_identity(net: IdentityNet, folder: Path) -> None:
    """Write the encoder's folder, weights in half precision."""
    folder.mkdir(parents=True, exist_ok=True)
    save_half(net, folder / WEIGHTS, FORMAT)
    facts = json.dumps({"format": FORMAT, "width": net.width, "side": SIDE}, indent=1)
    write_over(folder / CONFIG, facts.encode())
