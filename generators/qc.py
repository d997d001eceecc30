"""Quality of a finished picture: figures that are recorded with every sample, and limits beyond which it is refused."""

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from spooflab.config import Config
from spooflab.errors import SkipSample

LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)
"""Rec. 601 luma weights."""
_PATCH = 96
_SLOWEST = 0.06
_OUTSTANDING = 4.0


class QCLimits(Config):
    """What a sample must hold to be kept; one that fails becomes a skip record `qc_<figure>` and is not replaced.

    The defaults refuse nothing but pictures that no camera would have kept. An attack that is hard to see is no fault.

    Attributes:
        face_luma: least and greatest mean luma of the face, 0-255.
        face_clipped: greatest share of the face's pixels with a channel at 0 or 255.
        face_sharpness: least variance of the Laplacian within the face, squared levels.
        face_share: least share of the face's box that lies within the picture.
        face_px: least width of the face in pixels of the stored picture.
        moire: greatest contrast of a periodic pattern; 1 allows all.
        face_error: greatest distance of the landmarks that the shipped network finds in the finished picture from the
            recorded ones, mean over points, in inter-ocular distances; None does not look. Costs about 25 ms a sample.
    """

    face_luma: tuple[float, float] = (8.0, 247.0)
    face_clipped: float = Field(default=0.9, ge=0, le=1)
    face_sharpness: float = Field(default=0.0, ge=0)
    face_share: float = Field(default=0.6, ge=0, le=1)
    face_px: float = Field(default=16.0, ge=0)
    moire: float = Field(default=1.0, ge=0, le=1)
    face_error: float | None = Field(default=None, gt=0)


def measure(image: NDArray[np.uint8], box: NDArray[np.float32]) -> dict[str, float]:
    """Return the figures of `spooflab.sample.QC_FIGURES`.

    `mean_luma` in [0, 255]; `clipped`, the share of pixels with a channel at 0 or 255; `sharpness`, the variance of the
    4-neighbour Laplacian of luma in squared levels (Pech-Pacheco et al., ICPR 2000); the three again within the face's
    box; and `moire`, see `periodic_contrast`.

    Args:
        image: (H, W, 3) uint8.
        box: (4,) x, y, width, height of the face in pixels.
    """
    luma = image.astype(np.float32) @ LUMA
    clipped = ((image == 0) | (image == 255)).any(-1)
    edges = luma[:-2, 1:-1] + luma[2:, 1:-1] + luma[1:-1, :-2] + luma[1:-1, 2:] - 4 * luma[1:-1, 1:-1]
    rows, columns = _within(box, luma.shape)
    face, face_edges = luma[rows, columns], edges[rows, columns]
    return {
        "mean_luma": float(luma.mean()),
        "clipped": float(clipped.mean()),
        "sharpness": float(edges.var()),
        "face_luma": float(face.mean()),
        "face_clipped": float(clipped[rows, columns].mean()),
        "face_sharpness": float(face_edges.var()) if face_edges.size else 0.0,
        "moire": periodic_contrast(face),
    }


def periodic_contrast(luma: NDArray[np.float32]) -> float:
    """Return the contrast (amplitude over mean) of the strongest sinusoid that stands out of the picture's spectrum.

    The spectrum of a photograph falls smoothly with frequency: a bin is compared with the median of its ring (of equal
    frequency), and what exceeds four times that median counts. Frequencies below 0.06 cycles per pixel are the face's.

    Args:
        luma: (h, w) levels; of larger regions the middle 96 x 96 pixels are judged.
    """
    if min(luma.shape) < 24:
        return 0.0
    side = min(_PATCH, *luma.shape)
    top, left = (luma.shape[0] - side) // 2, (luma.shape[1] - side) // 2
    patch = luma[top : top + side, left : left + side].astype(np.float64)
    mean = float(patch.mean())
    if mean < 1:
        return 0.0
    window = np.outer(np.hanning(side), np.hanning(side))
    amplitude = 2 * np.abs(np.fft.rfft2((patch - mean) * window)) / window.sum() / mean
    radius = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)[None, :])
    ring = np.minimum((radius * side).astype(int), side)
    strongest = 0.0
    for number in range(int(_SLOWEST * side) + 1, side // 2 + 1):
        values = amplitude[ring == number]
        strongest = max(strongest, float(values.max() - _OUTSTANDING * np.median(values)))
    return strongest


def check(figures: dict[str, float], box: NDArray[np.float32], size: int, limits: QCLimits) -> None:
    """Refuse a picture that breaks a limit.

    Raises:
        SkipSample: `qc_face_luma`, `qc_face_clipped`, `qc_face_sharpness`, `qc_moire`, `qc_face_px` or
            `qc_face_share`, with what was seen and what is allowed.
    """
    low, high = limits.face_luma
    if not low <= figures["face_luma"] <= high:
        raise SkipSample(
            "qc_face_luma", f"mean luma of the face {figures['face_luma']:.1f}, allowed {low:g}...{high:g}"
        )
    for name in ("face_clipped", "moire"):
        if figures[name] > getattr(limits, name):
            raise SkipSample(f"qc_{name}", f"{name} {figures[name]:.3f}, allowed up to {getattr(limits, name):g}")
    if figures["face_sharpness"] < limits.face_sharpness:
        raise SkipSample(
            "qc_face_sharpness", f"{figures['face_sharpness']:.2f}, allowed from {limits.face_sharpness:g} up"
        )
    if box[2] < limits.face_px:
        raise SkipSample("qc_face_px", f"the face is {box[2]:.0f} px wide, allowed from {limits.face_px:g} up")
    x, y, w, h = (float(v) for v in box)
    shown = max(0.0, min(x + w, size) - max(x, 0.0)) * max(0.0, min(y + h, size) - max(y, 0.0)) / max(w * h, 1e-6)
    if shown < limits.face_share:
        raise SkipSample("qc_face_share", f"{shown:.0%} of the face within the picture, wanted {limits.face_share:.0%}")


def _within(box: NDArray[np.float32], shape: tuple[int, ...]) -> tuple[slice, slice]:
    """Return the rows and columns of the box that lie in the picture, two pixels at least."""
    spans = []
    for low, extent, size in ((box[1], box[3], shape[0]), (box[0], box[2], shape[1])):
        first = int(min(max(np.floor(low), 0), size - 2))
        spans.append(slice(first, int(min(max(np.ceil(low + extent), first + 2), size))))
    return spans[0], spans[1]
