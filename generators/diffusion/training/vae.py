"""Training of the autoencoder: pictures through a few numbers per patch and back (Kingma & Welling 2014)."""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from spooflab.generators.diffusion.training.examples import Examples
from spooflab.generators.diffusion.training.loop import Stage

_KL = 1e-6
_EDGES = 1.0
_SHOWN = 12
_CROP = 64
"""Side of the pieces that are learnt from: the autoencoder knows no place, and pieces cost less than whole pictures."""


class VaeStage(Stage):
    """The mean absolute error of pixels and of their differences, and a little of the divergence from a unit normal.

    Differences weigh edges: without them lashes, brows and lips are smeared before anything else.

    Args:
        vae: an `AutoencoderKL`.
        examples: whose pictures are learnt.
    """

    name = "vae"

    def __init__(self, vae: Any, examples: Examples) -> None:
        super().__init__()
        self.vae, self._pictures = vae, examples.picture

    def draw(self, batch: int, generator: torch.Generator) -> dict[str, Tensor]:
        """Return pieces of pictures in [-1, 1], half of them mirrored, and the noise of their latents."""
        rows = torch.randint(0, len(self._pictures), (batch,), generator=generator).numpy()
        whole = self._pictures.shape[-1]
        piece = min(whole, _CROP)
        y, x = torch.randint(0, whole - piece + 1, (2,), generator=generator).tolist()
        picture = torch.from_numpy(self._pictures[rows, :, y : y + piece, x : x + piece]).float() / 127.5 - 1
        flip = torch.rand(batch, generator=generator) < 0.5
        picture = torch.where(flip[:, None, None, None], picture.flip(-1), picture)
        config = self.vae.config
        side = piece // 2 ** (len(config.block_out_channels) - 1)
        return {
            "picture": picture.contiguous(memory_format=torch.channels_last),
            "noise": torch.randn(batch, config.latent_channels, side, side, generator=generator),
        }

    def forward(self, **batch: Tensor) -> dict[str, Tensor]:
        """Return the losses of a batch."""
        picture, noise = batch["picture"], batch["noise"]
        latent = self.vae.encode(picture).latent_dist
        made = self.vae.decode(latent.mean + latent.std * noise).sample
        edges = sum(F.l1_loss(made.diff(dim=axis), picture.diff(dim=axis)) for axis in (-1, -2))
        return {
            "pixels": F.l1_loss(made, picture),
            "edges": _EDGES * torch.as_tensor(edges),
            "divergence": _KL * latent.kl().mean(),
        }

    def sheet(self) -> Tensor:
        """Return pictures above what comes back of them."""
        device = next(self.vae.parameters()).device
        picture = (torch.from_numpy(self._pictures[:_SHOWN]).float() / 127.5 - 1).to(device)
        with torch.inference_mode():
            made = self.vae.decode(self.vae.encode(picture).latent_dist.mode()).sample
        return torch.cat([torch.cat(list(rows), -1) for rows in (picture, made)], -2) / 2 + 0.5


def scaling_factor(vae: Any, examples: Examples, *, count: int = 512) -> float:
    """Return what latents are multiplied by to have unit variance, of the first `count` pictures."""
    with torch.inference_mode():
        latents = [
            vae.encode(torch.from_numpy(examples.picture[k : k + 32]).float() / 127.5 - 1).latent_dist.mode()
            for k in range(0, min(count, len(examples)), 32)
        ]
    return 1 / float(torch.cat(latents).std())
