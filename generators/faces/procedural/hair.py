"""Head hair: where it grows, how each style is combed, and how strands fall around the head."""

import math
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn.functional import grid_sample

from spooflab.generators.faces.procedural.attach import Attachment, rest_normals, scatter
from spooflab.generators.faces.procedural.model import HeadModel, head_model
from spooflab.generators.faces.procedural.noise import hashed
from spooflab.generators.faces.procedural.params import HAIR_STYLES, IdentityParams, NuisanceParams
from spooflab.generators.faces.procedural.shape import Head
from spooflab.generators.faces.procedural.skin import step
from spooflab.generators.faces.procedural.strands import Strands
from spooflab.generators.faces.procedural.vectors import dot, unit

ROOTS, _GUIDES = 6500, 400
_CENTRE = (0.0, 15.0, -75.0)
_POLAR, _AROUND = 36, 64
# Hairline: azimuth around the head's axis in degrees from the front, and the height of the line in the rest mesh.
_LINE_AT = (0.0, 15.0, 30.0, 40.0, 50.0, 58.0, 64.0, 70.0, 77.0, 82.0, 95.0, 104.0, 112.0, 125.0, 150.0, 180.0)
_LINE = (66.0, 67.0, 63.0, 54.0, 40.0, 20.0, -1.0, -16.0, -10.0, 8.0, 12.0, 4.0, -25.0, -50.0, -58.0, -60.0)


@dataclass(frozen=True)
class Style:
    """How a hair style is worn; lengths in millimetres.

    Attributes:
        top, side: length above and beside the crown.
        volume: thickness of the layer of hair.
        lift: how much a hair starts along the scalp's normal.
        weight: pull of gravity per step.
        wave, period: amplitude and length of waves.
        clump: how strongly hairs gather in locks.
        steps: points per strand.
        slack: how far hair may leave the layer that it lies in.
        hold: length over which the comb still guides a hair.
        covers_ears: whether the hair hangs over the ears.
        paint: share of the scalp that reads as hair colour.
    """

    top: float
    side: float
    volume: float
    lift: float
    weight: float
    wave: float
    period: float
    clump: float
    steps: int
    slack: float
    hold: float
    covers_ears: bool
    paint: float


STYLES = {
    "bald": Style(0, 0, 0, 1, 0, 0, 1, 0, 4, 1, 20, False, 0.0),
    "buzz": Style(6, 4, 3, 0.8, 0.0, 0.2, 9, 0.1, 4, 20, 50, False, 0.72),
    "crop": Style(30, 9, 9, 0.7, 0.05, 0.8, 26, 0.55, 8, 14, 60, False, 0.9),
    "side_part": Style(70, 16, 12, 0.6, 0.16, 1.2, 60, 0.6, 9, 5, 60, False, 0.85),
    "slick_back": Style(105, 45, 8, 0.3, 0.04, 0.8, 60, 0.65, 10, 2.5, 400, False, 0.85),
    "fringe": Style(90, 120, 10, 0.45, 0.5, 1.2, 70, 0.55, 11, 4, 28, True, 0.9),
    "bob": Style(165, 140, 14, 0.4, 0.6, 1.6, 90, 0.6, 12, 4, 38, True, 0.6),
    "long_straight": Style(300, 270, 11, 0.4, 0.6, 1.8, 140, 0.6, 14, 4, 42, True, 0.55),
    "long_wavy": Style(290, 250, 17, 0.4, 0.55, 6.0, 62, 0.75, 21, 6, 45, True, 0.6),
    "curly": Style(80, 75, 22, 0.7, 0.28, 4.5, 18, 0.7, 18, 12, 40, True, 0.95),
    "afro": Style(46, 38, 40, 0.9, 0.0, 4.6, 10, 0.6, 17, 60, 400, False, 0.97),
    "tied_back": Style(150, 130, 5, 0.12, 0.0, 0.5, 70, 0.6, 10, 1.5, 900, False, 0.9),
}


def scalp_depth(rest: Tensor, hairline: float, sideburn: float = 1.0) -> Tensor:
    """Return (N,) millimetres inside the hairline, negative outside; `hairline` in 0 low … 1 receded.

    `sideburn` below 1 shortens the hair in front of the ears.
    """
    return scalp_mix(scalp_fields(rest), hairline, sideburn)


