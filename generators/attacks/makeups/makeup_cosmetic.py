"""Cosmetic makeup, everyday to heavy: layers of pigment on the wearer's own face."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from spooflab.generators.ablation import ablation, is_off
from spooflab.generators.attack import Changed
from spooflab.generators.attacks.painted import Painted, painted_face
from spooflab.generators.face import Face
from spooflab.generators.geometry import read_geometry
from spooflab.generators.instruments import makeup_complexion as complexion
from spooflab.generators.instruments import makeup_eyes as eyes
from spooflab.generators.instruments.makeup_bank import PARTS, Look, Product, Use, chosen, load_makeups, numbered
from spooflab.generators.instruments.makeup_hand import Hand
from spooflab.generators.instruments.makeup_lips import lip_liner, lips
from spooflab.generators.instruments.skin_canvas import SkinCanvas
from spooflab.params import Params, choice, uniform
from spooflab.seeds import generator as named

_LINED_MM = 0.5
"""Lips drawn over by more than so much, both borders together, are outlined first."""


@dataclass(frozen=True)
class MakeupCosmeticParams(Params):
    """One made-up face.

    Attributes:
        look: (B,) int64 `Look.number`.
        product: (B, P) int64 `Product.number` for each of `PARTS`, 0 where the part is left out.
        amount: (B, P) applications.
        lighter, warmer: (B,) the foundation's shade against the skin: relative lightness, red against blue.
        lift: (B,) blush from the apples of the cheeks (0) to the temples (1).
        nose: (B,) how much the sides of the nose are contoured.
        place_mm: (B,) height of the contour against the usual one.
        shadow_height: (B,) how far up shadow reaches, share of the way from lashes to brow.
        smudge: (B,) shadow below the eye.
        liner_mm, wing_mm: (B,) thickness of the line and length of its wing; no wing below 1.
        wing_up: (B,) slope of the wing.
        lower_liner: (B,) line below the eye.
        overline_mm: (B, 3) how far the lips are drawn over: up, down, corners.
        strokes: (B,) unevenness of the application.
        seed: (B,) int64 of everything uneven.
        ablated: (B,) int64 bits of the effects that are off.
    """

    look: Tensor
    product: Tensor
    amount: Tensor
    lighter: Tensor
    warmer: Tensor
    lift: Tensor
    nose: Tensor
    place_mm: Tensor
    shadow_height: Tensor
    smudge: Tensor
    liner_mm: Tensor
    wing_mm: Tensor
    wing_up: Tensor
    lower_liner: Tensor
    overline_mm: Tensor
    strokes: Tensor
    seed: Tensor
    ablated: Tensor


class MakeupCosmetic:
    """Cosmetics on a live face (species `makeup_cosmetic`), after SiW-Mv2's and the YMU and MIW sets' makeup.

    Args:
        instruments: ids of looks in `configs/instruments/makeups.yaml` that may be drawn; None for all.
        ablate: effects to switch off: `pigment` (products change no albedo), `gloss` (neither shine nor mattness),
            `strokes` (perfectly even application), `evening` (foundation hides no unevenness of the skin).

    Raises:
        ConfigError: an unknown id or effect.
    """

    species = "makeup_cosmetic"
    needs_donor = False
    EFFECTS: ClassVar[tuple[str, ...]] = ("pigment", "gloss", "strokes", "evening")

    def __init__(self, *, instruments: Sequence[str] | None = None, ablate: Sequence[str] = ()) -> None:
        self.looks = chosen(load_makeups().looks, instruments, "makeup looks")
        self.ablate = tuple(ablate)
        ablation(self.species, self.EFFECTS, self.ablate, 1)

    @staticmethod
    def bank_ids() -> tuple[str, ...]:
        """Return the ids of every look."""
        return tuple(look.id for look in load_makeups().looks)

    def sample(self, batch_size: int, generator: torch.Generator) -> MakeupCosmeticParams:
        """Draw the look, its products and how they are applied."""
        n = batch_size
        looks = [self.looks[int(k)] for k in choice(n, len(self.looks), generator)]
        product, amount = _products(looks, torch.rand(n, len(PARTS), 3, generator=generator))
        base = torch.tensor([look.parts["base"].lighter if "base" in look.parts else 0.0 for look in looks])
        lined = torch.rand(n, 1, generator=generator) < 0.4
        over = torch.rand(n, 3, generator=generator) * torch.tensor([1.6, 1.6, 0.6])
        return MakeupCosmeticParams(
            look=torch.tensor([look.number for look in looks]),
            product=product,
            amount=amount,
            lighter=base + uniform(n, -0.10, 0.16, generator),
            warmer=uniform(n, -0.06, 0.08, generator),
            lift=uniform(n, 0.0, 1.0, generator),
            nose=uniform(n, 0.0, 0.9, generator),
            place_mm=uniform(n, -4.0, 4.0, generator),
            shadow_height=uniform(n, 0.38, 0.75, generator),
            smudge=uniform(n, 0.0, 0.9, generator).square(),
            liner_mm=uniform(n, 0.5, 2.2, generator),
            wing_mm=uniform(n, -4.0, 9.0, generator),
            wing_up=uniform(n, 0.2, 0.75, generator),
            lower_liner=(uniform(n, -0.6, 0.9, generator)).clamp(min=0),
            overline_mm=torch.where(lined, over, 0.15 * over),
            strokes=uniform(n, 0.5, 1.3, generator),
            seed=torch.randint(0, 2**62, (n,), generator=generator),
            ablated=ablation(self.species, self.EFFECTS, self.ablate, n),
        )

    def parse(self, record: dict[str, Any]) -> MakeupCosmeticParams:
        """Rebuild parameters from a record's JSON."""
        return MakeupCosmeticParams.from_json(record)

    def apply(self, face: Face, donor: Face | None, params: Params) -> Changed:
        """Return the made-up face; pixels without product keep their bits.

        Raises:
            SkipSample: the head cannot be fitted, or the face lies outside the picture.
            ConfigError: the record names a look or product that is not in the bank.
        """
        assert isinstance(params, MakeupCosmeticParams)
        rows = [self._paint(face.row(i), params.row(i)) for i in range(face.batch_size)]
        return painted_face(face, rows)

    def _paint(self, face: Face, params: MakeupCosmeticParams) -> Painted:
        bank = load_makeups()
        look = numbered(bank.looks, int(params.look[0]), "makeup look")
        canvas = SkinCanvas.of(face, read_geometry(face))
        off = {name: is_off(params.ablated, self.EFFECTS, name) for name in self.EFFECTS}
        canvas.with_pigment, canvas.with_gloss = not off["pigment"], not off["gloss"]
        used = {
            part: (bank.product(int(number)), float(amount))
            for part, number, amount in zip(PARTS, params.product[0], params.amount[0], strict=True)
            if int(number) != 0
        }
        apply_look(canvas, used, params, strokes=not off["strokes"], evening=not off["evening"])
        area = canvas.cover.sum() * canvas.mm_per_px**2
        facts = {
            "makeup_area_mm2": area[None],
            "foundation_applications": params.amount[:, PARTS.index("base")] * ("base" in used),
            "lip_applications": params.amount[:, PARTS.index("lips")] * ("lips" in used),
            "products": torch.tensor([float(len(used))]),
        }
        return Painted(canvas.radiance, canvas.cover, facts, look.id)


