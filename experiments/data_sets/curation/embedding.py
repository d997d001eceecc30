"""Pictures as points: what a network's stages say of them on average, in one byte for each number."""

import hashlib
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from spooflab.adapters.backbones import build_backbone
from spooflab.adapters.image_set import to_training_size
from spooflab.adapters.train_config import BackboneConfig
from spooflab.errors import ConfigError, DataError
from spooflab.experiments.data_sets.curation.space import MOST, Block, Space
from spooflab.generators.face_net.network import INPUT
from spooflab.generators.face_net.predict import FaceNet
from spooflab.images import decode_own_png
from spooflab.store import iter_images

FACE_NET = "face-net"
"""The network that comes with the package: no download, and made of rendered people alone."""
BACKBONE_PX = 224
_BATCH = 16
_AT_ONCE = 8192
_REACH = 4.0
"""Standard deviations that 127 stands for; what is beyond counts as that."""


@dataclass(frozen=True)
class Embedding:
    """A network that describes pictures.

    Attributes:
        name: `face-net`, or the folder's name.
        sha256: of its weights.
        size: side of the pictures that it takes.
        features: (B, 3, size, size) in [0, 1] to (B, D).
    """

    name: str
    sha256: str
    size: int
    features: Callable[[Tensor], Tensor]


def load_embedding(name: str) -> Embedding:
    """Load the shipped face network, or a transformers vision model from a local folder.

    The face network's features are the spatial means of its four encoder stages: texture as well as shape.

    Raises:
        ConfigError: neither, or no weights; nothing is downloaded.
    """
    if name == FACE_NET:
        net = FaceNet.load()
        return Embedding(FACE_NET, net.sha256, INPUT, lambda pixels: _stage_means(net, pixels))
    folder = Path(name)
    weights = sorted(folder.glob("*.safetensors"))
    if not weights:
        raise ConfigError(
            f"embedding {name!r}: no folder with *.safetensors",
            wanted=f"{FACE_NET}, or a local folder with config.json and model.safetensors",
        )
    digest = hashlib.sha256(b"".join(hashlib.sha256(path.read_bytes()).digest() for path in weights)).hexdigest()
    backbone = build_backbone(BackboneConfig(name=str(folder), tuning="frozen"), BACKBONE_PX).eval()
    return Embedding(folder.resolve().name, digest, BACKBONE_PX, backbone)


def embedded(root: Path, rows: int, embedding: Embedding) -> Space:
    """Describe every picture, in order, on one thread.

    Each number is centred and scaled by its standard deviation over the data set. Memory: one byte for each number of
    each picture, and one batch; until the scale is known, a temporary file holds four bytes for each.

    Raises:
        DataError: damage, fewer than two pictures, or a network whose numbers are not finite.
    """
    if rows < 2:
        raise DataError(f"{root}: {rows} pictures", wanted="two or more to choose among")
    with _table(root, rows, embedding) as table:
        mean, deviation = _moments(table)
        values = np.empty(table.shape, dtype=np.int8)
        for start in range(0, rows, _AT_ONCE):
            part = (table[start : start + _AT_ONCE].astype(np.float64) - mean) / deviation
            values[start : start + _AT_ONCE] = np.rint(np.clip(part / _REACH, -1, 1) * MOST)
    scale = (_REACH / MOST) ** 2 / values.shape[1]
    return Space((Block(values, np.zeros(rows, dtype=np.int32), np.array([scale])),), (1.0,))


@contextmanager
def _table(root: Path, rows: int, embedding: Embedding) -> Iterator[NDArray[np.float32]]:
    with tempfile.TemporaryDirectory(prefix="spooflab-curate-") as folder:
        table: Any = None
        for start, batch in _batches(root, embedding.size):
            with torch.inference_mode():
                found = embedding.features(batch.float() / 255).double().numpy()
            if not np.isfinite(found).all():
                raise DataError(f"{root}: the embedding {embedding.name} is not finite", wanted="finite numbers")
            if table is None:
                shape = (rows, found.shape[1])
                table = np.memmap(Path(folder) / "features", dtype=np.float32, mode="w+", shape=shape)
            table[start : start + len(found)] = found
        yield table
        del table


def _batches(root: Path, size: int) -> Iterator[tuple[int, Tensor]]:
    held: list[Tensor] = []
    start = 0
    for _, png in iter_images(root):
        held.append(to_training_size(decode_own_png(png), size))
        if len(held) == _BATCH:
            yield start, torch.stack(held)
            start, held = start + _BATCH, []
    if held:
        yield start, torch.stack(held)


def _moments(table: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return mean and standard deviation of each column, in two passes; 1 for a column that is constant."""
    parts = range(0, len(table), _AT_ONCE)
    mean = sum(table[p : p + _AT_ONCE].sum(0, dtype=np.float64) for p in parts) / len(table)
    square = sum(np.square(table[p : p + _AT_ONCE].astype(np.float64) - mean).sum(0) for p in parts)
    deviation = np.sqrt(np.asarray(square) / len(table))
    return np.asarray(mean), np.where(deviation > 0, deviation, 1.0)


def _stage_means(net: FaceNet, pixels: Tensor) -> Tensor:
    return torch.cat([stage.mean((2, 3)) for stage in net.network.stages(pixels)], 1)
