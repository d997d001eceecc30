"""Where the network of one cell looks, over its test attacks: the pointing game, and pictures."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from spooflab.experiments.balanced_rows import balanced_rows
from spooflab.experiments.explain.overlays import strip
from spooflab.experiments.explain.pointing import FEWEST, WHOLE_FRAME, hits_of, mcnemar, pointing
from spooflab.experiments.protocols import column
from spooflab.experiments.results import Cell
from spooflab.experiments.scores import BoolArray, FloatArray, IntArray
from spooflab.seeds import generator

if TYPE_CHECKING:
    from torch import Tensor

    from spooflab.adapters.algorithm import Algorithm

CAM, INTEGRATED = "Grad-CAM", "integrated gradients"
_MASKS_OF_SPECIES = 64
"""Masks by which is judged whether a species fills the frame."""
_BATCH = 16


@dataclass(frozen=True)
class Attacks:
    """Test attacks of one cell, in a fixed order, with what the games need.

    Attributes:
        keys, species, people: (N,).
        accepted: (N,) whether the detector let it pass.
        pixels: (N, 3, S, S) uint8.
        masks: (N, S, S); None for those that have none recorded.
    """

    keys: list[str]
    species: list[str]
    people: list[str]
    accepted: BoolArray
    pixels: "Tensor"
    masks: list[BoolArray | None]

    def masked(self, rows: IntArray) -> BoolArray:
        """Return the masks (n, S, S) of rows that have one."""
        return np.stack([mask for place in rows if (mask := self.masks[place]) is not None])


def read_masks(data: Path, keys: Sequence[str], size: int | None = None) -> dict[str, BoolArray]:
    """Return the spoof masks of those keys that have one: (H, W) as stored, or (size, size) by area, half or more."""
    import torch
    import torch.nn.functional as F

    from spooflab.images import decode_own_png
    from spooflab.reader import iter_images

    found: dict[str, BoolArray] = {}
    for key, png in iter_images(data, set(keys), column="mask"):
        share = torch.from_numpy(decode_own_png(png) / 255.0)
        if size is not None:
            share = F.adaptive_avg_pool2d(share[None, None], size)[0, 0]
        found[key] = (share >= 0.5).numpy()
    return found


def choose_species(data: Path, index: pa.Table, attacks: IntArray) -> tuple[list[str], dict[str, float], list[str]]:
    """Say of each species whether its masks leave the game open.

    Returns:
        Species that are played with; species left out because their masks fill the frame, with the median share;
        species left out because no mask is recorded or covers anything.
    """
    species, keys = column(index, "species"), column(index, "key")
    playing, whole, bare = [], {}, []
    for name in sorted(set(species[attacks].tolist())):
        rows = attacks[species[attacks] == name][:_MASKS_OF_SPECIES]
        shares = [float(mask.mean()) for mask in read_masks(data, keys[rows].tolist()).values() if mask.any()]
        if not shares:
            bare.append(name)
        elif (share := float(np.median(shares))) > WHOLE_FRAME:
            whole[name] = share
        else:
            playing.append(name)
    return playing, whole, bare


def read_attacks(data: Path, index: pa.Table, rows: IntArray, cell: Cell, size: int) -> Attacks:
    """Load the images and masks of an index's rows at the network's size."""
    from spooflab.adapters import ImageSet

    keys = column(index, "key")[rows].tolist()
    masks = read_masks(data, keys, size)
    return Attacks(
        keys,
        column(index, "species")[rows].tolist(),
        column(index, "subject_id")[rows].tolist(),
        accepted_of(cell, keys),
        ImageSet.load(data, keys, size).images,
        [masks.get(key) for key in keys],
    )


def accepted_of(cell: Cell, keys: Sequence[str]) -> BoolArray:
    """Return (N,) whether each attack passed the cell's threshold; without a score it did."""
    place = {key: row for row, key in enumerate(cell.test.key.tolist())}
    score = cell.test.score[[place[key] for key in keys]]
    threshold = cell.metrics.threshold
    found: BoolArray = np.isnan(score) | (score >= (np.inf if threshold is None else threshold))
    return found


