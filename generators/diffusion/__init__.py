"""Diffusion models: where they lie, whether they are whole and safe to load, and what they need."""

from spooflab.generators.diffusion.memory import available_bytes, check_memory
from spooflab.generators.diffusion.model_folder import ModelFolder, read_model_folder
from spooflab.generators.diffusion.model_source import ModelSource, fetch, locate, parse_source

__all__ = [
    "ModelFolder",
    "ModelSource",
    "available_bytes",
    "check_memory",
    "fetch",
    "locate",
    "parse_source",
    "read_model_folder",
]
