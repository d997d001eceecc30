"""Attribute edit: age, skin, hair, eyes, glasses, beard or shape changed in a photograph, two or three at a time.

The kinds of UniAttackData's attribute editing (Fang et al. 2024), made by reflectance and geometry on the fitted head:
what is reflectance is multiplied, so light and shade stay; what is shape is pushed as beauty apps do. Masks lie a
little off and have soft edges (halos), and edited skin loses detail, as with every such editor.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from spooflab.errors import SkipSample
from spooflab.generators.ablation import ablation, is_off
from spooflab.generators.attack import Changed
from spooflab.generators.attacks.digital import attribute_parts as parts
from spooflab.generators.attacks.digital import attribute_skin as skin
from spooflab.generators.attacks.digital.attribute_scene import EditScene
from spooflab.generators.attacks.digital.attribute_warp import WARPS, Pushes, displacement, liquify, pushes
from spooflab.generators.attacks.digital.morph_retouch import blur
from spooflab.generators.face import Face
from spooflab.generators.faces.procedural.params import BEARDS, GLASSES
from spooflab.params import Params, choice, log_uniform, uniform
from spooflab.seeds import seed as child_seed

EDITS = ("remove_glasses", "beautify", "age", "tone", "beard", "hair", "eyes", "add_glasses", *WARPS)
"""What can be edited, in the order in which it is done."""
_EXCLUSIVE = (("beautify", "age"), ("remove_glasses", "add_glasses"))
_WEIGHTS = (1.0, 1.0, 1.2, 1.0, 1.0, 1.2, 0.7, 1.0, 0.8, 0.5, 0.8)
_FRAMES = ((0.02, 0.02, 0.02), (0.10, 0.05, 0.025), (0.35, 0.33, 0.30), (0.05, 0.06, 0.14), (0.22, 0.03, 0.03))
_VISIBLE = (0.5 / 255, 3 / 255)


@dataclass(frozen=True)
class AttributeEditParams(Params):
    """One face's edits.

    Attributes:
        order: (B, 11) int64, a permutation of `EDITS`: the first that can be made are.
        count: (B,) int64, how many, 2 or 3.
        strength: (B, 11) of each of `EDITS`, 0-1; 0 where it may not be made.
        melanin: (B,) volume fraction of melanosomes of the new skin tone.
        hair: (B,) int64 index into `attribute_parts.HAIR`.
        iris: (B,) int64 index into `attribute_parts.IRIS`.
        beard: (B,) int64 index into `procedural.params.BEARDS`, not none.
        glasses: (B,) int64 index into `procedural.params.GLASSES`, not none.
        frame: (B, 3) linear albedo of their frame.
        halo_px: (B,) softness of masks, in pixels of a face picture 384 wide.
        shift_px: (B, 2) how far masks lie off, likewise.
        smooth: (B,) how much fine detail edited pixels lose, 0-1.
        seed: (B,) int64, names wrinkles, spots and hairs.
        ablated: (B,) int64 bits of the effects that are off.
    """

    order: Tensor
    count: Tensor
    strength: Tensor
    melanin: Tensor
    hair: Tensor
    iris: Tensor
    beard: Tensor
    glasses: Tensor
    frame: Tensor
    halo_px: Tensor
    shift_px: Tensor
    smooth: Tensor
    seed: Tensor
    ablated: Tensor


class AttributeEdit:
    """Edited attributes of a photograph (species `attribute_edit`).

    Args:
        edits: which may be made; all by default.
        ablate: effects to switch off: `halo` (masks are exact), `smoothing` (edited pixels keep their detail).

    Raises:
        ConfigError: `ablate` names another effect.
        ValueError: an unknown edit, or none.
    """

    species = "attribute_edit"
    needs_donor = False
    EFFECTS: ClassVar[tuple[str, ...]] = ("halo", "smoothing")

    def __init__(self, *, edits: Sequence[str] = EDITS, ablate: Sequence[str] = ()) -> None:
        strange = sorted(set(edits) - set(EDITS))
        if strange or not edits:
            raise ValueError(f"AttributeEdit: edits {strange or 'none'}, wanted some of {', '.join(EDITS)}")
        self.edits, self.ablate = tuple(edits), tuple(ablate)
        ablation(self.species, self.EFFECTS, self.ablate, 1)

    def sample(self, batch_size: int, generator: torch.Generator) -> AttributeEditParams:
        """Draw which edits, and each one's strength and kind."""
        n, kinds = batch_size, len(EDITS)
        weight = torch.tensor(_WEIGHTS)
        # Sorting exponential draws by weight is drawing without replacement.
        rank = -torch.log(torch.rand(n, kinds, generator=generator).clamp(min=1e-9)) / weight
        allowed = torch.tensor([float(name in self.edits) for name in EDITS])
        frame = torch.tensor(_FRAMES)[choice(n, len(_FRAMES), generator)]
        return AttributeEditParams(
            order=rank.argsort(1),
            count=(2 + choice(n, 2, generator)).clamp(max=len(self.edits)),
            strength=uniform(n * kinds, 0.45, 1.0, generator).reshape(n, kinds) * allowed,
            melanin=log_uniform(n, 0.015, 0.4, generator),
            hair=choice(n, len(parts.HAIR), generator),
            iris=choice(n, len(parts.IRIS), generator),
            beard=1 + choice(n, len(BEARDS) - 1, generator),
            glasses=1 + choice(n, len(GLASSES) - 1, generator),
            frame=frame * uniform(n, 0.7, 1.4, generator)[:, None],
            halo_px=uniform(n, 0.6, 4.0, generator),
            shift_px=(torch.randn(n, 2, generator=generator) * 0.8).clamp(-2, 2),
            smooth=(uniform(n, -0.5, 1.0, generator)).clamp(min=0),
            seed=torch.randint(0, 2**62, (n,), generator=generator),
            ablated=ablation(self.species, self.EFFECTS, self.ablate, n),
        )

    def parse(self, record: dict[str, Any]) -> AttributeEditParams:
        """Rebuild parameters from a record's JSON."""
        return AttributeEditParams.from_json(record)

    def apply(self, face: Face, donor: Face | None, params: Params) -> Changed:
        """Return the edited face; shape edits move landmarks and parsing, the others leave the geometry.

        Facts: the strength of each edit, 0 where it was not made.

        Raises:
            SkipSample: `head_fit_failed` or `profile_face`; `nothing_to_edit` where none of the edits can be made.
        """
        assert isinstance(params, AttributeEditParams)
        rows = [_edit(face.row(i), params.row(i)) for i in range(face.batch_size)]
        facts = {f"edit_{name}": torch.tensor([row[1].get(name, 0.0) for row in rows]) for name in EDITS}
        return Changed(Face.stack([row[0] for row in rows]), facts)


