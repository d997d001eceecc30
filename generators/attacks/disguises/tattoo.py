"""Ink on the face: tattoos in the dermis, transfers on top of the skin, stains of its horny layer."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from spooflab.errors import ConfigError
from spooflab.generators.ablation import ablation, is_off
from spooflab.generators.attack import Changed
from spooflab.generators.attacks.painted import Painted, painted_face
from spooflab.generators.face import Face
from spooflab.generators.geometry import read_geometry, specular
from spooflab.generators.instruments.drawing import Draws
from spooflab.generators.instruments.kubelka_munk import over, pigment
from spooflab.generators.instruments.makeup_regions import Window
from spooflab.generators.instruments.skin_canvas import SkinCanvas
from spooflab.generators.instruments.skin_chart import ChartPicture, Pen, chart, picture_of
from spooflab.generators.instruments.tattoo_bank import Tattoo as Ink
from spooflab.generators.instruments.tattoo_bank import choose_tattoos, ink_of, load_tattoos
from spooflab.generators.instruments.tattoo_designs import MOTIFS, PLACES, USUAL, centre_of, place_of
from spooflab.generators.masked import grown
from spooflab.params import Params, choice, uniform

SCATTERING = (0.803, 1.0, 1.373)
"""Scattering of skin at 620 and 460 nm relative to 540 nm: 0.41 (λ/500)^-4 + 0.59 (λ/500)^-0.562 (Jacques 2013)."""
_SHEET = (-104.0, 104.0, -116.0, 70.0)
_LEAST_MM2, _LEAST_SHARE, _MOST_MOTIFS = 600.0, 0.016, 12
"""A tattoo that does not change a face's look is no disguise: so much ink, or so much of the picture."""
_PX_PER_MM = 2.6
_INKED = 0.02


@dataclass(frozen=True)
class TattooParams(Params):
    """One tattooed face.

    Attributes:
        instrument: (B,) int64 `Tattoo.number` of the bank's entry.
        size: (B,) scale of the motifs.
        density: (B,) ink relative to the full density.
        line_mm: (B,) width of lines.
        veil: (B,) scattering S · X of the skin above the ink, green.
        blur_mm: (B,) standard deviation of the edges.
        film_shine: (B,) share of a transfer's film that is glossy.
        seed: (B,) int64 of the design.
        ablated: (B,) int64 bits of the effects that are off.
    """

    instrument: Tensor
    size: Tensor
    density: Tensor
    line_mm: Tensor
    veil: Tensor
    blur_mm: Tensor
    film_shine: Tensor
    seed: Tensor
    ablated: Tensor


