"""Class × domain balanced batches that a step number alone decides, so that a resumed run draws the same ones."""

from collections.abc import Sequence

import torch
from torch import Tensor

from spooflab.adapters.batch import ATTACK, BONAFIDE
from spooflab.errors import DataError
from spooflab.seeds import generator


class BalancedSampler:
    """Infinite batches in which both classes, and within a class its domains, are equally frequent.

    Slots are dealt in turn: even slots to attack, odd ones to bona fide, and a class's slots to its domains in turn.
    A cell (class, domain) is walked through in a shuffled order, reshuffled each time it is used up, so that no
    sample comes twice before all of its cell have come once. A cell without samples is left out: the class's
    remaining domains share its slots (leave-one-out data are never complete). A class without samples is an error.

    Args:
        labels: (N,) int64, 0 or 1.
        domains: (N,) int64.
        batch_size: slots per step.
        seed: names the shuffles.
    """

    def __init__(self, labels: Tensor, domains: Tensor, *, batch_size: int, seed: int) -> None:
        self.batch_size, self.seed = batch_size, seed
        self.cells: list[list[tuple[int, Tensor]]] = []
        for label in (ATTACK, BONAFIDE):
            present = sorted(set(domains[labels == label].tolist()))
            if not present:
                raise DataError(
                    f"training set of {len(labels)} has no {'bona fide' if label else 'attack'} image",
                    wanted="images of both classes",
                )
            self.cells.append([(d, torch.nonzero((labels == label) & (domains == d))[:, 0]) for d in present])
        self._orders: dict[tuple[int, int, int], list[int]] = {}

    def batch(self, step: int) -> tuple[list[int], list[int]]:
        """Return the row of each slot of batch `step`, and how often its cell had been used up before."""
        rows, epochs = [], []
        for slot in range(step * self.batch_size, (step + 1) * self.batch_size):
            row, epoch = self._draw(slot)
            rows.append(row)
            epochs.append(epoch)
        return rows, epochs

    def empty_cells(self) -> Sequence[tuple[int, int]]:
        """(label, domain) pairs that no sample has, though another class has the domain."""
        have = [{domain for domain, _ in cells} for cells in self.cells]
        return [(label, domain) for label in (0, 1) for domain in sorted(have[1 - label] - have[label])]

    def _draw(self, slot: int) -> tuple[int, int]:
        label, turn = slot % 2, slot // 2
        cells = self.cells[label]
        position, visit = turn % len(cells), turn // len(cells)
        domain, rows = cells[position]
        epoch, place = divmod(visit, len(rows))
        return int(rows[self._order(label, domain, epoch, len(rows))[place]]), epoch

    def _order(self, label: int, domain: int, epoch: int, count: int) -> list[int]:
        key = (label, domain, epoch)
        if key not in self._orders:
            self._orders.pop((label, domain, epoch - 2), None)
            order = torch.randperm(count, generator=generator(self.seed, "order", label, domain, epoch))
            self._orders[key] = order.tolist()
        return self._orders[key]
