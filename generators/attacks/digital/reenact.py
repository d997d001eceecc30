"""Reenactment: one photograph made to smile, speak, blink or turn by warping it.

The head fitted to the photograph takes other expression coefficients and another pose, and the picture follows (the
geometry of Thies et al. 2016, "Face2Face", with one picture as texture; what it cannot know is stretched or painted, as
in the first-order motion model of Siarohin et al. 2019): light sticks to the skin, the background bends, the mouth's
inside is invented and soft.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from spooflab.generators.ablation import ablation, is_off
from spooflab.generators.attack import Changed
from spooflab.generators.attacks.digital.morph_retouch import blur
from spooflab.generators.attacks.digital.reenact_blink import blinked
from spooflab.generators.attacks.digital.reenact_mouth import gap_px, inside, opening
from spooflab.generators.attacks.digital.reenact_warp import Field, Motion, field, moved
from spooflab.generators.attacks.digital.swap_mask import mask_window
from spooflab.generators.face import PARSING, Face
from spooflab.generators.faces.procedural.modes import EXPRESSIONS
from spooflab.generators.geometry.head_fit import fit_head
from spooflab.generators.geometry.skin_prior import skin_albedo
from spooflab.params import Params, uniform

_ACTS: dict[str, dict[str, float]] = {
    "smile": {"mouth-corner-puller": 1.0, "eye-*-slit": 0.3},
    "open": {"mouth-open": 0.42},
    "speak": {"mouth-open": 0.25, "mouth-pursing": 0.5},
    "raise": {"eyebrows-*-up": 1.0},
    "frown": {"eyebrows-*-down": 0.9, "mouth-depression": 0.3},
    "blink": {},
    "pout": {"mouth-protusion": 0.7, "mouth-elevation": 0.3},
    "press": {"mouth-compression": 0.7},
}
ACTS = tuple(_ACTS)
"""Things that a face is made to do; each is drawn or not."""
_ODDS = (0.35, 0.35, 0.2, 0.2, 0.15, 0.3, 0.1, 0.1)
_MIN_SHIFT_PX = (0.02, 0.25)
_PAINT_MM = (0.8, 2.5)
_LIMITS = (-0.3, 1.3)


@dataclass(frozen=True)
class ReenactParams(Params):
    """One new pose and expression.

    Attributes:
        yaw_deg: (B,) turn to the image's right, -15...15.
        pitch_deg: (B,) upwards, -8...8.
        roll_deg: (B,) in the plane, -6...6.
        acts: (B, 8) strength of each of `ACTS`, 0-1.
        teeth_mm: (B,) length of the upper teeth that an opened mouth shows.
        mouth_blur_px: (B,) softness of its painted inside, in pixels of a face picture 384 wide.
        soft: (B,) how much fine detail the warped part loses, 0-1.
        ablated: (B,) int64 bits of the effects that are off.
    """

    yaw_deg: Tensor
    pitch_deg: Tensor
    roll_deg: Tensor
    acts: Tensor
    teeth_mm: Tensor
    mouth_blur_px: Tensor
    soft: Tensor
    ablated: Tensor


class Reenact:
    """Expression and pose transferred to a photograph by a warp (species `reenact`).

    Args:
        ablate: effects to switch off: `turn` (the head keeps its pose), `expression` (and its expression),
            `painted_mouth` (an opened mouth shows stretched lips), `smoothing` (the warped part keeps its detail).

    Raises:
        ConfigError: `ablate` names another effect.
    """

    species = "reenact"
    needs_donor = False
    EFFECTS: ClassVar[tuple[str, ...]] = ("turn", "expression", "painted_mouth", "smoothing")

    def __init__(self, *, ablate: Sequence[str] = ()) -> None:
        self.ablate = tuple(ablate)
        ablation(self.species, self.EFFECTS, self.ablate, 1)

    def sample(self, batch_size: int, generator: torch.Generator) -> ReenactParams:
        """Draw pose and acts: at least one act, or a turn, in every sample."""
        n = batch_size
        turned = torch.rand(n, generator=generator) < 0.75
        yaw, pitch, roll = (uniform(n, -limit, limit, generator) for limit in (15.0, 8.0, 6.0))
        done = torch.rand(n, len(ACTS), generator=generator) < torch.tensor(_ODDS)
        first = torch.randint(0, len(ACTS), (n, 1), generator=generator)
        none = ~done.any(1, keepdim=True)
        done |= none & (torch.arange(len(ACTS)) == first)
        strength = uniform(n * len(ACTS), 0.35, 1.0, generator).reshape(n, -1)
        softened = torch.rand(n, generator=generator) < 0.5
        return ReenactParams(
            yaw_deg=torch.where(turned, yaw, 0.0),
            pitch_deg=torch.where(turned, pitch, 0.0),
            roll_deg=torch.where(turned, roll, 0.0),
            acts=torch.where(done, strength, 0.0),
            teeth_mm=uniform(n, 0.0, 6.0, generator),
            mouth_blur_px=uniform(n, 0.8, 3.0, generator),
            soft=torch.where(softened, uniform(n, 0.3, 1.0, generator), 0.0),
            ablated=ablation(self.species, self.EFFECTS, self.ablate, n),
        )

    def parse(self, record: dict[str, Any]) -> ReenactParams:
        """Rebuild parameters from a record's JSON."""
        return ReenactParams.from_json(record)

    def apply(self, face: Face, donor: Face | None, params: Params) -> Changed:
        """Return the face in its new pose and expression; landmarks, box, depth, normals and parsing follow.

        Raises:
            SkipSample: `head_fit_failed` or `profile_face`.
        """
        assert isinstance(params, ReenactParams)
        rows = [_reenact(face.row(i), params.row(i)) for i in range(face.batch_size)]
        facts = {name: torch.tensor([row[1][name] for row in rows]) for name in rows[0][1]}
        return Changed(Face.stack([row[0] for row in rows]), facts)


