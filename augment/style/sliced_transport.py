"""Optimal transport of colours along random directions, which also carries what a covariance does not see."""

import torch
from torch import Tensor, nn

from spooflab.augment.style.statistics import StyleStatistics
from spooflab.errors import DataError


def sliced_transport(x: Tensor, colours: Tensor, rotations: Tensor) -> Tensor:
    """Return `x` with its colours' distribution moved to that of `colours`.

    Iterative distribution transfer (Pitie, Kokaram and Dahyot 2007). In each rotated frame, each axis is matched to the
    target by its order, which is optimal in one dimension; the differences shrink with every frame.

    Args:
        x: (B, 3, H, W).
        colours: (B, K, 3) a sample of the wanted colours.
        rotations: (B, R, 3, 3) orthogonal frames.
    """
    if colours.shape[0] != x.shape[0] or colours.shape[-1] != 3 or rotations.shape[-2:] != (3, 3):
        raise DataError(
            f"{tuple(x.shape)}, {tuple(colours.shape)}, {tuple(rotations.shape)}",
            wanted="(B, 3, H, W), (B, K, 3), (B, R, 3, 3)",
        )
    moved, wanted = x.flatten(2), colours.transpose(1, 2).to(x.dtype)
    for frame in rotations.to(x.dtype).unbind(1):
        seen, target = frame @ moved, (frame @ wanted).sort(-1).values
        moved = frame.transpose(1, 2) @ _match_order(seen, target)
    return moved.reshape(x.shape)


def _match_order(seen: Tensor, target: Tensor) -> Tensor:
    """Return `seen` (B, 3, N) with each value replaced by the quantile of sorted `target` (B, 3, K) of its own rank.

    Equal values share their middle rank: a black wall stays one colour instead of taking many in reading order.
    """
    count, kept = seen.shape[-1], target.shape[-1]
    ranked, order = seen.sort(-1)
    place = (_middle_ranks(ranked) * (kept / count) - 0.5).clamp(0, kept - 1)
    below = place.floor().long().clamp(max=max(kept - 2, 0))
    low, high = target.gather(-1, below), target.gather(-1, (below + 1).clamp(max=kept - 1))
    return torch.empty_like(seen).scatter_(-1, order, torch.lerp(low, high, (place - below).to(target.dtype)))


def _middle_ranks(ranked: Tensor) -> Tensor:
    """Return the middle of the run of equal values that each of sorted (..., N) lies in, float64 in [0, N]."""
    count = ranked.shape[-1]
    place = torch.arange(count, device=ranked.device, dtype=torch.int32).expand(ranked.shape)
    fresh = torch.ones_like(ranked, dtype=torch.bool)
    fresh[..., 1:] = ranked[..., 1:] != ranked[..., :-1]
    first = torch.where(fresh, place, 0).cummax(-1).values
    final = torch.ones_like(fresh)
    final[..., :-1] = fresh[..., 1:]
    past = torch.where(final, place + 1, count).flip(-1).cummin(-1).values.flip(-1)
    return (first + past).double() / 2


def draw_rotations(count: int, generator: torch.Generator) -> Tensor:
    """Return (count, 3, 3) orthogonal matrices, uniform over all (QR of Gaussian matrices, Mezzadri 2007)."""
    q, r = torch.linalg.qr(torch.randn(count, 3, 3, generator=generator, dtype=torch.float64))
    frames: Tensor = q * torch.diagonal(r, dim1=1, dim2=2).sign()[:, None, :]
    return frames


class SlicedTransport(nn.Module):
    """`sliced_transport` to the colours of a style bank.

    Args:
        frames: how many random frames, >= 1; 10 suffice for three channels.
    """

    def __init__(self, frames: int = 10) -> None:
        super().__init__()
        if frames < 1:
            raise DataError(f"frames: {frames}", wanted="at least one")
        self.frames = frames

    def forward(self, x: Tensor, style: StyleStatistics, weight: Tensor, seed: Tensor) -> Tensor:
        """Return (B, 3, H, W) moved by the share `weight` towards the bank's B rows; frames come from `seed` (B,)."""
        rotations = torch.stack(
            [draw_rotations(self.frames, torch.Generator().manual_seed(s)) for s in seed.tolist()]
        ).to(x.device)
        return torch.lerp(x, sliced_transport(x, style.colours, rotations), weight[:, None, None, None])