def scalp_fields(rest: Tensor) -> Tensor:
    """Return (N, 3): depth inside the usual hairline, where it recedes, and where sideburns grow."""
    azimuth = torch.rad2deg(torch.atan2(rest[:, 0].abs(), rest[:, 2] - _CENTRE[2]))
    depth = rest[:, 1] - interpolate(azimuth, _LINE_AT, _LINE) + 3
    recede = (11 + 30 * torch.exp(-((azimuth - 36) / 15).square())) * step(azimuth, 66, 50)
    return torch.stack([depth, recede, 26 * torch.exp(-((azimuth - 69) / 7).square())], 1)


def scalp_mix(fields: Tensor, hairline: float, sideburn: float) -> Tensor:
    """Return (N,) the depth inside a person's hairline from (N, 3) `scalp_fields`."""
    return fields[:, 0] - (hairline - 0.2) * fields[:, 1] - (1 - sideburn) * fields[:, 2]


def interpolate(x: Tensor, at: tuple[float, ...], values: tuple[float, ...]) -> Tensor:
    """Return the piecewise linear function through (at, values) at `x`."""
    knots, heights = torch.tensor(at), torch.tensor(values)
    k = torch.searchsorted(knots, x.contiguous()).clamp(1, len(at) - 1)
    t = ((x - knots[k - 1]) / (knots[k] - knots[k - 1])).clamp(0, 1)
    return torch.lerp(heights[k - 1], heights[k], t)


def colour(identity: IdentityParams, index: Tensor) -> Tensor:
    """Return (N, 3) albedo of single hairs: pigment varies from hair to hair, some are grey.

    Source: absorption of both pigments after d'Eon et al. 2011; multiple scattering in the mass lightens it.
    """
    seed = int(identity.hair_seed[0]) & 0xFFFFFFF
    spread = torch.exp(0.5 * (hashed(index + seed, 5) - 0.5))[:, None]
    absorb = identity.eumelanin[0] * torch.tensor([0.419, 0.697, 1.37])
    absorb = absorb + identity.pheomelanin[0] * torch.tensor([0.187, 0.4, 1.05])
    base = torch.tensor([0.66, 0.57, 0.64]) * torch.exp(-2.9 * torch.sqrt(absorb * spread)) + 0.006
    white = torch.tensor([0.46, 0.45, 0.44]) * (0.75 + 0.35 * hashed(index + seed, 6)[:, None])
    # Hairs stand for small tufts, so grey mixes in by degrees.
    share = (identity.grey[0] * 2.2 - 1.2 * hashed(index + seed, 7)).clamp(0, 1)
    return torch.lerp(base, white, (share * min(1.0, 0.3 + float(identity.grey[0])))[:, None])


@lru_cache(maxsize=1)
def _roots() -> tuple[Attachment, Tensor]:
    """Return the possible roots and the guide hair that each one gathers with."""
    model = head_model()
    normals = rest_normals(model)
    ear = (model.rest[:, 0].abs() > 71) & (model.rest[:, 1] < 8) & (model.rest[:, 2] > -95)
    inside = (scalp_depth(model.rest, 0.0) > -8) & ~ear & ((normals[:, 1] > -0.6) | (model.rest[:, 2] < -60))
    roots = scatter(model, inside, ROOTS, 11)
    gap = torch.cdist(roots.rest, roots.rest[:_GUIDES])
    return roots, gap.argmin(1)


@lru_cache(maxsize=1)
def _radial_index(model: HeadModel) -> Tensor:
    """Return (_POLAR, _AROUND) the outermost vertex seen from the head's centre in each direction."""
    offset = model.rest - model.rest.new_tensor(_CENTRE)
    ear = (model.rest[:, 0].abs() > 71) & (model.rest[:, 1] < 8) & (model.rest[:, 2] > -95)
    radius = offset.norm(dim=1)
    polar = (torch.arange(_POLAR) + 0.5) / _POLAR * math.pi
    around = (torch.arange(_AROUND) + 0.5) / _AROUND * 2 * math.pi - math.pi
    p, a = torch.meshgrid(polar, around, indexing="ij")
    rays = torch.stack([p.sin() * a.sin(), p.cos(), p.sin() * a.cos()], -1).reshape(-1, 3)
    toward, skull = offset / radius[:, None], ~(ear | (model.rest[:, 1] < -112))[:, None]

    def outermost(some: Tensor) -> Tensor:
        near = toward @ some.T
        score = torch.where((near > 0.994) & skull, radius[:, None], 0.0) + near * 1e-3
        found: Tensor = score.argmax(0)
        return found

    # A few rays at a time: all of them at once would take a gigabyte that a worker then keeps.
    return torch.cat([outermost(some) for some in torch.split(rays, _AROUND)]).reshape(_POLAR, _AROUND)


