"""Branches that save work on the CPU without making an accelerator wait."""

from torch import Tensor


def some(mask: Tensor) -> bool:
    """Return whether any element of the bool `mask` is set; elsewhere than on the CPU always True.

    Reading a tensor that an accelerator holds would stop the host until every queued kernel has run. So it only guards
    work that changes nothing where `mask` is unset.
    """
    return bool(mask.any()) if mask.is_cpu else True
