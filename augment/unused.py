"""Whether a stage can be left out, asked only where the answer costs nothing."""

import torch
from torch import Tensor


def unused(active: Tensor) -> bool:
    """Return True if no element of the mask `active` is set and it can be read at no cost.

    Reading a value of an accelerator makes the host wait, and a graph that is being compiled has none: there every
    stage runs, and a neutral parameter changes nothing.
    """
    if active.device.type != "cpu" or torch.compiler.is_compiling():
        return False
    return not bool(active.any())
