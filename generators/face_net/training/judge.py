"""Errors on held-out people."""

import torch
from torch import Tensor

from spooflab.generators.face import PARSING
from spooflab.generators.face_net.network import Network
from spooflab.generators.face_net.training.randomise import IGNORE, draw_batch
from spooflab.generators.face_net.training.render import FACE_CLASSES, SHARD, Cache
from spooflab.seeds import generator

_SEED = 20


def judge(network: Network, held_out: Cache, textures: Tensor) -> dict[str, float]:
    """Return errors on one fixed randomised crop of each held-out face.

    `nme`: mean distance of the 68 points over the distance between the eyes; `iou`: mean intersection over union of the
    13 classes; `depth_mm`: mean absolute error on the face; `turn_deg`: angle of the head's direction;
    `found`, `false`: shares of crops with and without a face whose strongest cell is above one half.
    """
    network.eval()
    away, depth, turn, found, false = [], [], [], [], []
    both, either = torch.zeros(len(PARSING)), torch.zeros(len(PARSING))
    with torch.inference_mode():
        for start in range(0, len(held_out), SHARD):
            faces = held_out.take(range(start, start + SHARD))
            batch = draw_batch(faces, textures, generator(_SEED, "judge", start))
            reading = network(batch.picture)
            on = batch.face > 0
            eyes = (batch.points[:, 36:42].mean(1) - batch.points[:, 42:48].mean(1)).norm(dim=-1).clamp(min=0.04)
            off = ((reading.points - batch.points).norm(dim=-1) * batch.seen).sum(1) / batch.seen.sum(1).clamp(min=1)
            away.append((off / eyes)[on])
            known = batch.depth_mm.isfinite() & torch.isin(batch.parsing, torch.tensor(FACE_CLASSES))
            depth.append((reading.depth_mm[:, 0] - batch.depth_mm).abs()[known])
            turn.append(torch.rad2deg(torch.asin((reading.forward - batch.forward).norm(dim=-1).clamp(max=1)))[on])
            top = reading.places.logit.flatten(1).amax(1) > 0
            full = (batch.place > 0).flatten(1).any(1)
            found.append(top[full])
            false.append(top[(batch.place == 0).flatten(1).all(1)])
            best, valid = reading.parsing.argmax(1), batch.parsing != IGNORE
            for index in range(len(PARSING)):
                seen, true = (best == index) & valid, (batch.parsing == index) & valid
                both[index] += float((seen & true).sum())
                either[index] += float((seen | true).sum())
    figures = {
        "nme": torch.cat(away).mean(),
        "nme_median": torch.cat(away).median(),
        "iou": (both / either.clamp(min=1)).mean(),
        "depth_mm": torch.cat(depth).mean(),
        "turn_deg": torch.cat(turn).mean(),
        "found": torch.cat(found).float().mean(),
        "false": torch.cat(false).float().mean(),
    }
    return {name: round(float(value), 4) for name, value in figures.items()}
