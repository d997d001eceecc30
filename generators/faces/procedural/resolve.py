"""From shaded samples to pixels: coverage, light that spreads under the skin, and the geometry maps."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad

from spooflab.generators.face import Face
from spooflab.generators.faces.procedural.noise import blurred
from spooflab.generators.faces.procedural.samples import Samples
from spooflab.generators.faces.procedural.shading import Shaded
from spooflab.generators.faces.procedural.shape import Camera


def resolve(samples: Samples, shaded: Shaded, size: int, view: Camera) -> tuple[Tensor, Tensor]:
    """Return (size², 3) radiance weighted by coverage, and (size²,) coverage.

    The diffuse light on skin spreads sideways under the surface before it leaves: blurred on the image with a width in
    millimetres per channel (d'Eon & Luebke 2007 in screen space, after Jimenez et al. 2009).
    """
    cells = size * size
    w = samples.weight[:, None]
    scatters = shaded.scatters[:, None]
    columns = torch.cat(
        [
            shaded.diffuse * scatters * w,
            scatters * w,
            shaded.albedo * scatters * w,
            (shaded.albedo * shaded.diffuse * (1 - scatters) + shaded.gloss) * w,
            w,
        ],
        1,
    )
    total = torch.zeros(cells, columns.shape[1])
    # Whole pixels come first and have one sample each: they are copied, only the edges need adding up.
    total.index_copy_(0, samples.pixel[: samples.whole], columns[: samples.whole])
    total.index_add_(0, samples.pixel[samples.whole :], columns[samples.whole :])
    light_in, mask, base, other, cover = total[:, :3], total[:, 3:4], total[:, 4:7], total[:, 7:10], total[:, 10:]
    per_px = (view.distance_mm - 20) / view.focal_px
    spread = _scattered(torch.cat([light_in, mask], 1).T.reshape(4, size, size), per_px).reshape(3, -1).T
    return base * spread + other, cover[:, 0].clamp(max=1)


def _scattered(planes: Tensor, mm_per_px: float) -> Tensor:
    """Return (3, H, W) mean light around each pixel, the fourth plane being the weight."""
    out = []
    for channel, millimetres in enumerate((1.9, 0.85, 0.5)):
        sigma = max(millimetres / mm_per_px, 0.15)
        radius = max(1, min(round(2.2 * sigma), 8))
        pair = blurred(pad(planes[channel :: 3 - channel], (radius,) * 4), sigma, radius)
        out.append(pair[0] / pair[1].clamp(min=1e-5))
    return torch.stack(out)


@dataclass
class Maps:
    """Depth, normals and classes, updated by each layer that comes in front."""

    depth: Tensor
    normal: Tensor
    label: Tensor
    size: int

    @classmethod
    def start(cls, samples: Samples, shaded: Shaded, cover: Tensor, size: int) -> "Maps":
        """Take for each pixel its first sample, where at least half of it is covered."""
        cells = size * size
        number = torch.arange(len(samples.pixel))
        order = torch.full((cells,), len(samples.pixel))
        order.index_copy_(0, samples.pixel[: samples.whole], number[: samples.whole])
        order.scatter_reduce_(0, samples.pixel[samples.whole :], number[samples.whole :], "amin")
        solid = (cover >= 0.5).nonzero()[:, 0]
        first = order.index_select(0, solid)
        depth = torch.full((cells,), torch.inf)
        normal = torch.zeros(cells, 3)
        normal[:, 2] = 1.0
        label = torch.zeros(cells, dtype=torch.int64)
        depth.index_copy_(0, solid, samples.world[:, 2].index_select(0, first))
        normal.index_copy_(0, solid, samples.normal.index_select(0, first))
        label.index_copy_(0, solid, shaded.label.index_select(0, first))
        return cls(depth, normal, label, size)

    def face(self, image: Tensor, points: Tensor, view: Camera) -> Face:
        """Return the finished face."""
        side = self.size
        depth = torch.where(self.depth.isinf(), self.depth, view.distance_mm - self.depth)
        normals = self.normal * torch.tensor([1.0, -1.0, -1.0])
        low, high = points.amin(0), points.amax(0)
        rise = 0.28 * (high[1] - low[1])
        box = torch.stack([low[0], low[1] - rise, high[0] - low[0], high[1] - low[1] + rise])
        return Face(
            radiance=image.T.reshape(1, 3, side, side).clamp(min=0).contiguous(),
            landmarks=points[None],
            box=box[None],
            subject_id=("0",),
            source_id=("0",),
            depth_mm=depth.reshape(1, 1, side, side),
            normals=normals.T.reshape(1, 3, side, side).contiguous(),
            parsing=self.label.to(torch.uint8).reshape(1, 1, side, side),
            synthetic=True,
        )