def _edit(face: Face, params: AttributeEditParams) -> tuple[Face, dict[str, float]]:
    per_384 = face.size[1] / 384
    exact = is_off(params.ablated, AttributeEdit.EFFECTS, "halo")
    halo = 0.0 if exact else float(params.halo_px[0]) * per_384
    scene = EditScene.of(face, halo, params.shift_px[0] * (0.0 if exact else per_384))
    made = {name: float(params.strength[0, EDITS.index(name)]) for name in _chosen(scene, params)}
    if not made:
        raise SkipSample("nothing_to_edit", "none of the drawn edits can be made on this face")
    radiance = face.radiance[0]
    for name in EDITS:
        if name in made and name not in WARPS:
            edited = _reflectance(scene, radiance, name, made[name], params)
            radiance = radiance if edited is None else edited
    if not is_off(params.ablated, AttributeEdit.EFFECTS, "smoothing") and float(params.smooth[0]) > 0:
        soft = blur(radiance[None], max(1.0, per_384))[0]
        radiance = torch.lerp(radiance, soft, _changed(radiance, face.radiance[0]) * params.smooth)
    edited_face = _warped(face.replace(radiance=radiance[None]), made)
    mask = _changed(edited_face.radiance[0], face.radiance[0])[None, None]
    return edited_face.replace(
        radiance=torch.where(mask > 0, edited_face.radiance, face.radiance),
        spoof_mask=mask if face.spoof_mask is None else torch.maximum(mask, face.spoof_mask),
    ), made


