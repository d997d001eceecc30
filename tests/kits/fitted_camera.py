"""A camera with known figures, for tests that simulate what the device fit looks for."""

import numpy as np

from spooflab.augment.fit.chain import Candidate, Known

CANDIDATE = Candidate(
    a=6e-4, b=8e-6, row_share=0.05, smear=0.4, halo=0.6, halo_radius_px=1.1, tone=0.5, gamma=0.92, saturation=1.1,
    red_gain=2.0, blue_gain=1.6, prnu_std=1e-4,
)  # fmt: skip
CCM = np.array([[1.5, -0.4, -0.1], [-0.2, 1.4, -0.2], [0.0, -0.5, 1.5]])
KNOWN = Known(ccm=CCM, cfa=True, bits=10, black_level=0.06, subsampling=2)