def saliency_of(
    model: "Algorithm", pixels: "Tensor", sign: float, *, stage: int | None
) -> tuple[dict[str, FloatArray], FloatArray]:
    """Return the maps (N, S, S) of each method for uint8 images, and how far integrated gradients are from complete."""
    import torch

    from spooflab.adapters.scoring import as_input
    from spooflab.experiments.explain.saliency import evidence, grad_cam, integrated_gradients

    towards = evidence(model, sign)
    parts: dict[str, list[Tensor]] = {CAM: [], INTEGRATED: []}
    gaps = []
    for start in range(0, len(pixels), _BATCH):
        images = as_input(pixels[start : start + _BATCH], torch.device("cpu"))
        if stage is not None:
            parts[CAM].append(grad_cam(model, model.backbone.stages[stage], towards, images))
        found = integrated_gradients(model, towards, images)
        parts[INTEGRATED].append(found.saliency)
        gaps.append(found.gap)
    maps = {name: torch.cat(own).numpy() for name, own in parts.items() if own}
    return maps, torch.cat(gaps).numpy()


def play(model: "Algorithm", attacks: Attacks, *, stage: int | None, seed: int = 0) -> dict[str, Any]:
    """Play both games with the network and with its shuffled copy, on the attacks that have a mask.

    Returns:
        By method the lines of a table: each species, those detected, those accepted, and all; how alike the two
        networks' maps are (mean Spearman correlation over pictures, Adebayo et al. 2018); and completeness.
    """
    from spooflab.experiments.explain.saliency import ATTACK, randomised

    rows = np.array([place for place, mask in enumerate(attacks.masks) if mask is not None and mask.any()], dtype=int)
    if len(rows) < FEWEST:
        return {"methods": {}, "attacks": len(rows)}
    pixels, masks = attacks.pixels[rows], attacks.masked(rows)
    maps, gaps = saliency_of(model, pixels, ATTACK, stage=stage)
    blank, _ = saliency_of(randomised(model, generator(seed, "shuffled weights")), pixels, ATTACK, stage=stage)
    species, accepted = np.array(attacks.species)[rows], attacks.accepted[rows]
    people = np.array(attacks.people)[rows]
    lines = {name: species == name for name in sorted(set(species.tolist()))}
    lines = (lines if len(lines) > 1 else {}) | {"detected": ~accepted, "accepted": accepted}
    lines |= {"all": np.ones(len(rows), dtype=bool)}
    methods = {}
    for name, found in maps.items():
        table = []
        for title, some in lines.items():
            if some.sum() < FEWEST:
                continue
            own, other = hits_of(found[some], masks[some]), hits_of(blank[name][some], masks[some])
            game = pointing(found[some], masks[some], people[some])
            table.append(
                {"of": title, **asdict(game), "beats_chance": game.beats_chance, "own_mask": game.follows_own_mask}
                | {"shuffled_rate": float(other.mean()), "shuffled_p": mcnemar(own, other)}
            )
        methods[name] = {"lines": table, "alike": _alike(found, blank[name])}
    return {"methods": methods, "attacks": len(rows), "gap": float(np.median(gaps))}


def _alike(first: FloatArray, second: FloatArray) -> float | None:
    """Mean over pictures of the Spearman correlation of two maps; None where no pair has saliency at all."""
    from scipy.stats import rankdata

    found = []
    for one, two in zip(first.reshape(len(first), -1), second.reshape(len(second), -1), strict=True):
        if np.ptp(one) > 0 and np.ptp(two) > 0:
            found.append(float(np.corrcoef(rankdata(one), rankdata(two))[0, 1]))
    return float(np.mean(found)) if found else None


def show(model: "Algorithm", attacks: Attacks, rows: IntArray, *, sign: float, stage: int | None) -> list[bytes]:
    """Return one strip per row: photo, Grad-CAM where there is one, integrated gradients."""
    if not len(rows):
        return []
    maps, _ = saliency_of(model, attacks.pixels[rows], sign, stage=stage)
    photos = attacks.pixels[rows].permute(0, 2, 3, 1).numpy()
    return [
        strip(photos[n], attacks.masks[row], [maps[name][n] for name in (CAM, INTEGRATED) if name in maps])
        for n, row in enumerate(rows.tolist())
    ]


def shown_rows(cell: Cell, index: pa.Table, count: int) -> tuple[IntArray, IntArray]:
    """Return index positions of the accepted attacks with the highest scores, and of detected ones in a hashed order.

    Not the best detected ones: those would show the network at its best beside its worst.
    """
    place = {key: row for row, key in enumerate(column(index, "key").tolist())}
    test = cell.test
    keys = test.key[test.attack].tolist()
    accepted, score = accepted_of(cell, keys), test.score[test.attack]
    worst = np.flatnonzero(accepted)
    filled = np.where(np.isnan(score[worst]), np.inf, score[worst])
    worst = worst[np.argsort(-filled, kind="stable")][:count]
    rest = np.array([place[keys[n]] for n in np.flatnonzero(~accepted)], dtype=np.int64)
    return np.array([place[keys[n]] for n in worst], dtype=np.int64), balanced_rows(index, np.sort(rest), count)
