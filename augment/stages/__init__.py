"""The camera's stages one by one, as modules in the manner of Kornia; codecs are in `spooflab.augment` itself."""

from spooflab.augment.stages.optics import LateralColour, LensDistortion, PointSpread, Vignette
from spooflab.augment.stages.processing import Beautify, ColourBalance, DigitalZoom, Sharpen, Smear, Tone
from spooflab.augment.stages.sensor import ColourFilter, PhotoResponse, SensorNoise
from spooflab.augment.stages.stage import Stage

__all__ = [
    "Beautify",
    "ColourBalance",
    "ColourFilter",
    "DigitalZoom",
    "LateralColour",
    "LensDistortion",
    "PhotoResponse",
    "PointSpread",
    "SensorNoise",
    "Sharpen",
    "Smear",
    "Stage",
    "Tone",
    "Vignette",
]