def expression_of(acts: Tensor) -> Tensor:
    """Return (E,) weights of `EXPRESSIONS` for (8,) strengths of `ACTS`."""
    table = torch.zeros(len(ACTS), len(EXPRESSIONS))
    for row, act in enumerate(_ACTS.values()):
        for name, weight in act.items():
            table[row, EXPRESSIONS.index(name)] = weight
    return acts @ table


def _reenact(face: Face, params: ReenactParams) -> tuple[Face, dict[str, float]]:
    fit = fit_head(face.landmarks[0], face.size)
    angles, acts = _wanted(params)
    closure = float(acts[ACTS.index("blink")])
    shut = blinked(face.radiance, face.landmarks[0], closure) if closure > 0 else None
    scene, points = (face.radiance, face.landmarks[0]) if shut is None else shut[:2]
    own = fit.expression
    change = (own + expression_of(acts)).clamp(*_LIMITS) - own.clamp(*_LIMITS)
    motion = moved(fit, change, angles)
    flow = field(motion)
    landmarks = points + motion.landmarks_px
    height, width = face.size
    far = torch.hypot(*flow.shift)
    mask = ((far - _MIN_SHIFT_PX[0]) / (_MIN_SHIFT_PX[1] - _MIN_SHIFT_PX[0])).clamp(0, 1)[None, None]
    rays = _rays(flow.shift, height, width)
    shown = F.grid_sample(scene, rays, mode="bilinear", padding_mode="border", align_corners=False)
    if shut is not None:
        lids = F.grid_sample(shut[2][None, None], rays, padding_mode="border", align_corners=False)
        mask = torch.maximum(mask, lids)
    if float(params.soft[0]) > 0 and not is_off(params.ablated, Reenact.EFFECTS, "smoothing"):
        shown = torch.lerp(shown, blur(shown, max(1.0, width / 300)), params.soft * mask)
    mouth = _mouth(face, landmarks, motion, params)
    if mouth is not None:
        painted, cover = mouth
        shown = torch.lerp(shown, painted[None], cover)
        mask = torch.maximum(mask, cover)
    moved_face = face.replace(
        radiance=torch.where(mask > 0, shown, face.radiance),
        landmarks=landmarks[None],
        box=_box(face, landmarks),
        spoof_mask=mask if face.spoof_mask is None else torch.maximum(mask, face.spoof_mask),
        **_geometry(face, flow, rays, None if mouth is None else mouth[1]),
    )
    facts = {
        "yaw_change_deg": angles[0],
        "pitch_change_deg": angles[1],
        "roll_change_deg": angles[2],
        "expression_change_mm": max(motion.expression_mm, _lids_px(points, face) * fit.mm_per_px),
    }
    return moved_face, facts


def _lids_px(points: Tensor, face: Face) -> float:
    return float((points - face.landmarks[0]).norm(dim=1).amax())


