"""Frames of an HDF5 clip: `Color_Data` (N, 3, H, W), as 3DMAD has it, or `Frame_0/array` …, as Bob writes clips.

Only what lies in the file itself is read: HDF5 can name other files in links, datasets and views of datasets, and
h5py would follow.
"""

import importlib
from collections.abc import Iterator
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from spooflab.errors import ConfigError, SkipSample
from spooflab.experiments.ingest.frame import Pixels, size_refusal
from spooflab.experiments.ingest.spans import evenly
from spooflab.images import without_objects


def hdf5_frames(file: BinaryIO, wanted: int, max_pixels: int) -> Iterator[tuple[int, int, Pixels | SkipSample]]:
    """Yield for each frame that is taken: how many there are, its number, and its pixels or why there are none.

    Args:
        file: the clip, at its start.
        wanted: how many frames, at the middles of so many equal spans.
        max_pixels: most pixels of a frame, asked before it is read.

    Raises:
        SkipSample: `bad_hdf5`, `no_frames` or `out_of_memory`.
        ConfigError: h5py is not installed.
    """
    h5py = hdf5()
    try:
        with h5py.File(file, "r") as held:
            if "Color_Data" in held:
                data = _dataset(h5py, held, "Color_Data")
                count = int(data.shape[0]) if data.ndim else 0
                for number in evenly(count, wanted):
                    yield count, number, _frame(data, data.shape[1:], number, max_pixels)
            else:
                names = sorted((n for n in held if n.startswith("Frame_")), key=lambda n: int(n.removeprefix("Frame_")))
                if not names:
                    seen = [name[:40] for name in sorted(held)[:5]]
                    raise SkipSample("bad_hdf5", f"neither Color_Data nor Frame_0 among {seen}")
                count = len(names)
                for number in evenly(count, wanted):
                    data = _dataset(h5py, held, names[number], "array")
                    yield count, number, _frame(data, data.shape, None, max_pixels)
    except (SkipSample, MemoryError):
        raise
    except Exception as error:  # HDF5's errors, and Python's at shapes and names that no sound file holds
        text = without_objects(str(error))
        if "alloc" in text:
            raise SkipSample("out_of_memory", "a frame, or a chunk of them, takes more memory than there is") from error
        raise SkipSample("bad_hdf5", f"{type(error).__name__}: {text}"[:300]) from error
    if not count:
        raise SkipSample("no_frames", "Color_Data is empty")


def hdf5() -> Any:
    """Return the `h5py` package, which reads data without running any of it.

    Raises:
        ConfigError: it is not installed.
    """
    try:
        return importlib.import_module("h5py")
    except ImportError as error:
        raise ConfigError(
            "this data set is HDF5, and h5py is not installed", wanted="the package h5py", next_step="pip install h5py"
        ) from error


def _dataset(h5py: Any, held: Any, *names: str) -> Any:
    for name in names:
        link = held.get(name, getlink=True)
        if not isinstance(link, h5py.HardLink):
            raise SkipSample("bad_hdf5", f"{name} is a {type(link).__name__}; wanted what lies in the file itself")
        held = held[name]
    if not isinstance(held, h5py.Dataset) or held.external or held.is_virtual:
        raise SkipSample("bad_hdf5", f"{'/'.join(names)} is no dataset that lies in the file itself")
    return held


def _frame(data: Any, shape: tuple[int, ...], number: int | None, max_pixels: int) -> Pixels | SkipSample:
    """Return (H, W, 3) of a frame whose channels come first or last."""
    first = len(shape) == 3 and shape[0] == 3 and shape[2] != 3
    if len(shape) != 3 or not (first or shape[2] == 3) or data.dtype != np.uint8:
        return SkipSample("bad_hdf5", f"frame of shape {shape}, {data.dtype}, wanted three channels of uint8")
    height, width = shape[1:] if first else shape[:2]
    refusal = size_refusal(width, height, max_pixels)
    if refusal is not None:
        return refusal
    array: NDArray[np.uint8] = np.asarray(data[()] if number is None else data[number])
    return np.ascontiguousarray(array.transpose(1, 2, 0) if first else array)
