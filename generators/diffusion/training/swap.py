"""Training of the denoiser on swaps: nobody knows what they should look like, but whom they should resemble."""

from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from spooflab.errors import ConfigError
from spooflab.generators.diffusion.identity_crop import GREY, SIDE, identity_frame, inner_face
from spooflab.generators.diffusion.identity_net import IdentityNet
from spooflab.generators.diffusion.training.config import Parts as How
from spooflab.generators.diffusion.training.denoiser import CONDITIONS, DenoiserStage
from spooflab.generators.diffusion.training.examples import Examples
from spooflab.generators.diffusion.training.parts import Parts
from spooflab.params import uniform

_JUMPS = 2
"""Steps from noise to where the result is judged, without gradients."""
_UNTIL = (0.05, 0.8)
"""How much of the schedule is then left."""
_SWAP = "swap_"


class SwapStage(DenoiserStage):
    """The denoiser's own loss, and beside it one of swaps: 1 - cosine of the result's identity and the told one.

    The denoiser only ever sees faces told as who they are, whose landmarks and surroundings tell as much: it learns to
    trust those. Here landmarks and surroundings are one person's, the identity is another's. A picture is painted from
    noise in a few jumps (DDIM, Song et al. 2021), the last of which has gradients (as Xu et al. 2023, ReFL, do for
    rewards), is decoded, laid into its surroundings, and shown to the identity encoder, as DiffSwap (Zhao et al. 2023)
    does with the midpoint of a step. The encoder stays; so does the decoder.

    Args:
        parts: changed in place; the autoencoder stays.
        identity: the encoder that tells, and judges; stays.
        examples: what is learnt.
        how: which parts learn.
        weight: of the resemblance beside the denoising.
        cache, about: see `DenoiserStage`.

    Raises:
        ConfigError: nothing learns, or no example is a bare face.
    """

    name = "swap"

    def __init__(
        self,
        parts: Parts,
        identity: IdentityNet,
        examples: Examples,
        how: How,
        *,
        weight: float,
        cache: Path | None = None,
        about: str = "",
    ) -> None:
        super().__init__(parts, identity, examples, how, cache=cache, about=about)
        self.vae, self.encoder = parts.vae.requires_grad_(False), identity.requires_grad_(False)
        self._likeness_weight = weight
        self._faces = torch.nonzero(self._face)[:, 0]
        if len(self._faces) == 0:
            raise ConfigError("no example is a bare face", wanted="faces to swap")
        self._levels = self._scheduler.alphas_cumprod

    def draw(self, batch: int, generator: torch.Generator) -> dict[str, Tensor]:
        """Return what the denoiser learns, and as many swaps, whose names begin with `swap_`."""
        own = super().draw(batch, generator)
        target, source = (
            self._faces[torch.randint(0, len(self._faces), (batch,), generator=generator)] for _ in range(2)
        )
        chosen = target.numpy()
        latent = self._latents[target]
        region = torch.from_numpy(self._examples.region[chosen])[:, None].float() / 255
        picture = torch.from_numpy(self._examples.picture[chosen]).float() / 255
        grid, inner = identity_view(torch.from_numpy(self._examples.points[chosen]), picture.shape[-1])
        swap = {
            "masked": self._masked[target].float(),
            "region": F.interpolate(region, size=latent.shape[-2:]),
            "condition": torch.from_numpy(self._examples.condition[chosen]).float() / 255,
            "tokens": self._tokens[self._words[target]],
            "identity": self._identities[source],
            "noise": torch.randn(latent.shape, generator=generator),
            "left": uniform(batch, *_UNTIL, generator),
            "picture": picture,
            "painted": region,
            "grid": grid,
            "inner": inner,
        }
        return own | {_SWAP + name: value for name, value in swap.items()}

    def forward(self, **batch: Tensor) -> dict[str, Tensor]:
        """Return the losses of a batch."""
        swap = {name.removeprefix(_SWAP): value for name, value in batch.items() if name.startswith(_SWAP)}
        losses = super().forward(**{name: value for name, value in batch.items() if not name.startswith(_SWAP)})
        told = {name: swap[name] for name in CONDITIONS}
        last = len(self._levels) - 1
        times = [((1 - k / _JUMPS * (1 - swap["left"])) * last).round().long() for k in range(_JUMPS + 1)]
        latent = swap["noise"]
        with torch.no_grad():
            for time, following in pairwise(times):
                clean, noise = self._parted(latent, time, self.predicted(latent, time, **told).float())
                latent = self._scheduler.add_noise(clean, noise, following)
        clean, _ = self._parted(latent, times[-1], self.predicted(latent, times[-1], **told).float())
        made = self.vae.decode(clean / self.vae.config.scaling_factor).sample.float() / 2 + 0.5
        laid = torch.lerp(swap["picture"], made, swap["painted"])
        step = max(laid.shape[-1] // (2 * SIDE), 1)  # large pictures are averaged before they are thinned
        seen = F.grid_sample(F.avg_pool2d(laid, step), swap["grid"], padding_mode="reflection", align_corners=False)
        seen = torch.lerp(torch.full_like(seen, GREY), seen, swap["inner"]).clamp(0, 1)
        likeness = (self.encoder(seen).float() * swap["identity"]).sum(1)
        return losses | {"unlikeness": self._likeness_weight * (1 - likeness).mean()}

    def _parted(self, noisy: Tensor, time: Tensor, predicted: Tensor) -> tuple[Tensor, Tensor]:
        """Return clean latents and noise that noisy latents consist of, going by what the UNet predicts."""
        level = self._levels.to(noisy.device)[time].reshape(-1, 1, 1, 1)
        a, s = level.sqrt(), (1 - level).sqrt()
        if self._kind == "epsilon":
            return (noisy - s * predicted) / a, predicted
        return a * noisy - s * predicted, s * noisy + a * predicted


def identity_view(points: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Return `identity_crop` in two parts that a batch shares: where to read pictures of `size`, and what is seen.

    Args:
        points: (B, 68, 2) landmarks in pixels.
        size: side of the pictures.

    Returns:
        (B, `SIDE`, `SIDE`, 2) places for `grid_sample`, and (B, 1, `SIDE`, `SIDE`) weights.
    """
    frames = [identity_frame(each) for each in points]
    share = (torch.arange(SIDE) + 0.5) / SIDE
    at = torch.stack(torch.meshgrid(share, share, indexing="xy"), -1)
    grid = torch.stack([frame.to_picture(at) for frame in frames]) * (2 / size) - 1
    inner = [inner_face(each[None], frame) for each, frame in zip(points, frames, strict=True)]
    return grid, torch.cat(inner)
