"""What is drawn for one worn mask: the instrument, how it was made and sits, and the lamps that it mirrors."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from spooflab.generators.ablation import ablation
from spooflab.generators.instruments.mask_material import Mask
from spooflab.params import Params, log_uniform, uniform

EYES = ("none", "almond", "round")
"""Kinds of eye openings, by value of `MaskParams.eyes`."""
_HAIR_OVER = 0.35
"""Share of masks of the face that are worn under the fringe."""
MASK_EFFECTS = (
    "gloss",
    "subsurface",
    "texture",
    "geometry",
    "thickness",
    "openings",
    "contact_shadow",
    "cast_shadow",
)
"""Effects that every mask of a solid can switch off: highlights, light inside the solid, faults of paint and surface,
the mask's own shape and expression (off: the wearer's, unthickened), the visible edge of its wall, cut-outs, the shadow
on the wearer, and the shadow of its own relief."""


@dataclass(frozen=True)
class MaskParams(Params):
    """One mask on one wearer; every field is batched.

    Attributes:
        mask: (B,) int64 `Mask.number` of the instrument.
        neutral: (B,) share of the shown face's expression that the mask's maker took away.
        grow: (B,) size relative to the wearer's face.
        shift_mm: (B, 2) misplacement along the head's x and y.
        tilt_deg: (B, 3) misplacement about the head's x, y and z.
        thickness_mm: (B,) of the wall.
        gap_mm: (B,) air between it and the face.
        top_mm, side_mm, chin_mm: (B,) where the edge runs, in the rest head's coordinates: y of its top, z of its
            sides, and how far below the jaw's line it ends.
        wobble_mm: (B,) unevenness of the edge.
        eyes: (B,) int64 into `EYES`.
        eye_mm: (B, 2) half width and half height of the eye openings.
        mouth_mm: (B,) half height of the slit between the lips, 0 for none.
        raw_edge: (B,) how bare of paint cut edges are, 0-1.
        strap: (B,) bool, an elastic band from the mask's sides.
        alpha: (B,) GGX roughness.
        colour: (B, 3) factor on the paint or material from its making.
        lamp_direction: (B, 2, 3) unit vectors towards lamps other than the key, camera axes.
        lamp_share: (B, 3) strength of the key (at least) and of those, relative to all light on the face.
        lamp_radius_rad: (B, 3) angular radii.
        hair_over: (B,) bool, the wearer's fringe and side locks are combed over the edge of a mask of the face (else
            they lie below it); a mask of the whole head knows no such choice.
        seed: (B,) int64, names mottle, relief and wobble.
        ablated: (B,) int64 bits of the effects that are off.
    """

    mask: Tensor
    neutral: Tensor
    grow: Tensor
    shift_mm: Tensor
    tilt_deg: Tensor
    thickness_mm: Tensor
    gap_mm: Tensor
    top_mm: Tensor
    side_mm: Tensor
    chin_mm: Tensor
    wobble_mm: Tensor
    eyes: Tensor
    eye_mm: Tensor
    mouth_mm: Tensor
    raw_edge: Tensor
    strap: Tensor
    alpha: Tensor
    colour: Tensor
    lamp_direction: Tensor
    lamp_share: Tensor
    lamp_radius_rad: Tensor
    hair_over: Tensor
    seed: Tensor
    ablated: Tensor


def sample_mask(
    masks: Sequence[Mask], batch_size: int, generator: torch.Generator, effects: Sequence[str], ablate: Sequence[str]
) -> dict[str, Tensor]:
    """Draw the fields of `MaskParams` for the given instruments, equally likely.

    Raises:
        ConfigError: `ablate` names an effect that is not among `effects`.
    """
    rows = [_one(masks, generator) for _ in range(batch_size)]
    out = {name: torch.cat([row[name] for row in rows]) for name in rows[0]}
    out["ablated"] = ablation(masks[0].species, effects, ablate, batch_size)
    return out


def _one(masks: Sequence[Mask], gen: torch.Generator) -> dict[str, Tensor]:
    mask = masks[int(torch.randint(0, len(masks), (1,), generator=gen))]
    shell, making, finish = mask.shell, mask.making, mask.finish
    pick = shell.eyes[int(torch.randint(0, len(shell.eyes), (1,), generator=gen))]
    half = uniform(1, *shell.eye_mm, gen)
    flat = uniform(1, 0.48, 0.72, gen) if pick == "almond" else uniform(1, 0.8, 1.0, gen) * 0.92
    slit = torch.rand(1, generator=gen) < shell.mouth
    open_mm = uniform(1, 0.8, 3.6, gen)
    full = torch.rand(1, generator=gen) < 0.6
    part = uniform(1, 0.0, 0.7, gen)
    common = making.colour_error * torch.randn(1, 1, generator=gen) * 0.8
    alpha = log_uniform(1, *finish.alpha, gen) if finish.alpha[0] < finish.alpha[1] else torch.tensor([finish.alpha[0]])
    return {
        "mask": torch.tensor([mask.number]),
        "neutral": torch.where(full, 1.0, part),
        "grow": uniform(1, 1.0, 1.06, gen),
        "shift_mm": (torch.randn(1, 2, generator=gen) * torch.tensor([1.2, 1.8])).clamp(-4, 4),
        "tilt_deg": (torch.randn(1, 3, generator=gen) * torch.tensor([2.5, 1.5, 1.5])).clamp(-6, 6),
        "thickness_mm": uniform(1, *shell.thickness_mm, gen),
        "gap_mm": uniform(1, *shell.gap_mm, gen),
        "top_mm": uniform(1, 50, 74, gen),
        "side_mm": uniform(1, -46, -28, gen),
        "chin_mm": uniform(1, 0, 9, gen),
        "wobble_mm": uniform(1, 0.2, 1.3, gen),
        "eyes": torch.tensor([EYES.index(pick)]),
        "eye_mm": torch.stack([half, half * flat], 1),
        "mouth_mm": torch.where(slit, open_mm, 0.0),
        "raw_edge": torch.rand(1, generator=gen) ** 2,
        "strap": torch.rand(1, generator=gen) < shell.strap,
        "alpha": alpha,
        "colour": 1 + common + making.colour_error * torch.randn(1, 3, generator=gen) * 0.6,
        **sample_lamps(gen),
        "seed": torch.randint(0, 2**62, (1,), generator=gen),
        "hair_over": torch.rand(1, generator=gen) < _HAIR_OVER,
    }


def sample_lamps(gen: torch.Generator) -> dict[str, Tensor]:
    """Draw one row's lamps: bulbs and strips overhead, windows at the side, from 2 to 20 degrees wide."""
    azimuth = uniform(2, -75, 75, gen) * (math.pi / 180)
    height = uniform(2, -5, 65, gen) * (math.pi / 180)
    direction = torch.stack([azimuth.sin() * height.cos(), -height.sin(), -azimuth.cos() * height.cos()], -1)
    second = torch.where(torch.rand(2, generator=gen) < 0.65, uniform(2, 0.05, 0.3, gen), 0.0)
    return {
        "lamp_direction": direction[None],
        "lamp_share": torch.cat([uniform(1, 0.15, 0.5, gen), second])[None],
        "lamp_radius_rad": log_uniform(3, 0.035, 0.35, gen)[None],
    }
