"""A wig: false hair over the wearer's own, with its fibre, its front edge and its shadow."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from spooflab.generators.ablation import ablation, is_off
from spooflab.generators.attack import Changed
from spooflab.generators.enlarge import enlarge
from spooflab.generators.face import PARSING, Face
from spooflab.generators.face_net.colour_model import grown
from spooflab.generators.faces.procedural.hair import STYLES, scalp_depth
from spooflab.generators.geometry import Geometry, read_geometry
from spooflab.generators.instruments.bare_head import without_hair
from spooflab.generators.instruments.kubelka_munk import hiding_pigment, over
from spooflab.generators.instruments.makeup_bank import hex_to_linear
from spooflab.generators.instruments.makeup_regions import soft_step
from spooflab.generators.instruments.own_hair import beyond_the_head, own_hair, stand_off_mm
from spooflab.generators.instruments.skin_chart import chart
from spooflab.generators.instruments.skin_texture import GRAIN, texture
from spooflab.generators.instruments.wig_bank import Wig as Model
from spooflab.generators.instruments.wig_bank import choose_wigs, load_wigs, wig_of
from spooflab.generators.instruments.wig_hair import Cut, Fibre, HairPicture, draw_wig, grow_wig, lighting_of
from spooflab.params import Params, choice, uniform

_HAIR = PARSING.index("hair")
_KEPT = tuple(PARSING.index(name) for name in ("skin", "nose", "brows", "eyes", "lips", "mouth", "beard", "glasses"))
_HUMAN_GLOSS = 0.6
_RIM_MM, _OVER_BROWS_MM = 5.0, 23.0
"""How far a parsing's hairline may be off; y of the rest head above the brows."""
_SHADE_MARK = 0.05
"""Mask where only the wig's shadow falls."""


@dataclass(frozen=True)
class WigParams(Params):
    """One wig on one head.

    Attributes:
        wig: (B,) int64 `Wig.number`.
        style: (B,) where among the wig's cuts, 0-1; cuts that hide too little of the own hair are passed over.
        colour: (B,) int64 sRGB of the fibre, 0xRRGGBB; streaks: (B,) the same of streaks.
        streak_share: (B,) share of locks with that colour.
        line_mm: (B,) height of the front edge against a grown hairline.
        cap_mm: (B,) thickness of cap and own hair.
        volume, length, wave, part: (B,) of the cut.
        lace_mm: (B,) lace left before the hair.
        lace_tone: (B,) lightness of the lace against the skin.
        gloss: (B,) factor of the fibre's.
        seed: (B,) int64 of the strands.
        ablated: (B,) int64 bits of the effects that are off.
    """

    wig: Tensor
    style: Tensor
    colour: Tensor
    streaks: Tensor
    streak_share: Tensor
    line_mm: Tensor
    cap_mm: Tensor
    volume: Tensor
    length: Tensor
    wave: Tensor
    part: Tensor
    lace_mm: Tensor
    lace_tone: Tensor
    gloss: Tensor
    seed: Tensor
    ablated: Tensor


