"""Diffusion models: where they lie, whether they are whole and safe to load, and pictures painted with them."""

from spooflab.generators.diffusion.inpaint import Inpainter
from spooflab.generators.diffusion.invert import Inverter
from spooflab.generators.diffusion.ip_adapter import IdentityAdapter, read_adapter
from spooflab.generators.diffusion.memory import available_bytes, check_memory
from spooflab.generators.diffusion.model_folder import ModelFolder, read_model_folder
from spooflab.generators.diffusion.model_source import ModelSource, fetch, locate, locate_file, parse_source
from spooflab.generators.diffusion.refine import Refiner
from spooflab.generators.diffusion.sampling import Sampling

__all__ = [
    "IdentityAdapter",
    "Inpainter",
    "Inverter",
    "ModelFolder",
    "ModelSource",
    "Refiner",
    "Sampling",
    "available_bytes",
    "check_memory",
    "fetch",
    "locate",
    "locate_file",
    "parse_source",
    "read_adapter",
    "read_model_folder",
]
