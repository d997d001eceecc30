"""One camera shot per sample, which the seed, the epoch and the sample's key alone decide."""

import hashlib
import numbers
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from spooflab.augment.bridges.epoch import SharedEpoch
from spooflab.augment.capture import CaptureDevice, rephotograph
from spooflab.augment.device_params import DeviceParams
from spooflab.augment.gentle import gentle_shots
from spooflab.augment.photograph import from_photograph, to_photograph
from spooflab.augment.shift import DeviceShift
from spooflab.errors import ConfigError, DataError
from spooflab.seeds import seed as child_seed

Camera = CaptureDevice | DeviceShift


class KeyedCamera:
    """Takes photographs again, each with a shot of its own.

    The shot of a sample follows from `(seed, epoch, key)`: not from the worker that makes it, the order, the batch that
    it is in, or what anything else draws from a global random state.

    Args:
        camera: one device, or a shift over many.
        seed: root of every draw.
        p: probability that a sample is photographed at all, decided per sample and epoch.
        gentle: a second pass mild enough that a bona fide photograph stays one.
    """

    def __init__(self, camera: Camera, *, seed: int, p: float = 1.0, gentle: bool = False) -> None:
        if not isinstance(camera, CaptureDevice | DeviceShift):
            raise ConfigError(f"a camera of type {type(camera).__name__}", wanted="a CaptureDevice or a DeviceShift")
        if not isinstance(seed, int | np.integer):
            raise ConfigError(f"seed {seed!r} of type {type(seed).__name__}", wanted="an integer")
        if not 0 <= p <= 1:
            raise ConfigError(f"p: {p}", wanted="a probability in [0, 1]")
        self.camera, self.seed, self.p, self.gentle = camera, int(seed), p, gentle
        self.epoch = SharedEpoch()

    def set_epoch(self, epoch: int) -> None:
        """Draw other shots from now on, in running workers too."""
        self.epoch.set(epoch)

    def seeds(self, keys: Sequence[object]) -> list[int]:
        """Return the seed of each key's shot in the present epoch."""
        epoch = self.epoch.get()
        return [child_seed(self.seed, "shot", epoch, as_key(key)) for key in keys]

    def applied(self, seeds: Sequence[int]) -> Tensor:
        """Return (B,) bool: which samples are photographed."""
        if self.p >= 1:
            return torch.ones(len(seeds), dtype=torch.bool)
        return torch.stack([torch.rand((), generator=_generator(child_seed(s, "applied"))) < self.p for s in seeds])

    def shots(self, seeds: Sequence[int], size: tuple[int, int], *, gentle: Tensor | None = None) -> DeviceParams:
        """Return the shots (B rows) of these seeds, for pictures of `size` (height, width).

        `gentle`, (B,) bool, says for each row what the constructor says for all.
        """
        rows = [self.camera.sample(1, _generator(s), size=size) for s in seeds]
        return gentle_shots(DeviceParams.stack(rows), self.gentle if gentle is None else gentle)

    def photograph(self, photos: Tensor, shots: DeviceParams) -> Tensor:
        """Return the photographs (B, 3, H, W), uint8 or floating point in [0, 1], taken again; same type."""
        return to_photograph(rephotograph(from_photograph(photos), shots.to(photos.device)), photos.dtype)


def as_key(value: object) -> int | str:
    """Return a sample's key as a plain integer or string, from either, a NumPy integer or a tensor of one integer.

    Raises:
        DataError: anything else, which might not name the same sample tomorrow.
    """
    if isinstance(value, Tensor) and value.numel() == 1 and not value.is_floating_point():
        return int(value)
    if isinstance(value, str):
        return str(value)
    if isinstance(value, numbers.Integral):
        return int(value)
    raise DataError(f"a sample's key {value!r} of type {type(value).__name__}", wanted="an integer or a string")


def content_key(picture: np.ndarray | Tensor) -> str:
    """Return the key of a picture that came without one: a digest of its pixels.

    As good as an index as long as nothing random has changed the picture before; equal pictures share a shot.
    """
    pixels, dtype = _array(picture) if isinstance(picture, Tensor) else (picture, str(picture.dtype))
    digest = hashlib.blake2b(np.ascontiguousarray(pixels).data, digest_size=16)
    digest.update(f"{dtype}{pixels.shape}".encode())
    return "pixels:" + digest.hexdigest()


def _array(picture: Tensor) -> tuple[np.ndarray, str]:
    """Return a tensor's values, or its bits where NumPy lacks the type, and the type's name."""
    here = picture.detach().cpu().contiguous()
    if here.dtype == torch.bfloat16:
        return here.view(torch.int16).numpy(), "bfloat16"
    array = here.numpy()
    return array, str(array.dtype)


def _generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)
