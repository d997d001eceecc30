"""Flat patches developed with candidate parameters, measured as the photographs' flat blocks are."""

import numpy as np
import numpy.typing as npt

from spooflab.augment.color import LUMA
from spooflab.augment.fit.chain import MARGIN_PX, PATCH_PX, Candidate, Known, device_rows, flat_patches
from spooflab.augment.fit.flat_blocks import (
    KEPT_SHARE,
    LEVELS,
    SIDE,
    Blocks,
    band_energy,
    block_dct,
    structure_of,
    to_ycc,
)
from spooflab.augment.fit.sought import Vector, to_candidate
from spooflab.augment.fit.summary import FEWEST_BLOCKS, Summary, summarise

_PATCHES = 24
_GOLDEN = (5**0.5 - 1) / 2


class Simulator:
    """Flat patches in the colours of some blocks: candidates in, summaries out; equal candidates give equal summaries.

    Args:
        blocks: whose colours, levels and photographs the patches take.
        known: what is not sought.
        quality: (photos,) JPEG quality of each photograph, 0 for none.
        b_power: how much faster b changes than a where a photograph's gain departs from the mean.
    """

    def __init__(self, blocks: Blocks, known: Known, quality: npt.NDArray[np.int64], *, b_power: float = 1.5) -> None:
        self.blocks = blocks
        self.rows = [
            # By brightness, so that even steps through them leave the patches' mean energy as the level's is.
            found[np.argsort(blocks.colour[found] @ np.asarray(LUMA, np.float32), kind="stable")]
            for found in (np.flatnonzero(blocks.level == level) for level in range(len(LEVELS) - 1))
            if len(found) >= FEWEST_BLOCKS
        ]
        self.offset = np.zeros((len(LEVELS) - 1, 3), np.float32)
        self.known, self.quality, self.b_power = known, quality, b_power

    @property
    def levels(self) -> int:
        """How many levels hold enough blocks."""
        return len(self.rows)

    def _chosen(self, draw: int) -> Blocks:
        """Return the blocks whose colours a draw takes, evenly over each level's brightness; others for other draws."""
        places = (np.arange(_PATCHES) + (0.5 + draw * _GOLDEN) % 1) / _PATCHES
        picked = [rows[(places * len(rows)).astype(np.int64)] for rows in self.rows]
        return self.blocks.take(np.concatenate(picked) if picked else np.zeros(0, np.int64))

    def centre(self, z: Vector, stops: Vector) -> None:
        """Correct the light of the patches so that the candidate `z` gives them the mean colours that were measured.

        Noise before a curve moves the mean behind it, most of all in the dark.
        """
        for _ in range(2):
            chosen = self._chosen(0)
            got = self._photos(to_candidate(z), chosen, stops).mean((1, 2))
            for level in np.unique(chosen.level):
                rows = chosen.level == level
                self.offset[level] += (chosen.colour[rows] - got[rows]).mean(0)

    def __call__(self, z: Vector, stops: Vector, draw: int = 0) -> Summary:
        """Return the summary of the candidate `z`: of every level the flattest blocks, as in the photographs."""
        c = self._chosen(draw)
        photos = self._photos(to_candidate(z), c, stops, draw) * 255
        side = PATCH_PX // SIDE
        coefficients = block_dct(to_ycc(photos.reshape(-1, PATCH_PX, 3)))
        structure = structure_of((coefficients[..., 0, 0] / SIDE).astype(np.float32), coefficients)
        inner = slice(MARGIN_PX // SIDE, side - MARGIN_PX // SIDE)
        structure = structure.reshape(-1, side, side)[:, inner, inner].reshape(len(photos), -1)
        measured = coefficients.reshape(3, -1, side, side, SIDE, SIDE)[:, :, inner, inner].reshape(3, -1, SIDE, SIDE)
        # Half of each patch, not of each level: a level's colours are those of chosen blocks already, and to choose
        # among them again would favour the least noisy.
        each = structure.shape[1]
        order = np.argsort(structure, axis=1, kind="stable")[:, : int(KEPT_SHARE * each)]
        patch = np.repeat(np.arange(len(photos)), order.shape[1])
        chosen = (np.arange(len(photos))[:, None] * each + order).ravel()
        return summarise(Blocks(c.colour[patch], c.level[patch], c.photo[patch], band_energy(measured[:, chosen])))

    def _photos(self, candidate: Candidate, chosen: Blocks, stops: Vector, draw: int = 0) -> npt.NDArray[np.float32]:
        """Return (patches, PATCH_PX, PATCH_PX, 3) in [0, 1]."""
        params = device_rows(
            candidate,
            self.known,
            len(chosen.photo),
            (PATCH_PX, PATCH_PX),
            quality=self.quality[chosen.photo],
            stops=stops[chosen.photo],
            b_power=self.b_power,
            draw=draw,
        )
        codes = np.clip(chosen.colour + self.offset[chosen.level], 0, 1)
        photos: npt.NDArray[np.float32] = (
            flat_patches(codes, params, candidate).permute(0, 2, 3, 1).contiguous().numpy()
        )
        return photos
