"""Re-sampling from epoch to epoch: hard samples come more often, by loss, disagreement or false nearest neighbours."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from spooflab.adapters.at_rest import at_rest
from spooflab.adapters.augmentation import apply_augment, sample_augment
from spooflab.adapters.balanced_sampler import BalancedSampler
from spooflab.adapters.batch import ATTACK, BONAFIDE
from spooflab.adapters.scoring import as_input
from spooflab.seeds import generator

if TYPE_CHECKING:
    from spooflab.adapters.algorithm import Algorithm
    from spooflab.adapters.image_set import ImageSet
    from spooflab.adapters.train_config import ResampleConfig, TrainConfig


class ResampledSampler(BalancedSampler):
    """The balanced sampler with unequal odds within a cell (class, domain), renewed every `every` steps.

    Which cell a slot goes to stays as it is, so that classes and domains stay balanced. Within a period a cell's visits
    are dealt by systematic resampling (Kitagawa 1996, section 2.4): a sample with probability p comes ⌊m p⌋ or ⌈m p⌉
    times in m visits. In the first period all are alike. The second number that `batch` returns is the cell's visit, so
    that a sample that comes again is augmented anew.

    Attributes:
        probability: (N,) float64, sums to 1 in each cell: all that a checkpoint needs.
    """

    def __init__(self, labels: Tensor, domains: Tensor, *, batch_size: int, seed: int, every: int) -> None:
        super().__init__(labels, domains, batch_size=batch_size, seed=seed)
        self.every = every
        self.groups = [rows for cells in self.cells for _, rows in cells]
        self.probability = probabilities(torch.zeros(len(labels)), self.groups, temperature=1.0, floor=1.0)
        self._period = -1
        self._dealt: dict[tuple[int, int], list[int]] = {}

    def due(self, step: int) -> bool:
        """Whether the odds are to be renewed before this step."""
        return step > 0 and step % self.every == 0

    def _draw(self, slot: int) -> tuple[int, int]:
        period = slot // (self.every * self.batch_size)
        if period != self._period:
            self._deal(period)
        label, turn = slot % 2, slot // 2
        position, visit = turn % len(self.cells[label]), turn // len(self.cells[label])
        return self._dealt[label, position][visit - self._first(period, label, position)], visit

    def _first(self, period: int, label: int, position: int) -> int:
        """Number of a cell's first visit in a period: how often it comes before."""
        start = period * self.every * self.batch_size
        turns = (start + 1 - label) // 2
        return max(0, -(-(turns - position) // len(self.cells[label])))

    def _deal(self, period: int) -> None:
        self._period, self._dealt = period, {}
        for label, cells in enumerate(self.cells):
            for position, (domain, rows) in enumerate(cells):
                count = self._first(period + 1, label, position) - self._first(period, label, position)
                gen = generator(self.seed, "resample", label, domain, period)
                places = systematic(self.probability[rows], count, gen)
                self._dealt[label, position] = rows[places].tolist()


def renew(sampler: ResampledSampler, model: "Algorithm", train: "ImageSet", config: "TrainConfig", step: int) -> None:
    """Set the sampler's odds by what the model finds hard now; the model and all random states stay as they are."""
    how = config.resample
    assert how is not None
    hardness = measured(model, train, how, config, seed=sampler.seed, step=step)
    sampler.probability = probabilities(hardness, sampler.groups, temperature=how.temperature, floor=how.floor)
    sampler._period = -1


@torch.inference_mode()
def measured(
    model: "Algorithm", train: "ImageSet", how: "ResampleConfig", config: "TrainConfig", *, seed: int, step: int
) -> Tensor:
    """Return how hard each training image is (N,) float64, as `ResampleConfig.by` says."""
    device = next(model.parameters()).device
    chunks = torch.split(torch.arange(len(train)), config.eval_batch_size)
    with at_rest(model):
        if how.by == "false_accepts":
            inputs = (as_input(train.images[rows], device) for rows in chunks)
            features = torch.cat([model.backbone(pixels).double().cpu() for pixels in inputs])
            return false_accepts(features, train.labels)
        if how.by == "loss":
            inputs = (as_input(train.images[rows], device) for rows in chunks)
            likelihood = torch.cat([model.predict(pixels).double().cpu() for pixels in inputs])
            right = torch.where(train.labels == BONAFIDE, likelihood, 1 - likelihood)
            return -right.clamp_min(2.0**-53).log()
        views = []
        for view in range(how.views):
            parts = []
            for rows in chunks:
                keys = [train.keys[i] for i in rows.tolist()]
                params = sample_augment(config.augment, keys, [view] * len(rows), size=config.size, seed=seed + step)
                parts.append(model.predict(apply_augment(train.images[rows].to(device), params)).double().cpu())
            views.append(torch.cat(parts))
        return 2 * torch.stack(views).var(0, correction=0)


def false_accepts(features: Tensor, labels: Tensor) -> Tensor:
    """Return each attack's cosine to its nearest bona fide less that to its nearest other attack; 0 for bona fide.

    Above 0 the nearest neighbour of an attack is a bona fide: it would be accepted by its neighbour.

    Args:
        features: (N, dim).
        labels: (N,) int64.
    """
    unit = F.normalize(features.double(), dim=1)
    attacks, genuine = labels == ATTACK, labels == BONAFIDE
    out = torch.zeros(len(labels), dtype=torch.float64)
    to_genuine = (unit[attacks] @ unit[genuine].T).amax(1)
    among = (unit[attacks] @ unit[attacks].T).fill_diagonal_(-1.0)
    out[attacks] = to_genuine - among.amax(1)
    return out


def probabilities(hardness: Tensor, groups: Sequence[Tensor], *, temperature: float, floor: float) -> Tensor:
    """Return odds (N,) float64 that sum to 1 in each group: floor/n + (1 - floor) · softmax(z / T).

    z is the hardness in the group's own standard deviations, so that T does not depend on the network's confidence;
    where all are equally hard, odds are even.

    Args:
        hardness: (N,).
        groups: rows of each group, together all rows.
        temperature: T > 0; high ones are even.
        floor: share of the odds that stays even, in [0, 1].
    """
    out = torch.zeros(len(hardness), dtype=torch.float64)
    for rows in groups:
        values = hardness[rows].double()
        deviation = values.std(correction=0)
        z = (values - values.mean()) / torch.where(deviation > 0, deviation, 1.0)
        out[rows] = floor / len(rows) + (1 - floor) * torch.softmax(z / temperature, 0)
    return out


def systematic(probability: Tensor, count: int, gen: torch.Generator) -> Tensor:
    """Draw `count` places with these odds (n,), each ⌊m p⌋ or ⌈m p⌉ times, in a shuffled order: (count,) int64."""
    teeth = (torch.rand(1, generator=gen, dtype=torch.float64) + torch.arange(count, dtype=torch.float64)) / max(
        count, 1
    )
    ends = probability.cumsum(0) / probability.sum()
    places = torch.searchsorted(ends, teeth, right=True).clamp_max(len(probability) - 1)
    return places[torch.randperm(count, generator=gen)]
