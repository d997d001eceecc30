"""A device profile estimated from photographs alone."""

from spooflab.augment.fit.assemble import to_yaml
from spooflab.augment.fit.estimate import Estimate
from spooflab.augment.fit.fit import Fit, fit_device
from spooflab.augment.fit.photographs import Photographs, read_charts, read_photographs

__all__ = ["Estimate", "Fit", "Photographs", "fit_device", "read_charts", "read_photographs", "to_yaml"]