def _radius_map(model: HeadModel, points: Tensor) -> Tensor:
    """Return (1, 1, _POLAR, _AROUND + 2) the head's radius by direction, wrapped around by one column."""
    centre = points.new_tensor(_CENTRE)
    radius = (points[_radial_index(model).reshape(-1)] - centre).norm(dim=1).reshape(1, 1, _POLAR, _AROUND)
    return torch.cat([radius[..., -1:], radius, radius[..., :1]], -1)


def _radius_at(table: Tensor, direction: Tensor) -> Tensor:
    """Return (N,) the head's radius in (3, N) directions."""
    polar = torch.acos(direction[1].clamp(-0.9999, 0.9999)) * (2 / math.pi) - 1
    around = torch.atan2(direction[0], direction[2]) * (_AROUND / (_AROUND + 2) / math.pi)
    grid = torch.stack([around, polar], -1)[None, None]
    return grid_sample(table, grid, "bilinear", "border", align_corners=False)[0, 0, 0]


def _comb(name: str, rest: Tensor, part: float, salt: int, index: Tensor) -> Tensor:
    """Return (N, 3) the direction in which a style is combed at each root."""
    x, y, z = rest.unbind(1)
    wild = torch.stack([hashed(index, salt + k) - 0.5 for k in (1, 2, 3)], 1)
    lean_at = x - 26 * part
    side = torch.tanh(lean_at / 2) + 0.25 * torch.sign(lean_at)
    front, top = step(z, -45, 0), step(y, 35, 75)
    zero, one = torch.zeros_like(x), torch.ones_like(x)
    outwards = torch.sign(x)
    if name in {"buzz", "crop"}:
        sides = torch.stack([outwards * 0.2, -one, -0.35 * one], 1)
        crown = (
            torch.stack([0.35 * part + zero, 0.35 * one, 0.8 * one], 1)
            if part < 0.4
            else torch.stack([0.2 * outwards, 0.9 * one, -0.3 * one], 1)
        )
        return torch.lerp(sides, crown, top[:, None]) + 0.5 * wild
    if name == "side_part":
        lean = torch.tanh((x - 30 * math.copysign(1, part)) / 6)
        crown = torch.stack([lean * 1.0, 0.10 + 0.35 * front, -0.15 - 0.25 * front], 1)
        sides = torch.stack([outwards * 0.1, -one, -0.5 * one], 1)
        return torch.lerp(sides, crown, top[:, None]) + 0.25 * wild
    if name in {"slick_back", "tied_back"}:
        to_knot = unit(torch.tensor([0.0, 25.0, -185.0]) - rest)
        lift = torch.stack([zero, 0.55 * front * top, zero], 1)
        return to_knot + lift + (0.12 if name == "tied_back" else 0.2) * wild
    if name == "fringe":
        bangs = torch.stack([0.25 * part + 0.004 * x, -0.35 * one, 1.0 * one], 1)
        rest_of = torch.stack([side * 0.9, -0.6 * one, -0.15 * one], 1)
        return torch.lerp(rest_of, bangs, (front * step(x.abs(), 52, 40) * step(y, 30, 55))[:, None]) + 0.2 * wild
    if name == "afro":
        return unit(rest - torch.tensor(_CENTRE)) * 1.1 + 1.2 * wild
    if name == "curly":
        return torch.stack([side * 0.9, -0.15 * one, 0.1 - 0.3 * front], 1) + 0.7 * wild
    away = torch.stack([side * (1.0 + 0.5 * front), 0.10 - 0.6 * (1 - top), -0.10 - 0.6 * front], 1)
    return away + 0.12 * wild


