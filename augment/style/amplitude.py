"""Amplitude mix: the coarse spectrum of another picture under this picture's own phase."""

import torch
from torch import Tensor, nn

from spooflab.augment.style.statistics import StyleStatistics
from spooflab.errors import ConfigError, DataError


def low_amplitude(x: Tensor, cycles: int) -> Tensor:
    """Return the amplitudes (B, C, 2 cycles + 1, cycles + 1) of the lowest frequencies of (B, C, H, W).

    Frequencies are in cycles per picture and amplitudes in the picture's own unit (the mean is one of them), so spectra
    of pictures of different sizes compare. Rows run from -cycles to cycles, columns from 0.
    """
    _check_size(x, cycles)
    low: Tensor = torch.fft.rfft2(x, norm="forward")[:, :, _rows(x, cycles), : cycles + 1].abs()
    return low


def mix_amplitude(x: Tensor, target: Tensor, weight: Tensor, *, cycles: int) -> Tensor:
    """Return `x` with its lowest amplitudes moved towards `target`; phases and all higher frequencies stay.

    With weight 1, Fourier domain adaptation (Yang and Soatto 2020, beta = cycles / min(H, W)); with a weight drawn from
    U(0, 1), amplitude mix (Xu et al. 2021) on the low frequencies.

    Args:
        x: (B, C, H, W) floating point.
        target: (B, C, 2 K + 1, K + 1) amplitudes of `low_amplitude`, K >= cycles.
        weight: (B,) share of the target, [0, 1].
        cycles: highest frequency that is mixed, cycles per picture; below half of the shorter side.

    Returns:
        As `x`; values may leave its range.
    """
    _check_size(x, cycles)
    spectrum = torch.fft.rfft2(x, norm="forward")
    rows = _rows(x, cycles)
    low = spectrum[:, :, rows, : cycles + 1]
    reach = target.shape[-1] - 1
    wanted = target[:, :, reach - cycles : reach + cycles + 1, : cycles + 1]
    own = low.abs()
    mixed = own + weight[:, None, None, None] * (wanted - own)
    spectrum[:, :, rows, : cycles + 1] = torch.polar(mixed, low.angle())
    mixed_picture: Tensor = torch.fft.irfft2(spectrum, s=x.shape[-2:], norm="forward")
    return mixed_picture


class AmplitudeMix(nn.Module):
    """`mix_amplitude` with the spectra of a style bank.

    Args:
        cycles: highest frequency that is mixed, 0 (the mean alone) to the bank's reach.
    """

    def __init__(self, cycles: int = 3) -> None:
        super().__init__()
        if not 0 <= cycles <= StyleStatistics.CYCLES:
            raise ConfigError(
                f"cycles: {cycles}", wanted=f"0 to {StyleStatistics.CYCLES}, which is what a style bank holds"
            )
        self.cycles = cycles

    def forward(self, x: Tensor, style: StyleStatistics, weight: Tensor, seed: Tensor) -> Tensor:
        """Return (B, 3, H, W) in the style of the bank's B rows; `seed` is not used."""
        return mix_amplitude(x, style.amplitude, weight, cycles=self.cycles)


def _rows(x: Tensor, cycles: int) -> Tensor:
    return torch.arange(-cycles, cycles + 1, device=x.device) % x.shape[-2]


def _check_size(x: Tensor, cycles: int) -> None:
    if x.ndim != 4 or cycles < 0 or 2 * cycles >= min(x.shape[-2:]):
        raise DataError(f"{tuple(x.shape)} with {cycles} cycles", wanted="(B, C, H, W), each side above 2 cycles")
