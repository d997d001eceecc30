"""A judge of masks: which material a picture shows, learnt from rendered ones, to measure what prompts bring about."""

from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from torch import Tensor, nn
from torch.nn import functional as F

from spooflab.errors import ConfigError, DataError
from spooflab.generators.diffusion.materials import MATERIALS
from spooflab.generators.diffusion.small_net import LEVELS, Trunk, read_half, save_half
from spooflab.generators.diffusion.training.examples import FACE, Examples
from spooflab.generators.diffusion.training.loop import Stage
from spooflab.params import uniform

FORMAT = "spooflab.material/1"
FILE = "material_classifier.safetensors"
_SHOWN = 8


class MaterialNet(Trunk):
    """Crops of masked faces to scores of `MATERIALS`, in their order."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(LEVELS[-1], len(MATERIALS))

    def forward(self, pictures: Tensor) -> Tensor:
        """Return (B, materials) scores of pictures (B, 3, S, S), sRGB in [0, 1]."""
        scores: Tensor = self.head(self.maps(pictures).mean((2, 3)))
        return scores


class MaterialStage(Stage):
    """Cross-entropy on rendered masks under altered light, frame and focus.

    Args:
        net: the judge.
        examples: those with a mask are learnt.

    Raises:
        ConfigError: none has a mask.
    """

    name = "material"

    def __init__(self, net: MaterialNet, examples: Examples) -> None:
        super().__init__()
        rows = np.flatnonzero(examples.kind != FACE)
        if len(rows) == 0:
            raise ConfigError("no example has a mask", wanted="masks above 0", next_step="or material steps of 0")
        self.net, self._pictures = net, examples.picture[rows]
        names = list(MATERIALS)
        self._labels = torch.tensor([names.index(kind) for kind in examples.kind[rows].tolist()])

    def draw(self, batch: int, generator: torch.Generator) -> dict[str, Tensor]:
        """Return altered pictures and their materials."""
        rows = torch.randint(0, len(self._labels), (batch,), generator=generator)
        pictures = torch.from_numpy(self._pictures[rows.numpy()]).float() / 255
        flip = torch.rand(batch, generator=generator) < 0.5
        pictures = torch.where(flip[:, None, None, None], pictures.flip(-1), pictures)
        gain, white = uniform(batch, 0.8, 1.25, generator), uniform(3 * batch, 0.93, 1.07, generator)
        pictures = pictures * gain[:, None, None, None] * white.reshape(batch, 3, 1, 1)
        soft = F.avg_pool2d(F.pad(pictures, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
        pictures = torch.lerp(pictures, soft, uniform(batch, 0, 1, generator)[:, None, None, None])
        return {"pictures": pictures.clamp(0, 1), "labels": self._labels[rows]}

    def forward(self, **batch: Tensor) -> dict[str, Tensor]:
        """Return the loss of a batch."""
        pictures, labels = batch["pictures"], batch["labels"]
        scores = self.net(pictures.contiguous(memory_format=torch.channels_last))
        return {"naming": F.cross_entropy(scores, labels)}

    def sheet(self) -> Tensor:
        """Return pictures of each material, a row each."""
        rows = []
        for k in range(len(MATERIALS)):
            shown = self._pictures[(self._labels == k).numpy()][:_SHOWN]
            row = torch.cat(list(torch.from_numpy(shown).float() / 255), -1) if len(shown) else torch.zeros(3, 1, 1)
            rows.append(row)
        width, height = (max(row.shape[axis] for row in rows) for axis in (-1, -2))
        return torch.cat([F.pad(r, (0, width - r.shape[-1], 0, height - r.shape[-2])) for r in rows], -2)


def save_material(net: MaterialNet, folder: Path) -> None:
    """Write the judge into a model's folder, in half precision."""
    save_half(net, folder / FILE, FORMAT)


def load_material(folder: Path) -> tuple[MaterialNet, str]:
    """Return the judge of a model's folder and the SHA-256 of its file.

    Raises:
        DataError: it is missing, damaged or another network's.
    """
    path = folder / FILE
    try:
        held, digest = read_half(path, FORMAT)
        net = MaterialNet()
        net.load_state_dict(held)
    except (OSError, SafetensorError, RuntimeError) as error:
        raise DataError(f"{path}: no judge of materials: {error}", next_step="train with material steps") from error
    return net.eval().requires_grad_(False), digest
