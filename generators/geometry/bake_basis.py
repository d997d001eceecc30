"""Make `head_basis.safetensors`: the main ways in which sampled people's heads differ, as weights of the head model.

Run `python -m spooflab.generators.geometry.bake_basis` after a change of the model or of the sampler.
"""

import json
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from spooflab.generators.faces.procedural.landmarks import attachments
from spooflab.generators.faces.procedural.model import EYE_POINTS, HeadModel, head_model
from spooflab.generators.faces.procedural.modes import EXPRESSIONS
from spooflab.generators.faces.procedural.sample import sample_identity
from spooflab.generators.faces.procedural.shape import weights
from spooflab.seeds import generator

PEOPLE, COMPONENTS, SEED = 3000, 40, 20240611
PATH = Path(__file__).with_name("head_basis.safetensors")


def bake(people: int = PEOPLE, components: int = COMPONENTS) -> dict[str, Tensor]:
    """Return `mean` (M,), `shape` (K, M) one standard deviation of each component, and `share` (K,) of the variance.

    Principal components of neutral heads, in a metric that counts the face most: a smooth weight that falls from the
    eyes, nose and mouth to the back of the head. Signs are fixed so that a component's largest weight is positive.
    """
    model = head_model()
    drawn = sample_identity(people, generator(SEED, "geometry basis"))
    neutral = torch.zeros(1, len(EXPRESSIONS))
    rows = torch.zeros(people, len(model.names), dtype=torch.float64)
    for i in range(people):
        for name, weight in weights(drawn.row(i), neutral).items():
            rows[i, model.names[name]] = weight
    mean = rows.mean(0)
    spread = (rows - mean).T @ (rows - mean) / (people - 1)
    values, vectors = torch.linalg.eigh(spread)
    root = vectors * values.clamp(min=0).sqrt() @ vectors.T
    modes = model.modes.double() * _metric(model).double().sqrt().repeat_interleave(3)
    moved = root @ modes
    power, turn = torch.linalg.eigh(moved @ moved.T)
    shape = (turn.flip(1)[:, :components].T @ root).contiguous()
    largest = shape.abs().argmax(1, keepdim=True)
    shape = shape * shape.gather(1, largest).sign()
    share = power.flip(0)[:components] / power.sum()
    return {"mean": mean.float(), "shape": shape.float(), "share": share.float()}


def _metric(model: HeadModel) -> Tensor:
    """Return (N,) how much each base point counts."""
    fixed = attachments()[0].rest
    gap = torch.cdist(model.base, fixed[1:]).amin(1)
    face = torch.exp(
        -((model.base - torch.tensor([0.0, -35.0, 20.0])) / torch.tensor([75.0, 85.0, 90.0])).square().sum(1)
    )
    metric = 0.02 + face + 6 * torch.exp(-((gap / 7).square()))
    metric[-EYE_POINTS:] = 0
    return metric


def main() -> None:
    """Write the file."""
    meta = {"people": str(PEOPLE), "seed": str(SEED), "modes": json.dumps(list(head_model().names))}
    save_file(bake(), PATH, metadata=meta)


if __name__ == "__main__":
    main()
