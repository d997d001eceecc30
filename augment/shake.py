"""The unsteady hand: tremor in a narrow band and slow drift, as a path that can be read at any time.

A path is a sum of cosines with Rayleigh amplitudes and uniform phases, which is a Gaussian process with the stated
spectrum (Rice 1944), so that each row of a rolling shutter reads it at its own moment.

Figures: physiological tremor of the hand peaks at 8-10 Hz (Sutton and Sykes, J. Physiol. 191, 1967), between 6 and
12 Hz in all (Lakie et al., J. Physiol. 593, 2015). An outstretched hand's acceleration is 0.0015 to 0.035 g, most often
0.01 g ("A normative study of postural tremor of the hand", Arch. Neurol. 39, 1982): 0.04 mm at 8 Hz, or 0.8 degrees
per second (rms) about a wrist 0.1 m behind the camera, within the turning rates of the shipped profiles. Drift is a
wandering position whose velocity is white up to 3 Hz. That and the equal speed of tremor and drift are estimates.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from spooflab.params import Params

TREMOR_HZ = (8.0, 12.0)
DRIFT_HZ = (0.1, 3.0)
TREMOR_SHARE = 0.5
"""Share of the mean squared velocity that is tremor."""
_TREMOR_TERMS, _DRIFT_TERMS = 24, 16


@dataclass(frozen=True)
class Shake(Params):
    """A path of the picture over the sensor, pixels.

    Attributes:
        hz: (B, K) frequencies.
        cosine_px, sine_px: (B, K, 2) amplitudes (x, y).
    """

    hz: Tensor
    cosine_px: Tensor
    sine_px: Tensor

    def position(self, time_ms: Tensor) -> Tensor:
        """Return (B, N, 2) where the picture is at times (B, N), relative to time 0."""
        turn = self._turn(time_ms)
        return (turn.cos() - 1) @ self.cosine_px + turn.sin() @ self.sine_px

    def velocity(self, time_ms: Tensor) -> Tensor:
        """Return (B, N, 2) pixels per millisecond at times (B, N)."""
        turn, rate = self._turn(time_ms), self._rate()[:, :, None]
        return turn.cos() @ (self.sine_px * rate) - turn.sin() @ (self.cosine_px * rate)

    def _turn(self, time_ms: Tensor) -> Tensor:
        return time_ms[:, :, None] * self._rate()[:, None, :]

    def _rate(self) -> Tensor:
        return self.hz * (2 * math.pi / 1000)


def draw_shake(px_per_ms: float, generator: torch.Generator) -> Shake:
    """Draw one path (B = 1) whose velocity has the root mean square `px_per_ms`, both axes together."""
    tremor = _stratified(_TREMOR_TERMS, generator)
    tremor_hz = TREMOR_HZ[0] + (TREMOR_HZ[1] - TREMOR_HZ[0]) * tremor
    drift_hz = DRIFT_HZ[0] * (DRIFT_HZ[1] / DRIFT_HZ[0]) ** _stratified(_DRIFT_TERMS, generator)
    hz = torch.cat([tremor_hz, drift_hz])
    # White velocity: the variance of a term is the width of its stratum, which is proportional to hz for drift.
    share = torch.cat([torch.full_like(tremor_hz, TREMOR_SHARE / _TREMOR_TERMS), drift_hz / drift_hz.sum()])
    share[_TREMOR_TERMS:] *= 1 - TREMOR_SHARE
    # A term a cos + b sin of position, a and b of variance s^2, moves at the mean squared velocity (2 pi f s)^2.
    std_px = px_per_ms * (share / 2).sqrt() / (hz * (2 * math.pi / 1000))
    normal = torch.randn(2, len(hz), 2, generator=generator) * std_px[None, :, None]
    return Shake(hz=hz[None], cosine_px=normal[:1], sine_px=normal[1:])


def _stratified(count: int, generator: torch.Generator) -> Tensor:
    """Return `count` shares in [0, 1), one in each of as many equal parts."""
    return (torch.arange(count) + torch.rand(count, generator=generator)) / count
