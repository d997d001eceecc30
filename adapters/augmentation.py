"""Train-time augmentation without resampling: mirror, whole-pixel shift, channel gains."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from spooflab.adapters.train_config import AugmentConfig
from spooflab.params import Params
from spooflab.seeds import generator


@dataclass(frozen=True)
class AugmentParams(Params):
    """Drawn changes of a batch: `flip` (B,) bool, `shift` (B, 2) int64 pixels (y, x), `gain` (B, 3) float32."""

    flip: Tensor
    shift: Tensor
    gain: Tensor


def sample_augment(
    config: AugmentConfig, keys: Sequence[str], epochs: Sequence[int], *, size: int, seed: int
) -> AugmentParams:
    """Draw each image's changes from its own generator, named by (seed, epoch, key): order and batch do not matter.

    With `views` V, those of epoch e are view e mod V, named by (view, key): the same for every seed.
    """
    reach = int(config.shift * size)
    if not (config.flip or reach or config.gain):  # whatever were drawn, nothing would change
        return AugmentParams(
            torch.zeros(len(keys), dtype=torch.bool), torch.zeros(len(keys), 2).long(), torch.ones(len(keys), 3)
        )
    if config.views is None:
        gens = [generator(seed, "augment", e, key) for e, key in zip(epochs, keys, strict=True)]
    else:
        gens = [generator(0, "view", e % config.views, key) for e, key in zip(epochs, keys, strict=True)]
    draws = torch.stack([torch.rand(6, generator=gen) for gen in gens])
    shift = ((2 * reach + 1) * draws[:, 1:3]).long().clamp_(max=2 * reach) - reach
    return AugmentParams(draws[:, 0] < config.flip, shift, 1 + config.gain * (2 * draws[:, 3:6] - 1))


def apply_augment(images: Tensor, params: AugmentParams) -> Tensor:
    """Mirror, shift, then scale uint8 images (B, 3, H, W); return float32 in [0, 1], channels last in memory.

    A positive shift moves the picture down and right; what enters is its mirror image. Whole pixels only, because
    interpolation would soften the halftone and moiré that tell an attack.
    """
    device = images.device
    chosen = torch.nonzero(params.flip)[:, 0].to(device)
    mirrored = images.index_copy(0, chosen, images.index_select(0, chosen).flip(-1))
    moved = _shift(mirrored, params.shift.to(device))
    scaled = moved.float().mul_((params.gain / 255).to(device)[:, :, None, None]).clamp_(0, 1)
    return scaled.contiguous(memory_format=torch.channels_last)


def move_maps(maps: Tensor, params: AugmentParams, size: int) -> Tensor:
    """Return maps (B, C, m, m) mirrored and shifted as `apply_augment` does with the images of `size` pixels.

    A shift by whole pixels of the image is a fraction of a place here: neighbours are mixed linearly. What enters is
    the mirror image.
    """
    mirror = torch.where(params.flip, -1.0, 1.0)
    offset = 2.0 * params.shift.float() / size
    zero = torch.zeros_like(mirror)
    theta = torch.stack(
        [
            torch.stack([mirror, zero, -mirror * offset[:, 1]], 1),
            torch.stack([zero, torch.ones_like(mirror), -offset[:, 0]], 1),
        ],
        1,
    ).to(maps.device)
    grid = F.affine_grid(theta, list(maps.shape), align_corners=False)
    return F.grid_sample(maps.float(), grid, mode="bilinear", padding_mode="reflection", align_corners=False)


def _shift(images: Tensor, shift: Tensor) -> Tensor:
    """Shift by whole rows of memory: a row of the result is a window into the mirrored-out row it comes from."""
    batch, channels, height, width = images.shape
    reach = int(shift.abs().max())
    if not reach:
        return images
    left, right = images[..., 1 : reach + 1].flip(-1), images[..., -reach - 1 : -1].flip(-1)
    padded = torch.cat([left, images, right], dim=-1)
    row = (torch.arange(height, device=images.device) - shift[:, :1]).abs()
    row = torch.where(row >= height, 2 * (height - 1) - row, row)
    plane = torch.arange(batch * channels, device=images.device).view(batch, channels, 1)
    start = (plane * height + row[:, None]) * (width + 2 * reach) + (reach - shift[:, 1])[:, None, None]
    windows: Tensor = padded.view(-1).unfold(0, width, 1)
    return windows[start]