class Wig:
    """A live person under false hair (species `wig`), after HQ-WMCA's.

    Args:
        instruments: ids in `configs/instruments/wigs.yaml` that may be drawn; None for all.
        ablate: effects to switch off: `gloss` (the fibre has human hair's highlights), `lace` (no lace and no seam at
            the front), `shadow` (the hair throws none on the face), `variety` (all fibres have one colour).

    Raises:
        ConfigError: an unknown id or effect.
    """

    species = "wig"
    needs_donor = False
    EFFECTS: ClassVar[tuple[str, ...]] = ("gloss", "lace", "shadow", "variety")

    def __init__(self, *, instruments: Sequence[str] | None = None, ablate: Sequence[str] = ()) -> None:
        self.bank = choose_wigs(instruments)
        self.ablate = tuple(ablate)
        ablation(self.species, self.EFFECTS, self.ablate, 1)

    @staticmethod
    def bank_ids() -> tuple[str, ...]:
        """Return the ids of every wig."""
        return tuple(load_wigs())

    def sample(self, batch_size: int, generator: torch.Generator) -> WigParams:
        """Draw the wig, its cut and colour, and how it sits."""
        n = batch_size
        entries = [self.bank[int(k)] for k in choice(n, len(self.bank), generator)]
        picks = torch.rand(n, 2, generator=generator)
        codes = [[_code(entry.colours, float(p)) for p in row] for entry, row in zip(entries, picks, strict=True)]

        def within(name: str) -> Tensor:
            ranges = torch.tensor([getattr(entry, name) for entry in entries])
            return torch.lerp(ranges[:, 0], ranges[:, 1], torch.rand(n, generator=generator))

        return WigParams(
            wig=torch.tensor([entry.number for entry in entries]),
            style=torch.rand(n, generator=generator),
            colour=torch.tensor([first for first, _ in codes]),
            streaks=torch.tensor([second for _, second in codes]),
            streak_share=(uniform(n, -0.5, 0.4, generator)).clamp(min=0),
            line_mm=within("line_mm"),
            cap_mm=within("thickness_mm"),
            volume=uniform(n, 0.8, 1.4, generator),
            length=uniform(n, 0.75, 1.2, generator),
            wave=uniform(n, 0.0, 0.9, generator),
            part=uniform(n, -1.0, 1.0, generator),
            lace_mm=uniform(n, 3.0, 12.0, generator),
            lace_tone=uniform(n, -0.25, 0.35, generator),
            gloss=uniform(n, 0.7, 1.3, generator),
            seed=torch.randint(0, 2**62, (n,), generator=generator),
            ablated=ablation(self.species, self.EFFECTS, self.ablate, n),
        )

    def parse(self, record: dict[str, Any]) -> WigParams:
        """Rebuild parameters from a record's JSON."""
        return WigParams.from_json(record)

    def apply(self, face: Face, donor: Face | None, params: Params) -> Changed:
        """Return the face under a wig; pixels without hair, lace or shadow keep their bits.

        Raises:
            SkipSample: the head cannot be fitted.
            ConfigError: the record names a wig that is not in the bank.
        """
        assert isinstance(params, WigParams)
        rows = [self._wear(face.row(i), params.row(i)) for i in range(face.batch_size)]
        changed = Face.stack([row.face for row in rows]).replace(synthetic=face.synthetic)
        facts = {name: torch.cat([row.facts[name] for row in rows]) for name in rows[0].facts}
        return Changed(changed, facts, tuple(row.instrument_id[0] for row in rows))

    def _wear(self, face: Face, params: WigParams) -> Changed:
        entry = wig_of(int(params.wig[0]))
        off = {name: is_off(params.ablated, self.EFFECTS, name) for name in self.EFFECTS}
        geometry = read_geometry(face)
        own = own_hair(face.radiance[0], geometry)
        standing = stand_off_mm(own, geometry)
        cut = fitting_cut(entry, params, standing)
        fibre = Fibre(
            _linear(int(params.colour[0])),
            _linear(int(params.streaks[0])),
            float(params.streak_share[0]),
            entry.uniform,
            entry.gloss * float(params.gloss[0]),
            entry.whiteness,
        )
        behind = _behind(face, geometry)
        locks = grow_wig(geometry, cut, fibre, with_variety=not off["variety"])
        gloss = _HUMAN_GLOSS if off["gloss"] else fibre.gloss
        picture = draw_wig(locks, geometry, fibre, behind, gloss=gloss)
        bald = _pinned(own, picture, geometry)
        radiance = without_hair(face.radiance[0], bald, geometry, cut.seed & 0xFFFFFF)
        cover = (bald * 4).clamp(max=_SHADE_MARK)
        depth = _inside(geometry, cut)
        if not off["shadow"]:
            _shadow(radiance, cover, picture, geometry)
        if not off["lace"] and entry.front != "fringe":
            _front(radiance, cover, depth, geometry, entry, params)
        _compose(radiance, cover, depth, picture, geometry, fibre, cut)
        visible = F.avg_pool2d((picture.cover < 0.5).float()[None, None], 4)[0, 0]
        showing = float((own * visible).sum() / own.sum().clamp(min=1))
        facts = {
            "own_hair_mm": torch.tensor([standing]),
            "own_hair_showing": torch.tensor([showing]),
            "cap_mm": torch.tensor([cut.cap_mm]),
            "hair_gloss": torch.tensor([gloss]),
            "line_mm": params.line_mm,
        }
        return Changed(_changed(face, radiance, cover, picture, geometry), facts, (entry.id,))


