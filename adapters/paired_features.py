"""Features of a batch's labelled images and of its unlabelled target images, from one pass."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from spooflab.adapters.batch import Batch
from spooflab.adapters.domain_terms import wide


def paired_features(backbone: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
    """Return features (B, dim) of `batch.images` and (T, dim) of `batch.target`.

    Both go through the backbone together, so that batch norm, where the backbone has it, normalises with statistics
    of both domains, as it will with the running ones. An algorithm without its transfer term therefore equals
    `ERM` exactly only on a backbone whose images do not see one another.

    Raises:
        DataError: the batch has no target.
    """
    features = backbone(torch.cat([batch.images, batch.unlabelled()]))
    return features[: len(batch)], features[len(batch) :]


@contextmanager
def full_precision(*tensors: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """Lend the tensors in float32 or better, without autocast: distances and moments cancel, and SVD has no bf16."""
    with torch.autocast(tensors[0].device.type, enabled=False):
        yield tuple(wide(t) for t in tensors)
