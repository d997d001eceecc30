"""Measure how much sky each vertex of the rest mesh sees; run by `extract`, stored in the asset."""

import math

import torch
from torch import Tensor

from spooflab.generators.faces.procedural import raster
from spooflab.generators.faces.procedural.attach import rest_normals
from spooflab.generators.faces.procedural.model import HeadModel

_DIRECTIONS, _PIXELS, _SPAN_MM = 220, 320, 520.0


def open_sky(model: HeadModel) -> Tensor:
    """Return (V,) cosine-weighted share of unblocked directions, from orthographic depth maps all around."""
    normals = rest_normals(model)
    seen, total = torch.zeros(len(model.rest)), torch.zeros(len(model.rest))
    for k in range(_DIRECTIONS):
        height = 1 - 2 * (k + 0.5) / _DIRECTIONS
        around = k * math.pi * (3 - math.sqrt(5))
        flat = math.sqrt(1 - height * height)
        forward = torch.tensor([flat * math.cos(around), height, flat * math.sin(around)])
        if height < -0.85:
            continue
        right = torch.nn.functional.normalize(torch.linalg.cross(torch.tensor([0.0, 1.0, 0.0]), forward), dim=0)
        axes = torch.stack([right, torch.linalg.cross(forward, right), forward])
        local = (model.rest - torch.tensor([0.0, -90.0, -60.0])) @ axes.T
        scale = _PIXELS / _SPAN_MM
        pixel = torch.stack([_PIXELS / 2 + local[:, 0] * scale, _PIXELS / 2 - local[:, 1] * scale], 1)
        depth = 1000 - local[:, 2]
        size = (_PIXELS, _PIXELS)
        keys = raster.fill(raster.prepare(pixel, 1 / depth, model.topo.triangles, size), size)
        near = torch.where(keys == raster.EMPTY, torch.tensor(1e6), raster.unpack(keys)[0])
        cell = pixel.long().clamp(0, _PIXELS - 1)
        clear = (depth < near[cell[:, 1] * _PIXELS + cell[:, 0]] + 3.0).float()
        cosine = (normals @ forward).clamp(min=0)
        seen += cosine * clear
        total += cosine
    return seen / total.clamp(min=1e-3)
