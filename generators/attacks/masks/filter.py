"""Small filters on maps: box means by running sums and look-ups at displaced places, faster than pooling."""

import torch
from torch import Tensor
from torch.nn import functional as F


def box(image: Tensor, radius: int) -> Tensor:
    """Return the mean of (…, h, w) over squares of 2 radius + 1 pixels; edges replicate."""
    if radius == 0:
        return image
    side = 2 * radius + 1
    planes = image.reshape(1, -1, *image.shape[-2:])
    padded = F.pad(planes, (radius + 1, radius, radius + 1, radius), mode="replicate")
    if radius == 1:
        across = padded[..., 1:-2] + padded[..., 2:-1] + padded[..., 3:]
        out = across[..., 1:-2, :] + across[..., 2:-1, :] + across[..., 3:, :]
    else:
        rows = padded.cumsum(-1)
        across = rows[..., side:] - rows[..., :-side]
        columns = across.cumsum(-2)
        out = columns[..., side:, :] - columns[..., :-side, :]
    return (out / side**2).reshape(image.shape)


def moved(image: Tensor, dx: Tensor | float, dy: Tensor | float) -> Tensor:
    """Return an image (h, w) looked up (dx, dy) pixels further on; edges replicate."""
    height, width = image.shape
    x = (torch.arange(width) + 0.5)[None] + dx
    y = (torch.arange(height) + 0.5)[:, None] + dy
    shape = (height, width)
    grid = torch.stack([(x * (2 / width) - 1).expand(shape), (y * (2 / height) - 1).expand(shape)], -1)[None]
    return F.grid_sample(image[None, None], grid, "bilinear", "border", align_corners=False)[0, 0]


def shifted(image: Tensor, right: int, down: int) -> Tensor:
    """Return an image (h, w) looked up whole pixels further on; edges replicate."""
    height, width = image.shape
    rows = (torch.arange(height) + down).clamp_(0, height - 1)
    columns = (torch.arange(width) + right).clamp_(0, width - 1)
    return image.index_select(0, rows).index_select(1, columns)


def unit_planes(vectors: Tensor) -> Tensor:
    """Return (3, …) vectors at length 1; a zero vector stays zero."""
    x, y, z = vectors
    return vectors * torch.rsqrt((x * x).addcmul_(y, y).addcmul_(z, z).clamp_(min=1e-20))


def dot(a: Tensor, b: Tensor) -> Tensor:
    """Return the (…) dot products of (3, …) planes; a reduction over an axis of three is several times slower."""
    return (a[0] * b[0]).addcmul_(a[1], b[1]).addcmul_(a[2], b[2])


def slopes(plane: Tensor) -> tuple[Tensor, Tensor]:
    """Return central differences (h, w) of a map along x and y, one-sided at the borders, per pixel."""
    dx, dy = torch.empty_like(plane), torch.empty_like(plane)
    torch.sub(plane[:, 2:], plane[:, :-2], out=dx[:, 1:-1])
    dx[:, 1:-1] *= 0.5
    dx[:, 0], dx[:, -1] = plane[:, 1] - plane[:, 0], plane[:, -1] - plane[:, -2]
    torch.sub(plane[2:], plane[:-2], out=dy[1:-1])
    dy[1:-1] *= 0.5
    dy[0], dy[-1] = plane[1] - plane[0], plane[-1] - plane[-2]
    return dx, dy


def in_pixels(distance_mm: Tensor) -> Tensor:
    """Return a signed distance in pixels: divided by its own gradient, which knows how the surface is foreshortened."""
    dx, dy = slopes(distance_mm)
    return distance_mm / torch.sqrt((dx * dx).addcmul_(dy, dy)).clamp_(0.08, 4.0)
