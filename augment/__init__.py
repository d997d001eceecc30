"""Capture devices: lens, sensor, processing and codec of a camera, as batched modules with recorded parameters."""

from spooflab.augment.capture import CaptureDevice, rephotograph
from spooflab.augment.clip import develop_clip, film, sample_clip
from spooflab.augment.clip_params import ClipParams
from spooflab.augment.develop import develop
from spooflab.augment.device_params import DeviceParams
from spooflab.augment.gentle import gentle_shots
from spooflab.augment.jpeg import Jpeg
from spooflab.augment.jpeg_double import DoubleJpeg
from spooflab.augment.profile import DeviceProfile, list_profiles, load_profile
from spooflab.augment.quick import quick_photograph
from spooflab.augment.shift import DeviceShift
from spooflab.augment.video import VideoCodec
from spooflab.augment.view import View

__all__ = [
    "CaptureDevice",
    "ClipParams",
    "DeviceParams",
    "DeviceProfile",
    "DeviceShift",
    "DoubleJpeg",
    "Jpeg",
    "VideoCodec",
    "View",
    "develop",
    "develop_clip",
    "film",
    "gentle_shots",
    "list_profiles",
    "load_profile",
    "quick_photograph",
    "rephotograph",
    "sample_clip",
]
