"""Whether pictures, masks, conditions and words fit together and the model, and what is kept of a picture."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from spooflab.errors import DataError


def check_pictures(
    images: Tensor, masks: Tensor, conditions: Sequence[Tensor], *, multiple: int, channels: Sequence[int]
) -> None:
    """Raise `DataError` unless all are float32 on the CPU, in [0, 1] and of one size.

    Args:
        images: to be (B, 3, H, W).
        masks: to be (B, 1, H, W).
        conditions: to be (B, C, H, W), one for each ControlNet.
        multiple: of which H and W must be multiples.
        channels: C of each ControlNet.
    """
    if images.ndim != 4 or images.shape[1] != 3 or len(images) < 1:
        raise DataError(f"pictures {tuple(images.shape)}", wanted="(B, 3, H, W)")
    count, _, height, width = images.shape
    if height % multiple or width % multiple or not height or not width:
        raise DataError(f"pictures of {height} x {width}", wanted=f"sides that are multiples of {multiple}")
    if len(conditions) != len(channels):
        raise DataError(f"{len(conditions)} conditions", wanted=f"{len(channels)}, one for each ControlNet")
    named = [("pictures", images, 3), ("masks", masks, 1)]
    named += [(f"condition {i}", c, n) for i, (c, n) in enumerate(zip(conditions, channels, strict=True))]
    for name, value, depth in named:
        _check_tensor(name, value, (count, depth, height, width))
        if not bool(((value >= 0) & (value <= 1)).all()):
            raise DataError(f"{name} from {float(value.min())} to {float(value.max())}", wanted="within [0, 1]")


def check_lists(count: int, lists: Mapping[str, Sequence[object] | None]) -> None:
    """Raise `DataError` unless each named list is None or has one entry for each of `count` pictures."""
    for name, entries in lists.items():
        if entries is not None and (isinstance(entries, str) or len(entries) != count):
            raise DataError(f"{name} {entries!r}", wanted=f"a list of {count}, one for each picture")


def check_identities(count: int, identities: Tensor | None, width: int | None) -> None:
    """Raise `DataError` unless there are none, or an adapter takes them and each picture has a finite one.

    Args:
        count: of pictures.
        identities: to be (count, width), float32 on the CPU, or None.
        width: numbers that the adapter takes; None without an adapter.
    """
    if identities is None:
        return
    if width is None:
        raise DataError("identities, and no adapter that takes them", wanted="an adapter: load(..., identity=...)")
    _check_tensor("identities", identities, (count, width))
    if not bool(identities.isfinite().all()):
        raise DataError("identities that are no numbers", wanted="finite embeddings")


def _check_tensor(name: str, value: Tensor, shape: tuple[int, ...]) -> None:
    if value.shape != shape or value.dtype != torch.float32 or value.device.type != "cpu":
        raise DataError(
            f"{name} {tuple(value.shape)} {value.dtype} on {value.device}", wanted=f"{shape} float32 on the CPU"
        )


def control_weights(control: float | Sequence[float], controls: int) -> list[float]:
    """Return one weight for each of the `controls` ControlNets.

    Raises:
        DataError: another number of weights.
    """
    weights = [float(control)] * controls if isinstance(control, int | float) else [float(c) for c in control]
    if len(weights) != controls:
        raise DataError(f"weights {control}", wanted=f"{controls}, one for each ControlNet")
    return weights


def lay_over(images: Tensor, masks: Tensor, made: Tensor) -> Tensor:
    """Return `images` with what was made laid over: where a mask is 0 the bits stay, between 0 and 1 both are blended.

    Args:
        images: (B, 3, H, W) in [0, 1].
        masks: (B, 1, H, W) in [0, 1].
        made: (B, 3, H, W) of any floating type on any device; clamped to [0, 1].

    Raises:
        DataError: `made` holds values that are no numbers.
    """
    new = made.float().cpu()
    if not bool(new.isfinite().all()):
        raise DataError("the model painted values that are no numbers", next_step="use bfloat16 or float32")
    new = new.clamp(0, 1)
    return torch.where(masks > 0, images + masks * (new - images), images).clamp(0, 1)
