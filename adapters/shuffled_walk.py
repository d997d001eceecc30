"""Batches of rows in a shuffled order that a step number alone decides; no label is asked for."""

from collections.abc import Sequence

import torch

from spooflab.seeds import generator


class ShuffledWalk:
    """Infinite batches of rows 0…N−1: each row once, in a shuffled order, before any comes again in a new order.

    Args:
        count: N, at least 1.
        batch_size: rows per step; a batch longer than what is left of an order goes on in the next.
        seed: names the shuffles, together with
        name: which set is walked through.
    """

    def __init__(self, count: int, *, batch_size: int, seed: int, name: str = "target order") -> None:
        self.count, self.batch_size, self.seed, self.name = count, batch_size, seed, name
        self._orders: dict[int, list[int]] = {}

    def batch(self, step: int) -> tuple[list[int], list[int]]:
        """Return the rows of batch `step`, and how often all rows had been used up before each."""
        slots = range(step * self.batch_size, (step + 1) * self.batch_size)
        places = [divmod(slot, self.count) for slot in slots]
        return [self._order(epoch)[place] for epoch, place in places], [epoch for epoch, _ in places]

    def empty_cells(self) -> Sequence[tuple[int, int]]:
        """Return nothing: what the data lack is not made up for."""
        return ()

    def _order(self, epoch: int) -> list[int]:
        if epoch not in self._orders:
            self._orders.pop(epoch - 2, None)
            order = torch.randperm(self.count, generator=generator(self.seed, self.name, epoch))
            self._orders[epoch] = order.tolist()
        return self._orders[epoch]
