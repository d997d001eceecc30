"""Flat blocks of photographs and the energy of their noise, band by band, on the codec's own grid."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import torch

from spooflab.augment.color import LUMA

FloatArray = npt.NDArray[np.float32]
SIDE = 8
LEVELS = np.array([0.01, 0.035, 0.065, 0.1, 0.15, 0.21, 0.28, 0.36, 0.45, 0.55, 0.65, 0.76, 0.95])
"""Edges of the luma bins, code values in [0, 1]."""
LUMA_BANDS = ((2, 2), (3, 3), (4, 4), (5, 5), (6, 6), (7, 7), (8, 10), (11, 14))
CHROMA_BANDS = ((2, 2), (3, 3), (4, 7))
"""Ranges of u + v, the two frequency indices of an 8 x 8 block (64 to 448 thousandths of a cycle per pixel). Luma's
coefficient (1, 1) is in none of them: blocks are chosen by it."""
BANDS = (
    *(f"luma {low}-{high}" for low, high in LUMA_BANDS),
    "rows",
    "columns",
    *(f"{name} {low}-{high}" for name in ("cb", "cr") for low, high in CHROMA_BANDS),
)
KEPT_SHARE = 0.5
_CELL = 4
"""Side of a cell, blocks: one surface mostly, for what lies on it is judged together."""
_DARKEST, _BURNT = 0.004, 253


@dataclass(frozen=True)
class Blocks:
    """N blocks.

    Attributes:
        colour: (N, 3) mean sRGB in [0, 1].
        level: (N,) index of the luma bin.
        photo: (N,) which photograph.
        cell: (N,) which square of 32 pixels of which photograph.
        energy: (N, len(BANDS)) mean squared DCT coefficient of the band, in squared 8-bit code values.
    """

    colour: FloatArray
    level: npt.NDArray[np.int64]
    photo: npt.NDArray[np.int64]
    cell: npt.NDArray[np.int64]
    energy: FloatArray

    def take(self, rows: npt.NDArray[np.bool_] | npt.NDArray[np.int64]) -> "Blocks":
        """Return some of the blocks."""
        return Blocks(self.colour[rows], self.level[rows], self.photo[rows], self.cell[rows], self.energy[rows])

    @staticmethod
    def join(parts: list["Blocks"]) -> "Blocks":
        """Return the blocks of several photographs as one set."""
        return Blocks(
            np.concatenate([p.colour for p in parts]),
            np.concatenate([p.level for p in parts]),
            np.concatenate([p.photo for p in parts]),
            np.concatenate([p.cell for p in parts]),
            np.concatenate([p.energy for p in parts]),
        )


def flat_blocks(
    pixels: npt.NDArray[np.uint8],
    *,
    photo: int = 0,
    share: float = KEPT_SHARE,
    most: int = 1000,
    apart: bool = True,
) -> Blocks:
    """Return the flattest 8 x 8 blocks of one photograph, at most `most` in each luma bin.

    A block is judged by what lies below the bands that are measured: its means against those of its eight neighbours,
    and its three lowest coefficients. Noise there is nearly independent of noise in the bands, so choosing hardly
    biases them (a band-limited variant of the homogeneous regions of Foi et al. 2008, sec. 4). The flattest `share`
    of what passes a level's limit is kept: scenes are nowhere quite flat. What bias is left the simulation shares, for
    its blocks are chosen in the same way.

    Args:
        pixels: (H, W, 3).
        photo: number that the blocks carry.
        share: of the blocks that pass, how many are kept.
        most: blocks of one luma bin.
        apart: keep only blocks whose neighbours are nearly as flat, for noise reduction and sharpening reach over
            from an edge. A small picture may have none.
    """
    rgb = _crop(pixels).astype(np.float32)
    planes = to_ycc(rgb)
    coefficients = block_dct(planes)
    means = (coefficients[..., 0, 0] / SIDE).astype(np.float32)
    colour = (_block_mean(rgb) / 255).astype(np.float32)
    structure = structure_of(means, coefficients)
    around = torch.nn.functional.max_pool2d(torch.from_numpy(structure)[None], 3, 1, 1)[0].numpy()
    usable = np.zeros(structure.shape, bool)
    usable[1:-1, 1:-1] = True
    usable &= (colour.min(-1) >= _DARKEST) & (_block_mean((rgb >= _BURNT).astype(np.float32)).max(-1) <= 0.02)
    level = np.digitize(means[0] / 255, LEVELS) - 1
    rows = []
    for place in range(len(LEVELS) - 1):
        found = np.flatnonzero(usable & (level == place))
        if len(found) < 8:
            continue
        scores = structure.ravel()[found]
        limit = 3 * np.quantile(scores, 0.05) + 0.15
        order = found[np.argsort(scores, kind="stable")]
        order = order[structure.ravel()[order] <= limit]
        if apart:
            order = order[around.ravel()[order] <= 1.5 * limit]
        kept = order[: max(4, int(share * len(order)))]
        # Evenly among what is kept: the very flattest of many would be those whose noise happens to be small.
        rows.append(kept[np.linspace(0, len(kept) - 1, min(most, len(kept))).astype(np.int64)])
    chosen = np.concatenate(rows) if rows else np.zeros(0, np.int64)
    flat = coefficients.reshape(3, -1, SIDE, SIDE)[:, chosen]
    down, across = np.divmod(chosen, structure.shape[1])
    cell = (photo << 32) + (down // _CELL << 16) + across // _CELL
    return Blocks(
        colour.reshape(-1, 3)[chosen],
        level.ravel()[chosen],
        np.full(len(chosen), photo, np.int64),
        cell.astype(np.int64),
        band_energy(flat),
    )


def to_ycc(rgb: FloatArray) -> FloatArray:
    """Return luma, Cb and Cr (3, H, W) of (H, W, 3), as JPEG has them (BT.601, full range, no offset)."""
    luma = rgb @ np.asarray(LUMA, np.float32)
    return np.stack([luma, 0.564 * (rgb[..., 2] - luma), 0.713 * (rgb[..., 0] - luma)])


def block_dct(planes: FloatArray) -> FloatArray:
    """Return the orthonormal DCT (C, H / 8, W / 8, 8, 8) of the aligned blocks of (C, H, W)."""
    channels, height, width = planes.shape
    blocks = planes.reshape(channels, height // SIDE, SIDE, width // SIDE, SIDE).swapaxes(2, 3)
    basis = _basis()
    return np.asarray(basis @ blocks @ basis.T, np.float32)


def band_energy(coefficients: FloatArray) -> FloatArray:
    """Return (N, len(BANDS)) mean squares from coefficients (3, N, 8, 8) of luma, Cb, Cr."""
    squares = coefficients**2
    index = np.add.outer(np.arange(SIDE), np.arange(SIDE))
    free = np.ones((SIDE, SIDE), bool)
    free[:2, :2] = False  # what blocks are chosen by (`structure_of`) is small where it chose them
    parts = [squares[0][:, free & (index >= low) & (index <= high)].mean(1) for low, high in LUMA_BANDS]
    parts += [squares[0][:, 2:, 0].mean(1), squares[0][:, 0, 2:].mean(1)]
    parts += [squares[c][:, (index >= low) & (index <= high)].mean(1) for c in (1, 2) for low, high in CHROMA_BANDS]
    return np.stack(parts, 1)


def structure_of(means: FloatArray, coefficients: FloatArray) -> FloatArray:
    """Return (rows, columns): root sum of squares of neighbour differences and lowest coefficients, code values.

    Right for blocks that have all eight neighbours.

    Args:
        means: (3, rows, columns) of luma, Cb, Cr.
        coefficients: (3, rows, columns, 8, 8).
    """
    total = np.zeros(means.shape[1:], np.float32)
    for down in (-1, 0, 1):
        for right in (-1, 0, 1):
            moved = np.roll(means, (down, right), (1, 2))
            total += ((moved - means) ** 2 * np.array([1, 0.3, 0.3], np.float32)[:, None, None]).sum(0) / 8
    lowest = coefficients[0]
    total += (lowest[..., 0, 1] ** 2 + lowest[..., 1, 0] ** 2 + lowest[..., 1, 1] ** 2) / SIDE**2
    structure: FloatArray = np.sqrt(total)
    return structure


def _block_mean(rgb: FloatArray) -> FloatArray:
    height, width = rgb.shape[:2]
    mean: FloatArray = rgb.reshape(height // SIDE, SIDE, width // SIDE, SIDE, 3).mean((1, 3))
    return mean


def _crop(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    height, width = pixels.shape[:2]
    return pixels[: height - height % SIDE, : width - width % SIDE]


@lru_cache(maxsize=1)
def _basis() -> FloatArray:
    """Orthonormal DCT-II, (frequency, position)."""
    k = np.arange(SIDE)
    basis = np.cos(np.pi * (2 * k[None, :] + 1) * k[:, None] / (2 * SIDE)) * np.sqrt(2 / SIDE)
    basis[0] /= np.sqrt(2)
    return np.asarray(basis, np.float32)
