"""Makeup that hides who wears it: painted age, injuries, false beards, patterns and masks of paint."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from spooflab.generators.ablation import ablation, is_off
from spooflab.generators.attack import Changed
from spooflab.generators.attacks.painted import Painted, painted_face
from spooflab.generators.face import Face
from spooflab.generators.geometry import read_geometry, shading, specular
from spooflab.generators.instruments.crepe_hair import lay_fibres
from spooflab.generators.instruments.drawing import Draws
from spooflab.generators.instruments.makeup_bank import Painting, Product, chosen, load_makeups, numbered
from spooflab.generators.instruments.paint_age import relief
from spooflab.generators.instruments.paint_coat import ACCENT, Coat
from spooflab.generators.instruments.paint_designs import SCHEMES
from spooflab.generators.instruments.skin_canvas import SkinCanvas, tilted
from spooflab.generators.instruments.skin_texture import BLOTCHES, GRAIN, texture
from spooflab.params import Params, choice, uniform
from spooflab.seeds import generator as named

_PAINTS = 4
_PATTERNS = ("camouflage", "dazzle", "clown", "skull", "animal", "tribal", "flag")
"""Designs that go over brows and lips too."""


@dataclass(frozen=True)
class MakeupObfuscationParams(Params):
    """One painted face.

    Attributes:
        painting: (B,) int64 `Painting.number`.
        paints: (B, 4) int64 `Product.number`, in the scheme's order.
        accent: (B,) int64 `Product.number`.
        amount: (B,) applications.
        strokes: (B,) unevenness of the application.
        relief: (B,) height of what is built up, relative.
        hair_mm: (B,) length of crepe hair.
        seed: (B,) int64 of the design.
        ablated: (B,) int64 bits of the effects that are off.
    """

    painting: Tensor
    paints: Tensor
    accent: Tensor
    amount: Tensor
    strokes: Tensor
    relief: Tensor
    hair_mm: Tensor
    seed: Tensor
    ablated: Tensor


class MakeupObfuscation:
    """Concealing makeup on a live face (species `makeup_obfuscation`), after SiW-Mv2's.

    Args:
        instruments: ids of paintings in `configs/instruments/makeups.yaml` that may be drawn; None for all.
        ablate: effects to switch off: `pigment` (paint changes no albedo), `gloss` (neither shine nor mattness),
            `strokes` (even application), `relief` (latex and collodion build nothing up).

    Raises:
        ConfigError: an unknown id or effect.
    """

    species = "makeup_obfuscation"
    needs_donor = False
    EFFECTS: ClassVar[tuple[str, ...]] = ("pigment", "gloss", "strokes", "relief")

    def __init__(self, *, instruments: Sequence[str] | None = None, ablate: Sequence[str] = ()) -> None:
        self.paintings = chosen(load_makeups().paintings, instruments, "makeup paintings")
        self.ablate = tuple(ablate)
        ablation(self.species, self.EFFECTS, self.ablate, 1)

    @staticmethod
    def bank_ids() -> tuple[str, ...]:
        """Return the ids of every painting."""
        return tuple(painting.id for painting in load_makeups().paintings)

    def sample(self, batch_size: int, generator: torch.Generator) -> MakeupObfuscationParams:
        """Draw the painting, its colours and how they are applied."""
        n = batch_size
        bank = load_makeups()
        entries = [self.paintings[int(k)] for k in choice(n, len(self.paintings), generator)]
        order = torch.rand(n, 12, generator=generator)
        which = torch.rand(n, generator=generator)
        paints = torch.zeros(n, _PAINTS, dtype=torch.int64)
        accent = torch.zeros(n, dtype=torch.int64)
        for i, entry in enumerate(entries):
            names = list(entry.paints)
            if entry.design in _SHUFFLED:
                names = [names[k] for k in order[i, : len(names)].argsort().tolist()]
            for k in range(_PAINTS):
                paints[i, k] = bank.product(names[k % len(names)]).number
            accent[i] = bank.product(entry.accent[min(int(which[i] * len(entry.accent)), len(entry.accent) - 1)]).number
        ranges = torch.tensor([entry.hiding for entry in entries])
        return MakeupObfuscationParams(
            painting=torch.tensor([entry.number for entry in entries]),
            paints=paints,
            accent=accent,
            amount=torch.lerp(ranges[:, 0], ranges[:, 1], torch.rand(n, generator=generator)),
            strokes=uniform(n, 0.5, 1.4, generator),
            relief=uniform(n, 0.6, 1.3, generator),
            hair_mm=uniform(n, 6.0, 22.0, generator),
            seed=torch.randint(0, 2**62, (n,), generator=generator),
            ablated=ablation(self.species, self.EFFECTS, self.ablate, n),
        )

    def parse(self, record: dict[str, Any]) -> MakeupObfuscationParams:
        """Rebuild parameters from a record's JSON."""
        return MakeupObfuscationParams.from_json(record)

    def apply(self, face: Face, donor: Face | None, params: Params) -> Changed:
        """Return the painted face; pixels without paint keep their bits.

        Raises:
            SkipSample: the head cannot be fitted, or the face lies outside the picture.
            ConfigError: the record names a painting or product that is not in the bank.
        """
        assert isinstance(params, MakeupObfuscationParams)
        rows = [self._paint(face.row(i), params.row(i)) for i in range(face.batch_size)]
        return painted_face(face, rows)

    def _paint(self, face: Face, params: MakeupObfuscationParams) -> Painted:
        bank = load_makeups()
        entry = numbered(bank.paintings, int(params.painting[0]), "makeup painting")
        paints = [bank.product(int(number)) for number in params.paints[0]]
        accent = bank.product(int(params.accent[0]))
        off = {name: is_off(params.ablated, self.EFFECTS, name) for name in self.EFFECTS}
        canvas = SkinCanvas.of(face, read_geometry(face))
        canvas.with_pigment, canvas.with_gloss = not off["pigment"], not off["gloss"]
        seed = int(params.seed[0]) & 0xFFFFFF
        coats = SCHEMES[entry.design](Draws(seed, "design"), seed)
        where = canvas.whole if entry.design in _PATTERNS else canvas.skin
        strokes = 0.0 if off["strokes"] else float(params.strokes[0])
        uneven = 1 + 0.22 * strokes * texture(canvas.uv, (34.0, 60.0), seed + 21, BLOTCHES)
        amount = float(params.amount[0])
        used = [(coat, accent if coat.paint == ACCENT else paints[coat.paint]) for coat in coats]
        for coat, product in used:
            if not coat.fine:
                _broad(canvas, coat, product, amount, where * uneven.clamp(min=0.2))
        if entry.relief > 0 and not off["relief"]:
            raise_skin(canvas, entry, float(params.relief[0]), seed, where)
        canvas.bring_to_full()
        for coat, product in used:
            if coat.fine:
                _fine(canvas, coat, product, amount, where, strokes, seed)
        if entry.design == "beard":
            area = coats[0].at(canvas.uv)
            colour = paints[0].pigment().masstone * 1.1 + 0.01
            lay_fibres(canvas, area, colour, named(seed, "fibres"), length_mm=float(params.hair_mm[0]), count=2600)
        facts = {
            "makeup_area_mm2": (canvas.cover.sum() * canvas.mm_per_px**2)[None],
            "paint_applications": params.amount,
            "relief_mm": params.relief * (entry.relief * 0.3),
        }
        return Painted(canvas.radiance, canvas.cover, facts, entry.id)


