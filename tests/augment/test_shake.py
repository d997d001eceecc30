"""The hand's path: its spectrum, its speed, and its velocity as the derivative of its position."""

import torch

from spooflab.augment.shake import DRIFT_HZ, TREMOR_HZ, TREMOR_SHARE, Shake, draw_shake


def _paths(count: int, px_per_ms: float = 0.05) -> Shake:
    generator = torch.Generator().manual_seed(0)
    return Shake.stack([draw_shake(px_per_ms, generator) for _ in range(count)])


def test_power_lies_in_the_stated_bands() -> None:
    rate_hz, seconds = 200, 20
    times = (torch.arange(rate_hz * seconds) * (1000 / rate_hz)).expand(100, -1)
    velocity = _paths(100).velocity(times) * torch.hann_window(rate_hz * seconds)[None, :, None]
    power = torch.fft.rfft(velocity, dim=1).abs().square().sum((0, 2))
    hz = torch.fft.rfftfreq(rate_hz * seconds, 1 / rate_hz)
    total = power.sum()

    def share(low: float, high: float) -> float:
        return float(power[(hz >= low - 0.15) & (hz <= high + 0.15)].sum() / total)

    assert abs(share(*TREMOR_HZ) - TREMOR_SHARE) < 0.06
    assert abs(share(*DRIFT_HZ) - (1 - TREMOR_SHARE)) < 0.06
    assert share(4.0, 7.0) < 1e-3
    assert share(13.0, 100.0) < 1e-3
    half = share(TREMOR_HZ[0], 10.0) / share(*TREMOR_HZ)
    assert abs(half - 0.5) < 0.08  # flat within the band


def test_speed_is_the_one_asked_for() -> None:
    times = (torch.rand(400, 50, generator=torch.Generator().manual_seed(1)) * 5000).sort(1).values
    rms = _paths(400, 0.08).velocity(times).square().sum(-1).mean().sqrt()
    assert abs(float(rms) / 0.08 - 1) < 0.05
    assert float(_paths(2, 0.0).position(times[:2]).abs().max()) == 0


def test_velocity_is_the_derivative_and_the_path_starts_at_rest() -> None:
    path = _paths(3)
    path = Shake(**{name: value.double() for name, value in path.__dict__.items()})
    times = torch.tensor([[0.0, 12.5, 480.0]], dtype=torch.float64).expand(3, -1)
    numeric = (path.position(times + 1e-3) - path.position(times - 1e-3)) / 2e-3
    torch.testing.assert_close(path.velocity(times), numeric, rtol=1e-6, atol=1e-9)
    assert float(path.position(torch.zeros(3, 1, dtype=torch.float64)).abs().max()) == 0
