"""Cheap figures of a data set's pictures and records, any one of which might tell the class by itself.

Two kinds are kept apart. *Encoding and provenance* (JPEG traces, file and picture sizes, codec settings, file types,
data sets) say how a picture came to be stored: an attack has no business with them. *Image statistics* (brightness,
sharpness, noise, colour) may differ for reasons of physics, since a print is less sharp than a face.
"""

import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from spooflab.experiments.audit.jpeg_traces import blockiness, jpeg_step
from spooflab.experiments.index_columns import column, data_sets, texts
from spooflab.experiments.phash import LUMA
from spooflab.images import decode_image
from spooflab.store import iter_images

Floats = NDArray[np.float64]
_CODEC = ("quality", "subsampling", "bits", "crf", "gop", "stream")
_BORDER = 2
_BINS = 16


@dataclass(frozen=True)
class Covariates:
    """Figures by name, (N,) each, in the order of the index.

    Attributes:
        encoding: numbers of storage and provenance; NaN where a record lacks one.
        categories: names of storage and provenance, as numbers 0 … K-1.
        statistics: of the pixels.
        spectrum: (N, 16) log power by radial frequency, for the check of labels.
    """

    encoding: dict[str, Floats]
    categories: dict[str, NDArray[np.int64]]
    statistics: dict[str, Floats]
    spectrum: Floats


def covariates(index: pa.Table, data: Path) -> Covariates:
    """Read every picture once, and the records."""
    keys = column(index, "key").tolist()
    place = {key: row for row, key in enumerate(keys)}
    statistics: dict[str, Floats] = defaultdict(lambda: np.full(len(keys), np.nan))
    encoding: dict[str, Floats] = defaultdict(lambda: np.full(len(keys), np.nan))
    spectrum = np.zeros((len(keys), _BINS))
    for key, png in iter_images(data, keys):
        pixels, row = decode_image(png), place[key]
        luma = pixels.astype(np.float64) @ LUMA
        encoding["block edges"][row] = blockiness(luma)
        encoding["JPEG step"][row] = jpeg_step(luma)
        spectrum[row] = radial_spectrum(luma)
        for name, value in picture_statistics(pixels, luma).items():
            statistics[name][row] = value
    for name in ("sharpness", "moire"):
        statistics[name] = np.asarray(index.column(f"qc_{name}").to_pylist(), dtype=np.float64)
    for name in ("width", "height"):
        encoding[name] = np.asarray(index.column(name).to_pylist(), dtype=np.float64)
    words: dict[str, list[str]] = {name: [""] * len(keys) for name in ("file type", "face told by", "orientation")}
    words |= {"data set": data_sets(index).tolist(), "device": column(index, "device_profile").tolist()}
    for row, text in enumerate(texts(index, "params")):
        params = json.loads(text or "{}")
        for name, number in recorded(params):
            encoding[name][row] = number
        words["file type"][row] = _file_type(params)
        words["face told by"][row] = str((params.get("face") or {}).get("told_by", ""))
        words["orientation"][row] = str(params.get("orientation", ""))
    categories = {name: np.unique(values, return_inverse=True)[1].astype(np.int64) for name, values in words.items()}
    return Covariates(dict(encoding), categories, dict(statistics), spectrum)


def recorded(params: dict[str, Any]) -> Iterator[tuple[str, float]]:
    """Yield the numbers of a record that tell how the picture was encoded: codec settings, sizes, the source file."""
    for part, names in (("device", _CODEC), ("output", None), ("file", None)):
        values = params.get(part)
        for name, value in (values if isinstance(values, dict) else {}).items():
            if names is None or name in names:
                number = value.get("value") if isinstance(value, dict) else value
                if isinstance(number, (int, float)):
                    yield f"{part}.{name}", float(number)
    if isinstance(params.get("frames_in_clip"), int):
        yield "frames in clip", float(params["frames_in_clip"])


def _file_type(params: dict[str, Any]) -> str:
    facts = params.get("file") or {}
    suffix = PurePosixPath(str(params.get("path", ""))).suffix.lower()
    return " ".join([suffix, *(str(facts[name]) for name in ("format", "codec") if name in facts)])


def picture_statistics(pixels: NDArray[np.uint8], luma: Floats) -> dict[str, float]:
    """Return brightness, contrast, noise, colour, and what the border looks like."""
    colour = pixels.reshape(-1, 3).astype(np.float64)
    frame = np.ones(luma.shape, dtype=np.bool_)
    frame[_BORDER:-_BORDER, _BORDER:-_BORDER] = False
    red, green, blue = colour.mean(0)
    return {
        "brightness": float(luma.mean()),
        "contrast": float(luma.std()),
        "noise": noise_level(luma),
        "clipped": float(((colour == 0) | (colour == 255)).any(1).mean()),
        "saturation": float(np.ptp(colour, axis=1).mean()),
        "red over green": float((red + 1) / (green + 1)),
        "blue over green": float((blue + 1) / (green + 1)),
        "border brightness": float(luma[frame].mean()),
        "border contrast": float(luma[frame].std()),
    }


def noise_level(luma: Floats) -> float:
    """Return the noise's standard deviation as Immerkær estimates it (Fast noise variance estimation, 1996).

    The mean absolute response to the difference of two Laplacians, 36σ² in variance for white noise.
    """
    rows = luma[:-2] - 2 * luma[1:-1] + luma[2:]
    mask = rows[:, :-2] - 2 * rows[:, 1:-1] + rows[:, 2:]
    return float(np.sqrt(np.pi / 2) * np.abs(mask).mean() / 6)


def radial_spectrum(luma: Floats) -> Floats:
    """Return the mean log power in 16 rings of equal width up to half a cycle per pixel, windowed by a Hann."""
    window = np.hanning(luma.shape[0])[:, None] * np.hanning(luma.shape[1])[None]
    power = np.abs(np.fft.rfft2((luma - luma.mean()) * window)) ** 2
    radius = np.hypot(np.fft.fftfreq(luma.shape[0])[:, None], np.fft.rfftfreq(luma.shape[1])[None])
    ring = np.minimum((radius * 2 * _BINS).astype(np.int64), _BINS - 1).ravel()
    counts = np.maximum(np.bincount(ring, minlength=_BINS), 1)
    return np.bincount(ring, np.log(power.ravel() + 1e-3), minlength=_BINS) / counts
