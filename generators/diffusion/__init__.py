"""Diffusion models: where they lie, whether they are whole and safe to load, and pictures painted with them."""

from spooflab.generators.diffusion.inpaint import Inpainter, Sampling
from spooflab.generators.diffusion.memory import available_bytes, check_memory
from spooflab.generators.diffusion.model_folder import ModelFolder, read_model_folder
from spooflab.generators.diffusion.model_source import ModelSource, fetch, locate, parse_source

__all__ = [
    "Inpainter",
    "ModelFolder",
    "ModelSource",
    "Sampling",
    "available_bytes",
    "check_memory",
    "fetch",
    "locate",
    "parse_source",
    "read_model_folder",
]
