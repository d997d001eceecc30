"""Brows, lashes and beards: short hairs on the face, drawn softly."""

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from spooflab.generators.faces.procedural.attach import Attachment, from_front, scatter
from spooflab.generators.faces.procedural.hair import colour, interpolate
from spooflab.generators.faces.procedural.landmarks import lid_margin
from spooflab.generators.faces.procedural.model import head_model
from spooflab.generators.faces.procedural.noise import hashed
from spooflab.generators.faces.procedural.params import BEARDS, IdentityParams
from spooflab.generators.faces.procedural.shape import Head
from spooflab.generators.faces.procedural.skin import lips_mask, step
from spooflab.generators.faces.procedural.strands import Strands
from spooflab.generators.faces.procedural.vectors import unit

_STEPS = 5
_BROW_X = (9.0, 14.0, 22.0, 32.0, 41.0, 48.0, 54.0)
_BROW_Y = (14.2, 15.2, 17.2, 19.4, 20.0, 17.8, 14.2)
_BROW_HALF = (2.6, 4.0, 4.0, 3.6, 2.9, 2.0, 1.0)


@dataclass(frozen=True)
class SoftHair:
    """Hairs for `strands.soft`, their (S,) thickness, and which of them (S,) are beard rather than brow or lash."""

    strands: Strands
    width_mm: Tensor
    beard: Tensor


@lru_cache(maxsize=3)
def _draws(count: int, first: int, last: int) -> Tensor:
    """Return (last - first + 1, count) draws in [0, 1): `hashed` numbers of the first `count` roots for each salt."""
    index = torch.arange(count)
    return torch.stack([hashed(index, salt) for salt in range(first, last + 1)])


@lru_cache(maxsize=1)
def _brow_fields() -> Tensor:
    """Return (5, N) of the brow roots: |x|, middle line, rise by the arch, half width, and where brows grow at all."""
    x = _brow_roots().rest[:, 0].abs()
    line, half = interpolate(x, _BROW_X, _BROW_Y), interpolate(x, _BROW_X, _BROW_HALF)
    return torch.stack([x, line, 1.6 * torch.exp(-((x - 38) / 12).square()), half, step(x, 8, 14) * step(x, 56, 51)])


@lru_cache(maxsize=8)
def _beard_odds(style: int) -> Tensor:
    """Return the `beard_density` of the beard's roots."""
    return beard_density(_beard_roots().rest, style)


@lru_cache(maxsize=1)
def _brow_roots() -> Attachment:
    rest = head_model().rest
    x, y, z = rest[:, 0].abs(), rest[:, 1], rest[:, 2]
    inside = (x < 60) & (x > 4) & (y > 4) & (y < 30) & (z > -25)
    return scatter(head_model(), inside, 3600, 12)


@lru_cache(maxsize=1)
def _beard_roots() -> Attachment:
    rest = head_model().rest
    inside = (rest[:, 1] < 0) & (rest[:, 1] > -135) & (rest[:, 2] > -66) & (rest[:, 0].abs() < 73)
    inside &= beard_density(rest, 4) > 0.02
    return scatter(head_model(), inside, 5200, 13)


@lru_cache(maxsize=1)
def _lash_roots() -> tuple[Attachment, Tensor]:
    """Return lash roots (upper then lower, both eyes) and their place from the inner (0) to the outer corner (1)."""
    points, places = [], []
    for curve, count, lift in ((lid_margin()[0], 58, 0.25), (lid_margin()[1], 34, -0.25)):
        share = torch.linspace(0.06, 0.985, count)
        position = share * (len(curve) - 1)
        low = position.long().clamp(max=len(curve) - 2)
        xy = torch.lerp(curve[low], curve[low + 1], (position - low)[:, None]) + torch.tensor([0.0, lift])
        points += [xy, xy * torch.tensor([-1.0, 1.0])]
        places += [share, share]
    return from_front(head_model(), torch.cat(points)), torch.cat(places)


def beard_density(rest: Tensor, style: int) -> Tensor:
    """Return (N,) density in [0, 1] of `BEARDS[style]` on the rest mesh."""
    x, y, z = rest[:, 0].abs(), rest[:, 1], rest[:, 2]
    lips = lips_mask(rest)
    moustache = step(y + 0.16 * x, -50.0, -54.5) * step(y, -71, -67) * step(x, 29, 22) * (1 - 0.4 * step(x, 2.5, 0.5))
    chin = step(y, -80.5, -83.5) * step(x, 27, 20) * step(y, -122, -112)
    patch = step(x, 5, 2.5) * step(y, -79, -80) * step(y, -90, -86)
    link = step((x - 26.5).abs(), 5.5, 3) * step(y, -62, -66) * step(y, -95, -88)
    line = interpolate(x, (0.0, 28.0, 45.0, 58.0, 66.0, 74.0), (-62.0, -58.0, -46.0, -30.0, -12.0, -5.0))
    cheek = step(y - line, 3, -6) * step(y, -128, -116) * step(x, 20, 27) * step(z, -68, -60)
    full = torch.stack([moustache, chin, patch, link, cheek]).amax(0)
    goatee = torch.stack([moustache, chin, patch, link]).amax(0)
    out = (torch.zeros_like(x), full, moustache, goatee, full)[style]
    return out * (1 - lips) * step(z, -72, -60)


def stubble(density: Tensor, identity: IdentityParams, speck: Tensor) -> Tensor:
    """Return (N,) how much shaven or growing hair darkens a man's skin.

    Args:
        density: (3, N) `beard_density` of moustache, goatee and full beard.
        speck: (N,) noise.
    """
    style = int(identity.beard_style[0])
    shadow = density[2] * 0.14 * min(float(identity.eumelanin[0]) * 1.2, 1.0)
    column, strength = ((2, 0.0), (2, 0.34), (0, 0.55), (1, 0.55), (2, 0.6))[style]
    return torch.maximum(shadow, density[column] * strength) * (1 + 0.22 * speck).clamp(0.4, 1.5)


