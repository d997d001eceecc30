"""The miniature Stable Diffusion that comes with the package."""

from pathlib import Path

EMBEDDED_FOLDER = Path(__file__).with_name("embedded")
"""In the format of diffusers, with the identity projection and the identity encoder beside it."""
ADAPTER = "ip_adapter.safetensors"
"""File of the identity projection within a model's folder."""