def grow(
    model: HeadModel, head: Head, identity: IdentityParams, nuisance: NuisanceParams, turn: Tensor, count: int
) -> Strands | None:
    """Return the strands of a batch of one in the head's own frame (before it is turned), or None where bald.

    Hairs on the far side that the camera cannot see are left out; `turn` is the head's (3, 3) rotation, and `count` how
    many of the roots to use: a small image has no room for more.
    """
    name = HAIR_STYLES[int(identity.hair_style[0])]
    style = STYLES[name]
    if style.top == 0:
        return None
    roots, guide = _roots()
    count = max(count, 2 * _GUIDES)
    every = torch.arange(count)
    roots, guide = roots.take(every), guide[:count]
    depth = scalp_depth(roots.rest, float(identity.hairline[0]), float(identity.masculinity[0]))
    edge = hashed(every, 3)
    facing = (roots.carry(head.normals) * turn[2]).sum(1)
    shown = facing > (-0.35 if max(style.top, style.side) < 100 else -0.8)
    # The guides come first: the others follow them, so they grow even where they do not show.
    wanted = (depth > 5.5 * edge * edge - 1.0) & shown
    index = torch.cat([every[:_GUIDES], _GUIDES + wanted[_GUIDES:].nonzero()[:, 0]])
    roots, guide, depth = roots.take(index), guide[index], depth[index]
    mess = int(nuisance.hair_mess[0]) & 0xFFFF
    seed = int(identity.hair_seed[0]) & 0xFFFFFF
    points, normals = roots.carry(head.points), unit(roots.carry(head.normals))
    length = _length(name, style, roots.rest, identity, index, depth)
    volume = style.volume * float(identity.hair_volume[0])
    rank = hashed(index + seed, 9)
    comb = _comb(name, roots.rest, float(identity.hair_part[0]), seed, index)
    comb = comb + 0.12 * torch.stack([hashed(guide, mess + k) - 0.5 for k in (1, 2, 3)], 1)
    path = _fall(_radius_map(model, head.points), points, normals, comb, length, volume * rank.sqrt(), style)
    path = _gather(path, points, guide, style, identity, seed, index)
    outward = unit(path - path.new_tensor(_CENTRE))
    lock_turn = torch.stack([hashed(guide, 20 + k) - 0.5 for k in (1, 2, 3)], 1)
    outward = unit(outward + 0.35 * lock_turn[:, None])
    shelter = _shelter(path, rank, style)
    keep = wanted[index]
    if style.covers_ears:
        keep = keep & ~_on_face(path, name, roots.rest)
    kept = keep.nonzero()[:, 0]
    fields = (path, colour(identity, index), outward, shelter)
    return Strands(*(values.index_select(0, kept) for values in fields))


def _on_face(path: Tensor, name: str, rest: Tensor) -> Tensor:
    """Return (S,) which hairs would hang in the face; bangs may."""
    x, y, z = path.unbind(-1)
    crosses = ((x.abs() < 54) & (y < 48) & (y > -112) & (z > -8)).any(1)
    if name != "fringe":
        return crosses
    return crosses & ~((rest[:, 2] > -40) & (rest[:, 0].abs() < 48))


def _length(name: str, style: Style, rest: Tensor, identity: IdentityParams, index: Tensor, depth: Tensor) -> Tensor:
    top = step(rest[:, 1], 25, 70)
    spread = 0.8 + 0.35 * hashed(index, 4)
    out = (style.side + (style.top - style.side) * top) * spread * identity.hair_length[0]
    if name == "fringe":
        bangs = step(rest[:, 2], -45, -5) * step(rest[:, 0].abs(), 50, 42) * step(rest[:, 1], 30, 55)
        out = torch.lerp(out, 46 + 0.95 * (rest[:, 1] - 55).clamp(0) + 6 * spread, bangs)
    # Hairs at the very edge are short and fine: that is what makes a hairline look grown.
    return out * (0.35 + 0.65 * step(depth, -1, 9)) if style.top < 120 else out * (0.6 + 0.4 * step(depth, -1, 6))