def grow(head: Head, identity: IdentityParams) -> SoftHair:
    """Return the face's hairs of a batch of one in the head's own frame."""
    parts = [_brows(head, identity), _lashes(head, identity)]
    if BEARDS[int(identity.beard_style[0])] != "none":
        parts.append(_beard(head, identity))
    fields = ("points", "colour", "outward", "shelter")
    merged = [torch.cat([getattr(p.strands, name) for p in parts]) for name in fields]
    return SoftHair(Strands(*merged), torch.cat([p.width_mm for p in parts]), torch.cat([p.beard for p in parts]))


def _carried(roots: Attachment, head: Head) -> tuple[Tensor, Tensor]:
    """Return the (N, 3) places and unit normals of roots on a head."""
    return roots.carry(head.points), unit(roots.carry(head.normals))


def _curve(root: Tensor, start: Tensor, bend: Tensor, length: Tensor) -> Tensor:
    t = torch.linspace(0, 1, _STEPS)[None, :, None]
    reach = length[:, None, None]
    return root[:, None] + reach * (t * start[:, None] + t * t * bend[:, None])


def _bundle(path: Tensor, colours: Tensor, normal: Tensor, shelter: float, width: Tensor, beard: bool) -> SoftHair:
    outward = normal[:, None].expand_as(path)
    strands = Strands(path, colours, outward, torch.full(path.shape[:2], shelter))
    return SoftHair(strands, width, torch.full((len(path),), beard))


def _brows(head: Head, identity: IdentityParams) -> SoftHair:
    roots = _brow_roots()
    x, line, rise, half, grows = _brow_fields()
    line = torch.add(line, rise, alpha=float(identity.brow_arch[0]))
    place = (roots.rest[:, 1] - line) / (half * float(identity.brow_thickness[0]))
    odds = (step(place.abs(), 1.15, 0.55) * grows) * 0.85 * float(identity.brow_density[0])
    shift = int(identity.hair_seed[0]) & 0xFFFF
    keep = (hashed(torch.arange(shift, shift + len(x)), 31) < odds).nonzero()[:, 0]
    part, draws = roots.take(keep), _draws(len(x), 32, 35).index_select(1, keep)
    x, place, side = x.index_select(0, keep), place.index_select(0, keep), torch.sign(part.rest[:, 0])
    points, normal = _carried(part, head)
    out = step(x, 9, 22)
    rise = torch.lerp(torch.tensor(1.0), torch.tensor(0.30), out) - 0.55 * step(x, 30, 50) - 0.35 * place * out
    jitter = (draws[:3].T - 0.5) * 0.5
    across = torch.stack([side * (0.25 + 0.75 * out), rise, torch.zeros_like(x)], 1) + jitter
    across = unit(across - (across * normal).sum(1, keepdim=True) * normal)
    length = (5.0 + 3.6 * draws[3]) * (0.75 + 0.25 * step(x, 54, 40))
    path = _curve(points + normal * 0.3, across + 0.22 * normal, -0.2 * normal, length)
    tone = colour(identity, keep + 50_000) * 0.45
    return _bundle(path, tone, normal, 0.85, torch.full((len(keep),), 0.23), False)


def _lashes(head: Head, identity: IdentityParams) -> SoftHair:
    roots, place = _lash_roots()
    side = torch.sign(roots.rest[:, 0])
    index = torch.arange(len(side))
    upper = index < 116
    draws = _draws(len(side), 41, 44)
    lean = (place - 0.42) * 1.3
    soft = 1 - 0.25 * float(identity.masculinity[0])
    lift = torch.where(upper, 0.30, -0.55)
    start = torch.stack([side * lean, lift, torch.full_like(lean, 0.8)], 1)
    start = unit(start) + 0.15 * (draws[:3].T - 0.5)
    bend = torch.stack([side * lean * 0.2, torch.where(upper, 0.65, -0.2), torch.full_like(lean, -0.1)], 1)
    length = torch.where(upper, 5.2 + 2.4 * place, 2.6) * soft * (0.8 + 0.4 * draws[3])
    points, normal = _carried(roots, head)
    path = _curve(points, start, bend, length)
    tone = colour(identity, index + 80_000) * 0.25
    return _bundle(path, tone, normal, 0.6, torch.where(upper, 0.17, 0.08), False)


def _beard(head: Head, identity: IdentityParams) -> SoftHair:
    roots = _beard_roots()
    style = int(identity.beard_style[0])
    draws = _draws(len(roots.rest), 51, 55)
    odds = _beard_odds(style) * (0.9 if style > 1 else 0.75)
    keep = (draws[0] < odds).nonzero()[:, 0]
    part, draws = roots.take(keep), draws.index_select(1, keep)
    points, normal = _carried(part, head)
    x, y = part.rest[:, 0], part.rest[:, 1]
    upper = step(y, -78, -70)
    flow = torch.stack([torch.sign(x) * (0.12 + 0.7 * upper), -torch.ones_like(x), 0.15 + 0 * x], 1)
    flow = unit(flow + 0.7 * (draws[1:4].T - 0.5))
    length = float(identity.beard_length_mm[0]) if style > 1 else 1.3
    reach = length * (0.55 + 0.7 * draws[4]) * (0.55 + 0.45 * step(y, -60, -88))
    path = _curve(points, flow + 0.55 * normal, -0.4 * normal, reach)
    tone = colour(identity, keep + 90_000) * 0.34
    return _bundle(path, tone, normal, 0.7, torch.full((len(keep),), 0.30 if style > 1 else 0.19), True)