def _products(looks: Sequence[Look], draws: Tensor) -> tuple[Tensor, Tensor]:
    """Return (B, P) product numbers and amounts from (B, P, 3) uniform draws: done at all, which, how much."""
    bank = load_makeups()
    product = torch.zeros(len(looks), len(PARTS), dtype=torch.int64)
    amount = torch.zeros(len(looks), len(PARTS))
    for i, look in enumerate(looks):
        uses: dict[str, Use] = {str(part): use for part, use in look.parts.items()}
        for p, part in enumerate(PARTS):
            use = uses.get(part)
            done, which, much = draws[i, p].tolist()
            if use is None or done >= use.share:
                continue
            name = use.products[min(int(which * len(use.products)), len(use.products) - 1)]
            product[i, p] = bank.product(name).number
            amount[i, p] = use.amount[0] + (use.amount[1] - use.amount[0]) * much
    return product, amount


def apply_look(
    canvas: SkinCanvas,
    used: dict[str, tuple[Product, float]],
    params: MakeupCosmeticParams,
    *,
    strokes: bool,
    evening: bool,
) -> None:
    """Put every product on, in the order in which it is done before a mirror."""
    seed = int(params.seed[0])
    hand = Hand(seed & 0xFFFFFF, float(params.strokes[0]) if strokes else 0.0)
    height, smudge = float(params.shadow_height[0]), float(params.smudge[0])
    if "base" in used:
        shade = complexion.shade_of(canvas, float(params.lighter[0]), float(params.warmer[0]))
        complexion.complexion(canvas, *used["base"], shade, hand, evening=evening)
    if "concealer" in used:
        complexion.conceal(canvas, *used["concealer"], complexion.shade_of(canvas, 0.12, 0.02), hand)
    if "contour" in used:
        complexion.contour(canvas, *used["contour"], hand, nose=float(params.nose[0]), place=float(params.place_mm[0]))
    if "blush" in used:
        complexion.blush(canvas, *used["blush"], hand, lift=float(params.lift[0]))
    if "highlight" in used:
        complexion.highlight(canvas, *used["highlight"], hand)
    if "lid" in used:
        eyes.eye_shadow(canvas, *used["lid"], hand, kind="lid", height=height, smudge=smudge)
    if "crease" in used:
        eyes.eye_shadow(canvas, *used["crease"], hand, kind="crease", height=height, smudge=smudge)
    if "brows" in used:
        eyes.brow_powder(canvas, *used["brows"], hand)
    canvas.bring_to_full()
    if "glitter" in used:
        complexion.glitter(canvas, *used["glitter"], named(seed, "glitter"))
    if "brows" in used:
        product, amount = used["brows"]
        eyes.brow_strokes(canvas, product.pigment(), amount, named(seed, "brows"))
    if "liner" in used:
        wing = float(params.wing_mm[0])
        eyes.liner(
            canvas,
            *used["liner"],
            thick_mm=float(params.liner_mm[0]),
            wing_mm=wing if wing > 1 else 0.0,
            wing_up=float(params.wing_up[0]),
            lower=float(params.lower_liner[0]),
        )
    if "lashes" in used:
        eyes.lashes(canvas, *used["lashes"], named(seed, "lashes"))
    up, down, corners = params.overline_mm[0].tolist()
    if "lips" in used and up + down > _LINED_MM:
        lip_liner(canvas, *used["lips"], over_mm=(up, down, corners))
    for part in ("lips", "lip_gloss"):
        if part in used:
            lips(canvas, *used[part], hand, over_mm=(up, down, corners), softness_mm=0.5)
