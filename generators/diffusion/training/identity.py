"""Training of the identity encoder: two pictures of a person are pulled together, all others pushed away."""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from spooflab.errors import ConfigError
from spooflab.generators.diffusion.identity_crop import SIDE
from spooflab.generators.diffusion.identity_net import IdentityNet
from spooflab.generators.diffusion.training.examples import FACE, Examples
from spooflab.generators.diffusion.training.loop import Stage
from spooflab.params import uniform

_TEMPERATURE = 0.1
_SHOWN = 12


class IdentityStage(Stage):
    """Contrast within the batch (Chen et al. 2020, eq. 1), with the other picture of the person as the second view.

    Light, exposure, white balance, saturation, focus, grain and framing differ from view to view: what remains is the
    face. Skin's colour is nearly taken away on purpose, as a swap takes on the target's.

    Args:
        net: the encoder.
        examples: whose `likeness` is learnt.
        name: of the stage: another one draws otherwise.

    Raises:
        ConfigError: fewer than two people.
    """

    def __init__(self, net: IdentityNet, examples: Examples, *, name: str = "identity") -> None:
        super().__init__()
        self.net, self.name = net, name
        self._faces, self._views = examples.likeness, views(examples)
        if len(self._views) < 2:
            raise ConfigError(f"{len(self._views)} people to tell apart", wanted="two or more")

    def draw(self, batch: int, generator: torch.Generator) -> dict[str, Tensor]:
        """Return two altered views of each of `batch` people, never more than there are."""
        people = torch.randperm(len(self._views), generator=generator)[:batch].tolist()
        chosen = []
        for person in people:
            seen = self._views[person]
            order = torch.randperm(len(seen), generator=generator).tolist()
            chosen.append((seen[order[0]], seen[order[-1]]))
        first, second = (torch.from_numpy(self._faces[list(rows)]).float() / 255 for rows in zip(*chosen, strict=True))
        return {"first": altered(first, generator), "second": altered(second, generator)}

    def forward(self, **batch: Tensor) -> dict[str, Tensor]:
        """Return the contrast of a batch."""
        first, second = batch["first"], batch["second"]
        embedded = self.net(torch.cat([first, second]).contiguous(memory_format=torch.channels_last))
        return {"contrast": contrast(embedded)}

    def sheet(self) -> Tensor:
        """Return pairs of views, one pair above the other, as the encoder sees them."""
        rows = [(self._views[k][0], self._views[k][-1]) for k in range(min(_SHOWN, len(self._views)))]
        pair = [torch.from_numpy(self._faces[[row[side] for row in rows]]).float() / 255 for side in (0, 1)]
        return torch.cat([torch.cat(list(faces), -1) for faces in pair], -2)


def views(examples: Examples) -> list[list[int]]:
    """Return the rows of each person's different likenesses, by the person's first row; of bare faces alone."""
    found: dict[str, dict[bytes, int]] = {}
    for row in np.flatnonzero(examples.kind == FACE).tolist():
        subject = str(examples.subject[row])
        found.setdefault(subject, {}).setdefault(examples.likeness[row].tobytes(), row)
    return [list(rows.values()) for rows in found.values()]


def contrast(embedded: Tensor) -> Tensor:
    """Return the mean cross-entropy of telling each view's partner among all; (2B, D), partners B apart."""
    half = len(embedded) // 2
    likeness = embedded.float() @ embedded.float().T / _TEMPERATURE
    likeness = likeness.masked_fill(torch.eye(2 * half, dtype=torch.bool, device=embedded.device), -torch.inf)
    partner = torch.arange(2 * half, device=embedded.device).roll(half)
    return F.cross_entropy(likeness, partner)


def altered(faces: Tensor, generator: torch.Generator) -> Tensor:
    """Return faces (B, 3, S, S) under another camera: gain, white balance, gamma, saturation, frame, focus, grain."""
    n = len(faces)

    def wide(low: float, high: float, channels: int = 1) -> Tensor:
        return uniform(n * channels, low, high, generator).reshape(n, channels, 1, 1)

    colour = faces.clamp(1e-3, 1) ** wide(0.7, 1.4) * wide(0.6, 1.5) * wide(0.85, 1.18, 3)
    grey = colour.mean(1, keepdim=True)
    colour = grey + (colour - grey) * wide(0.0, 1.4)
    angle, scale = wide(-0.06, 0.06).flatten(), wide(0.94, 1.06).flatten()
    c, s = angle.cos() * scale, angle.sin() * scale
    shift = uniform(2 * n, -0.06, 0.06, generator).reshape(n, 2)
    warp = torch.stack([torch.stack([c, -s, shift[:, 0]], -1), torch.stack([s, c, shift[:, 1]], -1)], 1)
    grid = F.affine_grid(warp, [n, 3, SIDE, SIDE], align_corners=False)
    moved = F.grid_sample(colour, grid, padding_mode="border", align_corners=False)
    soft = F.avg_pool2d(F.pad(moved, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
    moved = torch.lerp(moved, soft, wide(0, 1))
    grain = torch.randn(moved.shape, generator=generator) * wide(0, 0.04)
    return (moved + grain).clamp(0, 1)
