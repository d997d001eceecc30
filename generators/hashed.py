"""Random numbers that a row's seed alone decides, for whole batches on any device.

A counter is hashed with the seed, so nothing is drawn in sequence: every number of every row is made at once, and the
CPU and an accelerator agree to the last bit. The mixer is Wellons' `lowbias32` (2018, nullprogram.com, public domain),
whose avalanche bias is 0.17 %.
"""

import math
from functools import lru_cache

import torch
from torch import Tensor

from spooflab.seeds import seed as named_seed

_WORD = 0xFFFFFFFF
_GOLDEN = 0x9E3779B9


def hashed(seed: Tensor, stream: str, *shape: int) -> Tensor:
    """Return (B, *shape) float32 uniforms in [0, 1), multiples of 2^-24.

    Args:
        seed: (B,) int64, non-negative.
        stream: a name, so that one seed gives independent numbers to independent uses.
        shape: of each row's numbers.
    """
    place = _places(stream, math.prod(shape), seed.device)[None]
    word = _mix(_mix(place ^ (seed & _WORD)[:, None]) ^ ((seed >> 32) & _WORD)[:, None])
    return ((word >> 8).float() * 2.0**-24).reshape(len(seed), *shape)


@lru_cache(maxsize=64)
def _places(stream: str, count: int, device: torch.device) -> Tensor:
    """Return (count,) int64: the words that a stream's counter is hashed to."""
    counter = torch.arange(count, dtype=torch.int64, device=device)
    return _mix((counter * _GOLDEN + (named_seed(0, stream) & _WORD)) & _WORD)


def _mix(word: Tensor) -> Tensor:
    """Return the avalanche of 32-bit words held in int64; products wrap, and their low half is what counts."""
    word = ((word ^ (word >> 16)) * 0x7FEB352D) & _WORD
    word = ((word ^ (word >> 15)) * 0x846CA68B) & _WORD
    return word ^ (word >> 16)