def _fall(
    table: Tensor, roots: Tensor, normals: Tensor, comb: Tensor, length: Tensor, clearance: Tensor, style: Style
) -> Tensor:
    """Return (S, K, 3) paths that start along the scalp, follow the comb, fall, and stay outside the head."""
    # Components lie along the first axis: arithmetic along rows of three is several times slower.
    centre = roots.new_tensor(_CENTRE)[:, None]
    stride = length / (style.steps - 1)
    pull = _unit(comb.T.contiguous())
    heading = _unit(style.lift * normals.T + 0.7 * pull)
    point = roots.T.contiguous()
    path = [point]
    pull = 0.45 * pull
    for k in range(1, style.steps):
        travelled = k * stride
        heading = torch.addcmul(heading, pull, torch.exp(travelled * (-1 / style.hold)))
        if style.weight:
            heading[1] -= (travelled * (style.weight / 25)).clamp_(max=1.5 * style.weight)
        away = torch.addcmul(point, _unit(heading), stride).sub_(centre)
        distance = _length_of(away)
        ray = away / distance
        layer = clearance * (1 - torch.exp(travelled * (-1 / 14))) * (1 - 0.5 * k / style.steps)
        least = _radius_at(table, ray).add_(0.6).add_(layer)
        # Below the jaw hair hangs free of the neck.
        hold = step(ray[1], -0.75, -0.45)
        most = torch.maximum(least + style.slack, distance * (1 - hold))
        pushed = torch.minimum(torch.maximum(distance, torch.lerp(distance, least, hold)), most)
        point = torch.addcmul(centre, ray, pushed)
        heading = _unit(point - path[-1])
        path.append(point)
    return torch.stack(path).permute(2, 0, 1).contiguous()


def _length_of(vectors: Tensor) -> Tensor:
    """Return (N,) lengths of (3, N) vectors."""
    return (vectors * vectors).sum(0).clamp_(min=1e-20).sqrt_()


def _unit(vectors: Tensor) -> Tensor:
    """Return (3, N) vectors at length 1."""
    return vectors / _length_of(vectors)


def _gather(
    path: Tensor, roots: Tensor, guide: Tensor, style: Style, identity: IdentityParams, seed: int, index: Tensor
) -> Tensor:
    """Pull strands into locks and wave them."""
    steps = style.steps
    t = torch.linspace(0, 1, steps)[None, :, None]
    guides = path.index_select(0, guide)
    # Starts with the guide's root, which the first point is.
    lock = torch.addcmul(guides, (roots - guides[:, 0])[:, None], 1 - 0.55 * t)
    loose = 0.55 + 0.45 * hashed(index + seed, 12)[:, None, None]
    # A lock does not reach across a parting.
    ahead, with_ahead = path[:, steps // 2] - roots, guides[:, steps // 2] - guides[:, 0]
    agree = torch.nn.functional.cosine_similarity(ahead, with_ahead, dim=1)[:, None, None]
    path = torch.lerp(path, lock, style.clump * loose * t.sqrt() * step(agree, 0.5, 0.85))
    amplitude = style.wave * (0.35 + 1.3 * float(identity.hair_wave[0]))
    stretch = path[:, 1:] - path[:, :-1]
    span = dot(stretch, stretch).sqrt_()
    along = torch.cat([torch.zeros(len(path), 1), span.cumsum(1)], 1)
    phase = 6.28 * hashed(guide + seed, 13) + 1.6 * hashed(index + seed, 14)
    turn = along / style.period * 6.28 * (0.85 + 0.3 * hashed(guide, 15))[:, None] + phase[:, None]
    tangent = unit(path[:, -1] - path[:, 0])[:, None]
    outward = unit(path - path.new_tensor(_CENTRE))
    tx, ty, tz = tangent.unbind(-1)
    ox, oy, oz = outward.unbind(-1)
    across = unit(torch.stack([ty * oz - tz * oy, tz * ox - tx * oz, tx * oy - ty * ox], -1))
    ramp = (along / (0.6 * style.period)).clamp(max=1) * amplitude
    path = torch.addcmul(path, (ramp * turn.sin())[..., None], across)
    return path.addcmul_((0.55 * ramp * turn.cos().add_(0.6))[..., None], outward)


def _shelter(path: Tensor, rank: Tensor, style: Style) -> Tensor:
    """Return (S, K): buried hairs, roots, and hair behind the neck get less light."""
    base = 0.30 + 0.70 * rank.sqrt() if style.volume > 5 else 0.75 + 0.25 * rank
    t = torch.linspace(0, 1, style.steps)
    root = 0.55 + 0.45 * step(t, 0.0, 0.25)
    behind = step(path[..., 1], -35, -80) * step(path[..., 2], -45, -80) * step(path[..., 0].abs(), 85, 60)
    return base[:, None] * root * (1 - 0.6 * behind)
