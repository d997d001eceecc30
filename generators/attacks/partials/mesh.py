"""Solid things in the head's frame: bars, ribbons, rims and balls as meshes, lit, seen and casting shadows."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from spooflab.generators.attacks.partials.canvas import Canvas
from spooflab.generators.attacks.partials.view import camera_rays, pixel_window
from spooflab.generators.faces.procedural import raster
from spooflab.generators.geometry.head_fit import HeadFit
from spooflab.generators.geometry.light import shading, specular
from spooflab.generators.geometry.mesh_maps import mesh_maps
from spooflab.generators.masked import places

_FARTHEST_MM = 70.0


@dataclass(frozen=True, eq=False)
class Solid:
    """A mesh in the head's frame.

    Attributes:
        points: (V, 3) millimetres.
        normals: (V, 3) unit, outwards.
        triangles: (T, 3) counter-clockwise from outside.
        values: (V, C) carried to the pixels, e.g. reflectance.
    """

    points: Tensor
    normals: Tensor
    triangles: Tensor
    values: Tensor

    def coloured(self, reflectance: Tensor) -> "Solid":
        """Return it with one reflectance (3,) everywhere."""
        return Solid(self.points, self.normals, self.triangles, reflectance.expand(len(self.points), 3))


def merged(solids: list[Solid]) -> Solid:
    """Return one mesh of several."""
    start, triangles = 0, []
    for solid in solids:
        triangles.append(solid.triangles + start)
        start += len(solid.points)
    return Solid(
        torch.cat([s.points for s in solids]),
        torch.cat([s.normals for s in solids]),
        torch.cat(triangles),
        torch.cat([s.values for s in solids]),
    )


def bar(line: Tensor, half_mm: tuple[float, float], up: Tensor, *, closed: bool = False, sides: int = 8) -> Solid:
    """Return a bar with an elliptic section along a polyline.

    Args:
        line: (N, 3) its middle.
        half_mm: half extents across the line: along `up` × tangent, and along the rest.
        up: (3,) or (N, 3) about perpendicular to the line: the second half extent's direction.
        closed: whether the last point joins the first.
        sides: of the section.
    """
    if closed:
        tangent = line.roll(-1, 0) - line.roll(1, 0)
    else:
        tangent = torch.cat([line[1:2] - line[:1], line[2:] - line[:-2], line[-1:] - line[-2:-1]])
    tangent = _unit(tangent)
    first = _unit(torch.linalg.cross(up.expand_as(tangent), tangent))
    second = torch.linalg.cross(tangent, first)
    turn = torch.arange(sides) * (2 * math.pi / sides)
    c, s = turn.cos()[None, :, None], turn.sin()[None, :, None]
    a, b = half_mm
    points = line[:, None] + a * c * first[:, None] + b * s * second[:, None]
    normals = _unit(c / a * first[:, None] + s / b * second[:, None])
    count = len(line)
    i, j = torch.meshgrid(torch.arange(count if closed else count - 1), torch.arange(sides), indexing="ij")
    here, ahead, after = i * sides, (i + 1) % count * sides, (j + 1) % sides
    triangles = torch.cat(
        [
            torch.stack([here + j, here + after, ahead + after], -1).reshape(-1, 3),
            torch.stack([here + j, ahead + after, ahead + j], -1).reshape(-1, 3),
        ]
    )
    if _inside_out(points.reshape(-1, 3), normals.reshape(-1, 3), triangles):
        triangles = triangles.flip(1)
    return Solid(points.reshape(-1, 3), normals.reshape(-1, 3), triangles, torch.zeros(len(line) * sides, 3))


def _inside_out(points: Tensor, normals: Tensor, triangles: Tensor) -> bool:
    a, b, c = (points[triangles[:16, k]] for k in range(3))
    facing = (torch.linalg.cross(b - a, c - a) * normals[triangles[:16, 0]]).sum()
    return float(facing) < 0


def _unit(v: Tensor) -> Tensor:
    unit: Tensor = v / v.norm(dim=-1, keepdim=True).clamp(min=1e-9)
    return unit


@dataclass(frozen=True, eq=False)
class SolidView:
    """What P pixels see of a solid.

    Attributes:
        pixel: (P,) int64 row-major index of each into the picture.
        cover: (P,) share of the pixel.
        depth_mm: (P,).
        normal: (3, P) camera axes.
        ray: (3, P) unit vectors away from the camera.
        values: (C, P) what the solid carries.
    """

    pixel: Tensor
    cover: Tensor
    depth_mm: Tensor
    normal: Tensor
    ray: Tensor
    values: Tensor


def see_solid(fit: HeadFit, solid: Solid, *, supersample: int = 2) -> SolidView | None:
    """Return what the picture sees of a solid, the head not in the way; None where it lies outside the picture."""
    points = fit.to_camera(solid.points)
    window = pixel_window(points, fit.focal_px, fit.centre_px, fit.size, 1)
    if window is None:
        return None
    rows, columns = window
    size = (rows.stop - rows.start, columns.stop - columns.start)
    centre = (fit.centre_px[0] - columns.start, fit.centre_px[1] - rows.start)
    attributes = torch.cat([solid.normals @ fit.rotation.T, solid.values], 1)
    maps = mesh_maps(points, solid.triangles, attributes, fit.focal_px, centre, size, supersample=supersample)
    index = places(maps.cover > 0)
    if len(index) == 0:
        return None
    row = torch.div(index, size[1], rounding_mode="floor")
    column = index - row * size[1] + columns.start
    row = row + rows.start
    values = maps.attributes.reshape(attributes.shape[1], -1).index_select(1, index)
    normal = values[:3] * torch.rsqrt(values[:3].square().sum(0).clamp(min=1e-6))
    return SolidView(
        pixel=row * fit.size[1] + column,
        cover=maps.cover.flatten().index_select(0, index),
        depth_mm=maps.depth_mm.flatten().index_select(0, index),
        normal=normal,
        ray=camera_rays(row, column, fit.focal_px, fit.centre_px),
        values=values[3:],
    )


def paint_solid(
    canvas: Canvas, view: SolidView, albedo: Tensor, roughness: float | Tensor, f0: float, label: int
) -> None:
    """Light a solid and lay it over the picture; what the head hides stays hidden.

    Args:
        canvas: changed in place.
        view: the solid.
        albedo: (3, P).
        roughness: perceptual, a number or (P,).
        f0: specular reflectance at normal incidence; 0 for no gloss.
        label: class of `PARSING`.
    """
    light = canvas.light
    radiance = albedo * shading(light, view.normal)
    if f0 > 0:
        radiance = radiance + specular(light, view.normal, roughness, f0, view=-view.ray)
    cover = view.cover * canvas.visible(view.pixel, view.depth_mm)
    canvas.paint(view.pixel, cover, radiance, view.depth_mm, view.normal, label)


def shade_by_solid(canvas: Canvas, solid: Solid, lamp_radius_rad: float) -> None:
    """Let a solid hide light from the head: its outline falls on it along the lamp's rays, and straight inwards.

    Each vertex falls as far as the head is behind it; both outlines are blurred by what the mean fall and the lamp's
    size make of an edge.

    Args:
        canvas: what it hides is noted there, see `Canvas.hide`.
        solid: what shades.
        lamp_radius_rad: angular radius of the dominant lamp.
    """
    fit, light = canvas.geometry.fit, canvas.geometry.light
    points = fit.to_camera(solid.points)
    behind = _behind(canvas, points)
    near = (behind > -2.0) & (behind < _FARTHEST_MM)
    if not bool(near.any()):
        return
    fall = behind.clamp(0, _FARTHEST_MM)
    mean = float(fall.index_select(0, places(near)).mean())
    toward = light.key_direction
    used = solid.triangles.index_select(0, places(near[solid.triangles].all(1)))
    if len(used) == 0:
        return
    sky = _dropped(fit, points + fall[:, None] * points.new_tensor([0.0, 0.0, 1.0]), used, 0.75 * mean)
    slope = -float(toward[2])
    if slope > 0.15:
        way = points - toward * (fall / slope)[:, None]
        lamp = _dropped(fit, way, used, mean * math.tan(lamp_radius_rad) / slope)
    else:
        lamp = torch.zeros_like(sky)
    shares = torch.stack([lamp, 0.8 * sky]).reshape(2, -1)
    pixel = places(shares.amax(0) > 1e-3)
    canvas.hide(pixel, shares.index_select(1, pixel).clamp_(0, 1))


def _dropped(fit: HeadFit, points: Tensor, triangles: Tensor, spread_mm: float) -> Tensor:
    """Return the cover of moved points over the picture at half its size, blurred over about `spread_mm`."""
    size = (-(-fit.size[0] // 2), -(-fit.size[1] // 2))
    focal, middle = fit.focal_px / 2, (fit.centre_px[0] / 2, fit.centre_px[1] / 2)
    out = torch.zeros(size)
    spread = max(0.7, 0.5 * spread_mm / fit.mm_per_px)  # half-size pixels
    window = pixel_window(points[triangles.reshape(-1)], focal, middle, size, 2 + int(2.5 * spread))
    if window is None:
        return out
    rows, columns = window
    high, wide = rows.stop - rows.start, columns.stop - columns.start
    inverse = 1 / points[:, 2].clamp(min=1.0)
    pixel = points[:, :2] * (focal * inverse)[:, None]
    pixel = pixel + points.new_tensor([middle[0] - columns.start, middle[1] - rows.start])
    both = torch.cat([triangles, triangles.flip(1)])
    keys = raster.fill(raster.prepare(pixel, inverse, both, (high, wide)), (high, wide))
    cover = (keys != raster.EMPTY).float().reshape(high, wide)
    out[window] = _gaussian(high, spread) @ cover @ _gaussian(wide, spread)
    return out


def _gaussian(size: int, sigma: float) -> Tensor:
    """Return (size, size) the matrix that blurs by a Gaussian; what lies outside counts as 0."""
    place = torch.arange(size, dtype=torch.float32)
    kernel = torch.exp(-0.5 * ((place[:, None] - place) / sigma).square())
    return kernel / (sigma * math.sqrt(2 * math.pi))


def _behind(canvas: Canvas, points: Tensor) -> Tensor:
    """Return (V,) how far behind each point the head is, along the camera's axis; large where there is none."""
    fit, head = canvas.geometry.fit, canvas.geometry.maps.depth_mm
    pixel = fit.project(points.clamp(min=-1e5)).floor().to(torch.int64)
    height, width = fit.size
    inside = (pixel[:, 0] >= 0) & (pixel[:, 0] < width) & (pixel[:, 1] >= 0) & (pixel[:, 1] < height)
    index = pixel[:, 1].clamp(0, height - 1) * width + pixel[:, 0].clamp(0, width - 1)
    depth = head.flatten().index_select(0, index)
    return torch.where(inside & torch.isfinite(depth), depth - points[:, 2], 1e4)
