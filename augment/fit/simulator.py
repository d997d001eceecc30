"""Flat patches developed with candidate parameters, measured as the photographs' flat blocks are."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from spooflab.augment.fit.chain import MARGIN_PX, PATCH_PX, Candidate, Known, device_rows, flat_patches
from spooflab.augment.fit.flat_blocks import (
    KEPT_SHARE,
    SIDE,
    band_energy,
    block_dct,
    structure_of,
    to_ycc,
)
from spooflab.augment.fit.sought import Vector, to_candidate
from spooflab.augment.fit.surfaces import Surfaces, log_energy


@dataclass(frozen=True)
class Stops:
    """How single photographs' noise departs from the camera's.

    Attributes:
        log2: (photos,) ratio of `a`.
        scatter: (photos,) standard deviation of what is not known of it; each simulation draws it anew.
    """

    log2: Vector
    scatter: Vector

    @staticmethod
    def none(photos: int) -> "Stops":
        """Return no departure."""
        return Stops(np.zeros(photos), np.zeros(photos))

    def drawn(self, draw: int) -> Vector:
        """Return (photos,) departures in one simulation."""
        return np.asarray(self.log2 + self.scatter * np.random.default_rng(draw).standard_normal(len(self.log2)))


class Simulator:
    """One patch for each surface: candidates in, energies out; equal candidates and draws give equal energies.

    Args:
        surfaces: whose colours and photographs the patches take.
        known: what is not sought.
        quality: (photos,) JPEG quality of each photograph, 0 for none.
        b_power: how much faster b changes than a where a photograph's gain departs from the mean.
    """

    def __init__(
        self, surfaces: Surfaces, known: Known, quality: npt.NDArray[np.int64], *, b_power: float = 1.5
    ) -> None:
        self.surfaces = surfaces
        self.offset = np.zeros_like(surfaces.colour)
        self.known, self.quality, self.b_power = known, quality, b_power

    def of(self, rows: npt.NDArray[np.bool_]) -> "Simulator":
        """Return the simulator of some of the surfaces."""
        return Simulator(self.surfaces.take(rows), self.known, self.quality, b_power=self.b_power)

    def centre(self, z: Vector, stops: Stops) -> None:
        """Correct the light of the patches so that the candidate `z` gives them the mean colours that were measured.

        Noise before a curve moves the mean behind it, most of all in the dark.
        """
        for _ in range(2):
            got = _inside(self._photos(to_candidate(z), stops, 0)).mean((1, 2))
            self.offset += self.surfaces.colour - got

    def __call__(self, z: Vector, stops: Stops, draw: int = 0) -> Vector:
        """Return log energies (surfaces, bands) of the candidate `z`: of the flattest blocks, as in the photographs."""
        photos = self._photos(to_candidate(z), stops, draw) * 255
        side = PATCH_PX // SIDE
        coefficients = block_dct(to_ycc(photos.reshape(-1, PATCH_PX, 3)))
        structure = structure_of((coefficients[..., 0, 0] / SIDE).astype(np.float32), coefficients)
        inner = slice(MARGIN_PX // SIDE, side - MARGIN_PX // SIDE)
        structure = structure.reshape(-1, side, side)[:, inner, inner].reshape(len(photos), -1)
        measured = coefficients.reshape(3, -1, side, side, SIDE, SIDE)[:, :, inner, inner].reshape(3, -1, SIDE, SIDE)
        energy = band_energy(measured).reshape(*structure.shape, -1)
        flattest = np.argsort(structure, axis=1, kind="stable")[:, : int(KEPT_SHARE * structure.shape[1])]
        return log_energy(np.take_along_axis(energy, flattest[..., None], 1))[0]

    def _photos(self, candidate: Candidate, stops: Stops, draw: int) -> npt.NDArray[np.float32]:
        """Return (surfaces, PATCH_PX, PATCH_PX, 3) in [0, 1]."""
        photo = self.surfaces.photo
        params = device_rows(
            candidate,
            self.known,
            len(photo),
            (PATCH_PX, PATCH_PX),
            quality=self.quality[photo],
            stops=stops.drawn(draw)[photo],
            b_power=self.b_power,
            draw=draw,
        )
        codes = np.clip(self.surfaces.colour + self.offset, 0, 1)
        photos: npt.NDArray[np.float32] = (
            flat_patches(codes, params, candidate).permute(0, 2, 3, 1).contiguous().numpy()
        )
        return photos


def _inside(photos: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    return photos[:, MARGIN_PX:-MARGIN_PX, MARGIN_PX:-MARGIN_PX]