class Tattoo:
    """Tattooed face (species `tattoo`), after HQ-WMCA's.

    Args:
        instruments: ids in `configs/instruments/tattoos.yaml` that may be drawn; None for all.
        ablate: effects to switch off: `pigment` (no ink is seen), `gloss` (a transfer's film does not shine),
            `scatter` (neither the skin above the ink nor its spread is there: sharp, black lines).

    Raises:
        ConfigError: an unknown id or effect.
    """

    species = "tattoo"
    needs_donor = False
    EFFECTS: ClassVar[tuple[str, ...]] = ("pigment", "gloss", "scatter")

    def __init__(self, *, instruments: Sequence[str] | None = None, ablate: Sequence[str] = ()) -> None:
        self.bank = choose_tattoos(instruments)
        self.ablate = tuple(ablate)
        ablation(self.species, self.EFFECTS, self.ablate, 1)

    @staticmethod
    def bank_ids() -> tuple[str, ...]:
        """Return the ids of every tattoo."""
        return tuple(load_tattoos())

    def sample(self, batch_size: int, generator: torch.Generator) -> TattooParams:
        """Draw the kind, its age and the design's seed."""
        n = batch_size
        entries = [self.bank[int(k)] for k in choice(n, len(self.bank), generator)]

        def within(name: str) -> Tensor:
            ranges = torch.tensor([getattr(entry, name) for entry in entries])
            return torch.lerp(ranges[:, 0], ranges[:, 1], torch.rand(n, generator=generator))

        return TattooParams(
            instrument=torch.tensor([entry.number for entry in entries]),
            size=uniform(n, 0.8, 1.35, generator),
            density=uniform(n, 0.65, 1.1, generator),
            line_mm=within("line_mm"),
            veil=within("veil"),
            blur_mm=within("blur_mm"),
            film_shine=uniform(n, 0.35, 1.0, generator),
            seed=torch.randint(0, 2**62, (n,), generator=generator),
            ablated=ablation(self.species, self.EFFECTS, self.ablate, n),
        )

    def parse(self, record: dict[str, Any]) -> TattooParams:
        """Rebuild parameters from a record's JSON."""
        return TattooParams.from_json(record)

    def apply(self, face: Face, donor: Face | None, params: Params) -> Changed:
        """Return the tattooed face; pixels without ink or film keep their bits.

        Raises:
            SkipSample: the head cannot be fitted, or the face lies outside the picture.
            ConfigError: the record names a tattoo that is not in the bank.
        """
        assert isinstance(params, TattooParams)
        rows = [self._ink(face.row(i), params.row(i)) for i in range(face.batch_size)]
        return painted_face(face, rows)

    def _ink(self, face: Face, params: TattooParams) -> Painted:
        entry = _entry(int(params.instrument[0]))
        off = {name: is_off(params.ablated, self.EFFECTS, name) for name in self.EFFECTS}
        canvas = SkinCanvas.of(face, read_geometry(face))
        canvas.with_pigment, canvas.with_gloss = not off["pigment"], not off["gloss"]
        scale = canvas.mm_per_px
        blur = 0.0 if off["scatter"] else float(params.blur_mm[0])
        # The picture's own pixel is an aperture too: finer lines would alias.
        wanted = max(_LEAST_MM2, _LEAST_SHARE * face.size[0] * face.size[1] * scale**2)
        sheet = draw(entry, params, places_seen(canvas), wanted).soften((blur**2 + (0.35 * scale) ** 2) ** 0.5)
        canvas.bring_to_full()
        window, uv, inked = _inked_window(canvas, sheet)
        if not window.empty:
            density = sheet.at(uv) * canvas.full(canvas.skin, window) * float(params.density[0])
            density = (density - _INKED).clamp(min=0)
            veil = 0.0 if off["scatter"] or entry.layer != "dermis" else float(params.veil[0])
            lay_ink(canvas, window, entry, density, veil)
            if entry.layer == "film":
                _film(canvas, window, density.amax(0), float(params.film_shine[0]))
        facts = {
            "ink_area_mm2": (inked / sheet.px_per_mm**2)[None],
            "ink_blur_mm": params.blur_mm,
            "veil_scattering": params.veil,
            "line_mm": params.line_mm,
        }
        return Painted(canvas.radiance, canvas.cover, facts, entry.id)


def draw(entry: Ink, params: TattooParams, seen: dict[tuple[str, int], float], wanted_mm2: float) -> ChartPicture:
    """Return the design on the chart, one plane for each ink, density in 0-1.

    Args:
        entry: what may be drawn.
        params: the design's seed, size and line.
        seen: for places and sides, which share of the place is in sight.
        wanted_mm2: motifs are added until so much ink is in sight.
    """
    draws = Draws(int(params.seed[0]), "tattoo design")
    pens = [Pen(*_SHEET, px_per_mm=_PX_PER_MM) for _ in entry.inks]
    name = entry.designs[draws.below(len(entry.designs))]
    left, inked, before = dict(seen), 0.0, 0.0
    for _ in range(_MOST_MOTIFS):
        usual = [key for key in left if key[0] in USUAL.get(name, PLACES)] or list(left)
        ranked = sorted(usual, key=lambda key: -left[key] * draws.between(0.5, 1))
        where, side = ranked[0]
        share = left.pop(ranked[0])
        MOTIFS[name](pens, place_of(where, side, draws, float(params.size[0])), draws, float(params.line_mm[0]))
        after = sum(pen.area_mm2() for pen in pens)
        inked, before = inked + (after - before) * share, after
        if inked > wanted_mm2 or not left:
            break
        if draws.often(0.35):
            name = entry.designs[draws.below(len(entry.designs))]
    return picture_of(pens)


def places_seen(canvas: SkinCanvas) -> dict[tuple[str, int], float]:
    """Return for every place and side of the face which share of it is bare skin in sight."""
    step = 2
    u, v = canvas.uv[:, ::step, ::step]
    weight = canvas.skin[::step, ::step]
    block = (2 * step * canvas.mm_per_px) ** 2
    out = {}
    for name in PLACES:
        for side in (1, -1):
            x, y, size = centre_of(name, side)
            if x == 0 and side < 0:
                continue
            disc = ((u - x).square() + (v - y).square()) < size * size
            out[name, side] = min(float((disc * weight).sum()) * block / (3.1416 * size * size), 1.0)
    return out


