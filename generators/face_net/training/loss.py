"""How far a reading is from the truth."""

import torch
from torch import Tensor
from torch.nn import functional as F

from spooflab.generators.face import PARSING
from spooflab.generators.face_net.network import DEPTH_MM, Reading
from spooflab.generators.face_net.training.randomise import IGNORE, Batch

_RARE = ("nose", "ears", "brows", "eyes", "lips", "mouth", "glasses", "beard")
_FACE = ("skin", "nose", "brows", "eyes", "lips", "mouth", "beard")
_REACH_MM = 150.0


def losses(reading: Reading, batch: Batch) -> dict[str, Tensor]:
    """Return the terms, weighted, whose sum is minimised."""
    return {
        "points": _points(reading, batch),
        "parsing": _parsing(reading, batch),
        "depth": _depth(reading, batch),
        "slope": _slope(reading, batch),
        "forward": 4 * _forward(reading, batch),
        **_places(reading, batch),
    }


def _points(reading: Reading, batch: Batch) -> Tensor:
    """Laplacian likelihood of the points' distances with the stated spread, and their plain distance."""
    away = (reading.points - batch.points).square().sum(-1).add(1e-10).sqrt()
    likely = torch.log(reading.spread * 100) + away / reading.spread
    count = batch.seen.sum().clamp(min=1)
    return ((0.5 * likely + 30 * away) * batch.seen).sum() / count


def _parsing(reading: Reading, batch: Batch) -> Tensor:
    weight = torch.tensor([2.0 if name in _RARE else 1.0 for name in PARSING])
    return 2 * F.cross_entropy(reading.parsing, batch.parsing, weight, ignore_index=IGNORE)


def _depth(reading: Reading, batch: Batch) -> Tensor:
    """Absolute difference, four times as dear on the face; what lies far behind counts as at `_REACH_MM`."""
    known = batch.depth_mm.isfinite()
    target = torch.where(known, batch.depth_mm, 0.0).clamp(-_REACH_MM, _REACH_MM)
    on_face = torch.isin(batch.parsing, torch.tensor([PARSING.index(name) for name in _FACE]))
    weight = known.float() * torch.where(on_face, 1.0, 0.25)
    away = (reading.depth_mm[:, 0] - target).abs() / DEPTH_MM
    return 2 * (away * weight).sum() / weight.sum().clamp(min=1)


def _slope(reading: Reading, batch: Batch) -> Tensor:
    """Absolute difference of the depth's steps between neighbours on the face: what the relief looks like in light."""
    on_face = torch.isin(batch.parsing, torch.tensor([PARSING.index(name) for name in _FACE]))
    known = batch.depth_mm.isfinite() & on_face
    away = torch.where(known, reading.depth_mm[:, 0] - batch.depth_mm.nan_to_num(0), 0.0) / DEPTH_MM
    total, count = torch.zeros(()), torch.zeros(())
    for axis in (1, 2):
        step = away.diff(dim=axis)
        both = known.narrow(axis, 1, known.shape[axis] - 1) & known.narrow(axis, 0, known.shape[axis] - 1)
        # An edge between face and hair or a nose before a cheek is a step, not a slope: large errors count alike.
        total = total + (step.abs().clamp(max=0.2) * both).sum()
        count = count + both.sum()
    return 12 * total / count.clamp(min=1)


def _forward(reading: Reading, batch: Batch) -> Tensor:
    away = (reading.forward - batch.forward).square().sum(-1) * batch.face
    return away.sum() / batch.face.sum().clamp(min=1)


def _places(reading: Reading, batch: Batch) -> dict[str, Tensor]:
    """Focal cross entropy of the cells (Lin et al. 2017), distance of offset and size where a face's middle is."""
    counts, truth = (batch.place >= 0).float(), batch.place.clamp(min=0)
    plain = F.binary_cross_entropy_with_logits(reading.places.logit, truth, reduction="none")
    focal = (1 - torch.exp(-plain)).square() * plain * counts
    middle = (batch.place > 0).float()
    count = middle.sum().clamp(min=1)
    offset = ((reading.places.offset - batch.offset).abs().sum(1) * middle).sum() / count
    size = ((reading.places.log2_size - batch.log2_size).abs() * middle).sum() / count
    return {"place": 1.5 * focal.sum() / count, "offset": 0.5 * offset, "size": 0.5 * size}
