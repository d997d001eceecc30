"""Render the sheet of face swaps and painted masks that docs/diffusion.md shows.

Usage: python examples/docs_diffusion.py OUT.jpg [MODEL_FOLDER]
"""

import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from spooflab.generators.attacks.digital.swap_diffusion import SwapDiffusion
from spooflab.generators.attacks.masks.mask_controlnet import MaskControlNet
from spooflab.generators.diffusion.config import DiffusionConfig
from spooflab.generators.diffusion.materials import MATERIALS, MaskGeometry
from spooflab.generators.diffusion.studio import encoded
from spooflab.generators.face import Face
from spooflab.generators.faces.procedural import ProceduralFaces
from spooflab.seeds import generator

SIDE, SIZE, SEED = 144, 256, 404
"""Sides in pixels of a tile and of a rendered face; root of people that no model was trained on."""


def main(out: Path, config: DiffusionConfig, photo: Face | None) -> None:
    """Write two blocks: target, source, swap, swap of nobody; wearer, rendered mask, painted mask."""
    source = ProceduralFaces(n_subjects=7, sessions=1, size=SIZE, seed=SEED)
    people = [source.load(ref) for ref in source.refs()]
    if photo is not None:
        people.append(photo)
    rows = [*swaps(config, people), *masks(config, people)]
    width = max(row.shape[-1] for row in rows)
    sheet = torch.cat([F.pad(row, (0, width - row.shape[-1], 0, 4), value=1.0) for row in rows], -2)
    pixels = (sheet * 255).round().byte().permute(1, 2, 0).numpy()
    Image.fromarray(pixels).save(out, quality=88)
    sys.stderr.write(f"wrote {out}\n")


def swaps(config: DiffusionConfig, people: Sequence[Face]) -> list[Tensor]:
    """Return rows: targets, sources, swaps, swaps without an identity."""
    rows: list[list[Face]] = [[], [], [], []]
    for k, target in enumerate(people):
        giver = people[(k + 1) % len(people)]
        rows[0].append(target)
        rows[1].append(giver)
        for row, off in ((2, ()), (3, ("identity",))):
            swap = SwapDiffusion(diffusion=config, ablate=off)
            rows[row].append(swap.apply(target, giver, swap.sample(1, generator(SEED, "swap", k))).face)
    return [tiles(row) for row in rows]


def masks(config: DiffusionConfig, people: Sequence[Face]) -> list[Tensor]:
    """Return rows: masks as rendered, and as painted, a material each."""
    rendered, painted = [], []
    for k, name in enumerate(MATERIALS):
        face, donor = people[k], people[(k + 1) % len(people)]
        attack = MaskControlNet(instruments=(f"generated_{name}",), diffusion=config)
        params = attack.sample(1, generator(SEED, "mask", k))
        geometry = MaskGeometry(name)
        drawn = geometry.sample(generator(int(params.mask_seed[0]), "mask"))
        rendered.append(geometry.worn(face, donor if geometry.needs_donor else None, drawn).face)
        painted.append(attack.apply(face, donor, params).face)
    return [tiles(rendered), tiles(painted)]


def tiles(faces: Sequence[Face]) -> Tensor:
    """Return pictures side by side."""
    shown = [F.interpolate(encoded(face), (SIDE, SIDE), mode="bilinear", antialias=True)[0] for face in faces]
    return torch.cat(shown, -1).clamp(0, 1)


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    from docs_pictures import portrait

    torch.set_num_threads(1)
    model = DiffusionConfig() if len(sys.argv) == 2 else DiffusionConfig(model=sys.argv[2])
    main(Path(sys.argv[1]), model, portrait())
