"""Train the surrogate detector that the adversarial attacks ship with, and write its weights and log.

    spooflab generate examples/train_surrogate/data.yaml --out runs/surrogate_data
    python examples/train_surrogate/train.py runs/surrogate_data

One thread and fixed seeds: the same data and the same version of torch give the same weights.
"""

import argparse
import json
from hashlib import sha256
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from safetensors.torch import save_file
from sklearn.metrics import roc_auc_score
from torch import Tensor
from torch.nn import functional as F

from spooflab.generators.adversarial.surrogate import PATH, SIZE, Surrogate
from spooflab.images import decode_image
from spooflab.reader import iter_images, read_index

SEED, EPOCHS, BATCH, RATE, DECAY = 7, 44, 32, 2e-3, 2e-2
HELD_OUT = 4
"""Every fourth group of subjects is held out."""


def load(root: Path) -> tuple[Tensor, Tensor, list[str], Tensor, list[str]]:
    """Return pictures (N, 3, 112, 112) in [0, 1], labels (N,) 1 for bona fide, species, who is held out (N,), and the
    versions of the code that made them."""
    index = read_index(root)
    shown = [channel != "injection" for channel in index.column("channel").to_pylist()]
    index = index.filter(pa.array(shown))  # it is a detector of presentations
    species = index.column("species").to_pylist()
    groups = index.column("subject_group").to_pylist()
    order = {key: i for i, key in enumerate(index.column("key").to_pylist())}
    pictures = torch.zeros(len(order), 3, SIZE, SIZE)
    for key, data in iter_images(root, keys=list(order)):
        whole = torch.from_numpy(np.array(decode_image(data))).permute(2, 0, 1)[None].float() / 255
        pictures[order[key]] = F.interpolate(whole, (SIZE, SIZE), mode="bilinear", antialias=True)[0]
    labels = torch.tensor([float(name == "bonafide") for name in species])
    names = sorted(set(groups))
    held = torch.tensor([names.index(group) % HELD_OUT == 0 for group in groups])
    return pictures, labels, species, held, sorted(set(index.column("code_version").to_pylist()))


def augment(pictures: Tensor, generator: torch.Generator) -> Tensor:
    """Flip, move by up to 4 pixels, and change brightness and contrast a little, each picture by itself."""
    out = []
    for picture in pictures:
        flip, dx, dy, gain, gamma = torch.rand(5, generator=generator).tolist()
        moved = picture.flip(-1) if flip < 0.5 else picture
        moved = F.pad(moved[None], (4, 4, 4, 4), mode="replicate")[0]
        x, y = int(dx * 9), int(dy * 9)
        moved = moved[:, y : y + SIZE, x : x + SIZE]
        out.append((moved.clamp(min=1e-4) ** (0.85 + 0.3 * gamma) * (0.85 + 0.3 * gain)).clamp(0, 1))
    return torch.stack(out) * 2 - 1


def train(pictures: Tensor, labels: Tensor, held: Tensor) -> tuple[Surrogate, list[dict[str, float]]]:
    """Return the trained network and the loss of each epoch."""
    torch.manual_seed(SEED)
    model = Surrogate().train()
    draws = torch.Generator().manual_seed(SEED)
    chosen = (~held).nonzero()[:, 0]
    steps = EPOCHS * (len(chosen) // BATCH)
    optimiser = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, total_steps=steps)
    balance = (labels[chosen] == 0).sum() / (labels[chosen] == 1).sum()
    log = []
    for epoch in range(EPOCHS):
        order = chosen[torch.randperm(len(chosen), generator=draws)]
        losses = []
        for batch in order[: len(order) // BATCH * BATCH].split(BATCH):
            logits = model(augment(pictures[batch], draws))
            target = labels[batch] * 0.96 + 0.02  # soft labels keep the gradient alive where the network is sure
            loss = F.binary_cross_entropy_with_logits(logits, target, pos_weight=balance)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            losses.append(float(loss.detach()))
        log.append({"epoch": epoch, "loss": round(sum(losses) / len(losses), 4)})
        print(log[-1], flush=True)
    return model.eval(), log


def evaluate(model: Surrogate, pictures: Tensor, labels: Tensor, species: list[str], held: Tensor) -> dict[str, float]:
    """Return the area under the ROC curve on the held-out subjects, over all and for each species."""
    index = held.nonzero()[:, 0].tolist()
    with torch.inference_mode():
        scores = torch.cat([model(part * 2 - 1) for part in pictures[index].split(64)]).numpy()
    truth = labels[index].numpy()
    out = {"auc": float(roc_auc_score(truth, scores)), "pictures": float(len(index))}
    for name in sorted(set(species) - {"bonafide"}):
        keep = [i for i, k in enumerate(index) if species[k] in ("bonafide", name)]
        out[f"auc/{name}"] = float(roc_auc_score(truth[keep], scores[keep]))
    return {key: round(value, 4) for key, value in out.items()}


def main() -> None:
    """Train, evaluate and write weights and log."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, default=PATH)
    args = parser.parse_args()
    torch.set_num_threads(1)
    pictures, labels, species, held, versions = load(args.data)
    model, log = train(pictures, labels, held)
    weights = {name: value.contiguous() for name, value in model.state_dict().items()}
    save_file(weights, args.out, metadata={"recipe": "examples/train_surrogate", "seed": str(SEED)})
    result = {
        "torch": torch.__version__,
        "data_code_version": versions,
        "samples": len(labels),
        "held_out": evaluate(model, pictures, labels, species, held),
        "sha256": sha256(args.out.read_bytes()).hexdigest(),
        "bytes": args.out.stat().st_size,
        "epochs": log,
    }
    Path(__file__).with_name("log.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(result["held_out"], indent=1))


if __name__ == "__main__":
    main()
