"""The library diffusers, imported when it is needed: the rest of the project does without."""

from typing import Any

from spooflab.errors import ConfigError


def diffusers_library() -> Any:
    """Return the module.

    Raises:
        ConfigError: it is not installed.
    """
    try:
        import diffusers
    except ImportError as error:
        raise ConfigError("diffusion models need diffusers", next_step="pip install 'spooflab[diffusion]'") from error
    return diffusers
