"""Unpaired style: give photographs the colours and spectra of a folder of target pictures, without a network."""

from spooflab.augment.style.amplitude import AmplitudeMix, low_amplitude, mix_amplitude
from spooflab.augment.style.bank import StyleBank
from spooflab.augment.style.histogram import HistogramMatch, level_cdf, match_levels
from spooflab.augment.style.measure import measure
from spooflab.augment.style.reinhard import ReinhardTransfer, reinhard_transfer
from spooflab.augment.style.sliced_transport import SlicedTransport, sliced_transport
from spooflab.augment.style.statistics import StyleStatistics
from spooflab.augment.style.target_style import StyleParams, TargetStyle
from spooflab.augment.style.transport import LinearTransport, linear_transport

__all__ = [
    "AmplitudeMix",
    "HistogramMatch",
    "LinearTransport",
    "ReinhardTransfer",
    "SlicedTransport",
    "StyleBank",
    "StyleParams",
    "StyleStatistics",
    "TargetStyle",
    "level_cdf",
    "linear_transport",
    "low_amplitude",
    "match_levels",
    "measure",
    "mix_amplitude",
    "reinhard_transfer",
    "sliced_transport",
]