def fitting_cut(entry: Model, params: WigParams, standing_mm: float) -> Cut:
    """Return the wig's cut; where own hair stands off the head, the fullest cut is worn, and larger."""
    count = len(entry.styles)
    name = entry.styles[min(int(float(params.style[0]) * count), count - 1)]
    volume, cap = float(params.volume[0]), float(params.cap_mm[0])
    if standing_mm > STYLES[name].volume * volume + cap:
        name = max(entry.styles, key=lambda style: STYLES[style].volume)
        volume = min(max(volume, standing_mm / STYLES[name].volume), 1.7)
        # What the cut does not hide the cap must: own hair is pinned flat below it, to a third.
        cap = cap + 0.33 * max(standing_mm - STYLES[name].volume * volume, 0.0)
    return Cut(
        style=name,
        line_mm=float(params.line_mm[0]),
        cap_mm=cap,
        volume=volume,
        length=float(params.length[0]),
        wave=float(params.wave[0]),
        part=float(params.part[0]),
        seed=int(params.seed[0]),
    )


def _behind(face: Face, geometry: Geometry) -> Tensor:
    """Return (H, W) distances, in the fit's millimetres, of everything that hair must not be drawn over."""
    depth = geometry.maps.depth_mm
    if face.depth_mm is None or face.parsing is None:
        return torch.minimum(depth, _shoulders(geometry))
    known, labels = face.depth_mm[0, 0], face.parsing[0, 0]
    scale = _scale(face, geometry)
    if scale is None:
        return depth
    solid = torch.isfinite(known) & (labels != _HAIR)
    return torch.where(solid, torch.minimum(depth, known / scale + 4), depth)


def _scale(face: Face, geometry: Geometry) -> float | None:
    """Return the picture's millimetres per millimetre of the fit, None where too little skin tells."""
    if face.depth_mm is None or face.parsing is None:
        return None
    known, fitted = face.depth_mm[0, 0, ::4, ::4], geometry.maps.depth_mm[::4, ::4]
    both = torch.isfinite(known) & torch.isfinite(fitted) & (face.parsing[0, 0, ::4, ::4] == PARSING.index("skin"))
    return float((known[both] / fitted[both]).median()) if int(both.sum()) > 10 else None


def _shoulders(geometry: Geometry) -> Tensor:
    """Return (H, W): distance of shoulders below the neck of a head that a photograph shows, `inf` elsewhere."""
    fit = geometry.fit
    height, width = geometry.maps.cover.shape
    far = float(fit.translation_mm[2])
    x = (torch.arange(width) + 0.5 - fit.centre_px[0]) * (far / fit.focal_px) - float(fit.translation_mm[0])
    y = (torch.arange(height) + 0.5 - fit.centre_px[1]) * (far / fit.focal_px) - float(fit.translation_mm[1])
    below = y[:, None] > 116 + 0.55 * (x.abs() - 48).clamp(min=0)[None]
    return torch.where(below, far + 55.0, torch.inf)


def _pinned(own: Tensor, picture: HairPicture, geometry: Geometry) -> Tensor:
    """Return (H, W): own hair that the wig would leave in sight, and that is therefore pinned below it."""
    spread = F.max_pool2d(own[None, None], 3, 1, 1)
    wide = F.interpolate(spread, picture.cover.shape, mode="bilinear", align_corners=False)[0, 0]
    if geometry.parsing is not None:
        free = torch.ones(256)
        free[list(_KEPT)] = 0
        free = free[geometry.parsing.long()]
        free.masked_fill_(beyond_the_head(geometry), 1.0)
        # A fringe's last hairs are finer than a parsing's line: what of the forehead borders on it goes as well.
        rest, reach = geometry.maps.rest_half, max(1, round(_RIM_MM / (2 * geometry.fit.mm_per_px)))
        near = grown((geometry.parsing == _HAIR)[::2, ::2], reach)
        high = (rest[1] > _OVER_BROWS_MM) | ((rest[0].abs() > 48) & (rest[1] > 5))
        rim = enlarge(_blur((near * high * geometry.maps.on_half)[None, None], 0.7)[0], 2)[0]
        wide = wide * free
        return torch.maximum(soft_step(wide - 0.25, 0.15), rim[: wide.shape[0], : wide.shape[1]])
    return soft_step(wide - 0.25, 0.15)