def _wanted(params: ReenactParams) -> tuple[tuple[float, float, float], Tensor]:
    angles = (float(params.yaw_deg[0]), float(params.pitch_deg[0]), float(params.roll_deg[0]))
    still = is_off(params.ablated, Reenact.EFFECTS, "turn")
    calm = is_off(params.ablated, Reenact.EFFECTS, "expression")
    return (0.0, 0.0, 0.0) if still else angles, params.acts[0] * (0.0 if calm else 1.0)


def _rays(shift: Tensor, height: int, width: int) -> Tensor:
    """Return (1, H, W, 2) in `grid_sample`'s unit; where the picture rests, exactly the pixels' middles."""
    rays = torch.empty(1, height, width, 2)
    x, y = (torch.arange(width) + 0.5)[None, :], (torch.arange(height) + 0.5)[:, None]
    torch.add(shift[0], x, out=rays[0, ..., 0]).mul_(2 / width).sub_(1)
    torch.add(shift[1], y, out=rays[0, ..., 1]).mul_(2 / height).sub_(1)
    return rays


def _mouth(face: Face, landmarks: Tensor, motion: Motion, params: ReenactParams) -> tuple[Tensor, Tensor] | None:
    """Return the painted inside (3, H, W) and its cover (1, 1, H, W), where the mouth opens further than it was."""
    fit = motion.fit
    more_mm = (gap_px(landmarks) - gap_px(face.landmarks[0])) * fit.mm_per_px
    share = (more_mm - _PAINT_MM[0]) / (_PAINT_MM[1] - _PAINT_MM[0])
    if share <= 0 or is_off(params.ablated, Reenact.EFFECTS, "painted_mouth"):
        return None
    cover = opening(landmarks, face.size, feather_px=max(1.0, face.size[1] / 192)) * min(share, 1.0)
    painted = torch.zeros(3, *face.size)
    window = mask_window(cover)
    if window is not None:
        rows, columns = window
        painted[:, rows, columns] = inside(
            landmarks - torch.tensor([float(columns.start), float(rows.start)]),
            (rows.stop - rows.start, columns.stop - columns.start),
            mm_per_px=fit.mm_per_px,
            light=_light(face),
            teeth_mm=float(params.teeth_mm[0]),
            blur_px=float(params.mouth_blur_px[0]) * face.size[1] / 384,
        )
    return painted, cover[None, None]


def _light(face: Face) -> Tensor:
    """Return (3,) irradiance on the face: the median of cheeks and chin over the likeliest skin's albedo."""
    points = face.landmarks[0]
    spots = torch.stack([(points[31] + points[3]) / 2, (points[35] + points[13]) / 2, (points[57] + points[8]) / 2])
    near = torch.linspace(-0.06, 0.06, 5) * float((points[16] - points[0]).norm())
    grid = spots[:, None] + torch.cartesian_prod(near, near)
    rays = grid.reshape(1, 1, -1, 2) / torch.tensor([face.size[1], face.size[0]]) * 2 - 1
    seen = F.grid_sample(face.radiance, rays, padding_mode="border", align_corners=False)[0, :, 0]
    mean = seen.median(1).values.clamp(min=1e-3)
    return mean / skin_albedo(mean)


def _box(face: Face, landmarks: Tensor) -> Tensor:
    """Return the box moved and stretched as the landmarks' bounds are."""
    (low, high), (new_low, new_high) = ((p.amin(0), p.amax(0)) for p in (face.landmarks[0], landmarks))
    scale = (new_high - new_low) / (high - low).clamp(min=1e-3)
    corner, size = face.box[0, :2], face.box[0, 2:]
    return torch.cat([new_low + (corner - low) * scale, size * scale])[None]


def _geometry(face: Face, flow: Field, rays: Tensor, cover: Tensor | None) -> dict[str, Tensor]:
    """Return the depth, normals and parsing of the moved face, those that it had."""
    changes: dict[str, Tensor] = {}
    if face.depth_mm is not None:
        seen = F.grid_sample(face.depth_mm, rays, mode="nearest", padding_mode="border", align_corners=False)
        changes["depth_mm"] = seen + flow.nearer_mm
    if face.normals is not None:
        seen = F.grid_sample(face.normals, rays, padding_mode="border", align_corners=False) + flow.turn
        changes["normals"] = seen * seen.square().sum(1, keepdim=True).clamp_(min=1e-12).rsqrt_()
    if face.parsing is not None:
        seen = F.grid_sample(face.parsing.float(), rays, mode="nearest", padding_mode="border", align_corners=False)
        if cover is not None:
            seen = torch.where(cover > 0.5, float(PARSING.index("mouth")), seen)
        changes["parsing"] = seen.to(torch.uint8)
    return changes