_SHUFFLED = ("camouflage", "dazzle", "tribal", "flag", "stubble", "beard", "wrinkles")
"""Designs whose paints have no fixed places."""


def raise_skin(canvas: SkinCanvas, entry: Painting, height: float, seed: int, where: Tensor) -> None:
    """Change shading and gloss by the slopes of what is built up on the skin; half-resolution phase."""
    field = relief(Draws(seed, "scars" if entry.design == "injuries" else "design"), seed, entry.design)
    bump = field(canvas.uv) * (entry.relief * height)
    pixel_mm = 2 * canvas.mm_per_px
    slope = torch.zeros(2, *bump.shape)
    slope[0][:, 1:-1] = (bump[:, 2:] - bump[:, :-2]) * (-0.5 / pixel_mm)
    slope[1][1:-1] = (bump[2:] - bump[:-2]) * (-0.5 / pixel_mm)
    slope = slope.clamp(-1.2, 1.2) * where
    light = canvas.geometry.light
    flat, bent = shading(light, canvas.normals), shading(light, tilted(canvas.normals, slope))
    # Occlusion: what lies deep sees less of the room.
    factor = (bent / flat) * torch.exp((0.5 * bump.clamp(-1.5, 0.3)) * where)
    canvas.relight(factor, (slope.abs().sum(0) * 8).clamp(max=1) * where)
    if canvas.with_gloss and entry.design == "latex":
        fresh = specular(light, tilted(canvas.normals, slope), 0.42, 0.038)
        canvas.add_light((fresh - specular(light, canvas.normals, 0.42, 0.038)) * (0.6 * where))


def _broad(canvas: SkinCanvas, coat: Coat, product: Product, amount: float, where: Tensor) -> None:
    thickness = coat.at(canvas.uv) * where * (amount * coat.amount)
    thickness = (thickness - 0.02).clamp_(min=0)
    canvas.lay(product.pigment(canvas.colour.mean), thickness)
    share = (thickness * product.hiding * 1.5).clamp(max=1)
    canvas.powder(share * product.matte)
    if product.roughness < 0.52:
        canvas.add_shine(share * (0.55 * (1 - 0.5 * product.matte)), product.roughness, product.f0)


def _fine(
    canvas: SkinCanvas, coat: Coat, product: Product, amount: float, where: Tensor, strokes: float, seed: int
) -> None:
    window = canvas.window
    uv = canvas.full_uv()
    thickness = coat.at(uv) * canvas.full(where, window) * (amount * coat.amount)
    if strokes > 0:
        thickness = thickness * (1 + 0.14 * strokes * texture(uv, 46.0, seed + 22, GRAIN)).clamp_(min=0.2)
    thickness = (thickness - 0.02).clamp_(min=0)
    canvas.paint(window, product.pigment(canvas.colour.mean), thickness)
    if canvas.with_gloss and product.roughness < 0.3:
        share = (thickness * 2).clamp(max=1)
        fresh = specular(canvas.geometry.light, window.of(canvas.geometry.maps.normals), product.roughness, product.f0)
        canvas.window_light(window).add_(fresh * share)
