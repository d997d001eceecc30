"""Small constants where the batch lies, sent there once."""

from functools import lru_cache

import torch
from torch import Tensor

Numbers = tuple[float, ...] | tuple[tuple[float, ...], ...]


@lru_cache(maxsize=256)
def constant(values: Numbers, device: torch.device, dtype: torch.dtype = torch.float32) -> Tensor:
    """Return `values` as a tensor on `device`, to be read only.

    Writing a list into an accelerator's tensor waits until everything before it has run, so it is done once.
    """
    with torch.inference_mode(False):  # one tensor for every mode
        return torch.tensor(values, dtype=dtype, device=device)
