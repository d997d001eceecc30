"""Bilinear enlargement by a whole factor, several times faster than `interpolate` on one CPU thread."""

import torch
from torch import Tensor


def enlarge(image: Tensor, step: int) -> Tensor:
    """Return (..., H·step, W·step): `F.interpolate(image, scale_factor=step, mode="bilinear", align_corners=False)`.

    The rows between two of the image's are all made at once, from whole rows, so memory is read and written in order.
    No gradient passes.

    Args:
        image: (..., H, W).
        step: whole factor, at least 1.
    """
    if step < 1:
        raise ValueError(f"step is {step}, wanted at least 1")
    if step == 1:
        return image
    wide = _stretch(image, step, -1)
    return _stretch(wide, step, -2)


def _stretch(image: Tensor, step: int, axis: int) -> Tensor:
    """Stretch one of the last two axes."""
    count = image.shape[axis]
    first, last = image.narrow(axis, 0, 1), image.narrow(axis, count - 1, 1)
    padded = torch.cat([first, image, last], axis)
    before, here, after = (padded.narrow(axis, k, count) for k in range(3))
    phases = image.new_empty(*image.shape[:axis], count, step, *image.shape[axis:][1:])
    for phase in range(step):
        offset = (phase + 0.5) / step - 0.5
        near = before if offset < 0 else after
        torch.lerp(here, near, abs(offset), out=phases.select(axis, phase))
    return phases.flatten(axis - 1, axis)