def _inside(geometry: Geometry, cut: Cut) -> Tensor:
    """Return (H, W) millimetres inside the wig's front edge, far outside of it where there is no head."""
    rest = geometry.maps.rest_mm[:, ::2, ::2]
    cover = geometry.maps.cover[::2, ::2] > 0
    index = (cover & (rest[1] > -70)).reshape(-1).nonzero()[:, 0]
    some = rest.reshape(3, -1).index_select(1, index).T.contiguous()
    depth = scalp_depth(some, 0.2 + cut.line_mm / 22, 0.15)
    half = torch.full((1, cover.numel()), -99.0).index_copy_(1, index, depth[None]).reshape(1, *cover.shape)
    # The last cells on the head's outline lend their depth to those beyond, or the edge would fray.
    half = torch.where(cover, half, F.max_pool2d(half[None], 3, 1, 1)[0])
    height, width = geometry.maps.cover.shape
    return torch.where(geometry.maps.cover > 0, enlarge(half, 2)[0, :height, :width], -99.0)


def _shadow(radiance: Tensor, cover: Tensor, picture: HairPicture, geometry: Geometry) -> None:
    """Darken the head beside and below the hair: the lamp's light is cut off softly, the room's a little."""
    mm = geometry.fit.mm_per_px
    light = geometry.light
    small = F.avg_pool2d(picture.cover[None, None], 4)
    near = _blur(small, 4.0 / (4 * mm))
    away = light.key_direction[:2] * (-9.0 / (4 * mm))
    rolled = _shift(_blur(small, 2.5 / (4 * mm)), float(away[0]), float(away[1]) + 2.0 / (4 * mm))
    both = torch.cat([near, rolled], 1)
    wide = F.interpolate(both, picture.cover.shape, mode="bilinear", align_corners=False)[0]
    share = light.key_share
    dark = (0.22 * wide[0] + (0.30 + 0.30 * share) * share * wide[1]).clamp(max=0.6)
    dark = ((dark - 0.015).clamp(min=0)) * (geometry.maps.cover > 0)
    # Blood shines through where a shadow ends: red falls off last.
    falloff = torch.stack([dark**1.15, dark, dark])
    radiance.mul_(1 - falloff)
    torch.maximum(cover, (dark * 4).clamp(max=_SHADE_MARK), out=cover)


def _front(radiance: Tensor, cover: Tensor, depth: Tensor, geometry: Geometry, entry: Model, params: WigParams) -> None:
    """Lay lace, or the cap's band, on the forehead before the hair."""
    rows = (geometry.maps.rest_mm[1] > 5).any(1).nonzero()[:, 0]
    if len(rows) == 0:
        return
    part = slice(int(rows[0]), int(rows[-1]) + 1)
    rest, inside = geometry.maps.rest_mm[:, part], depth[part]
    lace = entry.front == "lace"
    wide = float(params.lace_mm[0]) if lace else 1.2
    mm = geometry.fit.mm_per_px
    on = (geometry.maps.cover[part] > 0) & (rest[2] > -70) & (rest[1] > 8)
    wave = 0.35 * torch.sin(rest[0] * 0.37) + 0.2 * torch.sin(rest[0] * 1.1 + 1)
    band = soft_step(inside + wide + wave, 0.8 * mm + 0.3) * on
    tone = (geometry.light.skin_albedo * (1 + float(params.lace_tone[0]))).clamp(0.02, 0.9)
    bare = geometry.light.skin_albedo[:, None, None].expand(3, *band.shape)
    paint = hiding_pigment(tone if lace else _linear(int(params.colour[0])) * 0.4 + 0.01, 0.22 if lace else 0.9)
    film = over(paint, band, bare) / bare
    # The edge stands up by a thread: it catches light above and shades the skin below.
    edge = torch.exp(-((inside + wide + wave) / (0.7 * mm + 0.2)).square()) * on
    view = radiance[:, part]
    view.mul_(film).mul_(1 - (0.10 if lace else 0.16) * edge)
    if lace:
        mesh = torch.sin(rest[0] * 4.2) * torch.sin(rest[1] * 4.2)
        fade = min(max(1.2 - mm, 0.0), 1.0)
        view.mul_(1 + 0.06 * fade * mesh * band)
    here = cover[part]
    torch.maximum(here, torch.maximum(band, edge * (edge > 0.05)).clamp(max=1), out=here)