def lay_ink(canvas: SkinCanvas, window: Window, entry: Ink, density: Tensor, veil: float) -> None:
    """Change the albedo where ink lies, then veil it by the skin above.

    The layer above has the skin's own masstone, so over bare skin it changes nothing at all; over ink it sends back
    more blue than red, because skin scatters short waves more.

    Args:
        canvas: in its full-resolution phase.
        window: inside it.
        entry: whose inks.
        density: (I, h, w) of each ink.
        veil: S · X of the skin above, green.
    """
    cover = (density.sum(0) * 3).clamp_(max=1)
    if canvas.with_pigment:
        below = canvas.albedo_at(window)
        skin = below.clone()
        painted = skin
        for k in reversed(range(len(entry.inks))):
            ink = ink_of(entry, k)
            if entry.layer == "stain":
                painted = painted * torch.exp(-2 * density[k] * _stain(ink.masstone)[:, None, None])
            else:
                painted = over(ink, density[k], painted)
        if veil > 0:
            above = pigment(canvas.colour.mean, torch.tensor(SCATTERING) * veil)
            # What the veil would do to this very skin is undone: moles and freckles lie in it, not under it.
            painted = over(above, torch.ones(window.shape), painted) * (
                skin / over(above, torch.ones(window.shape), skin)
            )
        canvas.window_light(window).mul_(painted / skin)
        below.copy_(painted)
    canvas.mark(window, cover)


def _stain(masstone: Tensor) -> Tensor:
    """Return (3,) absorption of a dye whose full density over white looks like `masstone` after two passes."""
    return -0.5 * masstone.clamp(min=1e-3).log()


def _film(canvas: SkinCanvas, window: Window, ink: Tensor, shine: float) -> None:
    """Add a transfer's clear film: it reaches past the print, shines, and its cut edge catches light."""
    reach = max(1, round(1.4 / canvas.mm_per_px))
    near = grown(ink, reach)
    film = F.avg_pool2d((near > 0.05).float()[None, None], 3, 1, 1)[0, 0] * canvas.full(canvas.skin, window)
    canvas.mark(window, film)
    if not canvas.with_gloss:
        return
    normals = window.of(canvas.geometry.maps.normals)
    slope_x, slope_y = torch.zeros_like(film), torch.zeros_like(film)
    slope_x[:, 1:-1], slope_y[1:-1] = film[:, 2:] - film[:, :-2], film[2:] - film[:-2]
    light = canvas.geometry.light
    sheen = specular(light, normals, 0.24, 0.039) * (shine * film)
    toward = light.key_direction
    edge = (-(slope_x * float(toward[0]) + slope_y * float(toward[1]))).clamp(min=0)
    canvas.window_light(window).add_(sheen).add_(edge * shine * 0.10 * light.key_irradiance[:, None, None])


def _inked_window(canvas: SkinCanvas, sheet: ChartPicture) -> tuple[Window, Tensor, Tensor]:
    """Return the part of the canvas that ink may reach, its chart positions, and the number of inked chart pixels."""
    coarse = sheet.at(canvas.uv).amax(0) * (canvas.skin > 0)
    coarse = grown(coarse, 1)
    rows, columns = (coarse.amax(axis) > 0 for axis in (1, 0))
    inked = (sheet.planes.amax(0) > 0.3).sum().float()
    if not bool(rows.any()):
        return Window(0, 0, 0, 0), canvas.uv, inked
    own, spans = canvas.window, []
    for used in (rows, columns):
        index = used.nonzero()[:, 0]
        spans.append((int(index[0]), int(index[-1]) + 1))
    window = Window(
        own.top + 2 * spans[0][0], own.left + 2 * spans[1][0], own.top + 2 * spans[0][1], own.left + 2 * spans[1][1]
    )
    return window, chart(window.of(canvas.geometry.maps.rest_mm)), inked


def _entry(number: int) -> Ink:
    for entry in load_tattoos().values():
        if entry.number == number:
            return entry
    raise ConfigError(f"tattoo number {number} is not in the bank", wanted=f"a number of {', '.join(load_tattoos())}")
