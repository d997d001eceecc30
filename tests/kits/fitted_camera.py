"""A camera with known figures, for tests that simulate what the device fit looks for."""

import numpy as np

from spooflab.augment.fit.chain import Candidate, Known
from spooflab.augment.fit.flat_blocks import BANDS, LEVELS
from spooflab.augment.fit.simulator import Simulator, Stops
from spooflab.augment.fit.sought import from_values
from spooflab.augment.fit.surfaces import Surfaces

CANDIDATE = Candidate(
    a=6e-4, b=8e-6, row_share=0.05, smear=0.4, halo=0.6, halo_radius_px=1.1, tone=0.5, gamma=0.92, saturation=1.1,
    red_gain=2.0, blue_gain=1.6, prnu_std=1e-4,
)  # fmt: skip
CCM = np.array([[1.5, -0.4, -0.1], [-0.2, 1.4, -0.2], [0.0, -0.5, 1.5]])
KNOWN = Known(ccm=CCM, cfa=True, bits=10, black_level=0.06, subsampling=2)


def noisy_photographs(log2: np.ndarray, each: int) -> Simulator:
    """Photographs simulated with known departures of their noise, `each` surfaces a photograph."""
    photos = len(log2)
    colour = np.random.default_rng(0).uniform(0.2, 0.7, (photos * each, 1)).astype(np.float32).repeat(3, 1)
    photo = np.arange(photos).repeat(each)
    level = np.digitize(colour[:, 0], LEVELS) - 1
    empty = np.zeros((photos * each, len(BANDS)))
    bare = Simulator(Surfaces(colour, level, photo, empty, empty), KNOWN, np.full(photos, 92))
    seen = bare(from_values(vars(CANDIDATE)), Stops(log2, np.zeros(photos)), 7)
    return Simulator(Surfaces(colour, level, photo, seen, np.full_like(empty, 0.02**2)), KNOWN, np.full(photos, 92))