def _compose(
    radiance: Tensor,
    cover: Tensor,
    inside: Tensor,
    picture: HairPicture,
    geometry: Geometry,
    fibre: Fibre,
    cut: Cut,
) -> None:
    """Lay cap, depth of the hair and fibres over the picture."""
    rest, mm = geometry.maps.rest_mm, geometry.fit.mm_per_px
    ear = (rest[0].abs() > 68) & (rest[1] < 10)
    cap = soft_step(inside - 3.0, 2.5) * ~ear
    # Where fibres are dense nothing is seen between them but fibres deeper down.
    small = F.avg_pool2d(picture.cover[None, None], 2)
    dense = F.interpolate(_blur(small, 2.2 / (2 * mm)), picture.cover.shape, mode="bilinear", align_corners=False)[0, 0]
    under = torch.maximum(cap, soft_step(dense - 0.62, 0.12))
    light = lighting_of(geometry.light)
    room = 0.5 * (light.sky + light.ground) + 0.25 * light.lamps[0].colour
    # Near the front the wefts lie flat and in the light; further in they shade each other.
    level = 0.36 + 0.42 * soft_step(22 - inside, 18)
    strand = texture(chart(rest), (52.0, 1600.0), cut.seed & 0xFFFFFF, GRAIN)
    deep = (fibre.colour * room)[:, None, None] * (level * torch.exp(0.34 * strand))
    radiance.lerp_(deep, under)
    radiance.mul_(1 - picture.cover).add_(picture.radiance)
    torch.maximum(cover, 1 - (1 - under) * (1 - picture.cover), out=cover)


def _changed(face: Face, radiance: Tensor, cover: Tensor, picture: HairPicture, geometry: Geometry) -> Face:
    """Return the face with hair in its picture, mask, parsing, depth and normals."""
    mask = cover.clamp(0, 1)[None, None]
    front = (cover >= 0.5) & (picture.cover > 0.25)
    changed = face.replace(
        radiance=torch.where(mask > 0, radiance.clamp(min=0)[None], face.radiance),
        spoof_mask=mask if face.spoof_mask is None else torch.maximum(mask, face.spoof_mask),
    )
    if face.parsing is not None:
        changed = changed.replace(parsing=face.parsing.masked_fill(front[None, None], _HAIR))
    if face.depth_mm is not None:
        known = face.depth_mm[0, 0]
        scale = _scale(face, geometry) or 1.0
        depth = torch.where(front, picture.depth_mm * scale, known)
        changed = changed.replace(depth_mm=depth[None, None])
    if face.normals is not None:
        changed = changed.replace(normals=torch.where(front, picture.normals, face.normals[0])[None])
    return changed


def _blur(plane: Tensor, sigma: float) -> Tensor:
    """Return (1, 1, h, w) under a Gaussian."""
    reach = max(1, int(2.5 * sigma + 0.5))
    x = torch.arange(-reach, reach + 1, dtype=torch.float32)
    kernel = torch.exp(-0.5 * (x / max(sigma, 0.3)) ** 2)
    kernel = kernel / kernel.sum()
    padded = F.pad(plane, (reach,) * 4, mode="replicate")
    return F.conv2d(F.conv2d(padded, kernel[None, None, None]), kernel[None, None, :, None])


def _shift(plane: Tensor, right: float, down: float) -> Tensor:
    """Return (1, 1, h, w) moved by pixels, edges replicated."""
    height, width = plane.shape[-2:]
    theta = torch.tensor([[[1.0, 0.0, -2 * right / width], [0.0, 1.0, -2 * down / height]]])
    grid = F.affine_grid(theta, [1, 1, height, width], align_corners=False)
    return F.grid_sample(plane, grid, padding_mode="border", align_corners=False)


def _code(colours: Sequence[str], draw: float) -> int:
    return int(colours[min(int(draw * len(colours)), len(colours) - 1)][1:], 16)


def _linear(code: int) -> Tensor:
    return hex_to_linear(f"#{code:06x}")
