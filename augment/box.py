"""Means over squares, borders, and half-size pictures: where the edge-preserving filters spend their time."""

import torch
from torch import Tensor
from torch.nn import functional as F


def replicate(image: Tensor, margin: int) -> Tensor:
    """Return (B, C, H + 2 margin, W + 2 margin), borders continued by their last pixel.

    The same as `F.pad(mode="replicate")`, which copies pixel by pixel on the CPU and takes five times as long.
    """
    batch, channels, height, width = image.shape
    out = image.new_empty(batch, channels, height + 2 * margin, width + 2 * margin)
    rows = slice(margin, margin + height)
    out[..., rows, margin : margin + width] = image
    out[..., rows, :margin] = image[..., :1]
    out[..., rows, margin + width :] = image[..., -1:]
    out[..., :margin, :] = out[..., margin : margin + 1, :]
    out[..., margin + height :, :] = out[..., margin + height - 1 : margin + height, :]
    return out


def box_mean(image: Tensor, radius: int) -> Tensor:
    """Return the mean of (B, C, H, W) over squares of 2 radius + 1 pixels, radius >= 1; edges replicate."""
    total = _run_sum(_run_sum(replicate(image, radius), -1, radius), -2, radius)
    return total.mul_(1 / (2 * radius + 1) ** 2)


def halve(image: Tensor) -> Tensor:
    """Return the means of 2 x 2 pixels of (B, C, H, W); an odd last row or column is repeated."""
    if image.shape[-2] % 2:
        image = torch.cat([image, image[..., -1:, :]], -2)
    if image.shape[-1] % 2:
        image = torch.cat([image, image[..., -1:]], -1)
    rows = image[..., 0::2, :] + image[..., 1::2, :]
    return (rows[..., 0::2] + rows[..., 1::2]).mul_(0.25)


def double(image: Tensor, height: int, width: int) -> Tensor:
    """Return (B, C, H/2, W/2) at twice the size, bilinear, cut to `height` and `width`."""
    return F.interpolate(image, scale_factor=2, mode="bilinear")[..., :height, :width]


def _run_sum(padded: Tensor, dim: int, radius: int) -> Tensor:
    """Sum 2 radius + 1 neighbours along `dim`: doubled runs as the count's binary digits ask."""
    count = 2 * radius + 1
    length = padded.shape[dim] - 2 * radius
    run, run_length = padded, 1
    total, start = padded.narrow(dim, 0, length), 1
    while start < count:
        # `count` is odd, so one pixel is taken and the rest falls into runs of 2, 4, ...
        doubled = run.shape[dim] - run_length
        run = run.narrow(dim, 0, doubled) + run.narrow(dim, run_length, doubled)
        run_length *= 2
        if (count // run_length) % 2:
            total = total + run.narrow(dim, start, length)
            start += run_length
    return total