def _chosen(scene: EditScene, params: AttributeEditParams) -> list[str]:
    """Return the first edits of the drawn order that can be made, each pair of opposites once."""
    worn = scene.parsing is not None and float(scene.classes("glasses").sum()) >= 30
    names: list[str] = []
    for index in params.order[0].tolist():
        name = EDITS[index]
        opposed = any(name in pair and set(pair) & set(names) for pair in _EXCLUSIVE)
        able = {"remove_glasses": worn, "add_glasses": not worn}.get(name, True)
        barred = float(params.strength[0, index]) == 0 or opposed or not able
        if barred or (name == "hair" and scene.hair is None):
            continue
        names.append(name)
        if len(names) == int(params.count[0]):
            break
    return names


def _reflectance(
    scene: EditScene, radiance: Tensor, name: str, strength: float, params: AttributeEditParams
) -> Tensor | None:
    number = child_seed(int(params.seed[0]), name)
    if name == "remove_glasses":
        return parts.remove_glasses(scene, radiance)
    if name == "beautify":
        return skin.beautify(scene, radiance, strength)
    if name == "age":
        aged = skin.age(scene, radiance, strength, number)
        grey = torch.tensor(parts.HAIR["grey"])
        greyed = None if strength < 0.7 else parts.hair_colour(scene, aged, (strength - 0.7) * 2.5, grey)
        return aged if greyed is None else greyed
    if name == "tone":
        return skin.tone(scene, radiance, strength, float(params.melanin[0]))
    dye = torch.tensor(list(parts.HAIR.values())[int(params.hair[0])])
    if name == "beard":
        style = int(params.beard[0])
        natural = dye if int(params.hair[0]) < 6 else torch.tensor(parts.HAIR["brown"])
        return skin.beard(scene, radiance, strength, style, natural * 0.8, number)
    if name == "hair":
        return parts.hair_colour(scene, radiance, strength, dye)
    if name == "eyes":
        return parts.iris_colour(
            scene, radiance, strength, torch.tensor(list(parts.IRIS.values())[int(params.iris[0])])
        )
    return parts.add_glasses(scene, radiance, strength, int(params.glasses[0]), params.frame[0])


def _changed(now: Tensor, before: Tensor) -> Tensor:
    """Return (H, W) in [0, 1]: 0 where code values differ by less than half a step, 1 from three steps on.

    A step of light is worth 0.46 / sqrt(light) in code values, within a tenth above black (the transfer is near 2.2).
    """
    far = (now - before).abs_().mul_(before.clamp(min=0.004).rsqrt_()).amax(0).mul_(0.46)
    return far.sub_(_VISIBLE[0]).mul_(1 / (_VISIBLE[1] - _VISIBLE[0])).clamp_(0, 1)


def _warped(face: Face, made: dict[str, float]) -> Face:
    """Return the face with its shape edits done one after the other; landmarks and parsing follow."""
    for name in WARPS:
        if name not in made:
            continue
        points = face.landmarks[0]
        strokes = pushes(points, name, made[name])
        face = face.replace(
            radiance=liquify(face.radiance, strokes),
            landmarks=(points + displacement(points, strokes))[None],
            parsing=None if face.parsing is None else _pushed(face.parsing, strokes),
        )
    return face


def _pushed(parsing: Tensor, strokes: Pushes) -> Tensor:
    return liquify(parsing.float(), strokes, mode="nearest").to(torch.uint8)
